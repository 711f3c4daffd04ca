"""Power-function averages of weights, and averages of any width made after the run (EDM2, section 3.2 and appendix C).

An average of relative width sigma_rel at step t weighs the weights of step tau in proportion to tau^gamma: the first
steps fade out however long the run gets. A run that keeps snapshots of two averages holds enough to compose a third:
profiles are functions of tau, and the profile that was asked for is approximated by a sum of those on disk.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.training.checkpoint import (
    AVERAGED,
    BEST,
    CHECKPOINT,
    load_checkpoint,
    load_header,
    save_checkpoint,
    strip,
)

SNAPSHOTS = "snapshots"
WIDEST = 12**-0.5  # relative width of a plain mean over the whole run, gamma = 0

Profile = tuple[float, float]  # (t, gamma): density (gamma + 1) tau^gamma / t^(gamma + 1) on 0..t


def power_ema_gamma(sigma_rel: float) -> float:
    """Exponent of the profile with relative width ``sigma_rel``, 0 < sigma_rel <= `WIDEST` (EDM2 eq. 126).

    The density's standard deviation over t is sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3)); squared, that is a
    cubic in gamma whose largest root is meant.

    Raises:
        SpressoError: ``bad_config`` for a width that no profile has.
    """
    if not 0 < sigma_rel <= WIDEST:
        raise SpressoError(
            f"no average has the relative width {sigma_rel:g}",
            code="bad_config",
            hint=f"Take one above 0 and up to {WIDEST:.3f}.",
            exit_code=ExitCode.USAGE,
        )
    t = sigma_rel**-2
    # g^3 + 7 g^2 + (16 - t) g + (12 - t) = 0 by Newton from above the largest root.
    g = math.sqrt(t) + 10
    for _ in range(100):
        value = ((g + 7) * g + 16 - t) * g + 12 - t
        g -= value / ((3 * g + 14) * g + 16 - t)
    return g


def power_ema_beta(step: int, gamma: float) -> float:
    """Decay at training step ``step`` >= 1: (1 - 1/step)^(gamma + 1); the first step replaces the initial weights."""
    return (1 - 1 / step) ** (gamma + 1)


class PowerAverage:
    """Running average of named parameters with one profile."""

    def __init__(self, named: dict[str, nn.Parameter], sigma_rel: float) -> None:
        self.sigma_rel, self.gamma = sigma_rel, power_ema_gamma(sigma_rel)
        self.weights = {n: p.detach().clone() for n, p in named.items()}
        self._live = list(named.values())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters as they are after training step ``step`` (counted from 1)."""
        beta = power_ema_beta(step, self.gamma)
        torch._foreach_lerp_(list(self.weights.values()), [p.detach() for p in self._live], 1 - beta)

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from the saved ``tensors``; what they lack stays as it is."""
        for name, tensor in tensors.items():
            if name in self.weights:
                self.weights[name].copy_(tensor)

    @torch.no_grad()
    def swap(self, named: dict[str, nn.Parameter]) -> None:
        """Exchange live and averaged weights; call again to undo."""
        for name, p in named.items():
            live = p.detach().clone()
            p.copy_(self.weights[name])
            self.weights[name].copy_(live)


def profile_products(left: list[Profile], right: list[Profile]) -> np.ndarray:
    """Inner products [left, right] of profiles: the integral of their densities' product over 0..min(t), closed form.

    With t <= t' it is (gamma + 1)(gamma' + 1) / (gamma + gamma' + 1) * (t / t')^gamma' / t'.
    """
    t_L1, g_L1 = (np.array([p[i] for p in left], dtype=np.float64)[:, None] for i in (0, 1))
    t_1R, g_1R = (np.array([p[i] for p in right], dtype=np.float64)[None] for i in (0, 1))
    later = np.maximum(t_L1, t_1R)
    gamma_of_later = np.where(t_L1 > t_1R, g_L1, g_1R)
    scale = (g_L1 + 1) * (g_1R + 1) / (g_L1 + g_1R + 1)
    products: np.ndarray = scale * (np.minimum(t_L1, t_1R) / later) ** gamma_of_later / later
    return products


def composition(available: list[Profile], wanted: Profile) -> tuple[np.ndarray, float]:
    """Coefficients whose sum of ``available`` profiles is nearest to ``wanted`` in squared distance.

    Returns:
        One coefficient per profile, and the distance that is left, relative to the norm of ``wanted``.
    """
    norm_A = np.sqrt(np.diag(profile_products(available, available)))
    gram_AA = profile_products(available, available) / np.outer(norm_A, norm_A)
    right_A = profile_products(available, [wanted])[:, 0] / norm_A
    # Neighbouring snapshots are nearly parallel: least squares that leaves out what rounding cannot tell apart.
    x_A = np.linalg.lstsq(gram_AA, right_A, rcond=1e-12)[0]
    square = float(profile_products([wanted], [wanted])[0, 0])
    rest = x_A @ gram_AA @ x_A - 2 * x_A @ right_A + square
    return x_A / norm_A, math.sqrt(max(0.0, rest) / square)


def save_snapshot(run: Path, step: int, averages: list[PowerAverage]) -> None:
    """Write ``snapshots/<step>.safetensors`` below a stage's run folder."""
    (run / SNAPSHOTS).mkdir(exist_ok=True)
    tensors = {f"{i}.{name}": w for i, a in enumerate(averages) for name, w in a.weights.items()}
    header = {"step": step, "sigma_rel": [a.sigma_rel for a in averages]}
    save_checkpoint(run / SNAPSHOTS / f"{step:09d}.safetensors", tensors, header)


