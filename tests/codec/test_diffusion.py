"""EDM arithmetic and the samplers, against closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from spresso_assets.codec.diffusion import denoise, edm_loss, sample_sigma
from spresso_assets.codec.sampling import Solver, dpm_solver_2m, heun, karras_sigmas, one_step, solve

SD = 0.5


def _gaussian_denoiser(x: Tensor, sigma: float) -> Tensor:
    """Exact D for data ~ N(0, SD^2): the posterior mean."""
    return x * SD**2 / (SD**2 + sigma**2)


def _exact_end(x: Tensor, sigma_max: float) -> Tensor:
    """Solution at sigma = 0 of dx/dsigma = (x - D)/sigma for that data."""
    return x * SD / math.sqrt(SD**2 + sigma_max**2)


def test_preconditioned_input_and_target_have_unit_variance() -> None:
    """What the network sees and must return has unit variance at every noise level (EDM section 5)."""
    torch.manual_seed(0)
    for sigma in (0.05, 0.5, 5.0, 50.0):
        seen: list[Tensor] = []

        def network(x: Tensor, _c: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(x)
            return torch.zeros_like(x)

        x0_BTC = SD * torch.randn(8, 64, 128)
        noisy_BTC = x0_BTC + sigma * torch.randn_like(x0_BTC)
        skip_BTC = denoise(network, noisy_BTC, torch.full((8,), sigma))
        assert float(seen[0].std()) == pytest.approx(1, abs=0.02)
        c_out = sigma * SD / math.hypot(sigma, SD)
        assert float(((x0_BTC - skip_BTC) / c_out).std()) == pytest.approx(1, abs=0.02)


def test_loss_of_a_zero_network_is_one_at_every_level() -> None:
    torch.manual_seed(0)
    x0_BTC = SD * torch.randn(64, 32, 128)
    sigma_B = sample_sigma(64, -0.4, 1.0)
    noisy_BTC = x0_BTC + sigma_B[:, None, None] * torch.randn_like(x0_BTC)
    d_BTC = denoise(lambda x, _c: torch.zeros_like(x), noisy_BTC, sigma_B)
    assert float(edm_loss(d_BTC - x0_BTC, sigma_B, torch.zeros(64))) == pytest.approx(1, abs=0.02)


def test_sigmas_fall_from_max_to_zero() -> None:
    sigmas = karras_sigmas(64)
    assert sigmas[0] == pytest.approx(80) and sigmas[-2] == pytest.approx(0.002) and sigmas[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(sigmas))
    # EDM eq. 5, one value by hand: i = 1 of n = 3
    middle = ((80 ** (1 / 7) + 0.002 ** (1 / 7)) / 2) ** 7
    assert karras_sigmas(3)[1] == pytest.approx(middle)


@pytest.mark.parametrize(("solver", "per_level", "fixed"), [(heun, 2, -1), (dpm_solver_2m, 1, 0)])
def test_number_of_evaluations(solver: Solver, per_level: int, fixed: int) -> None:
    """Heun-64 is 127 evaluations (paper), the multistep solver one per level."""
    calls = 0

    def counting(x: Tensor, sigma: float) -> Tensor:
        nonlocal calls
        calls += 1
        return _gaussian_denoiser(x, sigma)

    solve(solver, counting, torch.randn(4) * 80, karras_sigmas(64))
    assert calls == per_level * 64 + fixed


@pytest.mark.parametrize("solver", [heun, dpm_solver_2m])
def test_solvers_are_second_order_on_gaussian_data(solver: Solver) -> None:
    """Halving the step divides the error by about four: the ODE of Gaussian data has a closed solution."""
    x = torch.full((1,), 20.0, dtype=torch.float64)

    def error(steps: int) -> float:
        # Uniform in ln sigma, so that the step size is one number; the last step to 0 is left out.
        sigmas = np.exp(np.linspace(np.log(20), np.log(0.05), steps + 1)).tolist()
        scale = math.sqrt(SD**2 + 0.05**2) / math.sqrt(SD**2 + 400)
        trace: list[Tensor] = []

        def spy(x: Tensor, sigma: float) -> Tensor:
            trace.append(x)
            return _gaussian_denoiser(x, sigma)

        solve(solver, spy, x, [*sigmas, 0.0])
        at_last_level = trace[-1]
        return abs(float(at_last_level) - 20 * scale)

    orders = [math.log2(error(n) / error(2 * n)) for n in (40, 80)]
    assert all(1.6 < order < 2.6 for order in orders), orders


def test_default_sampler_is_close_to_the_exact_solution() -> None:
    x = torch.tensor([20.0, -7.0])
    end = solve(dpm_solver_2m, _gaussian_denoiser, x, karras_sigmas(16, 0.02, 20))
    torch.testing.assert_close(end, _exact_end(x, 20), atol=0.03, rtol=0.05)


def test_one_step_is_the_conditional_mean() -> None:
    x = torch.tensor([3.0])
    torch.testing.assert_close(solve(one_step, _gaussian_denoiser, x, [20.0, 0.0]), _gaussian_denoiser(x, 20.0))
