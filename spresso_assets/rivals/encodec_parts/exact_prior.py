"""The prior in whole numbers (see `exact`): frequencies that encoder and decoder agree on to the last bit.

The encoder asks for all frames of a chunk at once, the decoder for one after the other. With floats that alone makes
different probabilities; here it is the same function on more or fewer rows, and the same result.

Axes: T frames asked for, S frames heard so far and now, M codebooks, K entries, D width, H heads, E width of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spresso_assets.codec.entropy import Decoder, Encoder
from spresso_assets.rivals import exact
from spresso_assets.rivals.encodec_parts.config import PriorConfig
from spresso_assets.rivals.encodec_parts.prior import Block, CodePrior

PREFIX = "prior."
LOG2_E = math.log2(math.e)
SCORE_SHIFT = 2 * exact.ACTIVATION_BITS - exact.EXP_BITS  # from a product of activations to an exponent of two
Codes = npt.NDArray[np.int64]


def whole_prior(prior: CodePrior) -> dict[str, Tensor]:
    """The tensors of `ExactPrior`, made once, when a bundle is written.

    Exponentials become powers of two: log2 e goes into queries and heads, and the root of a head's width too.
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    embed = np.concatenate([_array(prior.embedding_MKD).reshape(-1, prior.cfg.dim), _array(prior.start_D)[None]])
    arrays["embedding"] = np.clip(np.rint(embed * exact.ONE), -32_767, 32_767).astype(np.int16)
    dim = prior.cfg.dim
    for i, block in enumerate(prior.blocks):
        assert isinstance(block, Block)
        qkv = _array(block.qkv.weight).copy()
        qkv[:dim] *= LOG2_E / math.sqrt(dim // prior.cfg.heads)
        arrays[f"{i}.qkv"] = exact.whole_weights(qkv)
        arrays[f"{i}.out"] = exact.whole_weights(_array(block.out.weight))
        for name in ("wide", "narrow"):
            layer = getattr(block, name)
            arrays[f"{i}.{name}.weight"] = exact.whole_weights(_array(layer.weight))
            arrays[f"{i}.{name}.bias"] = exact.whole_bias(_array(layer.bias))
    state = prior.state_dict()
    for name, whole in (("weight", exact.whole_weights), ("bias", exact.whole_bias)):
        heads = np.stack([_array(state[f"heads.{m}.{name}"]) for m in range(prior.cfg.codebooks)])
        arrays[f"heads.{name}"] = whole(heads * LOG2_E)
    sizes = [prior.cfg.dim, prior.cfg.layers, prior.cfg.heads, prior.cfg.context, prior.cfg.codebooks, prior.cfg.bits]
    arrays["sizes"] = np.array(sizes, np.int32)
    return {PREFIX + name: torch.from_numpy(array) for name, array in arrays.items()}


def _array(tensor: Tensor) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


@dataclass
class Heard:
    """Keys and values of the frames so far, per block [H, S, E]."""

    keys: list[exact.Exact] = field(default_factory=list)
    values: list[exact.Exact] = field(default_factory=list)


class ExactPrior:
    """Frequencies of codes given the frames before.

    Args:
        tensors: those of `whole_prior`, with others beside them.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        own = {k[len(PREFIX) :]: t.numpy().astype(np.float64) for k, t in tensors.items() if k.startswith(PREFIX)}
        self.cfg = PriorConfig(*(int(size) for size in own["sizes"]))
        self._own = own
        entries = 1 << self.cfg.bits
        self._embedding_MKD = own["embedding"][:-1].reshape(self.cfg.codebooks, entries, -1)
        self._start_D = own["embedding"][-1]

    def frequencies(self, before_TM: Codes | None, codebooks: int, heard: Heard) -> npt.NDArray[np.int64]:
        """Frequencies [T, M, K], 1 to 65537 each, of the next T frames.

        Args:
            before_TM: codes of the frame before each of them; None for the first frame of a chunk alone.
            heard: what was asked for before, to which this is added.
        """
        x_TD = self._start_D[None] if before_TM is None else self._embed(before_TM)
        for i in range(self.cfg.layers):
            x_TD = self._block(i, x_TD, heard)
        x_TD = exact.rms_norm(x_TD)
        weight_MKD, bias_MK = self._own["heads.weight"][:codebooks], self._own["heads.bias"][:codebooks]
        logits = exact.linear(x_TD, weight_MKD.reshape(-1, self.cfg.dim), bias_MK.reshape(-1))
        exponents = np.floor(logits / (1 << exact.ACTIVATION_BITS - exact.EXP_BITS))
        return 1 + exact.powers(exponents.reshape(len(x_TD), codebooks, -1))

    def encode(self, coder: Encoder, codes_TM: Codes) -> None:
        """Put the codes of a chunk into a stream."""
        frames, codebooks = codes_TM.shape
        heard = Heard()
        for start in range(0, frames, 64):  # bounds the memory of frequencies
            block_TM = codes_TM[start : start + 64]
            first = self.frequencies(None, codebooks, heard) if start == 0 else None
            before_TM = codes_TM[max(0, start - 1) : start + len(block_TM) - 1]
            found = [part for part in (first, self._rest(before_TM, codebooks, heard)) if part is not None]
            for frame_MK, wanted in zip(np.concatenate(found), block_TM.tolist(), strict=True):
                for row, symbol in zip(_cumulative(frame_MK), wanted, strict=True):
                    coder.draw(0, row, [], symbol)

    def decode(self, coder: Decoder, frames: int, codebooks: int) -> Codes:
        """Take the codes of a chunk out of a stream."""
        heard, before_1M = Heard(), None
        codes_TM = np.zeros((frames, codebooks), np.int64)
        for t in range(frames):
            rows = _cumulative(self.frequencies(before_1M, codebooks, heard)[0])
            codes_TM[t] = [coder.draw(0, row, [], 0) for row in rows]
            before_1M = codes_TM[t : t + 1]
        return codes_TM

    def _rest(self, before_TM: Codes, codebooks: int, heard: Heard) -> npt.NDArray[np.int64] | None:
        return self.frequencies(before_TM, codebooks, heard) if len(before_TM) else None

    def _embed(self, codes_TM: Codes) -> exact.Exact:
        parts = [self._embedding_MKD[m][codes_TM[:, m]] for m in range(codes_TM.shape[1])]
        total: exact.Exact = np.sum(parts, axis=0)
        return np.clip(total, -exact.LIMIT, exact.LIMIT)

    def _block(self, i: int, x_TD: exact.Exact, heard: Heard) -> exact.Exact:
        own, heads = self._own, self.cfg.heads
        frames, dim = x_TD.shape
        mixed = exact.linear(exact.rms_norm(x_TD), own[f"{i}.qkv"])
        q_HTE, k_HTE, v_HTE = mixed.reshape(frames, 3, heads, dim // heads).transpose(1, 2, 0, 3)
        if len(heard.keys) > i:
            k_HSE = np.concatenate([heard.keys[i], k_HTE], 1)
            v_HSE = np.concatenate([heard.values[i], v_HTE], 1)
            heard.keys[i], heard.values[i] = k_HSE, v_HSE
        else:
            k_HSE, v_HSE = k_HTE, v_HTE
            heard.keys.append(k_HSE)
            heard.values.append(v_HSE)
        total = k_HSE.shape[1]
        apart_TS = np.arange(total - frames, total)[:, None] - np.arange(total)
        slope_H = float(1 << exact.EXP_BITS) / 2.0 ** np.arange(1, heads + 1)
        score = np.floor(q_HTE @ k_HSE.transpose(0, 2, 1) / (1 << SCORE_SHIFT))
        score = np.floor(score - apart_TS * slope_H[:, None, None])
        score = np.where((apart_TS < 0) | (apart_TS >= self.cfg.context), -np.inf, score)
        weight_HTS = exact.powers(score)
        summed = (weight_HTS.astype(np.float64) @ v_HSE).astype(np.int64)
        heard_HTE = summed // weight_HTS.sum(-1, keepdims=True)
        told = heard_HTE.transpose(1, 0, 2).reshape(frames, dim).astype(np.float64)
        x_TD = np.clip(x_TD + exact.linear(told, own[f"{i}.out"]), -exact.LIMIT, exact.LIMIT)
        wide = np.maximum(exact.linear(exact.rms_norm(x_TD), own[f"{i}.wide.weight"], own[f"{i}.wide.bias"]), 0)
        added = exact.linear(wide, own[f"{i}.narrow.weight"], own[f"{i}.narrow.bias"])
        return np.clip(x_TD + added, -exact.LIMIT, exact.LIMIT)


def _cumulative(frequency_MK: npt.NDArray[np.int64]) -> list[list[int]]:
    whole: list[list[int]] = np.pad(frequency_MK.cumsum(1), ((0, 0), (1, 0))).tolist()
    return whole
