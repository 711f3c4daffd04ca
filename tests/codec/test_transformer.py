"""The denoiser: it starts as the identity of its preconditioning, and audio-down starts as nothing."""

import dataclasses

import pytest
import torch

from spresso_assets.codec.config import PRESETS
from spresso_assets.codec.diffusion import denoise
from spresso_assets.codec.lora import LoRALinear, add_lora, merge_lora
from spresso_assets.codec.transformer import Transformer
from spresso_assets.training.adapter import LORA_TARGETS

TINY = PRESETS["tiny"].transformer
SKETCH = torch.zeros(1, 20, 128)


def _transformer(**changes: object) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, **changes))  # type: ignore[arg-type]
    for layer in (model.head, model.head_modulation):
        torch.nn.init.normal_(layer.weight, std=0.05)
    for name, p in model.named_parameters():
        if "modulat" in name and p.ndim == 2:
            torch.nn.init.normal_(p, std=0.1)
    return model.eval()


@pytest.mark.parametrize("single", [True, False])
def test_fresh_network_outputs_zero(single: bool) -> None:
    model = Transformer(dataclasses.replace(TINY, adaln_single=single))
    out_BTC = model(
        torch.randn(2, 20, 128), torch.zeros(2), torch.randn(2, 5, 64), "25hz", None, torch.randn(2, 20, 128)
    )
    assert torch.all(out_BTC == 0)


@pytest.mark.parametrize("single", [True, False])
def test_code_text_and_noise_level_all_matter(single: bool) -> None:
    model = _transformer(adaln_single=single)
    x_BTC, c_B, z_BFD = torch.randn(1, 20, 128), torch.zeros(1), torch.randn(1, 5, 64)
    base = model(x_BTC, c_B, z_BFD, "25hz", None, SKETCH)
    assert not torch.allclose(base, model(x_BTC, c_B, -z_BFD, "25hz", None, SKETCH))
    assert not torch.allclose(base, model(x_BTC, c_B, z_BFD, "25hz", None, SKETCH + 1))
    assert not torch.allclose(base, model(x_BTC, c_B + 1, z_BFD, "25hz", None, SKETCH))
    assert not torch.allclose(base, model(x_BTC, c_B, z_BFD, "25hz", torch.randn(1, 512), SKETCH))
    assert base.shape == x_BTC.shape


def test_audio_down_starts_as_a_small_disturbance_of_the_prior() -> None:
    """With V = 0 the code can only take attention away: exactly what audio-down's initialisation promises."""
    model = _transformer()
    model.init_audio_down()
    x_BTC, c_B = torch.randn(1, 40, 128), torch.zeros(1)
    one, other = (
        model(x_BTC, c_B, z, "25hz", None, torch.zeros(1, 40, 128))
        for z in (torch.randn(1, 10, 64), torch.randn(1, 10, 64))
    )
    prior = model(x_BTC, c_B)
    assert (one - other).norm() < 0.2 * (one - prior).norm() + 0.2 * prior.norm()


def test_a_code_needs_the_name_of_its_rate() -> None:
    with pytest.raises(ValueError, match="rate"):
        _transformer()(torch.randn(1, 20, 128), torch.zeros(1), torch.randn(1, 5, 64))


def test_lora_starts_as_the_base_and_merges_exactly() -> None:
    model = _transformer()
    x_BTC, c_B, z_BFD = torch.randn(1, 20, 128), torch.zeros(1), torch.randn(1, 5, 64)
    base = model(x_BTC, c_B, z_BFD, "25hz", None, SKETCH)
    names = add_lora(model, 4, LORA_TARGETS)
    assert len(names) == 4 * (TINY.mm_blocks + TINY.audio_blocks)
    assert not any("text" in n or "modulation" in n for n in names)
    torch.testing.assert_close(model(x_BTC, c_B, z_BFD, "25hz", None, SKETCH), base)
    for module in model.modules():
        if isinstance(module, LoRALinear):
            torch.nn.init.normal_(module.up_OR, std=0.2)
    adapted = model(x_BTC, c_B, z_BFD, "25hz", None, SKETCH)
    assert not torch.allclose(adapted, base)
    assert merge_lora(model) == len(names)
    assert not any(isinstance(m, LoRALinear) for m in model.modules())
    torch.testing.assert_close(model(x_BTC, c_B, z_BFD, "25hz", None, SKETCH), adapted, atol=1e-5, rtol=1e-4)


def test_denoiser_trusts_its_input_when_there_is_no_noise() -> None:
    """c_skip -> 1 and c_out -> 0 as sigma -> 0 (EDM table 1)."""
    x_BTC = torch.randn(2, 20, 128)
    out_BTC = denoise(_transformer(), x_BTC, torch.full((2,), 1e-4))
    torch.testing.assert_close(out_BTC, x_BTC, atol=2e-3, rtol=0)
