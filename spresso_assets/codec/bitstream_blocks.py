"""The payload of a coded .spr stream: blocks of entropy-coded frames.

Each block is coded for itself, so that damage stays where it is. All but the last state their length and carry a check;
the last one, mostly the only one, ends where the stream's own check begins and costs nothing.

Axes: F latent frames, C coded channels, M codebooks.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spresso_assets.codec.bitstream_errors import corrupt
from spresso_assets.codec.bitstream_header import Reader, SprHeader, varint
from spresso_assets.codec.entropy import EntropyTables, decode_codes, decode_prefix, encode_codes
from spresso_assets.errors import ExitCode, SpressoError

EntropyModel = Mapping[int, EntropyTables]  # by t, autoencoder frames (100 Hz) per latent frame

_BLOCK_BITS = 8 * 8192  # of plain codes: 26 s at 2.5 kbit/s, eleven minutes at 0.096


def write_blocks(header: SprHeader, codes_FCM: npt.NDArray[Any], model: EntropyModel | None) -> bytes | None:
    """Codes as blocks; None if the model has no tables for them."""
    tables = tables_for(header, model)
    if tables is None or not len(codes_FCM):
        return None
    *others, last = (encode_codes(codes_FCM[start:stop], tables) for start, stop in spans(header))
    return b"".join(varint(len(block)) + block + _check(block) for block in others) + last


def read_blocks(header: SprHeader, data: bytes, model: EntropyModel | None) -> npt.NDArray[np.int32]:
    """Codes [F, C, M] back from the whole payload.

    Raises:
        SpressoError: `spr_needs_model`, `spr_truncated` or `spr_corrupt`.
    """
    tables, reader, parts = _needed(header, model), Reader(data, place="codes"), []
    for start, stop in spans(header):
        block = _block(reader, header, start, stop)
        try:
            parts.append(decode_codes(block, _shape(header, start, stop), tables))
        except ValueError as e:
            raise corrupt(f"{_lasting(header, start, stop)} is coded in {e}") from e
    return np.concatenate(parts)


def read_first_blocks(header: SprHeader, data: bytes, model: EntropyModel | None) -> npt.NDArray[np.int32]:
    """Codes [f <= F, C, M] of the whole frames that the first bytes of the payload settle. Raises as `read_blocks`."""
    tables, reader, parts = _needed(header, model), Reader(data, place="codes"), []
    for start, stop in spans(header):
        begun = reader.position
        try:
            block, arrived = _block(reader, header, start, stop), stop < header.frames
        except SpressoError as error:
            if error.code != "spr_truncated":
                raise
            block, arrived = _begun(data[begun:]), False
        if not arrived:
            parts.append(decode_prefix(block, _shape(header, start, stop), tables))
            break
        parts.append(decode_codes(block, _shape(header, start, stop), tables))
    return np.concatenate(parts)


def damage(header: SprHeader, data: bytes) -> SpressoError:
    """What to say of a payload that the stream's own check rejects: the first part of the sound that is hit."""
    reader = Reader(data, place="codes")
    try:
        for start, stop in spans(header):
            _block(reader, header, start, stop)
    except SpressoError as error:
        return error
    return corrupt("the check at its end does not match, or its end is missing")


def spans(header: SprHeader) -> list[tuple[int, int]]:
    """First frame and frame after the last of each block."""
    frames = max(1, _BLOCK_BITS // header.frame_bits)
    return [(start, min(header.frames, start + frames)) for start in range(0, header.frames, frames)]


def _block(reader: Reader, header: SprHeader, start: int, stop: int) -> bytes:
    """The next block, its check verified; the last one is all that is left."""
    if stop == header.frames:
        return reader.take(len(reader.data) - reader.position)
    block = reader.take(reader.varint())
    if reader.take(2) != _check(block):
        raise corrupt(f"the check of {_lasting(header, start, stop)} does not match")
    return block


def _begun(data: bytes) -> bytes:
    """What has arrived of a block that is not the last."""
    reader = Reader(data)
    try:
        size = reader.varint()
    except SpressoError:
        return b""
    return data[reader.position : reader.position + size]


def _shape(header: SprHeader, start: int, stop: int) -> tuple[int, int, int]:
    return stop - start, header.coded_channels, header.codebooks or 0


def _lasting(header: SprHeader, start: int, stop: int) -> str:
    return f"what sounds from {start * header.pool / 100:.2f} s to {stop * header.pool / 100:.2f} s"


def _check(block: bytes) -> bytes:
    return crc_hqx(block, 0xFFFF).to_bytes(2, "little")


def tables_for(header: SprHeader, model: EntropyModel | None) -> EntropyTables | None:
    """The model's tables if they cover these codes."""
    tables = model.get(header.pool) if model else None
    if tables is None or header.codebooks is None or header.bits is None:
        return None
    return tables if header.codebooks <= tables.codebooks and 1 << header.bits == tables.entries else None


def _needed(header: SprHeader, model: EntropyModel | None) -> EntropyTables:
    tables = tables_for(header, model)
    if tables is None:
        raise SpressoError(
            f"the codes of this stream are entropy-coded with tables of model {header.model_id}, which are not at hand",
            code="spr_needs_model",
            hint="Open it with the bundle that encoded it: 'spresso models list'",
            exit_code=ExitCode.MODEL_MISSING,
        )
    return tables
