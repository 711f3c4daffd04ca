"""Rotary positions and the latent encoder."""

import pytest
import torch

from spresso_assets.codec.attention import QKV, rotary_angles, rotate
from spresso_assets.codec.config import PRESETS
from spresso_assets.codec.latent_encoder import LatentEncoder


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


@pytest.mark.parametrize(
    ("rate", "frames", "tokens"), [("25hz", 100, 25), ("11hz", 108, 12), ("5hz", 100, 5), ("1hz", 200, 2)]
)
def test_latent_encoder_pools_to_the_frame_rate(rate: str, frames: int, tokens: int) -> None:
    encoder = LatentEncoder(PRESETS["tiny"].latent_encoder)
    assert encoder(torch.randn(2, frames, 128), rate).shape == (2, tokens, 64)


def test_truncated_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        LatentEncoder(PRESETS["tiny"].latent_encoder)(torch.randn(1, 104, 128), "1hz")
