"""QINCo2: it starts as plain RQ, encoder and decoder agree, prefixes are codes, a wider search never does worse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spresso_assets.codec.quantizer import QINCo2, QuantizerConfig, Step, top_indices
from spresso_assets.errors import SpressoError

SMALL = QuantizerConfig(dim=8, codebooks=4, bits=5, width=12, hidden=16, blocks=2)


def quantizer(config: QuantizerConfig = SMALL, *, trained: bool) -> QINCo2:
    """A quantizer with random codebooks; `trained` also gives its networks something to say."""
    torch.manual_seed(1)
    model = QINCo2(config).eval()
    model.mean_D.normal_()
    model.scale.fill_(1.7)
    if trained:
        for weight in model.steps.parameters():
            weight.data.add_(torch.randn_like(weight) * 0.1)
        model.gain_S.data.uniform_(0.5, 1.0)
    return model


def latents(count: int, dim: int = 8) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(2)) * 2


def error(model: QINCo2, z_BD: Tensor, **options: int) -> float:
    return float((model.decode(model.encode(z_BD, **options)) - z_BD).square().mean())


@pytest.mark.parametrize("width", [8, 12])
@pytest.mark.parametrize("own", [None, 2])
def test_untrained_networks_leave_plain_residual_quantization(width: int, own: int | None) -> None:
    model = quantizer(QuantizerConfig(8, 4, 5, width, 16, 2, own_codebooks=own), trained=False)
    z_BD = latents(50)
    residual_BD = (z_BD - model.mean_D) / model.scale
    expected = []
    for m in range(4):
        nearest_B = torch.cdist(residual_BD, model.codebook(m)).argmin(1)
        residual_BD = residual_BD - model.codebook(m)[nearest_B]
        expected.append(nearest_B)
    codes_BM = model.encode(z_BD, beam=1, candidates=1)
    assert torch.equal(codes_BM, torch.stack(expected, 1))
    assert torch.allclose(z_BD - model.decode(codes_BM), residual_BD * model.scale, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        QuantizerConfig(8, 4, 5, 8, 16, 1, tied_preselect=False),
        QuantizerConfig(8, 6, 5, 12, 16, 0, tied_preselect=False, own_codebooks=3),
    ],
)
def test_the_search_finds_what_an_exhaustive_look_would_find(config: QuantizerConfig) -> None:
    """With every codeword a candidate, beam 1 is the greedy choice by the network's own output, step by step."""
    model = quantizer(config, trained=True)
    z_BD = latents(9)
    codes_BM = model.encode(z_BD, beam=1, candidates=config.entries)
    x_BD = model.normalise(z_BD)
    xhat_BD = torch.zeros_like(x_BD)
    for m in range(config.codebooks):
        book_KD = model.codebook(m)
        for b in range(len(z_BD)):
            options_KD = book_KD if m == 0 else model.step(m)(book_KD, xhat_BD[b].expand(len(book_KD), -1))
            best = (x_BD[b] - xhat_BD[b] - options_KD).square().sum(1).argmin()
            assert codes_BM[b, m] == best
            xhat_BD[b] += options_KD[best]
    assert torch.allclose(model.decode(codes_BM), model.denormalise(xhat_BD), atol=1e-5)


def test_tabulated_and_direct_search_agree() -> None:
    """A large batch tabulates the codeword half of a step, a single vector computes it: the codes are the same."""
    model = quantizer(trained=True)
    z_BD = latents(70)
    together = model.encode(z_BD, beam=4, candidates=4)
    alone = torch.cat([model.encode(z_1D, beam=4, candidates=4) for z_1D in z_BD.split(1)])
    assert torch.equal(together, alone)


def test_wider_searches_reconstruct_better() -> None:
    model = quantizer(trained=True)
    z_BD = latents(300)
    greedy = error(model, z_BD, beam=1, candidates=1)
    candidates = error(model, z_BD, beam=1, candidates=8)
    beam = error(model, z_BD, beam=8, candidates=8)
    assert beam < candidates < greedy


