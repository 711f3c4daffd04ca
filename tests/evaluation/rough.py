"""Systems small enough for tests: one coarse, one that varies, one that breaks."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.sounds import Sound
from spresso_assets.evaluation.systems import Audio


@dataclass(frozen=True)
class RoughPoint:
    name: str
    kbps: float


class Rough:
    """PCM of few bits: more of them at the higher rate."""

    channels = (1,)

    def __init__(self, name: str = "rough", sample_rate: int = 24_000) -> None:
        self.name, self.sample_rate = name, sample_rate
        self.encoded = 0

    def points(self) -> list[RoughPoint]:
        return [RoughPoint(f"{self.name} 8 bit", 192.0), RoughPoint(f"{self.name} 3 bit", 72.0)]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        self.encoded += 1
        bits = 8 if kbps > 100 else 3
        steps = np.clip(np.round(audio_CN[0] * 2 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return struct.pack("<B", bits) + steps.astype(np.int8).tobytes()

    def decode(self, data: bytes) -> Audio:
        return (np.frombuffer(data[1:], np.int8) / np.float32(2 ** (data[0] - 1)))[None].astype(np.float32)


class Varying(Rough):
    """Adds another noise for every take."""

    def decode(self, data: bytes) -> Audio:
        return self.decode_take(data, 0)

    def decode_take(self, data: bytes, take: int) -> Audio:
        x_CN = super().decode(data)
        return x_CN + (0.01 * np.random.default_rng(take).standard_normal(x_CN.shape)).astype(np.float32)


class Broken(Rough):
    """Fails on the first sound that it is given twice as long as half a second, and shortens others."""

    def decode(self, data: bytes) -> Audio:
        return super().decode(data)[:, :-1]

    def points(self) -> list[RoughPoint]:
        return super().points()[:1]


class Refusing(Broken):
    """Says no."""

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        raise SpressoError("this sound is not to its taste", code="refused")


def sound(name: str, seconds: float = 0.6, rate: int = 24_000, channels: int = 1) -> Sound:
    """Noise of a colour and a decay of its own."""
    rng = np.random.default_rng(sum(name.encode()))
    fall = np.exp(-np.arange(round(seconds * rate)) / (rng.uniform(0.05, 0.3) * rate))
    kernel = np.ones(rng.integers(1, 12)) / 4
    audio_CN = [np.convolve(rng.standard_normal(len(fall)), kernel, "same") * fall for _ in range(channels)]
    return name, (0.2 * np.stack(audio_CN)).astype(np.float32), rate


def sounds(count: int = 9) -> list[Sound]:
    return [sound(f"sound {n}", channels=1 + n % 2) for n in range(count)]
