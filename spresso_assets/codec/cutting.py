"""Many streams cut to fewer codebooks at once. What comes out is, byte for byte, what `bitstream.cut` makes of each.

A stream that cannot be cut is an answer of its own, never the end of the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spresso_assets.codec import bitstream
from spresso_assets.codec.bitstream_blocks import EntropyModel, spans, tables_for
from spresso_assets.codec.bitstream_header import SprHeader, parse_header
from spresso_assets.codec.bitstream_payload import by_channel
from spresso_assets.codec.entropy import EntropyTables
from spresso_assets.codec.entropy_many import cut_many_codes, decode_many_codes
from spresso_assets.errors import SpressoError

# Fewer messages than this are quicker one by one.
TOGETHER = 16


@dataclass(frozen=True)
class _Short:
    """A coded stream of one block, its check verified."""

    at: int
    stream: bytes
    header: SprHeader
    frames: int
    start: int  # of its codes
    end: int

    @property
    def message(self) -> bytes:
        return self.stream[self.start : self.end]


def cut_many(streams: Sequence[bytes], codebooks: int, model: EntropyModel | None) -> list[bytes | SpressoError]:
    """`bitstream.cut` of each; where that raises, the error.

    Every stream that is returned was read again, and holds the very codes that were kept.
    """
    results: list[bytes | SpressoError | None] = [None] * len(streams)
    groups: defaultdict[tuple[int, ...], list[_Short]] = defaultdict(list)
    for at, stream in enumerate(streams):
        if (short := _short(at, stream, codebooks, model)) is not None:
            header = short.header
            groups[header.pool, header.codebooks or 0, header.bits or 0, header.coded_channels].append(short)
    for group in groups.values():
        group.sort(key=lambda short: short.frames, reverse=True)
        # where few are as long as this, their steps are no longer taken together
        group = group[_few_are_longer(group) :]
        if len(group) >= TOGETHER:
            _cut_group(group, codebooks, model, results)
    return [_cut_one(stream, codebooks, model) if done is None else done
            for stream, done in zip(streams, results, strict=True)]  # fmt: skip


def _few_are_longer(group: Sequence[_Short]) -> int:
    """How many of the longest streams stand too much alone at their end to be taken together with the others."""
    if len(group) < TOGETHER:
        return len(group)
    usual = group[TOGETHER - 1].frames
    return sum(short.frames > usual for short in group)


def _short(at: int, stream: bytes, codebooks: int, model: EntropyModel | None) -> _Short | None:
    """None if there is anything special about a stream, or wrong with it."""
    try:
        header, side_start = parse_header(stream)
    except SpressoError:
        return None
    tables = tables_for(header, model)
    start, end = side_start + header.side_bytes, bitstream.end_of_codes(stream)
    usual = (
        header.coded
        and tables is not None
        and header.codebooks is not None
        and 1 <= codebooks <= header.codebooks
        and len(spans(header)) == 1
        and start <= end < start + header.payload_bytes
        and bitstream.is_whole(stream, end)
        and bitstream.is_padded(header, stream[side_start:start])
    )
    return _Short(at, stream, header, header.frames, start, end) if usual else None


def _cut_group(
    group: Sequence[_Short], kept: int, model: EntropyModel | None, results: list[bytes | SpressoError | None]
) -> None:
    head = group[0].header
    tables = tables_for(head, model)
    assert tables is not None and head.codebooks is not None
    frames = [short.frames for short in group]
    messages = [short.message for short in group]
    found = cut_many_codes(messages, frames, head.coded_channels, head.codebooks, kept, tables)
    coded: list[tuple[_Short, bytes, np.ndarray]] = []
    for short, made in zip(group, found, strict=True):
        if made is None:
            continue  # `bitstream.cut` says what is wrong
        message, codes_FCM = made
        if 8 * len(message) < short.frames * head.frame_bits // head.codebooks * kept:
            coded.append((short, message, codes_FCM))
            continue
        header = replace(short.header, codebooks=kept)
        side = short.stream[short.start - header.side_bytes : short.start]
        plain = bitstream.pack(header, by_channel(codes_FCM), side)
        if np.array_equal(bitstream.unpack(plain)[1], by_channel(codes_FCM)):
            results[short.at] = plain
    _keep_what_reads_back(coded, kept, tables, results)


def _keep_what_reads_back(
    coded: Sequence[tuple[_Short, bytes, np.ndarray]],
    kept: int,
    tables: EntropyTables,
    results: list[bytes | SpressoError | None],
) -> None:
    if not coded:
        return
    frames = [short.frames for short, _, _ in coded]
    channels = coded[0][0].header.coded_channels
    again = decode_many_codes([message for _, message, _ in coded], frames, channels, kept, tables)
    for (short, message, codes_FCM), read_FCM in zip(coded, again, strict=True):
        if read_FCM is not None and np.array_equal(codes_FCM, read_FCM):
            head = bytearray(short.stream[: short.start])
            head[8] = head[8] & 0xE0 | kept  # all that the two headers differ in
            results[short.at] = bitstream.checked(bytes(head) + message)


def _cut_one(stream: bytes, codebooks: int, model: EntropyModel | None) -> bytes | SpressoError:
    try:
        made = bitstream.cut(stream, codebooks, model)
        bitstream.unpack(made, model)
    except SpressoError as error:
        return error
    return made
