"""The loop that every stage runs in: time budget, schedule, averages, log, and checkpoints that survive a kill.

Random numbers of a step are a function of (seed, step, rank): a resumed run continues as if nothing had happened.
Under torchrun each process runs the same loop on other data; rank 0 alone logs, evaluates and writes.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import (
    BEST,
    CHECKPOINT,
    load_checkpoint,
    load_header,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    strip,
)
from spresso_assets.training.ema import PowerAverage, save_snapshot
from spresso_assets.training.journal import Journal
from spresso_assets.training.ranks import Ranks, join

SLOW = 0.1  # learning-rate factor of `slow` parameters


@dataclass(frozen=True)
class LoopConfig:
    """Budget and optimiser of one stage.

    Attributes:
        max_minutes: training time, summed over resumed runs; the learning rate falls over its last part.
        decay_fraction: share of the budget over which the rate falls linearly to ``final_lr`` of its peak; 0 keeps it.
        step_decay: factor on the learning rate per step, as in DAC's exponential decay.
        ema_rel: relative width of the power-function EMA (EDM2); short runs take 0.10 to 0.15.
        snapshot_steps: steps between snapshots of two averages, ``snapshot_rels`` wide, from which an average of any
            width can be made after the run; 0 keeps none.
    """

    max_minutes: float = 10.0
    lr: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 200
    decay_fraction: float = 0.35
    final_lr: float = 0.02
    step_decay: float = 1.0
    clip_norm: float = 1.0
    ema_rel: float = 0.1
    snapshot_steps: int = 0
    snapshot_rels: tuple[float, float] = (0.05, 0.1)
    checkpoint_seconds: float = 120.0
    log_steps: int = 25
    eval_seconds: float = 300.0
    max_steps: int = 10**9
    seed: int = 0


class Kept(Protocol):
    """Something beside the trained modules whose state belongs into the checkpoint, such as a discriminator."""

    def state_tensors(self) -> dict[str, Tensor]: ...
    def load_tensors(self, tensors: dict[str, Tensor]) -> None: ...


class Loop:
    """Runs ``step(generator, fraction) -> (loss, metrics)`` until the budget is spent.

    Args:
        modules: named modules whose parameters with ``requires_grad`` are trained; all of their state is saved.
        out: run folder; gets ``state.safetensors``, ``log.jsonl``, TensorBoard curves and, if ``best_by`` is given,
            ``best.safetensors``.
        slow: prefixes of parameter names that learn ten times slower: layers that start from a closed-form solution,
            which full-size steps would first shake apart.
        kept: saved and restored along with the modules; a checkpoint without one leaves it fresh.
        best_by: name of the evaluation's value whose minimum marks the weights to keep.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        cfg: LoopConfig,
        out: Path,
        *,
        resume: bool = False,
        slow: tuple[str, ...] = (),
        kept: dict[str, Kept] | None = None,
        best_by: str | None = None,
    ) -> None:
        self.modules, self.cfg, self.out = modules, cfg, out
        self.kept, self.best_by = kept or {}, best_by
        self.ranks: Ranks = join()
        out.mkdir(parents=True, exist_ok=True)
        self.ranks.same(t for module in modules.values() for t in module.state_dict().values())
        self.named = {
            f"{m}.{n}": p for m, module in modules.items() for n, p in module.named_parameters() if p.requires_grad
        }
        groups = []
        for scale in (1.0, SLOW):
            chosen = [p for n, p in self.named.items() if n.startswith(slow) == (scale == SLOW)]
            for decay, matrices in ((cfg.weight_decay, True), (0.0, False)):
                params = [p for p in chosen if (p.ndim >= 2) == matrices]
                if params:
                    groups.append({"params": params, "weight_decay": decay if scale == 1.0 else 0.0, "scale": scale})
        self.optimizer = torch.optim.AdamW(groups, lr=cfg.lr, betas=cfg.betas)
        self.ema = PowerAverage(self.named, cfg.ema_rel)
        # Two more averages, for snapshots; without them a run is as light as before.
        self.extra = [PowerAverage(self.named, rel) for rel in cfg.snapshot_rels if cfg.snapshot_steps]
        self.step, self.elapsed = 0, 0.0
        self.best = float("inf")
        self.journal: Journal | None = None
        self._asked_to_stop = self._stopped = False
        path = out / CHECKPOINT
        if resume and path.exists():
            self._restore(path)
        elif path.exists() and not resume:
            raise SpressoError(
                f"{path} exists",
                code="run_exists",
                hint="Continue it with --resume, or choose another --run.",
            )

    # -- state -------------------------------------------------------------------------------------------------
    def state_tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs, named as in a checkpoint."""
        tensors = {f"model.{m}.{n}": t for m, mod in self.modules.items() for n, t in mod.state_dict().items()}
        tensors |= {f"ema.{n}": t for n, t in self.ema.weights.items()}
        for average in self.extra:
            tensors |= {f"ema{average.sigma_rel:g}.{n}": t for n, t in average.weights.items()}
        for who, what in self.kept.items():
            tensors |= {f"kept.{who}.{n}": t for n, t in what.state_tensors().items()}
        return tensors | optimizer_tensors(self.optimizer, self.named)

    def save(self) -> None:
        """Write the checkpoint (rank 0)."""
        if self.ranks.leads:
            header = {"step": self.step, "elapsed": self.elapsed, "best": self.best}
            save_checkpoint(self.out / CHECKPOINT, self.state_tensors(), header)

    def _restore(self, path: Path) -> None:
        tensors, header = load_checkpoint(path)
        for m, module in self.modules.items():
            module.load_state_dict(strip(tensors, f"model.{m}."))
        self.ema.restore(strip(tensors, "ema."))
        for average in self.extra:
            average.restore(strip(tensors, f"ema{average.sigma_rel:g}."))
        for who, what in self.kept.items():
            what.load_tensors(strip(tensors, f"kept.{who}."))
        restore_optimizer(self.optimizer, self.named, tensors)
        self.step, self.elapsed, self.best = header["step"], header["elapsed"], header["best"]
        if self.best_by is not None and (self.out / BEST).exists():
            # Written between two checkpoints: the killed run may have been further than this one starts.
            self.best = load_header(self.out / BEST)["value"]

    def swap_ema(self) -> None:
        """Exchange live and averaged weights; call again to undo."""
        self.ema.swap(self.named)

    # -- running -----------------------------------------------------------------------------------------------
    @property
    def fraction(self) -> float:
        """Share of the budget that is spent, 0..1."""
        return min(1.0, max(self.elapsed / (60 * self.cfg.max_minutes), self.step / self.cfg.max_steps))

    def _lr(self) -> float:
        cfg = self.cfg
        warm = min(1.0, (self.step + 1) / cfg.warmup_steps)
        left = (1 - self.fraction) / cfg.decay_fraction if cfg.decay_fraction else 1.0
        return cfg.lr * warm * max(cfg.final_lr, min(1.0, left)) * cfg.step_decay**self.step

    def run(
        self,
        step: Callable[[torch.Generator, float], tuple[Tensor, dict[str, float]]],
        evaluate: Callable[[], dict[str, float]] | None = None,
        title: str = "training",
    ) -> dict[str, float]:
        """Train until the budget is spent or a stop is asked for; returns the last evaluation.

        ``evaluate`` runs under averaged weights every ``eval_seconds`` and at the end, on rank 0: on the others the
        result is empty.

        Raises:
            SpressoError: ``interrupted`` after a stop, with the state saved; ``rank_lost`` if another process died.
        """
        cfg = self.cfg
        sums: dict[str, list[float]] = {}
        last_eval: dict[str, float] = {}
        next_save, next_eval = self.elapsed + cfg.checkpoint_seconds, self.elapsed + cfg.eval_seconds
        evaluate = evaluate if self.ranks.leads else None
        with self._journal() as self.journal, _StopSignals(self), self._bar() as progress:
            task = progress.add_task(title, total=1.0, text="")
            progress.update(task, completed=self.fraction)
            while self.fraction < 1 and not self._stopped:
                for k, v in self._one_step(step).items():
                    sums.setdefault(k, []).append(v)
                if self.step % cfg.log_steps == 0:
                    means = {k: round(sum(v) / len(v), 5) for k, v in sums.items()}
                    self._log({**means, "lr": self._lr()})
                    sums = {}
                    text = f"step {self.step} loss {means['loss']:.4f} lr {self._lr():.1e}"
                    progress.update(task, completed=self.fraction, text=text)
                if self.extra and self.ranks.leads and (self.step % cfg.snapshot_steps == 0 or self.fraction >= 1):
                    save_snapshot(self.out, self.step, self.extra)
                if evaluate and self.elapsed >= next_eval:
                    last_eval = self._evaluate(evaluate)
                    next_eval = self.elapsed + cfg.eval_seconds
                if self.elapsed >= next_save:
                    self.save()
                    next_save = self.elapsed + cfg.checkpoint_seconds
            if evaluate and not self._stopped:
                last_eval = self._evaluate(evaluate)
            self.save()
            self.ranks.wait()
        if self._stopped:
            raise SpressoError(
                f"stopped at step {self.step}; the state is saved", code="interrupted", hint="Continue with --resume."
            )
        return last_eval

    def stop(self) -> None:
        """Ask for an end after the next whole step; in a run of several processes, of all of them."""
        self._asked_to_stop = True

    def sound(self, name: str, audio_N: Tensor, sample_rate: int) -> None:
        """Put a sound into TensorBoard; for use within ``evaluate``."""
        if self.journal is not None:
            self.journal.sound(self.step, name, audio_N, sample_rate)

    def _one_step(self, step: Callable[[torch.Generator, float], tuple[Tensor, dict[str, float]]]) -> dict[str, float]:
        began = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr() * group["scale"]
        loss, metrics = step(self.ranks.generator(self.cfg.seed, self.step), self.fraction)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.mean_gradients(self.named.values())
        norm = nn.utils.clip_grad_norm_(self.named.values(), self.cfg.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        if self.ranks.count > 1:
            self.ranks.same(self._buffers())
        self.step += 1
        for average in (self.ema, *self.extra):
            average.update(self.step)
        elapsed = self.elapsed + time.monotonic() - began
        self._stopped, self.elapsed, mean_loss = self.ranks.agree(self._asked_to_stop, elapsed, loss)
        return {"loss": mean_loss, "grad": float(norm), **metrics}

    def _buffers(self) -> Iterator[Tensor]:
        """Running statistics, which follow the data of rank 0."""
        for module in self.modules.values():
            yield from (t for t in module.state_dict(keep_vars=True).values() if not isinstance(t, nn.Parameter))

    def _evaluate(self, evaluate: Callable[[], dict[str, float]]) -> dict[str, float]:
        self.swap_ema()
        try:
            with torch.no_grad():
                values = evaluate()
            if self.best_by is not None and values[self.best_by] < self.best:
                self.best = values[self.best_by]
                weights = {f"model.{m}.{n}": t for m, mod in self.modules.items() for n, t in mod.state_dict().items()}
                save_checkpoint(
                    self.out / BEST, weights, {"step": self.step, "measure": self.best_by, "value": self.best}
                )
        finally:
            self.swap_ema()
        self._log({"eval": {k: round(v, 5) for k, v in values.items()}})
        return values

    def _log(self, record: dict[str, Any]) -> None:
        if self.journal is not None:
            self.journal.tell(self.step, self.elapsed / 60, record)

    def _journal(self) -> AbstractContextManager[Journal | None]:
        return Journal(self.out, self.step) if self.ranks.leads else nullcontext()

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}% {task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not (self.ranks.leads and sys.stderr.isatty()),
        )


class _StopSignals:
    """SIGINT and SIGTERM finish the step, save, and end the run."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def __enter__(self) -> None:
        self.before: dict[signal.Signals, Any] = {}

        def stop(_signum: int, _frame: FrameType | None) -> None:
            self.loop.stop()

        try:
            for s in (signal.SIGINT, signal.SIGTERM):
                self.before[s] = signal.signal(s, stop)
        except ValueError:  # not the main thread: the caller handles signals
            self.before = {}

    def __exit__(self, *_: object) -> None:
        for s, handler in self.before.items():
            signal.signal(s, handler)
