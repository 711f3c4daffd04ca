"""The few-step student: progressive distillation of the solver that decodes by default (Salimans & Ho 2022).

For each batch the teacher's solver runs once from noise to its end. The student visits only some of its noise levels,
and at each learns the answer that the solver's own step to the next one needs to land where the teacher came to.
Untrained, it is the solver with few steps, which is not bad; it has only to learn what long steps miss. Unlike the
targets of consistency training, these are a function of noise and code alone, no sample of something unknown: a few
hundred steps on a CPU teach them to a low-rank update.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from spresso_assets.codec.config import ModelConfig
from spresso_assets.codec.decoding import QUALITIES
from spresso_assets.codec.diffusion import denoise
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.codec.sampling import dpm_solver_2m, karras_sigmas
from spresso_assets.codec.student import UPDATES, student_of
from spresso_assets.training.data import CropConfig
from spresso_assets.training.denoising import Denoising, DenoisingConfig, require_cache
from spresso_assets.training.finetune import FinetuneConfig, quantised_code
from spresso_assets.training.loop import Loop, LoopConfig
from spresso_assets.training.source import Source, stage_folder

STUDENT = "student.json"
TEACHER = QUALITIES["default"]


@dataclass(frozen=True)
class DistillConfig:
    """The teacher's solver, and which of its levels the student visits.

    Attributes:
        rank: of the student's updates where the denoiser has none of its own.
        steps, sigma_min, sigma_max, start_scale: DPM-Solver++(2M) as the default quality runs it.
        visits: indices of the student's noise levels among the teacher's ``steps``; begins with 0.
        code: how codes are quantised, as in fine-tuning.
    """

    rank: int = 16
    steps: int = TEACHER.steps
    sigma_min: float = TEACHER.sigma_min
    sigma_max: float = TEACHER.sigma_max
    start_scale: float = TEACHER.start_scale
    visits: tuple[int, ...] = (0, 2, 4, 6)
    code: FinetuneConfig = field(default_factory=FinetuneConfig)
    denoising: DenoisingConfig = field(default_factory=lambda: DenoisingConfig(crops=CropConfig(budget=1500)))

    @cached_property
    def levels(self) -> list[float]:
        """The teacher's noise levels, and 0."""
        return karras_sigmas(self.steps, self.sigma_min, self.sigma_max)

    @cached_property
    def sigmas(self) -> list[float]:
        """The student's noise levels."""
        return [self.levels[i] for i in self.visits]


@dataclass(frozen=True)
class Condition:
    """What a denoiser is told: code, its rate and its sketch."""

    z_BFD: Tensor
    rate: str
    sketch_BTC: Tensor | None
    sigma_data: float = 0.5

    def repeated(self, times: int) -> Condition:
        sketch_BTC = None if self.sketch_BTC is None else self.sketch_BTC.repeat(times, 1, 1)
        return Condition(self.z_BFD.repeat(times, 1, 1), self.rate, sketch_BTC, self.sigma_data)

    def answer(self, network: nn.Module, x_BTC: Tensor, sigma_B: Tensor) -> Tensor:
        """What ``network`` takes the noisy x at these noise levels for: D(x; sigma), [B, T, C]."""
        told = {"z_BFD": self.z_BFD, "rate": self.rate, "sketch_BTC": self.sketch_BTC}
        return denoise(network, x_BTC, sigma_B, self.sigma_data, **told)


