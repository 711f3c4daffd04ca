"""Many streams at once: cut to fewer codebooks, or read and checked. What comes out is what `bitstream` makes of each.

A stream that cannot be cut is an answer of its own, never the end of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from spresso_assets.codec import bitstream
from spresso_assets.codec.bitstream_blocks import EntropyModel
from spresso_assets.errors import SpressoError


def cut_many(streams: Sequence[bytes], codebooks: int, model: EntropyModel | None) -> list[bytes | SpressoError]:
    """`bitstream.cut` of each; where that raises, the error."""
    results: list[bytes | SpressoError] = []
    for stream in streams:
        try:
            results.append(bitstream.cut(stream, codebooks, model))
        except SpressoError as error:
            results.append(error)
    return results
