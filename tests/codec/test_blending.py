"""Long signals solved in windows: the same as all windows at once, whatever the grouping, in bounded memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spresso_assets.codec.blending import solve_in_windows
from spresso_assets.codec.noise import LATENT_STREAM, frame_noise
from spresso_assets.codec.sampling import Solver, dpm_solver_2m, heun, karras_sigmas, one_step, solve
from spresso_assets.codec.windows import RAMP_FRAMES, Span, blend_weights, decode_windows

LIMIT, MULTIPLE, CHANNELS = 300, 36, 3


def _window_denoiser(x_BTC: Tensor, sigma: float) -> Tensor:
    """Depends on the whole window, as attention does."""
    smooth_BTC = x_BTC.cumsum(1) / torch.arange(1, x_BTC.shape[1] + 1)[:, None] + x_BTC.mean(1, keepdim=True)
    return 0.25 * (x_BTC + smooth_BTC).tanh() / (0.25 + sigma**2)


def _noise(start: int, stop: int) -> Tensor:
    return 5.0 * torch.from_numpy(frame_noise(1, LATENT_STREAM, start, stop - start, CHANNELS))[None]


def _all_at_once(solver: Solver, sigmas: list[float], windows: list[Span]) -> Tensor:
    """MultiDiffusion as its equation says: one signal, all windows at every evaluation."""
    frames = windows[-1][1]

    def denoiser(x_BTC: Tensor, sigma: float) -> Tensor:
        total_BTC, norm_T1 = torch.zeros_like(x_BTC), torch.zeros(frames, 1)
        for a, b in windows:
            weight_T1 = torch.from_numpy(blend_weights(b - a, a == 0, b == frames))[:, None]
            total_BTC[:, a:b] += weight_T1 * _window_denoiser(x_BTC[:, a:b], sigma)
            norm_T1[a:b] += weight_T1
        return total_BTC / norm_T1

    return solve(solver, denoiser, _noise(0, frames), sigmas)


@pytest.mark.parametrize("solver", [dpm_solver_2m, heun, one_step])
@pytest.mark.parametrize("count", [1, 9, 17, 40, 41, 57])
def test_groups_of_windows_give_what_all_windows_at_once_give(solver: Solver, count: int) -> None:
    sigmas, windows = karras_sigmas(5, 0.05, 5.0), decode_windows(count * MULTIPLE, LIMIT, MULTIPLE)
    expected_BTC = _all_at_once(solver, sigmas, windows)
    for group in (1, 2, 3, 100):
        pieces = solve_in_windows(
            solver, lambda _, xs, sigma: [_window_denoiser(x, sigma) for x in xs], _noise, sigmas, windows, group
        )
        torch.testing.assert_close(torch.cat(list(pieces), 1), expected_BTC)


@pytest.mark.parametrize("solver", [dpm_solver_2m, heun, one_step])
def test_windows_that_disagree_are_joined_by_a_ramp(solver: Solver) -> None:
    """Every window insists on a number of its own: the signal glides from each to the next, without a step."""
    sigmas, windows = karras_sigmas(4, 0.05, 5.0), decode_windows(40 * MULTIPLE, LIMIT, MULTIPLE)

    def denoiser(indices: range, noisy: list[Tensor], sigma: float) -> list[Tensor]:
        return [torch.full_like(x, float(i % 2)) for i, x in zip(indices, noisy, strict=True)]

    def silence(start: int, stop: int) -> Tensor:
        return torch.zeros(1, stop - start, 1)

    joined_T = torch.cat(list(solve_in_windows(solver, denoiser, silence, sigmas, windows, 3)), 1)[0, :, 0]
    assert joined_T.min() < 0.01 and joined_T.max() > 0.99
    assert float(joined_T.diff().abs().max()) < 1.5 / RAMP_FRAMES


def test_what_is_held_does_not_grow_with_the_sound() -> None:
    sigmas, windows = karras_sigmas(6, 0.05, 5.0), decode_windows(1000 * MULTIPLE, LIMIT, MULTIPLE)
    opened = given = held = 0

    def noise(start: int, stop: int) -> Tensor:
        nonlocal opened
        opened += 1
        return _noise(start, stop)

    def denoiser(_: range, noisy: list[Tensor], sigma: float) -> list[Tensor]:
        return [_window_denoiser(x, sigma) for x in noisy]

    for _ in solve_in_windows(dpm_solver_2m, denoiser, noise, sigmas, windows, 4):
        held = max(held, opened - given)
        given += 1
    assert given == opened == len(windows) > 100
    assert held <= 4 + 6