def test_every_prefix_is_a_code_and_each_step_helps() -> None:
    model = quantizer(trained=True)
    z_BD = latents(300)
    codes_BM = model.encode(z_BD)
    errors = []
    for m in range(1, 5):
        whole = model.decode(codes_BM, codebooks=m)
        assert torch.equal(whole, model.decode(codes_BM[:, :m]))
        errors.append(float((whole - z_BD).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert error(model, z_BD, codebooks=2) <= errors[1]


def test_encoding_is_deterministic_and_handles_no_vectors() -> None:
    model = quantizer(trained=True)
    z_BD = latents(100)
    assert torch.equal(model.encode(z_BD), model.encode(z_BD))
    assert model.encode(z_BD).dtype == torch.int64
    assert model.encode(z_BD[:0]).shape == (0, 4)
    assert model.decode(torch.empty(0, 4, dtype=torch.long)).shape == (0, 8)


def test_weights_come_back_and_give_the_same_codes() -> None:
    model, twin = quantizer(trained=True), QINCo2(SMALL)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model.encode(latents(50)), twin.encode(latents(50)))


def test_the_step_is_the_published_network() -> None:
    """f(c, x^) = c + P_out FFN(e + W [e; x^] + b) with e = P_in c, written out in one line each."""
    step = quantizer(trained=True).step(1)
    assert isinstance(step, Step)
    c_BD, x_BD = latents(5), latents(10)[5:]
    e_BE = c_BD @ step.enter.weight.T
    both_EX = torch.cat([step.mix_code.weight, step.mix_base.weight], dim=1)
    e_BE = e_BE + torch.cat([e_BE, x_BD], dim=1) @ both_EX.T + step.mix_base.bias
    for up, down in zip(step.up, step.down, strict=True):
        e_BE = e_BE + torch.relu(e_BE @ up.weight.T) @ down.weight.T
    assert torch.allclose(step(c_BD, x_BD), c_BD + e_BE @ step.leave.weight.T, atol=1e-5)


@pytest.mark.parametrize("shape", [(200, 64), (50, 1024), (7, 4096), (5, 100)])
@pytest.mark.parametrize("count", [1, 8])
def test_top_indices_is_an_exact_top_k(shape: tuple[int, int], count: int) -> None:
    score_NK = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    assert torch.equal(top_indices(score_NK, count), score_NK.topk(count, dim=1).indices)


def test_sizes_of_the_shipped_quantizers_stay_small() -> None:
    """Weights in half precision of the four rates together, with shared late codebooks at 1 Hz."""
    shipped = [
        QuantizerConfig(codebooks=20, bits=10, own_codebooks=12),
        QuantizerConfig(codebooks=12, bits=10),
        QuantizerConfig(codebooks=8, bits=12),
        QuantizerConfig(codebooks=25, bits=12, own_codebooks=8),
    ]
    weights = sum(p.numel() for config in shipped for p in QINCo2(config).parameters())
    assert 2 * weights < 18e6


@pytest.mark.parametrize(
    "codes", [torch.zeros(3, 5), torch.full((3, 4), 32), torch.full((3, 4), -1), torch.zeros(3, 0)]
)
def test_codes_of_another_model_are_refused(codes: Tensor) -> None:
    with pytest.raises(SpressoError, match="codes_mismatch"):
        quantizer(trained=False).decode(codes.long())


def test_latents_of_another_model_are_refused() -> None:
    with pytest.raises(SpressoError, match="codes_mismatch"):
        quantizer(trained=False).encode(torch.zeros(3, 7))
    with pytest.raises(SpressoError, match="codes_mismatch"):
        quantizer(trained=False).encode(torch.zeros(3, 8), codebooks=5)


@pytest.mark.parametrize("change", [{"bits": 17}, {"codebooks": 0}, {"own_codebooks": 0}, {"own_codebooks": 11}])
def test_impossible_sizes_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"codebooks|quantizer"):
        QuantizerConfig(**change)
