"""How far a figure would move with other sounds of the same kind: confidence intervals without assumptions of shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
GROUPS = 10
Z95 = 1.959964  # of the normal distribution, two-sided 95 %


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95 % interval; ``count`` sounds stand behind it."""

    value: float
    low: float
    high: float
    count: int


def mean_estimate(values_N: Sequence[float] | NDArray[np.float64], seed: int = 0) -> Estimate | None:
    """Mean with its percentile bootstrap interval (Efron 1979): 2000 draws of as many sounds, with replacement.

    The interval speaks of other sounds, not of other seeds or machines. A single sound has no interval: both ends are
    its value. None without any sound.
    """
    values_N = np.asarray(values_N, np.float64)
    count = len(values_N)
    if not count:
        return None
    draws_RN = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    low, high = np.quantile(values_N[draws_RN].mean(1), (0.025, 0.975))
    return Estimate(float(values_N.mean()), float(low), float(high), count)


def jackknife_estimate(
    figure: Callable[[NDArray[np.bool_]], float], sounds: int, *, least: float = -math.inf
) -> Estimate:
    """A figure of a whole set with its interval from ten sets that each lack a tenth of the sounds.

    For distances of distributions, where a bootstrap would count doubled sounds as likeness. Standard error after
    Tukey (1958), interval of +-1.96 of it, cut at ``least``.

    Args:
        figure: of the sounds that a mask [sounds] keeps.
    """
    group_N = np.arange(sounds) % min(GROUPS, sounds)
    value = figure(np.ones(sounds, bool))
    left = np.array([figure(group_N != g) for g in range(group_N.max() + 1)])
    error = math.sqrt((len(left) - 1) / len(left) * float(np.square(left - left.mean()).sum()))
    return Estimate(value, max(least, value - Z95 * error), value + Z95 * error, sounds)
