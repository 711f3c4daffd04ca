"""Where convolutional codecs start from: as a block transform, in weights that pass on as much variance as they get.

Our own autoencoder starts as a lapped transform. From random weights a stack of thirty convolutions takes hours to pass
a waveform on at all, and a comparison of short trainings would then be one of starting points. So these start alike:
a few channels of each layer carry the Karhunen-Loeve transform of the sounds, stride by stride, and the decoder has its
transpose; the others are random and start small. Nothing is fixed: all of it is learned further.

ELU bends what is negative. A component h therefore travels as the pair (h, -h): (ELU(h) - ELU(-h)) / 2 is odd, and h
itself where that is small.

Axes: B clips, C channels, T time steps of a layer, N components, S steps of a stride, K kernel taps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spresso_assets.rivals.soundstream.model import ConvCodec
from spresso_assets.rivals.soundstream.seanet import Conv, Recurrent, Residual, UpConv, through

SCALE = 0.3  # of a component in the layers: small enough for ELU to leave alone
CARRIED = 3 / 8  # pairs of components per channel of a layer, at most: a quarter of the channels stays free
ASIDE = 0.01  # standard deviation of what a residual unit or a recurrent layer adds, relative to what passes it


@torch.no_grad()
def start_evenly(network: nn.Module) -> None:
    """Weights by which every convolution passes on as much variance as it gets; residual units add hardly any.

    torch's own start loses two thirds of it at each of some thirty layers: what a frame says would move the sound by
    one part in ten thousand, and a short training would be over before the decoder listens.
    """
    for layer in network.modules():
        if isinstance(layer, nn.GroupNorm):
            nn.init.constant_(layer.weight, SCALE)
        if not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            continue
        terms = layer.kernel_size[0] * layer.in_channels
        if isinstance(layer, nn.ConvTranspose1d):
            terms //= layer.stride[0]
        nn.init.normal_(layer.weight, 0.0, terms**-0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for module in network.modules():
        if isinstance(module, Residual):
            norm = module.narrow.norm
            (module.narrow.conv.weight if norm is None else norm.weight).mul_(ASIDE)
        elif isinstance(module, Recurrent):
            gates = getattr(module.lstm, f"bias_ih_l{module.lstm.num_layers - 1}")
            gates[-module.lstm.hidden_size :] = -4.0  # those of the output: nearly closed


@torch.no_grad()
def start_as_transform(model: ConvCodec, audio_BCT: Tensor) -> None:
    """Set all weights so that the decoder undoes what the encoder does, as far as ``dim`` numbers per frame allow.

    Args:
        audio_BCT: sounds whose strongest components are carried; a minute of them or so, T a multiple of the hop.
    """
    start_evenly(model)
    told_B = torch.zeros(len(audio_BCT), dtype=torch.bool, device=audio_BCT.device)
    bases = _start_encoder(model, audio_BCT)
    _start_decoder(model, bases)
    made_BCT = model.decoder(model.encoder(audio_BCT, told_B), told_B)
    final = _convolutions(model.decoder)[-1]
    assert isinstance(final, Conv)
    final.conv.weight *= (made_BCT * audio_BCT).sum() / made_BCT.square().sum().clamp_min(1e-9)


def _start_encoder(model: ConvCodec, audio_BCT: Tensor) -> list[Tensor]:
    """Of each layer that takes several steps into one, and of the last: its components, [N out, S, N in]."""
    bases: list[Tensor] = []
    carried, x_BCT = 0, audio_BCT
    layers = list(model.encoder.layers)
    for layer in layers:
        if not isinstance(layer, Conv):
            x_BCT = through([layer], x_BCT)
            continue
        stride, outer = layer.conv.stride[0], layer.conv.out_channels
        if layer is layers[0]:
            carried = model.cfg.channels
            scale = SCALE / max(float(audio_BCT.std()), 1e-6)
            basis_NSM = scale * torch.eye(carried, device=x_BCT.device)[:, None]
            _set_taps(layer, basis_NSM, paired=False)
        else:
            part_BNT = (x_BCT[:, :carried] - x_BCT[:, carried : 2 * carried]) / 2
            most = outer if layer is layers[-1] else int(CARRIED * outer)
            basis_NSM, rms = _strongest(part_BNT, stride, most)
            if layer is layers[-1]:
                frames_BDT = torch.einsum("nsm,bmt->bnt", basis_NSM, part_BNT)
                basis_NSM = basis_NSM / frames_BDT.std().clamp_min(1e-9)
            else:
                basis_NSM = basis_NSM * SCALE / rms
            _set_taps(layer, basis_NSM, pairs_out=layer is not layers[-1])
            bases.append(basis_NSM)
            carried = len(basis_NSM)
        x_BCT = through([layer], x_BCT)
    return bases


def _start_decoder(model: ConvCodec, bases: list[Tensor]) -> None:
    """The transposed bases, last first."""
    first, *ups = _convolutions(model.decoder)[:-1]
    final = _convolutions(model.decoder)[-1]
    assert isinstance(first, Conv) and isinstance(final, Conv)
    _set_taps(first, _inverse(bases[-1]).transpose(0, 2), paired=False)
    for up, basis_NSM in zip(ups, reversed(bases[:-1]), strict=True):
        assert isinstance(up, UpConv)
        count, stride, parts = basis_NSM.shape
        begin = 0 if up.causal else stride - stride // 2
        weight_ION = up.conv.weight
        weight_ION[:, : 2 * parts] = 0
        block_NMS = _inverse(basis_NSM).transpose(1, 2)
        for sign_in, at in ((0.5, 0), (-0.5, count)):
            for sign_out, to in ((1, 0), (-1, parts)):
                weight_ION[at : at + count, to : to + parts, begin : begin + stride] = sign_in * sign_out * block_NMS
    channels = model.cfg.channels
    _set_taps(final, torch.eye(channels, device=bases[0].device)[:, None], pairs_out=False)


def _convolutions(network: nn.Module) -> list[nn.Module]:
    """Those on the way through, not inside of residual units."""
    layers = network.layers
    assert isinstance(layers, nn.ModuleList)
    return [layer for layer in layers if isinstance(layer, Conv | UpConv)]


def _set_taps(layer: Conv, basis_NSM: Tensor, *, paired: bool = True, pairs_out: bool = True) -> None:
    """Let a convolution give components of the steps that belong to its output, and nothing else in their channels.

    Args:
        paired: its input carries pairs. pairs_out: its output does.
    """
    count, stride, parts = basis_NSM.shape
    taps = layer.conv.kernel_size[0]
    begin = taps - stride if layer.causal else (layer.reach - layer.reach // 2)
    weight_OIK = layer.conv.weight
    block_NMS = basis_NSM.transpose(1, 2)
    for sign_out, to in ((1.0, 0), (-1.0, count))[: 2 if pairs_out else 1]:
        weight_OIK[to : to + count] = 0
        for sign_in, at in ((0.5, 0), (-0.5, parts)) if paired else ((1.0, 0),):
            weight_OIK[to : to + count, at : at + parts, begin : begin + stride] = sign_out * sign_in * block_NMS


def _inverse(basis_NSM: Tensor) -> Tensor:
    """Of orthogonal components of one length: to be transposed."""
    return basis_NSM / basis_NSM.square().sum((1, 2), keepdim=True)


def _strongest(part_BNT: Tensor, stride: int, most: int) -> tuple[Tensor, float]:
    """The orthonormal components with the most energy of ``stride`` steps of all parts, [N, S, M]; the first's rms."""
    batch, parts, steps = part_BNT.shape
    blocks_XV = part_BNT.reshape(batch, parts, steps // stride, stride).permute(0, 2, 3, 1).flatten(0, 1).flatten(1)
    blocks_XV = blocks_XV.double()
    energy_V, vectors_VV = torch.linalg.eigh(blocks_XV.T @ blocks_XV / len(blocks_XV))
    chosen_NV = vectors_VV.flip(1)[:, :most].T
    return chosen_NV.reshape(-1, stride, parts).to(part_BNT.dtype), float(energy_V[-1].clamp_min(1e-12)) ** 0.5
