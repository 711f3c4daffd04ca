"""The denoiser: the identity of its preconditioning at first, audio-down as nothing at first, adapters by rate."""

import dataclasses
import itertools

import pytest
import torch

from spresso_assets.codec import transformer as module
from spresso_assets.codec.attention import rotary_angles
from spresso_assets.codec.config import POOLS, PRESETS, ModelConfig, TransformerConfig
from spresso_assets.codec.diffusion import denoise
from spresso_assets.codec.lora import LowRank
from spresso_assets.codec.transformer import Transformer

TINY = PRESETS["tiny"].transformer
PAPER = PRESETS["tiny-full"].transformer
SKETCH = torch.zeros(1, 20, 128)
X_BTC = torch.randn(1, 20, 128, generator=torch.Generator().manual_seed(1))
Z_BFD = torch.randn(1, 5, 64, generator=torch.Generator().manual_seed(2))
ZERO_B = torch.zeros(1)


def _transformer(cfg: TransformerConfig = TINY, **changes: object) -> Transformer:
    """A network whose zero-initialised layers, LoRA aside, say something, as after training."""
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(cfg, **changes))  # type: ignore[arg-type]
    for layer in (model.head, model.head_modulation):
        torch.nn.init.normal_(layer.weight, std=0.05)
    for name, p in model.named_parameters():
        if "modulat" in name and p.ndim == 2:
            torch.nn.init.normal_(p, std=0.1)
    return model.eval()


def _train_lora(model: Transformer) -> Transformer:
    for layer in model.modules():
        if isinstance(layer, LowRank):
            torch.nn.init.normal_(layer.up_OR, std=0.2)
    return model


@pytest.mark.parametrize("cfg", [TINY, dataclasses.replace(TINY, adaln_single=False), PAPER])
def test_fresh_network_outputs_zero(cfg: TransformerConfig) -> None:
    out_BTC = Transformer(cfg)(X_BTC, ZERO_B, Z_BFD, "25hz", None, SKETCH + 1)
    assert torch.all(out_BTC == 0)


@pytest.mark.parametrize("cfg", [TINY, dataclasses.replace(TINY, adaln_single=False), PAPER])
def test_code_text_and_noise_level_all_matter(cfg: TransformerConfig) -> None:
    model = _transformer(cfg)
    base = model(X_BTC, ZERO_B, Z_BFD, "25hz", None, SKETCH)
    assert not torch.allclose(base, model(X_BTC, ZERO_B, -Z_BFD, "25hz", None, SKETCH))
    assert not torch.allclose(base, model(X_BTC, ZERO_B + 1, Z_BFD, "25hz", None, SKETCH))
    assert not torch.allclose(base, model(X_BTC, ZERO_B, Z_BFD, "25hz", torch.randn(1, 512), SKETCH))
    assert base.shape == X_BTC.shape
    sketched = model(X_BTC, ZERO_B, Z_BFD, "25hz", None, SKETCH + 1)
    assert torch.equal(base, sketched) is not cfg.linear_code


def test_a_missing_caption_is_the_null_token_for_its_clip_alone() -> None:
    model = _transformer(PAPER)
    x_BTC, c_B, text_BE = torch.randn(2, 20, 128), torch.zeros(2), torch.randn(2, 512)
    both, neither = model(x_BTC, c_B, text_BE=text_BE), model(x_BTC, c_B)
    text_BE[1] = torch.nan
    mixed = model(x_BTC, c_B, text_BE=text_BE)
    torch.testing.assert_close(mixed[0], both[0])
    torch.testing.assert_close(mixed[1], neither[1])
    assert not torch.allclose(both[1], neither[1])


@pytest.mark.parametrize("cfg", [TINY, PAPER])
def test_audio_down_with_zero_values_only_dilutes_attention(cfg: TransformerConfig) -> None:
    """With V = 0 no code can add anything; all it can do is draw attention away from text and audio."""
    model = _transformer(cfg, adapters=cfg.adapters)
    model.init_audio_down()
    one, other = (model(X_BTC, ZERO_B, z, "25hz", None, SKETCH) for z in (Z_BFD, torch.randn(1, 5, 64)))
    prior = model(X_BTC, ZERO_B)
    assert (one - other).norm() < 0.2 * (one - prior).norm() + 0.2 * prior.norm()


