"""EnCodec (Defossez et al. 2022) as transformers has it, with weights from a local folder or none.

At 48 kHz it hears stereo in windows of a second, each brought to the same level; at 24 kHz one channel as a whole. A
stream holds the codes of each window, 10 bits each, and the window's level as a 16-bit float.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.rivals.codes import pack_codes, unpack_codes
from spresso_assets.rivals.interface import Audio, Head, Point, as_long, bad_stream, nearest, pack, point_of, unpack

if TYPE_CHECKING:
    from transformers import EncodecConfig, EncodecModel

SYSTEM = 6
# The released 48 kHz model (arXiv:2210.13438, 3.2 and 4): what its weights are made for.
PUBLISHED_48K: dict[str, Any] = {
    "target_bandwidths": [3.0, 6.0, 12.0, 24.0], "sampling_rate": 48_000, "audio_channels": 2, "normalize": True,
    "chunk_length_s": 1.0, "overlap": 0.01, "num_filters": 32, "hidden_size": 128, "upsampling_ratios": [8, 5, 4, 2],
    "codebook_size": 1024, "codebook_dim": 128, "use_causal_conv": False, "norm_type": "time_group_norm",
}  # fmt: skip


class EnCodec:
    """An EnCodec model.

    Args:
        model: on the processor, in evaluation mode; see `load` and `untrained`.
    """

    name = "encodec"

    def __init__(self, model: EncodecModel) -> None:
        self._model: Any = model
        self._config = model.config
        self.sample_rate: int = self._config.sampling_rate
        self.channels = (self._config.audio_channels,)
        self._bits = int(math.log2(self._config.codebook_size))

    @classmethod
    def load(cls, folder: Path) -> EnCodec:
        """A model from a folder in the form of transformers.

        Raises:
            SpressoError: ``rival_missing``.
        """
        model = load_pretrained("EncodecModel", folder, cls.name)
        return cls(model)

    @classmethod
    def untrained(cls, config: EncodecConfig) -> EnCodec:
        """A model of random weights: for speed, and for the code's own tests."""
        from torch import nn
        from transformers import EncodecModel

        model = EncodecModel(config).eval()
        for layer in model.quantizer.layers:
            nn.init.normal_(layer.codebook.embed)  # transformers begins with zeros, of which all codes are the same
        return cls(model)

    def points(self) -> list[Point]:
        """The bandwidths that the model was made for."""
        return [Point(f"{self.name} {kbps:g} kbps", kbps) for kbps in self._config.target_bandwidths]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`."""
        import torch

        points = self.points()
        point = nearest(points, kbps)
        channels, samples = audio_CN.shape
        if channels != self.channels[0]:
            raise ValueError(f"{self.name} codes {self.channels[0]} channels, not {channels}")
        head = Head(samples, channels, point)
        if not samples:
            return pack(SYSTEM, head, b"")
        with torch.inference_mode():
            heard = torch.from_numpy(np.ascontiguousarray(audio_CN))[None]
            told = self._model.encode(heard, torch.ones_like(heard, dtype=torch.bool), bandwidth=points[point].kbps)
        windows = self._windows(samples)
        codes = [
            codes_MF[:, :frames].reshape(-1)
            for codes_MF, frames in zip(told.audio_codes[:, 0].numpy(), windows, strict=True)
        ]
        levels = np.array(told.audio_scales if self._config.normalize else [], "<f2")
        return pack(SYSTEM, head, levels.tobytes() + pack_codes(np.concatenate(codes), self._bits))

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        import torch

        head, body = unpack(data, SYSTEM, self.name)
        point = point_of(self.points(), head, self.name)
        if head.channels != self.channels[0]:
            raise bad_stream(self.name, "it has another number of channels than the model")
        if not head.samples:
            return np.zeros((head.channels, 0), np.float32)
        windows = self._windows(head.samples)
        books = round(point.kbps * 1000 / (self._config.frame_rate * self._bits))
        levels = np.dtype("<f2").itemsize * len(windows) if self._config.normalize else 0
        codes = unpack_codes(body[levels:], (books * sum(windows),), self._bits, self.name)
        codes_WMF = np.zeros((len(windows), books, windows[0]), np.int64)
        for window_MF, frames in zip(codes_WMF, windows, strict=True):
            window_MF[:, :frames], codes = codes[: books * frames].reshape(books, frames), codes[books * frames :]
        scales: list[Any] = [None] * len(windows)
        if levels:
            known = np.frombuffer(body[:levels], "<f2").astype(np.float32)
            if not np.isfinite(known).all():
                raise bad_stream(self.name, "its levels are not finite")
            scales = [torch.tensor([[value]]) for value in known]
        with torch.inference_mode():
            decoded = self._model.decode(
                torch.from_numpy(codes_WMF)[:, None], scales, last_frame_pad_length=windows[0] - windows[-1]
            )
        audio_CN: Audio = decoded.audio_values[0].numpy()
        return as_long(audio_CN, head.samples)

    def _windows(self, samples: int) -> list[int]:
        """Frames of each window of a sound."""
        length, stride = self._config.chunk_length or samples, self._config.chunk_stride or samples
        starts = range(0, samples, stride)
        return [-(-min(length, samples - start) // self._config.hop_length) for start in starts]


def transformers_part(part: str, name: str) -> Any:
    """A class of transformers.

    Raises:
        SpressoError: ``rival_missing`` without the package.
    """
    try:
        import transformers
    except ImportError as error:
        raise SpressoError(
            f"'{name}' needs the package transformers",
            code="rival_missing",
            hint="Install it: pip install 'spresso-assets[rivals]'.",
            exit_code=ExitCode.MODEL_MISSING,
        ) from error
    return getattr(transformers, part)


def load_pretrained(model: str, folder: Path, name: str) -> Any:
    """A model of transformers from a local folder, nothing fetched, weights as safetensors only.

    Raises:
        SpressoError: ``rival_missing``.
    """
    kind = transformers_part(model, name)
    try:
        return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        raise SpressoError(
            f"{folder} holds no {model} with safetensors weights",
            code="rival_missing",
            hint=f"Save one there with save_pretrained, and name it: --weights {name}=FOLDER.",
            exit_code=ExitCode.MODEL_MISSING,
        ) from error
