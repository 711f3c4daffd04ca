"""Intervals against the closed forms that they approach."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spresso_assets.evaluation.intervals import jackknife_estimate, mean_estimate


def test_the_bootstrap_of_a_mean_approaches_the_normal_interval() -> None:
    x_N = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = mean_estimate(x_N)
    assert found is not None and found.value == pytest.approx(x_N.mean()) and found.count == 400
    half = 1.96 * x_N.std() / math.sqrt(400)
    assert found.high - found.value == pytest.approx(half, rel=0.08)
    assert found.value - found.low == pytest.approx(half, rel=0.08)


def test_the_true_mean_lies_inside_as_often_as_promised() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        found = mean_estimate(rng.exponential(1.0, 60))
        assert found is not None
        inside += found.low <= 1.0 <= found.high
    assert 178 <= inside <= 199  # 95 %, a little less for a skew distribution


def test_one_sound_has_no_interval_and_none_has_no_figure() -> None:
    found = mean_estimate([2.5])
    assert found is not None and (found.low, found.high) == (2.5, 2.5)
    assert mean_estimate([]) is None


def test_the_jackknife_of_a_mean_is_the_standard_error_of_its_groups() -> None:
    x_N = np.random.default_rng(2).normal(0.0, 1.0, 500)
    found = jackknife_estimate(lambda kept: float(x_N[kept].mean()), 500)
    groups = np.array([x_N[np.arange(500) % 10 == g].mean() for g in range(10)])
    # For equal groups the jackknife's error is exactly the standard error of the ten means.
    assert found.high - found.value == pytest.approx(1.959964 * groups.std(ddof=1) / math.sqrt(10))
    assert jackknife_estimate(lambda kept: float(x_N[kept].mean()), 500, least=found.value).low == found.value
