"""SoundStream as a codec of files, and as one of streams: both run the same layers, one with a memory.

A stream of bytes holds one byte of gain, one of flags, and the codes of each channel, frame after frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from spresso_assets.codec.level import gain_steps, linear_gain
from spresso_assets.rivals.codes import pack_codes, unpack_codes
from spresso_assets.rivals.interface import Audio, Head, Point, bad_stream, nearest, pack, point_of, unpack
from spresso_assets.rivals.soundstream.config import NAME, SYSTEM
from spresso_assets.rivals.soundstream.model import ConvCodec, load_model
from spresso_assets.rivals.soundstream.seanet import Memory

BLOCK_FRAMES = 750  # frames at a time: long sounds stream through in blocks, which bounds memory
FRONT = 2

Scalar = TypeVar("Scalar", bound=np.generic)


class StreamEncoder:
    """Sound as it comes -> codes; frame by frame the same ones as for the whole sound."""

    def __init__(self, model: ConvCodec, codebooks: int, *, denoise: bool = False) -> None:
        self._model, self._codebooks, self._denoise = model, codebooks, denoise
        self._memory: Memory = {}
        self._rest_N = np.zeros(0, np.float32)

    def push(self, signal_N: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Any number of samples -> codes [T, M] of the frames that they complete; T may be 0."""
        signal_N = np.concatenate([self._rest_N, signal_N])
        whole = len(signal_N) // self._model.cfg.hop * self._model.cfg.hop
        self._rest_N = signal_N[whole:]
        if not whole:
            return np.zeros((0, self._codebooks), np.int64)
        audio_11N = torch.from_numpy(signal_N[None, None, :whole])
        codes_1TM = self._model.encode(audio_11N, self._codebooks, denoise=self._denoise, memory=self._memory)
        codes_TM: npt.NDArray[np.int64] = codes_1TM[0].numpy()
        return codes_TM


class StreamDecoder:
    """Codes as they come -> sound: `hop` samples for every frame, at once."""

    def __init__(self, model: ConvCodec, *, denoise: bool = False) -> None:
        self._model, self._denoise = model, denoise
        self._memory: Memory = {}

    def push(self, codes_TM: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Codes [T, M] -> T * hop samples."""
        if not len(codes_TM):
            return np.zeros(0, np.float32)
        codes_1TM = torch.from_numpy(np.ascontiguousarray(codes_TM))[None]
        signal_N: npt.NDArray[np.float32] = self._model.decode(codes_1TM, denoise=self._denoise, memory=self._memory)[
            0, 0
        ].numpy()
        return signal_N


class SoundStream:
    """Our SoundStream.

    Args:
        model: trained or not; must be causal and of one channel.
        denoise: ask the model to take noise away, where it was trained to.
    """

    name = NAME
    channels = (1,)

    def __init__(self, model: ConvCodec, *, denoise: bool = False) -> None:
        self.model, self.denoise = model, denoise
        self.sample_rate = model.cfg.sample_rate

    @classmethod
    def load(cls, folder: Path) -> SoundStream:
        """From a folder of weights.

        Raises:
            SpressoError: ``rival_missing``.
        """
        return cls(load_model(folder, NAME))

    def points(self) -> list[Point]:
        """One per number of codebooks on offer."""
        cfg = self.model.cfg
        return [Point(f"{NAME} {cfg.kbps(count):g} kbps", cfg.kbps(count)) for count in cfg.offered]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`; several channels are coded one after the other."""
        point, cfg = nearest(self.points(), kbps), self.model.cfg
        channels, samples = audio_CN.shape
        steps, frames = gain_steps(audio_CN), -(-samples // cfg.hop)
        levelled_CN = np.pad(audio_CN * np.float32(linear_gain(steps)), ((0, 0), (0, frames * cfg.hop - samples)))
        codes = [np.zeros((0, cfg.offered[point]), np.int64)]
        for signal_N in levelled_CN:
            stream = StreamEncoder(self.model, cfg.offered[point], denoise=self.denoise)
            codes += [stream.push(block) for block in _blocks(signal_N, BLOCK_FRAMES * cfg.hop)]
        body = bytes([steps & 0xFF, int(self.denoise)]) + pack_codes(np.concatenate(codes), cfg.bits)
        return pack(SYSTEM, Head(samples, channels, point), body)

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        head, body = unpack(data, SYSTEM, NAME)
        point_of(self.points(), head, NAME)
        cfg = self.model.cfg
        frames = -(-head.samples // cfg.hop)
        if len(body) < FRONT or body[1] > 1:
            raise bad_stream(NAME, "it holds another length than it says")
        codes_CTM = unpack_codes(body[FRONT:], (head.channels, frames, cfg.offered[head.point]), cfg.bits, NAME)
        gain = 1 / linear_gain(int.from_bytes(body[:1], "little", signed=True))
        signals = []
        for codes_TM in codes_CTM:
            stream = StreamDecoder(self.model, denoise=bool(body[1]))
            parts = [stream.push(block) for block in _blocks(codes_TM, BLOCK_FRAMES)]
            signals.append(np.concatenate([np.zeros(0, np.float32), *parts])[: head.samples])
        return np.stack(signals) * np.float32(gain)


def _blocks(values: npt.NDArray[Scalar], size: int) -> list[npt.NDArray[Scalar]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
