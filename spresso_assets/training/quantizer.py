"""Stage: quantizer. Cached latents z of one frame rate to a QINCo2 that codes them (paper, step 2: offline).

Codebooks start as a cross-fitted residual k-means (`residual_kmeans`); then codebooks and networks are trained
together on the codes that the beam search finds, with a loss on every prefix, so that any number of codebooks decodes.
The result is the averaged weights, or the plain residual quantizer where training did not help unseen vectors.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from spresso_assets.codec.quantizer import QINCo2, QuantizerConfig
from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from spresso_assets.training.loop import Loop, LoopConfig
from spresso_assets.training.residual_kmeans import rq_initialise

__all__ = ["load_quantizer", "prefix_errors", "quantizer_loss", "train_quantizer"]

RESULT = "quantizer.safetensors"
START = "start.safetensors"
REPORT = "report.json"

_BATCH = 512
_SEARCH = {"beam": 2, "candidates": 4}  # while training; the error is measured with the full search
_JUDGE = 2000  # vectors on which errors are measured
_REVIVE_UNTIL = 0.7  # share of the budget after which codewords are left to settle
_TIED_WEIGHT = 0.25
_BY_HEART = 6.0  # error on other sounds over error on its own at which a start is no longer trusted


@dataclass(frozen=True)
class QuantizerTrainingConfig:
    """Code vectors to train on, and the std of the noise added to them (see `train_quantizer`)."""

    vectors: int = 150_000
    smoothing: float = 0.1


def train_quantizer(
    config: QuantizerConfig,
    train_ND: Tensor | Path,
    val_ND: Tensor | Path,
    out_dir: Path,
    *,
    groups_N: Tensor | None = None,
    before: QINCo2 | None = None,
    max_minutes: float = 5.0,
    max_steps: int = 10**9,
    smoothing: float = 0.1,
    resume: bool = False,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train one quantizer within a time budget.

    Args:
        config: its sizes.
        train_ND: latents [n, D], or a safetensors file with a tensor `z` (and, if at hand, `groups`).
        val_ND: latents of other sounds, for the report and for the choice of the result.
        out_dir: gets `start.safetensors` (the plain RQ), `state.safetensors` (to resume from), `log.jsonl`,
            `report.json` and, at the end, `quantizer.safetensors`.
        groups_N: see `rq_initialise`.
        before: a trained quantizer to go on from, instead of the residual k-means.
        smoothing: std of the noise added to training vectors, relative to the data's own covariance; it stands for
            the sounds that the training set lacks.
        resume: continue a run that was stopped or killed.
        threads: of torch; None leaves the setting alone.

    Returns:
        The report: for each prefix length m = 1..M the error relative to the variance of z, on `val` for plain RQ
        (greedy and with the full search) and for the result, and on `train` for the result.

    Raises:
        SpressoError: `too_few_vectors`, `bad_vectors`, `run_exists`, `checkpoint_corrupt`, `interrupted`.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    began = time.monotonic()
    z_ND, found_N = _vectors(train_ND, config.dim)
    groups_N = found_N if groups_N is None else groups_N
    judge_ND = _sample(_vectors(val_ND, config.dim)[0], _JUDGE, seed)
    out_dir.mkdir(parents=True, exist_ok=True)
    if not resume and (out_dir / CHECKPOINT).exists():
        raise SpressoError(
            f"{out_dir} holds a run", code="run_exists", hint="Continue it with --resume, or choose another --run"
        )

    torch.manual_seed(seed)
    if not (resume and (out_dir / START).exists()):
        if before is None:
            start, kind = _start(config, z_ND, groups_N, judge_ND, seed)
        else:
            start, kind = before, "trained"
        header = {"minutes": (time.monotonic() - began) / 60, "config": asdict(config), "start": kind}
        save_checkpoint(out_dir / START, start.state_dict(), header)
    plain, spent = load_quantizer(out_dir / START), load_checkpoint(out_dir / START)[1]["minutes"]

    model = QINCo2(config)
    model.load_state_dict(plain.state_dict())
    if spent < max_minutes:
        _train(model, z_ND, judge_ND, out_dir, max_minutes - spent, max_steps, smoothing, resume, seed)
    return _finish(model, plain, z_ND, judge_ND, out_dir, seed)


def quantizer_loss(model: QINCo2, x_BD: Tensor, codes_BM: Tensor) -> Tensor:
    """Squared error of every prefix, plus that of the pre-selection codewords, summed over steps (QINCo2, eq. 6).

    Gradients reach the networks through all later prefixes. The second term holds the codewords by which candidates
    are picked near the residuals; it counts less where they are the codebook itself.
    """
    weight = _TIED_WEIGHT if model.preselect_TKD is None else 1.0
    loss = x_BD.new_zeros(())
    before_BD = torch.zeros_like(x_BD)
    for m, xhat_BD in enumerate(model.trajectory(codes_BM)):
        loss = loss + (xhat_BD - x_BD).square().mean()
        if m:
            picked_BD = model.preselect(m)[codes_BM[:, m]]
            loss = loss + weight * (before_BD + picked_BD - x_BD).square().mean()
        before_BD = xhat_BD.detach()
    return loss


@torch.no_grad()
def prefix_errors(model: QINCo2, z_BD: Tensor, beam: int = 8, candidates: int = 8) -> list[float]:
    """Error of each prefix m = 1..M relative to the variance of z, for codes of the longest one."""
    x_BD = model.normalise(z_BD)
    codes_BM = model.search(x_BD, beam, candidates, model.config.codebooks)
    variance = float((x_BD - x_BD.mean(0)).square().mean())
    return [round(float((xhat_BD - x_BD).square().mean()) / variance, 5) for xhat_BD in model.trajectory(codes_BM)]


def load_quantizer(path: Path) -> QINCo2:
    """The quantizer of a `quantizer.safetensors` (or `start.safetensors`), ready to encode."""
    tensors, header = load_checkpoint(path)
    model = QINCo2(QuantizerConfig(**header["config"]))
    model.load_state_dict(tensors)
    return model.eval()


def _start(
    config: QuantizerConfig, z_ND: Tensor, groups_N: Tensor | None, judge_ND: Tensor, seed: int
) -> tuple[QINCo2, str]:
    """A plain residual quantizer, or a cross-fitted one where the plain one has learnt its vectors by heart.

    Both are judged greedily on vectors of other sounds; the second takes three times as long and is tried if need be.
    """
    options: list[tuple[float, bool, QINCo2]] = []
    for crossed in (False, True):
        model = QINCo2(config)
        rq_initialise(model, z_ND, groups_N, crossed=crossed, seed=seed)
        unseen = prefix_errors(model, judge_ND, beam=1, candidates=1)
        options.append((_log_mean(unseen), crossed, model))
        seen = prefix_errors(model, _sample(z_ND, _JUDGE, seed), beam=1, candidates=1)
        if unseen[-1] < _BY_HEART * seen[-1]:
            break
    _, crossed, model = min(options, key=lambda option: option[0])
    return model, "crossed" if crossed else "plain"


def _log_mean(errors: list[float]) -> float:
    """Every prefix counts by its relative, not its absolute, improvement."""
    return sum(math.log(max(error, 1e-9)) for error in errors) / len(errors)


def _train(
    model: QINCo2,
    z_ND: Tensor,
    judge_ND: Tensor,
    out_dir: Path,
    minutes: float,
    max_steps: int,
    smoothing: float,
    resume: bool,
    seed: int,
) -> None:
    """Run the loop; leaves the averaged weights in `model`."""
    x_ND = model.normalise(z_ND)
    # Not Cholesky: few vectors, or channels that no sound uses, leave the covariance singular.
    variance_D, axes_DD = torch.linalg.eigh(torch.cov(x_ND.T))
    shape_DD = axes_DD * variance_D.clamp_min(0).sqrt()
    revival = _Revival(model, len(x_ND))
    cfg = LoopConfig(
        max_minutes=minutes,
        max_steps=max_steps,
        lr=8e-4,
        weight_decay=0.1,
        warmup_steps=50,
        decay_fraction=0.7,
        checkpoint_seconds=30,
        eval_seconds=60,
        seed=seed,
    )
    loop = Loop({"quantizer": model}, cfg, out_dir, resume=resume)

    def step(generator: torch.Generator, fraction: float) -> tuple[Tensor, dict[str, float]]:
        index_B = torch.randint(len(x_ND), (_BATCH,), generator=generator)
        noise_BD = torch.randn(_BATCH, x_ND.shape[1], generator=generator) @ shape_DD.T
        x_BD = x_ND[index_B] + smoothing * noise_BD
        codes_BM = model.search(x_BD, **_SEARCH, steps=model.config.codebooks)
        revived = revival.step(x_BD, codes_BM, generator) if fraction < _REVIVE_UNTIL else 0
        return quantizer_loss(model, x_BD, codes_BM), {"revived": float(revived)}

    def evaluate() -> dict[str, float]:
        errors = prefix_errors(model, judge_ND[:500], **_SEARCH)
        return {f"val_m{m}": error for m, error in enumerate(errors, start=1)}

    loop.run(step, evaluate, "quantizer")
    loop.swap_ema()


class _Revival:
    """Puts codewords that nothing has used for an epoch where a residual is."""

    def __init__(self, model: QINCo2, vectors: int) -> None:
        self.model = model
        # An epoch, and long enough that a codeword with a quarter of its fair share is met with near certainty.
        self.window = max(vectors, 16 * model.config.entries)
        self.used_TK = torch.zeros(model.config.tables, model.config.entries, dtype=torch.long)
        self.seen = 0

    @torch.no_grad()
    def step(self, x_BD: Tensor, codes_BM: Tensor, generator: torch.Generator) -> int:
        """Count a batch; at the end of a window re-draw the dead codewords. Returns how many."""
        last = self.model.config.tables - 1
        for m in range(codes_BM.shape[1]):
            self.used_TK[min(m, last)] += torch.bincount(codes_BM[:, m], minlength=self.used_TK.shape[1])
        self.seen += len(x_BD)
        if self.seen < self.window:
            return 0
        revived = 0
        before_BD = torch.zeros_like(x_BD)
        for m, xhat_BD in enumerate(self.model.trajectory(codes_BM)):
            dead = (self.used_TK[m] == 0).nonzero()[:, 0] if m <= last else torch.empty(0)
            if len(dead):
                rows = torch.randint(len(x_BD), (len(dead),), generator=generator)
                self.model.codebook_TKD[m, dead] = 0.5 * (x_BD - before_BD)[rows]
                if self.model.preselect_TKD is not None:
                    self.model.preselect_TKD[m, dead] = self.model.codebook_TKD[m, dead]
                revived += len(dead)
            before_BD = xhat_BD
        self.used_TK.zero_()
        self.seen = 0
        return revived


def _finish(model: QINCo2, plain: QINCo2, z_ND: Tensor, judge_ND: Tensor, out_dir: Path, seed: int) -> dict[str, Any]:
    rq, trained = prefix_errors(plain, judge_ND), prefix_errors(model, judge_ND)
    helped = _log_mean(trained) < _log_mean(rq)
    result = model if helped else plain
    report: dict[str, Any] = {
        "config": asdict(model.config),
        "vectors": len(z_ND),
        "start": load_checkpoint(out_dir / START)[1]["start"],
        "result": "qinco2" if helped else "start",
        "val_start_greedy": prefix_errors(plain, judge_ND, beam=1, candidates=1),
        "val_start": rq,
        "val": trained if helped else rq,
        "train": prefix_errors(result, _sample(z_ND, _JUDGE, seed)),
    }
    save_checkpoint(out_dir / RESULT, result.state_dict(), {"config": asdict(model.config), "report": report})
    temporary = out_dir / (REPORT + ".tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, out_dir / REPORT)
    return report


def _sample(z_ND: Tensor, count: int, seed: int) -> Tensor:
    return z_ND[torch.randperm(len(z_ND), generator=torch.Generator().manual_seed(seed))[:count]]


def _vectors(source: Tensor | Path, dim: int) -> tuple[Tensor, Tensor | None]:
    tensors = {"z": source} if isinstance(source, Tensor) else load_file(source)
    z_ND = tensors.get("z")
    if z_ND is None or z_ND.ndim != 2 or z_ND.shape[1] != dim or not len(z_ND) or not bool(z_ND.isfinite().all()):
        raise SpressoError(
            f"latents must be finite and of shape [n, {dim}], in a tensor named z",
            code="bad_vectors",
            hint="Make the cache again with the encoder of this bundle",
        )
    return z_ND.float(), tensors.get("groups")
