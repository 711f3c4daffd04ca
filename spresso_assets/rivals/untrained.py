"""Systems at their published sizes with random weights: how fast they are can be measured without their weights.

What they make of sound is noise, and nobody should look at figures of it.
"""

from __future__ import annotations

from spresso_assets.rivals.interface import Audio, Codec, Point


class Untrained:
    """One operating point of a system, by which it is timed."""

    untrained = True

    def __init__(self, codec: Codec, kbps: float) -> None:
        self._codec = codec
        self.name = f"{codec.name}-untrained"
        self.sample_rate, self.channels = codec.sample_rate, codec.channels
        nearest = min(codec.points(), key=lambda point: abs(point.kbps - kbps))
        self._point = Point(f"{nearest.name} untrained", nearest.kbps)

    def points(self) -> list[Point]:
        """The one."""
        return [self._point]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`."""
        return self._codec.encode(audio_CN, self._point.kbps)

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        return self._codec.decode(data)


def encodec_48k() -> Untrained:
    """EnCodec for 48 kHz stereo at 12 kbit/s, its second highest rate.

    Raises:
        SpressoError: ``rival_missing`` without the package.
    """
    from spresso_assets.rivals.encodec import PUBLISHED_48K, EnCodec, transformers_part

    return Untrained(EnCodec.untrained(transformers_part("EncodecConfig", "encodec")(**PUBLISHED_48K)), 12.0)


def dac_44k() -> Untrained:
    """DAC for 44.1 kHz at 7.75 kbit/s, all of its nine codebooks.

    Raises:
        SpressoError: ``rival_missing`` without the package.
    """
    from spresso_assets.rivals.dac import PUBLISHED_44K, Dac
    from spresso_assets.rivals.encodec import transformers_part

    return Untrained(Dac.untrained(transformers_part("DacConfig", "dac")(**PUBLISHED_44K)), 7.75)
