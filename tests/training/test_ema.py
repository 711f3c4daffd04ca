"""Averages of weights: profiles as EDM2 defines them, and any width composed from two after the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import AVERAGED, BEST, CHECKPOINT, averaged_state, load_checkpoint
from spresso_assets.training.ema import (
    SNAPSHOTS,
    WIDEST,
    PowerAverage,
    composition,
    power_ema_beta,
    power_ema_gamma,
    profile_products,
    use_best,
    write_average,
)
from spresso_assets.training.loop import Loop, LoopConfig

WIDTHS = (0.05, 0.10)


def _density(t: float, gamma: float, tau_K: np.ndarray) -> np.ndarray:
    return np.where(tau_K <= t, (gamma + 1) * tau_K**gamma / t ** (gamma + 1), 0)


@pytest.mark.parametrize("width", [0.03, 0.05, 0.1, 0.2, 0.28])
def test_gamma_gives_the_relative_width_that_was_asked_for(width: float) -> None:
    """It is the cubic's largest real root, and the density's standard deviation over t is the width."""
    gamma, t = power_ema_gamma(width), width**-2
    roots = np.roots([1, 7, 16 - t, 12 - t])
    assert gamma == pytest.approx(max(r.real for r in roots if abs(r.imag) < 1e-9), rel=1e-9)
    tau_K = np.linspace(0, 1, 200_001)
    p_K = _density(1.0, gamma, tau_K) / 200_000
    mean = (p_K * tau_K).sum()
    assert np.sqrt((p_K * (tau_K - mean) ** 2).sum()) == pytest.approx(width, rel=1e-3)


def test_widths_that_no_profile_has_are_told() -> None:
    assert power_ema_gamma(WIDEST) == pytest.approx(0, abs=1e-6)
    for width in (0.0, -0.1, 0.3):
        with pytest.raises(SpressoError) as caught:
            power_ema_gamma(width)
        assert caught.value.code == "bad_config"


def test_step_by_step_averaging_weighs_by_the_profile() -> None:
    """Step i of n gets the integral of the density over its own step, and the initial weights nothing."""
    gamma, n = power_ema_gamma(0.1), 50
    weights = np.array([(1 - power_ema_beta(i, gamma)) for i in range(1, n + 1)])
    weights *= [np.prod([power_ema_beta(j, gamma) for j in range(i + 1, n + 1)]) for i in range(1, n + 1)]
    i_K = np.arange(1, n + 1)
    np.testing.assert_allclose(weights, (i_K ** (gamma + 1) - (i_K - 1) ** (gamma + 1)) / n ** (gamma + 1))
    assert weights.sum() == pytest.approx(1)


def test_products_of_profiles_are_their_integrals() -> None:
    profiles = [(300.0, 4.0), (1000.0, 16.0), (700.0, 0.0)]
    tau_K = (np.arange(400_000) + 0.5) / 400
    densities = np.stack([_density(t, g, tau_K) for t, g in profiles])
    np.testing.assert_allclose(profile_products(profiles, profiles), densities @ densities.T / 400, rtol=1e-3)


def test_composition_finds_a_profile_that_is_there_and_comes_close_to_others() -> None:
    gammas = [power_ema_gamma(w) for w in WIDTHS]
    available = [(float(t), g) for t in range(100, 1001, 100) for g in gammas]
    x_A, distance = composition(available, (1000.0, gammas[1]))
    expected_A = np.zeros(20)
    expected_A[-1] = 1
    np.testing.assert_allclose(x_A, expected_A, atol=1e-5)
    assert distance < 1e-5
    assert composition(available, (1000.0, power_ema_gamma(0.08)))[1] < 0.01
    assert composition(available, (1000.0, power_ema_gamma(0.03)))[1] > 0.02  # narrower than what was kept: it shows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[float, torch.Tensor]]:
    """A run whose weight takes a random walk, and its averages of several widths tracked directly."""
    folder = tmp_path_factory.mktemp("walk")
    model = nn.Linear(16, 4, bias=False)
    model.register_buffer("statistic", torch.tensor(7.0))
    cfg = LoopConfig(max_steps=500, max_minutes=60, lr=0.02, warmup_steps=1, decay_fraction=0, snapshot_steps=40)
    loop = Loop({"m": model}, cfg, folder)
    direct = {width: PowerAverage(loop.named, width) for width in (0.06, 0.08, 0.1)}

    def step(generator: torch.Generator, _fraction: float) -> tuple[torch.Tensor, dict[str, float]]:
        if loop.step:  # the weights as the previous step left them
            for average in direct.values():
                average.update(loop.step)
        return (model.weight * torch.randn(4, 16, generator=generator)).sum(), {}

    loop.run(step)
    for average in direct.values():
        average.update(loop.step)
    return folder, {width: average.weights["m.weight"] for width, average in direct.items()}


@pytest.mark.parametrize(("width", "tolerance"), [(0.1, 1e-5), (0.08, 0.01), (0.06, 0.01)])
def test_composed_weights_are_those_of_direct_averaging(
    run: tuple[Path, dict[float, torch.Tensor]], width: float, tolerance: float
) -> None:
    """To within rounding for a width that was kept; to a hundredth of what averaging does for one in between."""
    folder, direct = run
    assert [p.stem for p in sorted((folder / SNAPSHOTS).iterdir())][-2:] == ["000000480", "000000500"]
    distance = write_average(folder, width)
    assert distance < 0.01
    found, live = averaged_state(folder / CHECKPOINT, "m"), load_checkpoint(folder / CHECKPOINT)[0]["model.m.weight"]
    assert float(found["statistic"]) == 7  # what is no parameter comes from the run as it is
    assert float((found["weight"] - direct[width]).norm()) < tolerance * float((live - direct[width]).norm())


def test_an_average_of_an_earlier_state_is_not_mistaken_for_this_one(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    cfg = LoopConfig(max_steps=4, max_minutes=60, snapshot_steps=2, warmup_steps=1, eval_seconds=0)

    def step(generator: torch.Generator, _fraction: float) -> tuple[torch.Tensor, dict[str, float]]:
        return model(torch.randn(3, 2, generator=generator)).square().mean(), {}

    def train(steps: int, resume: bool) -> None:
        longer = LoopConfig(**{**vars(cfg), "max_steps": steps})
        loop = Loop({"m": model}, longer, tmp_path, resume=resume, best_by="step")
        loop.run(step, lambda: {"step": -float(loop.step)})

    train(4, resume=False)
    own = averaged_state(tmp_path / CHECKPOINT, "m")
    write_average(tmp_path, 0.07)
    assert not torch.equal(averaged_state(tmp_path / CHECKPOINT, "m")["weight"], own["weight"])
    assert use_best(tmp_path) == 4
    assert torch.equal(averaged_state(tmp_path / CHECKPOINT, "m")["weight"], own["weight"])  # the best are the last
    train(6, resume=True)
    with pytest.raises(SpressoError) as caught:
        averaged_state(tmp_path / CHECKPOINT, "m")
    assert caught.value.code == "stale_average"
    (tmp_path / AVERAGED).unlink()
    assert averaged_state(tmp_path / CHECKPOINT, "m").keys() == own.keys()
    (tmp_path / BEST).unlink()
    with pytest.raises(SpressoError, match="no checkpoint"):
        use_best(tmp_path)


def test_a_run_without_snapshots_says_what_to_set(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    Loop({"m": model}, LoopConfig(max_steps=1, max_minutes=60), tmp_path).run(
        lambda _g, _f: (model.weight.sum(), {}),
    )
    assert not (tmp_path / SNAPSHOTS).exists()
    with pytest.raises(SpressoError) as caught:
        write_average(tmp_path, 0.07)
    assert caught.value.code == "no_snapshots" and "snapshot_steps" in caught.value.hint


def test_snapshots_and_their_averages_survive_a_stop(tmp_path: Path) -> None:
    def train(folder: str, stop_at: int | None, resume: bool) -> None:
        torch.manual_seed(1)
        model = nn.Linear(2, 1)
        cfg = LoopConfig(max_steps=9, max_minutes=60, snapshot_steps=3, warmup_steps=1)
        loop = Loop({"m": model}, cfg, tmp_path / folder, resume=resume)

        def step(generator: torch.Generator, _fraction: float) -> tuple[torch.Tensor, dict[str, float]]:
            if loop.step == stop_at:
                loop.stop()
            return model(torch.randn(3, 2, generator=generator)).square().mean(), {}

        loop.run(step)

    train("whole", None, False)
    with pytest.raises(SpressoError, match="saved"):
        train("parts", 4, False)
    train("parts", None, True)
    for name in ("000000003", "000000006", "000000009"):
        whole, parts = (
            load_checkpoint(tmp_path / f / SNAPSHOTS / f"{name}.safetensors")[0] for f in ("whole", "parts")
        )
        assert whole.keys() == parts.keys() and all(torch.equal(parts[k], v) for k, v in whole.items())
