"""S-PRESSO itself behind the interface of its rivals: what it costs is a whole .spr stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spresso_assets.rivals.interface import Audio, Point

if TYPE_CHECKING:
    from spresso_assets.codec.codec import SPresso


class Spresso:
    """A loaded bundle at 48 kHz.

    Args:
        quality: of decoding.
        seed: of decoding.
        profiles: names, lowest rate first: where two have the same nominal rate, the name tells them apart.
    """

    name = "spresso"
    sample_rate = 48_000
    channels = (1, 2)

    def __init__(self, codec: SPresso, profiles: list[str], *, quality: str = "default", seed: int = 0) -> None:
        self._codec, self._quality, self._seed = codec, quality, seed
        self._points = sorted(
            (Point(f"spresso {name}", codec.operating_point(name).nominal_kbps()) for name in profiles),
            key=lambda point: point.kbps,
        )

    def points(self) -> list[Point]:
        """One per profile."""
        return self._points

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`."""
        point = min(self._points, key=lambda point: abs(point.kbps - kbps))
        return self._codec.encode(audio_CN, self.sample_rate, point.name.removeprefix("spresso "))

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`; raises what `SPresso.decode` raises."""
        return self.decode_take(data, 0)

    def decode_take(self, data: bytes, take: int) -> Audio:
        """The same code with one of the seeds after that of ``decode``, by which diversity is measured."""
        audio_CN, _ = self._codec.decode(data, seed=self._seed + take, quality=self._quality)
        return np.asarray(audio_CN, np.float32)
