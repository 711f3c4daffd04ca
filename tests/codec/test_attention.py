"""Rotary positions and normalised heads."""

import torch

from spresso_assets.codec.attention import QKV, rotary_angles, rotate


def test_rope_sees_only_relative_positions() -> None:
    torch.manual_seed(0)
    q_BHLD, k_BHLD = torch.randn(1, 2, 5, 16), torch.randn(1, 2, 5, 16)
    position_L = torch.tensor([0.0, 1.5, 4.0, 9.5, 30.0])

    def scores(shift: float) -> torch.Tensor:
        angles_LR = rotary_angles(position_L + shift, 16)
        return rotate(q_BHLD, angles_LR) @ rotate(k_BHLD, angles_LR).transpose(-1, -2)

    torch.testing.assert_close(scores(0), scores(137.25), atol=1e-4, rtol=1e-4)


def test_rotation_keeps_lengths() -> None:
    x_BHLD = torch.randn(2, 3, 7, 32)
    y_BHLD = rotate(x_BHLD, rotary_angles(torch.arange(7.0), 32))
    torch.testing.assert_close(y_BHLD.norm(dim=-1), x_BHLD.norm(dim=-1))


def test_heads_are_rms_normalised() -> None:
    q_BHLD, k_BHLD, _ = QKV(24, 32, 16)(100 * torch.randn(2, 5, 24), rotary_angles(torch.arange(5.0), 16))
    for x in (q_BHLD, k_BHLD):
        torch.testing.assert_close(x.square().mean(-1), torch.ones(2, 2, 5), atol=1e-3, rtol=1e-3)
