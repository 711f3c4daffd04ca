"""The loop that every stage runs in: time budget, schedule, EMA, JSONL log, checkpoints that survive a kill.

A checkpoint is one safetensors file (tensors plus a JSON header), written under a temporary name and renamed, so a
reader finds the old one or the new one and never half of either. Random numbers of a step are a function of
(seed, step): a resumed run continues as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from spresso_assets.codec.diffusion import power_ema_beta, power_ema_gamma
from spresso_assets.errors import SpressoError

CHECKPOINT = "state.safetensors"
SLOW = 0.1  # learning-rate factor of `slow` parameters


@dataclass(frozen=True)
class LoopConfig:
    """Budget and optimiser of one stage.

    Attributes:
        max_minutes: training time, summed over resumed runs; the learning rate falls over its last part.
        decay_fraction: share of the budget over which the rate falls linearly to ``final_lr`` of its peak.
        ema_rel: relative width of the power-function EMA (EDM2); short runs take 0.10 to 0.15.
    """

    max_minutes: float = 10.0
    lr: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 200
    decay_fraction: float = 0.35
    final_lr: float = 0.02
    clip_norm: float = 1.0
    ema_rel: float = 0.1
    checkpoint_seconds: float = 120.0
    log_steps: int = 25
    eval_seconds: float = 300.0
    max_steps: int = 10**9
    seed: int = 0


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write atomically; ``header`` must be JSON-able."""
    temporary = path.with_suffix(".tmp")
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary, {"header": json.dumps(header)})
    with temporary.open("rb") as f:
        os.fsync(f.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header.

    Raises:
        SpressoError: ``checkpoint_missing`` or ``checkpoint_corrupt``.
    """
    if not path.exists():
        raise SpressoError(
            f"no checkpoint at {path}", code="checkpoint_missing", hint="Run the stage before this one first."
        )
    try:
        with safe_open(path, "pt") as f:
            return {k: f.get_tensor(k) for k in f.keys()}, json.loads(f.metadata()["header"])  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as e:
        raise SpressoError(f"{path.name} is not a readable checkpoint: {e}", code="checkpoint_corrupt") from e
    except Exception as e:  # safetensors raises its own class, which is no subclass of the above
        raise SpressoError(f"{path.name} is not a readable checkpoint: {e}", code="checkpoint_corrupt") from e


class Loop:
    """Runs ``step(generator, fraction) -> (loss, metrics)`` until the budget is spent.

    Args:
        modules: named modules whose parameters with ``requires_grad`` are trained; all of their state is saved.
        out: run folder; gets ``state.safetensors`` and ``log.jsonl``.
        slow: prefixes of parameter names that learn ten times slower: layers that start from a closed-form solution,
            which full-size steps would first shake apart.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        cfg: LoopConfig,
        out: Path,
        *,
        resume: bool = False,
        slow: tuple[str, ...] = (),
    ) -> None:
        self.modules, self.cfg, self.out = modules, cfg, out
        out.mkdir(parents=True, exist_ok=True)
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
        self.ema = {n: p.detach().clone() for n, p in self.named.items()}
        self.gamma = power_ema_gamma(cfg.ema_rel)
        self.step, self.elapsed = 0, 0.0
        self.best = float("inf")
        self._stop = False
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
        tensors = {f"model.{m}.{n}": t for m, mod in self.modules.items() for n, t in mod.state_dict().items()}
        tensors |= {f"ema.{n}": t for n, t in self.ema.items()}
        for name, p in self.named.items():
            for key, value in self.optimizer.state.get(p, {}).items():
                tensors[f"opt.{key}.{name}"] = value
        return tensors

    def save(self) -> None:
        header = {"step": self.step, "elapsed": self.elapsed, "best": self.best}
        save_checkpoint(self.out / CHECKPOINT, self.state_tensors(), header)

    def _restore(self, path: Path) -> None:
        tensors, header = load_checkpoint(path)
        for m, module in self.modules.items():
            prefix = f"model.{m}."
            module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        for name, p in self.named.items():
            self.ema[name].copy_(tensors[f"ema.{name}"])
            state = {
                k: tensors[f"opt.{k}.{name}"] for k in ("step", "exp_avg", "exp_avg_sq") if f"opt.{k}.{name}" in tensors
            }
            if state:
                self.optimizer.state[p] = {k: v.to(p.device) if k != "step" else v for k, v in state.items()}
        self.step, self.elapsed, self.best = header["step"], header["elapsed"], header["best"]

    @torch.no_grad()
    def swap_ema(self) -> None:
        """Exchange live and averaged weights; call again to undo."""
        for name, p in self.named.items():
            live = p.detach().clone()
            p.copy_(self.ema[name])
            self.ema[name].copy_(live)

    # -- running -----------------------------------------------------------------------------------------------
    @property
    def fraction(self) -> float:
        """Share of the budget that is spent, 0..1."""
        return min(1.0, max(self.elapsed / (60 * self.cfg.max_minutes), self.step / self.cfg.max_steps))

    def _lr(self) -> float:
        warm = min(1.0, (self.step + 1) / self.cfg.warmup_steps)
        left = (1 - self.fraction) / self.cfg.decay_fraction
        return self.cfg.lr * warm * max(self.cfg.final_lr, min(1.0, left))

    def log(self, record: dict[str, Any]) -> None:
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as f:
            f.write(json.dumps({"step": self.step, "minutes": round(self.elapsed / 60, 3), **record}) + "\n")

    def run(
        self,
        step: Callable[[torch.Generator, float], tuple[Tensor, dict[str, float]]],
        evaluate: Callable[[], dict[str, float]] | None = None,
        title: str = "training",
    ) -> dict[str, float]:
        """Train until the budget is spent or a stop is asked for; returns the last evaluation.

        ``evaluate`` runs under averaged weights every ``eval_seconds`` and at the end.
        """
        cfg = self.cfg
        sums: dict[str, list[float]] = {}
        last_eval: dict[str, float] = {}
        next_save, next_eval = self.elapsed + cfg.checkpoint_seconds, self.elapsed + cfg.eval_seconds
        with self._signals(), self._bar(title) as progress:
            task = progress.add_task(title, total=1.0, text="")
            progress.update(task, completed=self.fraction)
            while self.fraction < 1 and not self._stop:
                began = time.monotonic()
                generator = torch.Generator().manual_seed(cfg.seed * 1_000_003 + self.step)
                for group in self.optimizer.param_groups:
                    group["lr"] = self._lr() * group["scale"]
                loss, metrics = step(generator, self.fraction)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                norm = nn.utils.clip_grad_norm_(self.named.values(), cfg.clip_norm)
                if torch.isfinite(norm):
                    self.optimizer.step()
                self.step += 1
                self._update_ema()
                for k, v in {"loss": float(loss.detach()), "grad": float(norm), **metrics}.items():
                    sums.setdefault(k, []).append(v)
                self.elapsed += time.monotonic() - began
                if self.step % cfg.log_steps == 0:
                    means = {k: round(sum(v) / len(v), 5) for k, v in sums.items()}
                    self.log({**means, "lr": self._lr()})
                    sums = {}
                    progress.update(task, completed=self.fraction, text=f"step {self.step} loss {means['loss']:.4f}")
                if evaluate and self.elapsed >= next_eval:
                    last_eval = self._evaluate(evaluate)
                    next_eval = self.elapsed + cfg.eval_seconds
                if self.elapsed >= next_save:
                    self.save()
                    next_save = self.elapsed + cfg.checkpoint_seconds
            if evaluate and not self._stop:
                last_eval = self._evaluate(evaluate)
            self.save()
        if self._stop:
            raise SpressoError(
                f"stopped at step {self.step}; the state is saved", code="interrupted", hint="Continue with --resume."
            )
        return last_eval

    def _evaluate(self, evaluate: Callable[[], dict[str, float]]) -> dict[str, float]:
        self.swap_ema()
        try:
            with torch.no_grad():
                values = evaluate()
        finally:
            self.swap_ema()
        self.log({"eval": {k: round(v, 5) for k, v in values.items()}})
        return values

    @torch.no_grad()
    def _update_ema(self) -> None:
        beta = power_ema_beta(self.step, self.gamma)
        names = list(self.named)
        torch._foreach_lerp_([self.ema[n] for n in names], [self.named[n].detach() for n in names], 1 - beta)

    def _bar(self, title: str) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}% {task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    def _signals(self) -> _StopSignals:
        return _StopSignals(self)


class _StopSignals:
    """SIGINT and SIGTERM finish the step, save, and end the run."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def __enter__(self) -> None:
        self.before: dict[signal.Signals, Any] = {}

        def stop(_signum: int, _frame: FrameType | None) -> None:
            self.loop._stop = True

        try:
            for s in (signal.SIGINT, signal.SIGTERM):
                self.before[s] = signal.signal(s, stop)
        except ValueError:  # not the main thread: the caller handles signals
            self.before = {}

    def __exit__(self, *_: object) -> None:
        for s, handler in self.before.items():
            signal.signal(s, handler)


def averaged_state(path: Path, module: str) -> dict[str, Tensor]:
    """State dict of ``module`` from a checkpoint with averaged weights in place of live ones."""
    tensors, _ = load_checkpoint(path)
    return dict(_averaged(tensors, module))


def _averaged(tensors: dict[str, Tensor], module: str) -> Iterator[tuple[str, Tensor]]:
    prefix = f"model.{module}."
    for key, value in tensors.items():
        if key.startswith(prefix):
            name = key[len(prefix) :]
            yield name, tensors.get(f"ema.{module}.{name}", value)
