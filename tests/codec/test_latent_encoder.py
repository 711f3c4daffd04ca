"""g_psi: shapes at every rate, what a token can see, and a network of its own for each rate where the paper has one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from spresso_assets.codec.config import POOLS, PRESETS, LatentEncoderConfig
from spresso_assets.codec.latent_encoder import EncoderBlock, LatentEncoder, build_latent_encoder

PAPER, SHARED = PRESETS["tiny-full"].latent_encoder, PRESETS["tiny"].latent_encoder


@pytest.mark.parametrize("cfg", [PAPER, SHARED])
@pytest.mark.parametrize(
    ("rate", "frames", "tokens"), [("25hz", 100, 25), ("11hz", 108, 12), ("5hz", 100, 5), ("1hz", 200, 2)]
)
def test_it_pools_to_the_frame_rate(cfg: LatentEncoderConfig, rate: str, frames: int, tokens: int) -> None:
    assert build_latent_encoder(cfg)(torch.randn(2, frames, 128), rate).shape == (2, tokens, 64)


def test_frames_that_fill_no_token_are_refused() -> None:
    for cfg in (PAPER, SHARED):
        with pytest.raises(ValueError, match="multiple"):
            build_latent_encoder(cfg)(torch.randn(1, 104, 128), "1hz")
    assert build_latent_encoder(PAPER)(torch.randn(1, 9, 128), "11hz").shape[1] == 1  # patch 1 takes odd lengths
    with pytest.raises(ValueError, match="multiple"):
        build_latent_encoder(SHARED)(torch.randn(1, 9, 128), "11hz")


def test_each_rate_has_its_own_network_as_deep_as_the_config_says() -> None:
    encoders = build_latent_encoder(PAPER)
    x0_BTC = torch.randn(1, 900, 128)
    before = {rate: encoders(x0_BTC, rate) for rate in POOLS}
    assert isinstance(PAPER.blocks, dict)
    for rate, depth in PAPER.blocks.items():
        assert sum(isinstance(m, EncoderBlock) for m in encoders[rate].modules()) == depth  # type: ignore[index,operator]
    with torch.no_grad():
        for name, p in encoders.named_parameters():
            if name.startswith("11hz."):
                p.mul_(1.5)
    for rate, z_BFD in before.items():
        assert torch.equal(encoders(x0_BTC, rate), z_BFD) is (rate != "11hz"), rate


def test_a_token_sees_the_whole_clip_and_averages_its_own_frames() -> None:
    """Attention spans the clip; the average pool keeps to the token's window."""
    encoder = build_latent_encoder(dataclasses.replace(PAPER, rates=("25hz",), blocks={"25hz": 1}))
    x0_BTC = torch.randn(1, 40, 128)
    moved_BTC = x0_BTC.clone()
    moved_BTC[0, 39] += 1
    changed_F = (encoder(moved_BTC, "25hz") - encoder(x0_BTC, "25hz")).abs().amax((0, 2))
    assert (changed_F > 0).all()
    trunk = encoder["25hz"]  # type: ignore[index]
    for block in trunk.blocks:  # type: ignore[union-attr]
        torch.nn.init.zeros_(block.out.weight)
        torch.nn.init.zeros_(block.out.bias)
    changed_F = (encoder(moved_BTC, "25hz") - encoder(x0_BTC, "25hz")).abs().amax((0, 2))
    assert (changed_F[:9] == 0).all() and changed_F[9] > 0


def test_without_a_linear_code_nothing_passes_beside_the_network() -> None:
    for linear in (True, False):
        encoder = LatentEncoder(dataclasses.replace(SHARED, linear_code=linear))
        for head in encoder.heads.values():
            torch.nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            torch.nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        assert bool((encoder(torch.randn(1, 100, 128), "25hz") == 0).all()) is not linear