def write_average(run: Path, sigma_rel: float) -> float:
    """Compose the average of width ``sigma_rel`` at the run's last step and write ``averaged.safetensors``.

    Args:
        run: a stage's run folder with snapshots.

    Returns:
        The relative distance between the composed profile and the one asked for; 0.01 is excellent.

    Raises:
        SpressoError: ``no_snapshots``; ``bad_config`` for an impossible width; those of `load_checkpoint`.
    """
    state, header = load_checkpoint(run / CHECKPOINT)
    files = [p for p in sorted((run / SNAPSHOTS).glob("*.safetensors")) if int(p.stem) <= header["step"]]
    if not files:
        raise SpressoError(
            f"no snapshots in {run}",
            code="no_snapshots",
            hint="Set snapshot_steps in the stage's [loop] table before training.",
        )
    wanted = (float(header["step"]), power_ema_gamma(sigma_rel))
    sources: list[tuple[Path, int]] = []
    available: list[Profile] = []
    for file in files:
        for i, width in enumerate(load_header(file)["sigma_rel"]):
            sources.append((file, i))
            available.append((float(file.stem), power_ema_gamma(width)))
    x_A, distance = composition(available, wanted)
    total: dict[str, Tensor] = {}
    for file in files:  # one at a time: a snapshot may be gigabytes
        tensors, _ = load_checkpoint(file)
        for (origin, i), x in zip(sources, x_A.tolist(), strict=True):
            if origin == file:
                for name, w in strip(tensors, f"{i}.").items():
                    total[name] = total.get(name, torch.zeros_like(w, dtype=torch.float64)) + x * w.double()
    weights = {n: total[n].to(t.dtype) if n in total else t for n, t in strip(state, "model.").items()}
    _write(run, weights, header["step"], {"sigma_rel": sigma_rel, "distance": distance})
    return distance


def use_best(run: Path) -> int:
    """Make the weights of the best evaluation the averaged ones of this run; returns their step.

    Raises:
        SpressoError: ``checkpoint_missing`` if the stage names no measure, or was never evaluated.
    """
    header = load_header(run / CHECKPOINT)
    best, best_header = load_checkpoint(run / BEST)
    _write(run, strip(best, "model."), header["step"], {"best_of_step": best_header["step"]})
    return int(best_header["step"])


def _write(run: Path, weights: dict[str, Tensor], step: int, origin: dict[str, float]) -> None:
    save_checkpoint(run / AVERAGED, {f"model.{n}": w for n, w in weights.items()}, {"step": step, **origin})
