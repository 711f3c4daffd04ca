"""The Descript Audio Codec (Kumar et al. 2023) as transformers has it, with weights from a local folder or none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spresso_assets.rivals.codes import pack_codes, unpack_codes
from spresso_assets.rivals.encodec import load_pretrained
from spresso_assets.rivals.interface import Audio, Head, Point, as_long, nearest, pack, point_of, unpack

if TYPE_CHECKING:
    from transformers import DacConfig, DacModel

SYSTEM = 7
# The released 44.1 kHz model (arXiv:2306.06546, 4.3): 76 million parameters, 9 codebooks, 86 frames a second.
PUBLISHED_44K: dict[str, Any] = {
    "sampling_rate": 44_100, "encoder_hidden_size": 64, "downsampling_ratios": [2, 4, 8, 8],
    "decoder_hidden_size": 1536, "n_codebooks": 9, "codebook_size": 1024, "codebook_dim": 8,
}  # fmt: skip


class Dac:
    """A DAC model; several channels are coded one after the other.

    Args:
        model: on the processor, in evaluation mode; see `load` and `untrained`.
    """

    name = "dac"
    channels = (1, 2)

    def __init__(self, model: DacModel) -> None:
        self._model: Any = model
        self._config = model.config
        self.sample_rate: int = self._config.sampling_rate
        self._bits = int(math.log2(self._config.codebook_size))
        self._hop = int(np.prod(self._config.downsampling_ratios))

    @classmethod
    def load(cls, folder: Path) -> Dac:
        """A model from a folder in the form of transformers.

        Raises:
            SpressoError: ``rival_missing``.
        """
        return cls(load_pretrained("DacModel", folder, cls.name))

    @classmethod
    def untrained(cls, config: DacConfig) -> Dac:
        """A model of random weights: for speed, and for the code's own tests."""
        from transformers import DacModel

        return cls(DacModel(config).eval())

    def points(self) -> list[Point]:
        """One for every number of codebooks: quantizer dropout made each a rate of its own (3.3)."""
        rate = self.sample_rate / self._hop * self._bits / 1000
        return [
            Point(f"{self.name} {books * rate:.2f} kbps", books * rate)
            for books in range(1, self._config.n_codebooks + 1)
        ]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`."""
        import torch

        point = nearest(self.points(), kbps)
        channels, samples = audio_CN.shape
        head = Head(samples, channels, point)
        if not samples:
            return pack(SYSTEM, head, b"")
        padded_CN = np.pad(audio_CN, ((0, 0), (0, -samples % self._hop)))
        with torch.inference_mode():
            told = self._model.encode(torch.from_numpy(padded_CN)[:, None], n_quantizers=point + 1)
        return pack(SYSTEM, head, pack_codes(told.audio_codes.numpy(), self._bits))

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        import torch

        head, body = unpack(data, SYSTEM, self.name)
        point_of(self.points(), head, self.name)
        if not head.samples:
            return np.zeros((head.channels, 0), np.float32)
        shape = (head.channels, head.point + 1, -(-head.samples // self._hop))
        codes_CMF = unpack_codes(body, shape, self._bits, self.name)
        with torch.inference_mode():
            audio_CN: Audio = self._model.decode(audio_codes=torch.from_numpy(codes_CMF)).audio_values.numpy()
        return as_long(audio_CN.reshape(head.channels, -1), head.samples)
