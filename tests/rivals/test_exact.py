"""Whole-number networks: equal to arithmetic on Python's integers, in whatever order sums are made."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spresso_assets.rivals import exact


@pytest.mark.parametrize(("largest", "heaviest"), [(1 << 20, exact.WEIGHT_LIMIT), (1 << 20, 90), (3000, 30_000)])
def test_linear_is_integer_arithmetic(largest: int, heaviest: int) -> None:
    """Also at its limits, where it saturates."""
    generator = np.random.default_rng(0)
    x = generator.integers(-largest, largest, (5, 700))
    weight = generator.integers(-heaviest, heaviest, (7, 700))
    got = exact.linear(x.astype(float), weight.astype(float))
    for n in range(5):
        for o in range(7):
            total = sum(int(a) * int(b) for a, b in zip(x[n], weight[o], strict=True))
            rounded = (total + (1 << 11)) >> 12
            assert got[n, o] == max(-(1 << 20), min(1 << 20, rounded))


def test_order_of_sums_does_not_matter() -> None:
    """Which a float network cannot say of itself."""
    generator = np.random.default_rng(1)
    x, weight = generator.standard_normal((3, 500)), generator.standard_normal((4, 500))
    order = generator.permutation(500)
    whole_x, whole_w = np.rint(x * exact.ONE), exact.whole_weights(weight).astype(float)
    one, other = exact.linear(whole_x, whole_w), exact.linear(whole_x[:, order], whole_w[:, order])
    np.testing.assert_array_equal(one, other)
    assert (x @ weight.T != x[:, order] @ weight[:, order].T).any()


def test_convolution_is_a_sum_over_neighbours() -> None:
    generator = np.random.default_rng(2)
    x = generator.integers(-999, 999, (2, 4, 3)).astype(float)
    weight, bias = generator.integers(-9999, 9999, (3, 2, 3, 3)).astype(float), np.array([5.0, -70_000.0, 1e6])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for o in range(3):
        for i in range(4):
            for j in range(3):
                total = (padded[:, i : i + 3, j : j + 3] * weight[o]).sum() + bias[o]
                assert exact.conv3x3(x, weight, bias)[o, i, j] == math.floor(total / 4096 + 0.5)


def test_powers_of_two_are_floors_of_the_true_ones() -> None:
    table = exact.exp2_table()
    np.testing.assert_array_equal(table, [math.floor(2 ** (16 - k / 256)) for k in range(256)])
    exponents = np.array([0.0, -256, -128, -4096, -np.inf])
    np.testing.assert_array_equal(exact.powers(exponents), [65536, 32768, 46340, 1, 0])


def test_root_mean_square() -> None:
    x = np.random.default_rng(3).integers(-100_000, 100_000, (6, 48)).astype(float)
    got = exact.rms_norm(x) / exact.ONE
    np.testing.assert_allclose((got**2).mean(1), 1.0, rtol=0.01)
    assert (exact.rms_norm(np.zeros((1, 48))) == 0).all()
