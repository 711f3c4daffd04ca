"""Records in a stream's extension: what a reader may do without.

A record is a key and a value. Even keys are followed by a varint, odd ones by a length and so many bytes, so that a
reader steps over keys that it does not know.
"""

from __future__ import annotations

from spresso_assets.codec.bitstream_header import Reader, varint
from spresso_assets.errors import SpressoError

SEED = 2  # the variation that a decode gives when none is asked for


def seed_record(seed: int) -> bytes:
    """The record that stores a seed, 0 .. 2^42 - 1."""
    return varint(SEED) + varint(seed)


def stored_seed(extension: bytes) -> int | None:
    """The seed that an extension stores, None if it stores none or cannot be read."""
    reader = Reader(extension)
    try:
        while reader.position < len(extension):
            key = reader.varint()
            if key == SEED:
                return reader.varint()
            if key % 2:
                reader.take(reader.varint())
            else:
                reader.varint()
    except SpressoError:
        pass
    return None
