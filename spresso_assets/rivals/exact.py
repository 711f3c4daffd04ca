"""Networks in whole numbers, for whatever an entropy decoder depends on: the same on every machine, for ever.

A float network gives slightly different probabilities on another processor, in another batch, after an update, and one
difference ruins the rest of a stream. Here activations are integers that stand for multiples of 2^-10 and weights
integers that stand for multiples of 2^-12. Arrays are float64 nonetheless, since matrix products of floats are what
processors are fast at: below 2^53 every integer is a float64, so sums of such products are exact, in any order and with
any instruction. `LIMIT` keeps them there: 2^20 (activations) x 2^15 (weights) x 2^14 (terms) = 2^49.

Exponentials are looked up in a table of integers that comes from integers; roots and quotients are integer ones.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Exact = npt.NDArray[np.float64]  # whole numbers
Whole = npt.NDArray[np.int64]

ACTIVATION_BITS = 10
WEIGHT_BITS = 12
LIMIT = float(1 << 20)
ONE = float(1 << ACTIVATION_BITS)
EXP_BITS = 8  # fractional bits of exponents of two
EXP_ONE = 1 << 16  # 2^0 in the table
WEIGHT_LIMIT = (1 << 15) - 1


def whole_weights(weights: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Float weights as multiples of 2^-12, cut at +-8."""
    scaled = np.rint(np.asarray(weights, np.float64) * (1 << WEIGHT_BITS))
    return np.clip(scaled, -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int16)


def whole_bias(bias: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Float biases as multiples of 2^-22, the unit of a product; cut at +-511."""
    unit = 1 << WEIGHT_BITS + ACTIVATION_BITS
    return np.clip(np.rint(np.asarray(bias, np.float64) * unit), -511 * unit, 511 * unit).astype(np.int32)


def settle(product: Exact) -> Exact:
    """Products (multiples of 2^-22) back to activations, rounded half up."""
    return np.clip(np.floor(product / (1 << WEIGHT_BITS) + 0.5), -LIMIT, LIMIT)


def linear(x_NI: Exact, weight_OI: Exact, bias_O: Exact | float = 0.0) -> Exact:
    """x W^T + b."""
    return settle(x_NI @ weight_OI.T + bias_O)


def conv3x3(x_CHW: Exact, weight_OI33: Exact, bias_O: Exact) -> Exact:
    """Same-size convolution with zeros around."""
    channels, height, width = x_CHW.shape
    padded = np.pad(x_CHW, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    columns = windows.transpose(1, 2, 0, 3, 4).reshape(height * width, channels * 9)
    out = linear(columns, weight_OI33.reshape(len(weight_OI33), -1), bias_O)
    return np.ascontiguousarray(out.T).reshape(-1, height, width)


def double(x_CHW: Exact) -> Exact:
    """Twice the height and width, each value four times."""
    return x_CHW.repeat(2, axis=1).repeat(2, axis=2)


@cache
def exp2_table() -> Whole:
    """floor(2^16 2^(-k / 256)) for k in 0..255: the largest n with n^256 <= 2^(16 * 256 - k), found in integers."""
    table, n = [], EXP_ONE
    for k in range(1 << EXP_BITS):
        bound = 1 << (16 << EXP_BITS) - k
        low, high = n // 2, n
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle ** (1 << EXP_BITS) <= bound else (low, middle - 1)
        n = low
        table.append(n)
    return np.array(table, np.int64)


def powers(exponent: Exact) -> Whole:
    """2^16 2^(e - max e) along the last axis, for exponents of two in multiples of 2^-8; -inf gives 0."""
    below = np.minimum(exponent.max(-1, keepdims=True) - exponent, 40 << EXP_BITS).astype(np.int64)
    whole: Whole = exp2_table()[below & (1 << EXP_BITS) - 1] >> (below >> EXP_BITS)
    return whole


def rms_norm(x_ND: Exact) -> Exact:
    """x over its root mean square, with integer root and quotient."""
    mean_N1 = (x_ND**2).sum(-1, keepdims=True).astype(np.int64) // x_ND.shape[-1]
    root_N1 = np.floor(np.sqrt(mean_N1.astype(np.float64))).astype(np.int64)
    root_N1 -= root_N1**2 > mean_N1
    root_N1 += (root_N1 + 1) ** 2 <= mean_N1
    quotient = (x_ND.astype(np.int64) << ACTIVATION_BITS) // np.maximum(root_N1, 1)
    return np.clip(quotient, -LIMIT, LIMIT).astype(np.float64)
