"""Progressive distillation: targets that lead exactly where the teacher's solver went."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from spresso_assets.training.distill import Condition, DistillConfig, straight_targets, teacher_path


class Shrinking(nn.Module):
    """A denoiser of Gaussian data: its answers are known, its paths are curved."""

    def forward(self, x_BTC: Tensor, c_noise_B: Tensor, **_condition: object) -> Tensor:
        return 0.3 * x_BTC * c_noise_B[:, None, None].cos()


def test_walking_straight_to_the_targets_ends_where_the_teacher_ended() -> None:
    cfg = DistillConfig(visits=(0, 3, 5))
    told = Condition(torch.zeros(2, 1, 4), "25hz", None)
    noise_BTC = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0))
    path = teacher_path(Shrinking(), cfg, told, noise_BTC)
    assert len(path.states) == cfg.steps + 1 and len(path.answers) == cfg.steps
    x_BTC = path.states[0]
    torch.testing.assert_close(x_BTC, cfg.start_scale * cfg.sigma_max * noise_BTC)
    for (sigma, sigma_next), target_BTC in zip(
        itertools.pairwise([*cfg.sigmas, 0.0]), straight_targets(path, cfg), strict=True
    ):
        x_BTC = target_BTC + sigma_next / sigma * (x_BTC - target_BTC)
    torch.testing.assert_close(x_BTC, path.states[-1])


def test_the_teachers_own_answers_do_not_lead_there() -> None:
    """Else there would be nothing to learn."""
    cfg = DistillConfig(visits=(0, 4))
    path = teacher_path(Shrinking(), cfg, Condition(torch.zeros(1, 1, 4), "25hz", None), torch.ones(1, 12, 4))
    assert float((straight_targets(path, cfg)[0] - path.answers[0]).abs().max()) > 0.01
