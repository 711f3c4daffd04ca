"""Samplers: Heun (EDM alg. 1), DPM-Solver++(2M), one step.

A solver is a generator: it yields (x, sigma), is sent the denoiser's answer D(x; sigma), and returns the sample. It
works element by element and never calls a network, so a long sound can be solved in pieces that advance one after the
other (`blending`); `solve` runs one in a single piece. None of them draws random numbers: the start carries all noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, float], Tensor]
Steps = Generator[tuple[Tensor, float], Tensor, Tensor]
Solver = Callable[[Tensor, list[float]], Steps]


def karras_sigmas(steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> list[float]:
    """``steps`` decreasing noise levels, then 0 (EDM eq. 5)."""
    if steps < 1:
        raise ValueError("steps must be at least 1")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64) if steps > 1 else torch.zeros(1, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return [*((high + ramp * (low - high)) ** rho).tolist(), 0.0]


def solve(solver: Solver, denoiser: Denoiser, x: Tensor, sigmas: list[float]) -> Tensor:
    """Run a solver to its end with one denoiser for all of ``x``."""
    steps = solver(x, sigmas)
    try:
        asked = next(steps)
        while True:
            asked = steps.send(denoiser(*asked))
    except StopIteration as end:
        sample: Tensor = end.value
        return sample


def heun(x: Tensor, sigmas: list[float]) -> Steps:
    """Second-order deterministic sampler, 2 n - 1 evaluations for n levels (EDM algorithm 1, no churn).

    Args:
        x: start, standard normal times ``sigmas[0]`` (any shape).
        sigmas: decreasing levels that end with 0.
    """
    for sigma, sigma_next in itertools.pairwise(sigmas):
        slope = (x - (yield x, sigma)) / sigma
        x_next = x + (sigma_next - sigma) * slope
        if sigma_next > 0:
            slope_next = (x_next - (yield x_next, sigma_next)) / sigma_next
            x_next = x + (sigma_next - sigma) * (slope + slope_next) / 2
        x = x_next
    return x


def dpm_solver_2m(x: Tensor, sigmas: list[float]) -> Steps:
    """DPM-Solver++(2M), data prediction, one evaluation per level (Lu et al. 2022, algorithm 2 with lambda = -ln s)."""
    previous: tuple[float, Tensor] | None = None
    for sigma, sigma_next in itertools.pairwise(sigmas):
        data = yield x, sigma
        if sigma_next == 0:
            return data
        # e^{-h} = sigma_next / sigma for the log-SNR step h.
        ratio = sigma_next / sigma
        estimate = data
        if previous is not None:
            sigma_before, data_before = previous
            h = -torch.tensor(ratio, dtype=torch.float64).log().item()
            h_before = -torch.tensor(sigma / sigma_before, dtype=torch.float64).log().item()
            r = h_before / h
            estimate = (1 + 1 / (2 * r)) * data - data_before / (2 * r)
        x = ratio * x - (ratio - 1) * estimate
        previous = (sigma, data)
    return x


def one_step(x: Tensor, sigmas: list[float]) -> Steps:
    """The conditional mean D(x; sigma_max): one evaluation, a usable preview."""
    return (yield x, sigmas[0])