def train_distill(
    model: ModelConfig,
    data: Path,
    source: Source,
    quantizers: dict[str, QINCo2],
    out: Path,
    loop: LoopConfig,
    cfg: DistillConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Distil the denoiser of the fine-tuning or adapter stage, or of the base.

    Returns:
        On val, per rate: RMS distance to the teacher's end, relative to sigma_data, of the student (``student_*``) and
        of the teacher itself at the student's few levels (``solver_*``).
    """
    require_cache(data)
    cfg = cfg or DistillConfig()
    if model.per_rate:
        model = source.adapted(model)
        tuned = stage_folder("finetune", model)
        denoiser = source.state("transformer", tuned, stage_folder("adapter", model))
    else:
        model, denoiser = source.denoiser(model)
    stage = Denoising(model, cfg.denoising, data, device)
    stage.transformer.load_state_dict(denoiser)
    stage.load(source, stage_folder("adapter", model), "encoder")
    stage.transformer.requires_grad_(False).eval()
    stage.encoder.requires_grad_(False).eval()
    student = student_of(stage.transformer, cfg.rank)
    for name, p in student.named_parameters():
        p.requires_grad_(name.startswith(UPDATES))
    code = quantised_code(stage, quantizers, cfg.code)
    runner = Loop({"student": student}, loop, out, resume=resume)
    facts = {"rank": student.cfg.lora_rank, "sigmas": cfg.sigmas, "start_scale": cfg.start_scale}
    (out / STUDENT).write_text(json.dumps(facts) + "\n", encoding="utf-8")

    def condition(x0_BTC: Tensor, rate: str, generator: torch.Generator) -> Condition:
        z_BFD = code(x0_BTC, rate, generator)
        linear = model.transformer.linear_code
        sketch_BTC = stage.transformer.sketch(z_BFD, rate, x0_BTC.shape[1]) if linear else None
        return Condition(z_BFD, rate, sketch_BTC, model.sigma_data)

    def step(generator: torch.Generator, _fraction: float) -> tuple[Tensor, dict[str, float]]:
        x0_BTC, rate = stage.draw(generator)
        assert rate is not None
        noise_BTC = torch.randn(x0_BTC.shape, generator=generator).to(stage.device)
        with stage.autocast():
            told = condition(x0_BTC, rate, generator)
            path = teacher_path(stage.transformer, cfg, told, noise_BTC)
            visited_KBTC = torch.stack([path.states[i] for i in cfg.visits])
            sigma_K = torch.tensor(cfg.sigmas, device=stage.device)
            every = told.repeated(len(cfg.visits))
            answers_XTC = every.answer(student, visited_KBTC.flatten(0, 1), sigma_K.repeat_interleave(len(x0_BTC)))
        answers_KBTC = answers_XTC.view_as(visited_KBTC)
        own = [path.answers[i] for i in cfg.visits]
        ratios = []
        for k, answer_BTC in enumerate(answers_KBTC):
            target_BTC = wanted_answer(path, cfg, k, answers_KBTC[k - 1].detach())
            # Relative to what few steps of the teacher miss: every level counts alike, and 1 means nothing learned.
            missed = (own[k] - wanted_answer(path, cfg, k, own[k - 1])).square().mean()
            ratios.append((answer_BTC - target_BTC).square().mean() / (missed + 1e-6))
        gaps = {f"gap_{s:.2g}": float(r.detach()) for s, r in zip(cfg.sigmas, ratios, strict=True)}
        return torch.stack(ratios).mean(), gaps

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(7)
        sums: dict[str, list[float]] = {}
        for rate in stage.rates:
            for x0_BTC in stage.val_batches(rate):
                noise_BTC = torch.randn(x0_BTC.shape, generator=generator).to(stage.device)
                with stage.autocast():
                    told = condition(x0_BTC[:8], rate, generator)
                    end_BTC = teacher_path(stage.transformer, cfg, told, noise_BTC[:8]).states[-1]
                    mine_BTC = follow(student, cfg, told, noise_BTC[:8], [*cfg.sigmas, 0.0]).states[-1]
                    solver_BTC = follow(stage.transformer, cfg, told, noise_BTC[:8], [*cfg.sigmas, 0.0]).states[-1]
                for name, got_BTC in (("student", mine_BTC), ("solver", solver_BTC)):
                    error = float((got_BTC - end_BTC).square().mean())
                    sums.setdefault(f"{name}_{rate}", []).append(error)
        return {k: (sum(v) / len(v)) ** 0.5 / model.sigma_data for k, v in sums.items()}

    return runner.run(step, evaluate, "distill")


@dataclass(frozen=True)
class TeacherPath:
    """One run of a solver: the state at every noise level (the last is the end) and the denoiser's answer there."""

    states: list[Tensor]
    answers: list[Tensor]


@torch.no_grad()
def teacher_path(teacher: nn.Module, cfg: DistillConfig, told: Condition, noise_BTC: Tensor) -> TeacherPath:
    """Run the default solver from noise [B, T, C]."""
    return follow(teacher, cfg, told, noise_BTC, cfg.levels)


@torch.no_grad()
def follow(
    network: nn.Module, cfg: DistillConfig, told: Condition, noise_BTC: Tensor, sigmas: list[float]
) -> TeacherPath:
    """DPM-Solver++(2M) over ``sigmas``, with everything that it passes through."""
    states, answers = [], []
    solver = dpm_solver_2m(cfg.start_scale * sigmas[0] * noise_BTC, sigmas)
    asked = next(solver)
    try:
        while True:
            x_BTC, sigma = asked
            states.append(x_BTC)
            answers.append(told.answer(network, x_BTC, torch.full((len(x_BTC),), sigma, device=x_BTC.device)))
            asked = solver.send(answers[-1])
    except StopIteration as end:
        states.append(end.value)
    return TeacherPath(states, answers)


def wanted_answer(path: TeacherPath, cfg: DistillConfig, visit: int, before_BTC: Tensor) -> Tensor:
    """The answer D at a visited level with which DPM-Solver++(2M) lands on the teacher's state at the next one.

    Args:
        visit: index into ``cfg.visits``. before_BTC: the answer at the visited level before; the first has none.
    """
    sigma = cfg.sigmas[visit]
    last = visit + 1 == len(cfg.visits)
    if last:
        return path.states[-1]
    sigma_next = cfg.sigmas[visit + 1]
    ratio = sigma_next / sigma
    x_BTC, next_BTC = path.states[cfg.visits[visit]], path.states[cfg.visits[visit + 1]]
    estimate_BTC = (next_BTC - ratio * x_BTC) / (1 - ratio)
    if visit == 0:
        return estimate_BTC
    # The solver extrapolates from the last two answers: estimate = (1 + w) D - w before, w = 1 / (2 r).
    weight = math.log(sigma / sigma_next) / (2 * math.log(cfg.sigmas[visit - 1] / sigma))
    return (estimate_BTC + weight * before_BTC) / (1 + weight)
