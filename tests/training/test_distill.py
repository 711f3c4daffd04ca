"""Progressive distillation: targets that lead exactly where the teacher's solver went."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spresso_assets.codec.sampling import dpm_solver_2m, solve
from spresso_assets.training.distill import (
    Condition,
    DistillConfig,
    TeacherPath,
    follow,
    teacher_path,
    wanted_answer,
)


class Shrinking(nn.Module):
    """A denoiser of Gaussian data: its answers are known, its paths are curved."""

    def forward(self, x_BTC: Tensor, c_noise_B: Tensor, **_condition: object) -> Tensor:
        return 0.3 * x_BTC * c_noise_B[:, None, None].cos()


def _path(cfg: DistillConfig) -> tuple[TeacherPath, Condition, Tensor]:
    told = Condition(torch.zeros(2, 1, 4), "25hz", None)
    noise_BTC = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0))
    return teacher_path(Shrinking(), cfg, told, noise_BTC), told, noise_BTC


@pytest.mark.parametrize("visits", [(0,), (0, 4), (0, 2, 4, 6), (0, 3, 5)])
def test_a_solver_given_the_wanted_answers_ends_where_the_teacher_ended(visits: tuple[int, ...]) -> None:
    cfg = DistillConfig(visits=visits)
    path, _, noise_BTC = _path(cfg)
    assert len(path.states) == cfg.steps + 1 and len(path.answers) == cfg.steps
    given: list[Tensor] = []

    def denoiser(x_BTC: Tensor, _sigma: float) -> Tensor:
        visit = len(given)
        torch.testing.assert_close(x_BTC, path.states[visits[visit]])
        given.append(wanted_answer(path, cfg, visit, given[-1] if given else x_BTC))
        return given[-1]

    end = solve(dpm_solver_2m, denoiser, cfg.start_scale * cfg.sigma_max * noise_BTC, [*cfg.sigmas, 0.0])
    torch.testing.assert_close(end, path.states[-1])


def test_the_teachers_own_answers_do_not_lead_there() -> None:
    """Else there would be nothing to learn."""
    cfg = DistillConfig()
    path, told, noise_BTC = _path(cfg)
    few = follow(Shrinking(), cfg, told, noise_BTC, [*cfg.sigmas, 0.0])
    assert float((few.states[-1] - path.states[-1]).abs().max()) > 0.01