def test_audio_down_starts_as_exactly_the_prior_where_nobody_attends_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """V = 0 and keys that get no weight: what is left of the code must be nothing, in every block and at every rate."""
    model = _transformer(PAPER)
    model.init_audio_down()
    x_BTC, z_BFD = torch.randn(1, 100, 128), torch.randn(1, 25, 64)
    prior = model(x_BTC, ZERO_B)
    softmax = module.attend

    def without_down(q_BHLD: torch.Tensor, k_BHSD: torch.Tensor, v_BHSD: torch.Tensor) -> torch.Tensor:
        kept = v_BHSD.abs().sum((0, 1, 3)) > 0  # audio-down's keys are those whose values are zero
        return softmax(q_BHLD, k_BHSD[:, :, kept], v_BHSD[:, :, kept])

    monkeypatch.setattr(module, "attend", without_down)
    for rate in PAPER.rates:
        down = model(x_BTC, ZERO_B, z_BFD[:, : 100 // POOLS[rate]], rate)
        torch.testing.assert_close(down, prior, atol=1e-5, rtol=1e-5)


def test_a_code_needs_the_name_of_its_rate() -> None:
    with pytest.raises(ValueError, match="rate"):
        _transformer()(X_BTC, ZERO_B, Z_BFD)
    with pytest.raises(ValueError, match="sketch"):
        _transformer()(X_BTC, ZERO_B, Z_BFD, "25hz")


def test_lora_starts_as_the_base_and_adapts_the_audio_stream_of_every_block() -> None:
    plain, model = _transformer(), _transformer(lora_rank=4)
    model.load_state_dict({**model.state_dict(), **plain.state_dict()})
    given = (X_BTC, ZERO_B, Z_BFD, "25hz", None, SKETCH)
    assert torch.equal(model(*given), plain(*given))
    updates = [n for n, m in model.named_modules() if isinstance(m, LowRank)]
    assert len(updates) == 4 * (TINY.mm_blocks + TINY.audio_blocks)
    for name in updates:  # each one is heard
        before = model(*given)
        torch.nn.init.normal_(model.get_submodule(name).up_OR, std=0.2)  # type: ignore[arg-type]
        assert not torch.equal(model(*given), before), name


def test_folding_a_shared_lora_changes_nothing_but_the_number_of_products() -> None:
    model = _train_lora(_transformer(lora_rank=4))
    given = (X_BTC, ZERO_B, Z_BFD, "25hz", None, SKETCH)
    adapted, before = model(*given), model.state_dict()
    folded = Transformer(TINY).eval()
    folded.load_state_dict(model.folded_state("25hz"))
    torch.testing.assert_close(folded(*given), adapted, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(adapted, _transformer()(*given))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())  # the original is left alone


@pytest.mark.parametrize("rate", PAPER.rates)
def test_folding_one_rate_makes_a_model_of_that_rate_alone(rate: str) -> None:
    model = _train_lora(_transformer(PAPER))
    x_BTC, z_BFD = torch.randn(1, 100, 128), torch.randn(1, 100 // POOLS[rate], 64)
    folded = Transformer(dataclasses.replace(PAPER, rates=(rate,), lora_rank=0)).eval()
    folded.load_state_dict(model.folded_state(rate))
    adapted = model(x_BTC, ZERO_B, z_BFD, rate)
    torch.testing.assert_close(folded(x_BTC, ZERO_B, z_BFD, rate), adapted, atol=1e-5, rtol=1e-4)


def test_without_a_rate_the_prior_is_untouched_to_the_bit() -> None:
    model = _train_lora(_transformer(PAPER))
    bare = Transformer(dataclasses.replace(PAPER, rates=())).eval()
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if not model.is_adapter(k)})
    text_BE = torch.randn(1, 512)
    assert torch.equal(model(X_BTC, ZERO_B, text_BE=text_BE), bare(X_BTC, ZERO_B, text_BE=text_BE))
    # A rate without a code is its adapter without audio-down: the partner of guidance, not the prior.
    assert not torch.allclose(model(X_BTC, ZERO_B, rate="25hz"), bare(X_BTC, ZERO_B))


@pytest.mark.parametrize("part", ["lora", "down_qkv", "f_phi"])
def test_each_rate_has_its_own_adapter(part: str) -> None:
    """Retraining any part of one rate's adapter changes that rate and no other, nor the prior."""
    model = _train_lora(_transformer(PAPER))
    x_BTC = torch.randn(1, 100, 128)
    codes = {r: torch.randn(1, 100 // POOLS[r], 64) for r in PAPER.rates}

    def outputs() -> dict[str | None, torch.Tensor]:
        return {**{r: model(x_BTC, ZERO_B, z, r) for r, z in codes.items()}, None: model(x_BTC, ZERO_B)}

    before = outputs()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith(f"{part}.5hz."):
                p.add_(0.1 * torch.randn_like(p))
    for rate, after in outputs().items():
        assert torch.equal(after, before[rate]) is (rate != "5hz"), rate


@pytest.mark.parametrize(
    ("rate", "centres"),
    [
        ("25hz", [1.5, 5.5, 9.5, 13.5]),
        ("11hz", [4.0, 13.0, 22.0, 31.0]),
        ("5hz", [9.5, 29.5, 49.5, 69.5]),
        ("1hz", [49.5, 149.5, 249.5, 349.5]),
    ],
)
@pytest.mark.parametrize("patch", [1, 4])
def test_audio_down_sits_at_the_centre_of_its_frames(
    rate: str, centres: list[float], patch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decimated RoPE: t = 4, 9, 20, 100, in frame units whatever the patch."""
    seen = []

    def spy(position_L: torch.Tensor, head_dim: int) -> torch.Tensor:
        seen.append(position_L.tolist())
        return rotary_angles(position_L, head_dim)

    monkeypatch.setattr(module, "rotary_angles", spy)
    frames = -(-4 * POOLS[rate] // patch) * patch
    x_BTC = torch.randn(1, frames, 128)
    _transformer(patch=patch)(x_BTC, ZERO_B, torch.randn(1, 4, 64), rate, None, torch.zeros_like(x_BTC))
    text, audio, down = seen
    assert down == centres and text == [0]
    assert audio == [i * patch + (patch - 1) / 2 for i in range(frames // patch)]


def test_only_relative_positions_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shift audio and audio-down together in time: the same output. Shift one of them: another."""
    model = _transformer(PAPER)

    def moved(audio: float, down: float) -> torch.Tensor:
        shifts = itertools.cycle([audio, audio, down])  # text, audio, audio-down

        def shifted(position_L: torch.Tensor, head_dim: int) -> torch.Tensor:
            return rotary_angles(position_L + next(shifts), head_dim)

        monkeypatch.setattr(module, "rotary_angles", shifted)
        return model(X_BTC, ZERO_B, Z_BFD, "25hz")

    base = moved(0, 0)
    torch.testing.assert_close(moved(123.5, 123.5), base, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(moved(0, 40), base, atol=1e-4)


def test_a_mismatch_of_the_parts_is_refused() -> None:
    tiny, paper = PRESETS["tiny"], PRESETS["tiny-full"]
    for parts in (
        {"transformer": dataclasses.replace(TINY, rates=("25hz",))},
        {"transformer": dataclasses.replace(TINY, linear_code=False)},
        {"latent_encoder": paper.latent_encoder},
    ):
        with pytest.raises(ValueError):
            dataclasses.replace(tiny, **parts)
    with pytest.raises(ValueError, match="linear"):
        dataclasses.replace(
            paper,
            transformer=dataclasses.replace(PAPER, linear_code=True),
            latent_encoder=dataclasses.replace(paper.latent_encoder, linear_code=True),
        )


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_survive_a_bundles_config(name: str) -> None:
    import json

    model = PRESETS[name]
    assert ModelConfig.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    assert model.only("5hz").rates == ("5hz",) and set(model.only("5hz").quantizers) == {"5hz"}
    assert model.only().rates == ()


def test_without_a_linear_code_diffusion_makes_x0_itself() -> None:
    model = Transformer(PAPER, sigma_data=0.3)
    assert torch.equal(model.residual_std("25hz") / 0.3, torch.ones(128))
    assert torch.equal(model.sketch(Z_BFD, "25hz", 20), SKETCH)


def test_denoiser_trusts_its_input_when_there_is_no_noise() -> None:
    """c_skip -> 1 and c_out -> 0 as sigma -> 0 (EDM table 1)."""
    x_BTC = torch.randn(2, 20, 128)
    out_BTC = denoise(_transformer(), x_BTC, torch.full((2,), 1e-4))
    torch.testing.assert_close(out_BTC, x_BTC, atol=2e-3, rtol=0)
