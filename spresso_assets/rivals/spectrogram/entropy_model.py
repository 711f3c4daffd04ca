"""What decides the bits of the image codec, in whole numbers only: tables, and the hyper decoder of `exact`.

Tables are made once, when a bundle is written, and stored in it; from then on no float has a say.

Axes: M latent channels, H hyper channels, T and F frames and frequencies of the image at hand, S symbols.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spresso_assets.codec.entropy import Decoder, Encoder
from spresso_assets.rivals import exact
from spresso_assets.rivals.spectrogram.config import (
    HYPER_SHRINK,
    SCALE_START,
    SCALES,
    SURE,
    Z_LIMIT,
    SpectrogramConfig,
)
from spresso_assets.rivals.spectrogram.network import PLACES, ImageCodec, spread_of

TOTAL = 1 << 15  # about what the frequencies of a table sum up to
PREFIX = "exact."
Codes = npt.NDArray[np.int32]


def build_tables(network: ImageCodec) -> dict[str, Tensor]:
    """The tensors from which `EntropyModel` decides: whole weights of the hyper decoder, frequencies of symbols."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    decoder = network.hyper_decoder
    for name in ("one", "two", "three"):
        layer = getattr(decoder, name)
        tensors[f"{name}.weight"] = exact.whole_weights(layer.weight.detach().cpu().double().numpy())
        bias = layer.bias.detach().cpu().double().numpy().copy()
        if name == "three":
            bias[len(bias) // 2 :] += SCALE_START
        tensors[f"{name}.bias"] = exact.whole_bias(bias)
    tensors["place"] = np.rint(decoder.place_PF.detach().cpu().double().numpy() * exact.ONE).astype(np.int32)
    for scale in range(SURE + 1, SCALES):
        spread = float(spread_of(torch.tensor(float(scale), dtype=torch.float64)))
        reach = min(128, math.ceil(5 * spread) + 1)
        tensors[f"scale.{scale}"] = _frequencies(np.arange(-reach, reach + 1), 0.0, spread, logistic=False)
    z_mean = network.z_mean_HF.detach().cpu().double().numpy()
    z_spread = np.exp(network.z_spread_HF.detach().cpu().double().clamp(-3, 3).numpy())
    values = np.arange(-Z_LIMIT, Z_LIMIT + 1)
    tensors["z"] = np.stack(
        [
            np.stack([_frequencies(values, m, s, logistic=True) for m, s in zip(*row, strict=True)])
            for row in zip(z_mean, z_spread, strict=True)
        ]
    )
    return {PREFIX + name: torch.from_numpy(array) for name, array in tensors.items()}


def _frequencies(values_S: npt.NDArray[np.int64], mean: float, spread: float, *, logistic: bool) -> Codes:
    def below(x: float) -> float:
        x = (x - mean) / spread
        return 0.5 * (1 + math.tanh(x / 2)) if logistic else 0.5 * math.erfc(-x / math.sqrt(2))

    mass = np.array([below(v + 0.5) - below(v - 0.5) for v in values_S.tolist()])
    return 1 + np.floor(mass * TOTAL).astype(np.int32)


class Coded(NamedTuple):
    """An image as it is sent: symbols of latents, hyper-latents, and which table each symbol is coded by."""

    symbols_MTF: Codes
    z_HTF: Codes
    number_MTF: npt.NDArray[np.int64]


class EntropyModel:
    """Codes of images to bytes and back.

    Args:
        tensors: those of `build_tables`, with others beside them.
    """

    def __init__(self, cfg: SpectrogramConfig, tensors: dict[str, Tensor]) -> None:
        self.cfg = cfg
        own = {k[len(PREFIX) :]: t.numpy() for k, t in tensors.items() if k.startswith(PREFIX)}
        self.layers = [
            (own[f"{n}.weight"].astype(np.float64), own[f"{n}.bias"].astype(np.float64))
            for n in ("one", "two", "three")
        ]
        self.place_PF = own["place"].astype(np.float64)
        self.frequencies = {k: own[f"scale.{k}"] for k in range(SURE + 1, SCALES)}
        self.reach_K = np.array([0] * (SURE + 1) + [len(f) // 2 for f in self.frequencies.values()])
        self.z_HFS: Codes = own["z"]

    @cached_property
    def cumulative(self) -> dict[int, list[int]]:
        return {k: [0, *np.cumsum(f).tolist()] for k, f in self.frequencies.items()}

    @cached_property
    def z_cumulative(self) -> list[list[list[int]]]:
        return [[[0, *np.cumsum(f).tolist()] for f in row] for row in self.z_HFS]

    def predict(self, z_HTF: Codes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Means (exact multiples of 2^-10) and scale numbers [M, 4 T, 4 F] of the latents."""
        places = np.broadcast_to(self.place_PF[:, None], (PLACES, *z_HTF.shape[1:]))
        x = np.concatenate([z_HTF * exact.ONE, places])
        (w1, b1), (w2, b2), (w3, b3) = self.layers
        x = np.maximum(exact.conv3x3(exact.double(x), w1, b1), 0)
        x = np.maximum(exact.conv3x3(exact.double(x), w2, b2), 0)
        mean, scale = np.split(exact.conv3x3(x, w3, b3), 2)
        number = np.clip(np.floor(scale / exact.ONE + 0.5), 0, SCALES - 1).astype(np.int64)
        return mean / exact.ONE, number

    def coded(self, y_MTF: npt.NDArray[np.floating], z_HTF: Codes) -> Coded:
        """Latents as they can be sent: rounded differences to their means, zero where nothing is sent."""
        mean, number = self.predict(z_HTF)
        reach = self.reach_K[number]
        return Coded(np.clip(np.rint(y_MTF - mean), -reach, reach).astype(np.int32), z_HTF, number)

    def bits(self, image: Coded) -> float:
        """What `encode` will take, to within a few bits."""
        total = 0.0
        for scale in range(SURE + 1, SCALES):
            table = self.frequencies[scale]
            chosen = image.symbols_MTF[image.number_MTF == scale]
            total += len(chosen) * math.log2(table.sum()) - float(np.log2(table[chosen + len(table) // 2]).sum())
        row = np.arange(image.z_HTF.shape[2])
        for channel, table_FS in zip(image.z_HTF, self.z_HFS, strict=True):
            counts_TF = table_FS[row, channel + Z_LIMIT]
            total += float(np.log2(table_FS.sum(1)).sum()) * len(channel) - float(np.log2(counts_TF).sum())
        return total

    def encode(self, coder: Encoder, image: Coded) -> None:
        """Put an image into a stream."""
        nothing: list[int] = []
        for channel, tables in zip(image.z_HTF.tolist(), self.z_cumulative, strict=True):
            for frame in channel:
                for symbol, table in zip(frame, tables, strict=True):
                    coder.draw(0, table, nothing, symbol + Z_LIMIT)
        sent, cumulative = image.number_MTF > SURE, self.cumulative
        for symbol, scale in zip(image.symbols_MTF[sent].tolist(), image.number_MTF[sent].tolist(), strict=True):
            table = cumulative[scale]
            coder.draw(0, table, nothing, symbol + (len(table) - 1) // 2)

    def decode(self, coder: Decoder, frames: int) -> npt.NDArray[np.float64]:
        """Take an image of so many frames (a multiple of 64) out of a stream: latents [M, T / 16, F / 16]."""
        nothing: list[int] = []
        z = [
            [[coder.draw(0, table, nothing, 0) - Z_LIMIT for table in tables] for _ in range(frames // HYPER_SHRINK)]
            for tables in self.z_cumulative
        ]
        mean, number = self.predict(np.array(z, np.int32))
        sent = number > SURE
        cumulative = self.cumulative
        found = [
            coder.draw(0, table := cumulative[scale], nothing, 0) - (len(table) - 1) // 2
            for scale in number[sent].tolist()
        ]
        symbols = np.zeros(number.shape)
        symbols[sent] = found
        return symbols + mean
