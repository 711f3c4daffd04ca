"""`entropy` for many short messages at once: the same model, the same coder, the same bytes, step by step together.

A short sound has few codes, and most of them are told without a candidate. Such steps are taken by all messages in one
stroke of numpy; only where candidates stand, each goes for itself. What `entropy` says with whole numbers of Python is
said here in 64 bits: an interval has 56 bits and frequencies of a table less than 32, so nothing overflows.

Axes: N messages, F latent frames, C coded channels, M codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from spresso_assets.codec.entropy import (
    BITS,
    CANDIDATES,
    FULL,
    LOW,
    RANK_LIMIT,
    RANK_STEP,
    Decoder,
    EntropyTables,
    piece,
    roundest,
)

__all__ = ["cut_many_codes", "decode_many_codes"]

Numbers = npt.NDArray[np.uint64]
Rows = slice | npt.NDArray[np.intp]
# What is known of the codes of earlier frames: symbol -> what came behind it, the latest last.
Node = dict[int, Any]
Branch = tuple[list[int], int]  # all symbols of a frame, and where those below begin
_LOW, _MASK, _TOP = np.uint64(LOW), np.uint64(FULL - 1), np.uint64(BITS - 8)
_EIGHT, _ONE = np.uint64(8), np.uint64(1)
_NUMBER = 8  # bytes


def decode_many_codes(
    messages: Sequence[bytes], frames: Sequence[int], channels: int, codebooks: int, tables: EntropyTables
) -> list[npt.NDArray[np.int32] | None]:
    """`entropy.decode_codes` of each [F, C, M]; None where that raises.

    Args:
        frames: F of each, not increasing.
    """
    coder = _Decoders(messages)
    codes = _walk(coder, tables, frames, channels, codebooks)
    return [codes[n, : frames[n]] if coder.finished(n) else None for n in range(len(messages))]


def cut_many_codes(
    messages: Sequence[bytes], frames: Sequence[int], channels: int, codebooks: int, kept: int, tables: EntropyTables
) -> list[tuple[bytes, npt.NDArray[np.int32]] | None]:
    """Of each message the one that says the first ``kept`` codes of every frame, and these codes [F, C, kept].

    One walk is enough: what stands before a code is the same in both messages, so each piece that the long one names
    is told to the short one as it is found.

    Args:
        frames: F of each, not increasing.
    """
    coder = _Cutters(messages, kept, max(frames, default=0) * channels * kept)
    codes = _walk(coder, tables, frames, channels, codebooks)
    return [
        (coder.short.finish(n), codes[n, : frames[n], :, :kept]) if coder.finished(n) else None
        for n in range(len(messages))
    ]


def _walk(
    coder: _Decoders, tables: EntropyTables, frames: Sequence[int], channels: int, codebooks: int
) -> npt.NDArray[np.int32]:
    """`entropy.walk` of many messages, the longest ones first: their codes [N, F, C, M]."""
    count = len(frames)
    codes = np.zeros((count, max(frames, default=0), channels, codebooks), np.int32)
    cumulative = tables.cumulative
    thresholds = [np.array(row, np.uint64) for row in cumulative[:codebooks]]
    offered = min(CANDIDATES, tables.entries - 1)
    trees: list[Node] = [{} for _ in range(count)]
    ranks: list[dict[tuple[int, int, int], list[int]]] = [{} for _ in range(count)]
    for frame in range(codes.shape[1]):
        active = sum(length > frame for length in frames)
        for channel in range(channels):
            leaves, known = list(trees[:active]), np.zeros(active, np.intp)
            if frame or channel:
                for n in range(active):
                    at = codes[n, frame, channel]
                    leaves[n], known[n] = _familiar(
                        coder, tables, n, channel, trees[n], ranks[n], cumulative, offered, at
                    )
            for m in range(int(known.min(initial=codebooks)), codebooks):
                behind = known <= m
                rows: Rows = slice(0, active) if behind.all() else np.flatnonzero(behind)
                codes[rows, frame, channel, m] = coder.draw(rows, m, thresholds[m])
            # what is never looked at again needs no tree
            staying = active if channel + 1 < channels else sum(length > frame + 1 for length in frames)
            told = codes[:staying, frame, channel].tolist()
            for node, skipped, symbols in zip(leaves, known.tolist(), told, strict=False):
                if skipped < codebooks:
                    node[symbols[skipped]] = (symbols, skipped + 1)
    return codes


def _familiar(
    coder: _Decoders,
    tables: EntropyTables,
    n: int,
    channel: int,
    node: Node,
    ranks: dict[tuple[int, int, int], list[int]],
    cumulative: list[list[int]],
    offered: int,
    codes_M: npt.NDArray[np.int32],
) -> tuple[Node, int]:
    """The codes of a frame of one message as long as candidates stand: where in the tree they end, and their number."""
    one, m = coder.one(n), 0
    while node and m < len(codes_M):
        candidates = list(islice(reversed(node), offered))
        count = len(candidates)
        weights = ranks.get((channel, m, count))
        if weights is None:
            weights = ranks[channel, m, count] = tables.ranks[m][count - 1].copy()
        rank = one.choose(m, weights, -1)
        weights[rank] += RANK_STEP
        if sum(weights) > RANK_LIMIT:
            weights[:] = [weight + 1 >> 1 for weight in weights]
        symbol = candidates[rank] if rank < count else one.draw(m, cumulative[m], sorted(candidates), -1)
        codes_M[m] = symbol
        node[symbol] = child = _opened(node.pop(symbol, None))
        node, m = child, m + 1
    coder.take_back(n, one)
    return node, m


def _opened(child: Node | Branch | None) -> Node:
    """The node below a symbol. A branch without forks lies there as its symbols until somebody comes back to it."""
    if isinstance(child, tuple):
        symbols, at = child
        return {symbols[at]: (symbols, at + 1)} if at < len(symbols) else {}
    return {} if child is None else child


class _Decoders:
    """`entropy`'s decoder, N of them."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self.messages = messages
        longest = max(map(len, messages), default=0)
        padded = np.zeros((len(messages), longest + 2 * _NUMBER), np.uint8)
        for n, message in enumerate(messages):
            padded[n, : len(message)] = np.frombuffer(message, np.uint8)
        # the eight bytes from every position on, as one number
        self.windows = np.zeros((len(messages), longest + _NUMBER), np.uint64)
        for k in range(_NUMBER):
            self.windows = self.windows << _EIGHT | padded[:, k : k + longest + _NUMBER]
        self.end = longest + _NUMBER - 1
        self.number = np.arange(len(messages))
        self.low = np.zeros(len(messages), np.uint64)
        self.range = np.full(len(messages), FULL, np.uint64)
        self.offset: Numbers = self.windows[:, 0] >> _EIGHT
        self.position = np.full(len(messages), BITS // 8, np.int64)

    def draw(self, rows: Rows, m: int, thresholds: Numbers) -> npt.NDArray[np.intp]:
        """An entry of codebook m for each of some messages, none of them excluded."""
        total = thresholds[-1]
        width, offset = self.range[rows], self.offset[rows]
        step = width // total
        target = np.minimum(offset // step, total - _ONE)
        symbols = np.searchsorted(thresholds, target, side="right") - 1
        start, stop = thresholds[symbols], thresholds[symbols + 1]
        self.tell(rows, m, start, stop, total)
        begin = step * start
        width = np.where(stop == total, width - begin, step * (stop - start))
        low, offset, position = self.low[rows] + begin, offset - begin, self.position[rows]
        shift = np.zeros(len(width), np.uint64)
        while (small := width <= _LOW).any():
            width = np.where(small, width << _EIGHT, width)
            shift += small * _EIGHT
        self.range[rows] = width
        self.low[rows] = low << shift & _MASK
        ahead = self.windows[self.number[rows], np.minimum(position, self.end)]
        self.offset[rows] = offset << shift | (ahead >> _ONE) >> (np.uint64(63) - shift)
        self.position[rows] = position + (shift >> np.uint64(3)).astype(np.int64)
        return symbols

    def tell(self, rows: Rows, m: int, start: Numbers, stop: Numbers, total: np.uint64) -> None:
        """Which pieces were found."""

    def one(self, n: int) -> Decoder:
        """The decoder of one message, to go on by itself until `take_back`."""
        return self._set(Decoder.__new__(Decoder), n)

    def _set(self, one: Decoder, n: int) -> Decoder:
        one.data, one.fill = self.messages[n], 0
        one.low, one.range = int(self.low[n]), int(self.range[n])
        one.offset, one.position = int(self.offset[n]), int(self.position[n])
        return one

    def take_back(self, n: int, one: Decoder) -> None:
        """Go on together from where one message stands."""
        self.low[n], self.range[n], self.offset[n], self.position[n] = one.low, one.range, one.offset, one.position

    def finished(self, n: int) -> bool:
        """Whether the encoder would have ended with just these bytes."""
        message, low = self.messages[n], int(self.low[n])
        whole = len(message) <= self.position[n] and not message.endswith(b"\0")
        return whole and int(self.offset[n]) == roundest(low, int(self.range[n])) - low


class _Cutters(_Decoders):
    """Decoders that tell encoders the pieces of the first ``kept`` codes of every frame."""

    def __init__(self, messages: Sequence[bytes], kept: int, most: int) -> None:
        super().__init__(messages)
        self.kept, self.short = kept, _Encoders(len(messages), most)

    def tell(self, rows: Rows, m: int, start: Numbers, stop: Numbers, total: np.uint64) -> None:
        """Which pieces were found."""
        if m < self.kept:
            self.short.narrow(rows, start, stop, total)

    def one(self, n: int) -> Decoder:
        """The decoder of one message, to go on by itself until `take_back`."""
        one = _Cutter.__new__(_Cutter)
        one.kept, one.short_low, one.short_range = self.kept, int(self.short.low[n]), int(self.short.range[n])
        one.digits = []
        return self._set(one, n)

    def take_back(self, n: int, one: Decoder) -> None:
        """Go on together from where one message stands."""
        super().take_back(n, one)
        assert isinstance(one, _Cutter)
        short = self.short
        short.low[n], short.range[n] = one.short_low, one.short_range
        if one.digits:
            size = int(short.size[n])
            short.digits[n, size : size + len(one.digits)] = one.digits
            short.size[n] = size + len(one.digits)


class _Cutter(Decoder):
    """A decoder that tells an encoder the pieces of the first ``kept`` codes of every frame."""

    kept: int
    short_low: int
    short_range: int
    digits: list[int]

    def narrow(self, m: int, start: int, weight: int, total: int) -> None:
        """Go on in the piece that a symbol of codebook m has."""
        super().narrow(m, start, weight, total)
        if m >= self.kept:
            return
        begin, width = piece(self.short_range, start, weight, total)
        low = self.short_low + begin
        while width <= LOW:
            self.digits.append(low >> BITS - 8)
            low, width = (low & LOW - 1) << 8, width << 8
        self.short_low, self.short_range = low, width


class _Encoders:
    """`entropy`'s encoder, N of them. Digits keep their carry until the end, where it runs through the bytes at once.

    Args:
        most: symbols of a message; each emits at most five bytes, as it may be the none of a rank and an entry.
    """

    def __init__(self, count: int, most: int) -> None:
        self.low = np.zeros(count, np.uint64)
        self.range = np.full(count, FULL, np.uint64)
        self.digits = np.zeros((count, 6 * most + _NUMBER), np.uint16)
        self.size = np.zeros(count, np.int64)
        self.number = np.arange(count)

    def narrow(self, rows: Rows, start: Numbers, stop: Numbers, total: np.uint64) -> None:
        """Go on in the pieces that symbols have."""
        width = self.range[rows]
        step = width // total
        begin = step * start
        low, width = self.low[rows] + begin, np.where(stop == total, width - begin, step * (stop - start))
        numbers, size = self.number[rows], self.size[rows]
        while (small := np.flatnonzero(width <= _LOW)).size:
            self.digits[numbers[small], size[small]] = low[small] >> _TOP
            low[small] = (low[small] & (_LOW - _ONE)) << _EIGHT
            width[small] <<= _EIGHT
            size[small] += 1
        self.low[rows], self.range[rows], self.size[rows] = low, width, size

    def finish(self, n: int) -> bytes:
        """The shortest string that, going on with zeros for ever, lies in the interval."""
        digits = self.digits[n, : self.size[n]]
        carries = int.from_bytes((digits >> 8).astype(np.uint8).tobytes(), "big") << 8
        number = int.from_bytes((digits & 255).astype(np.uint8).tobytes(), "big") + carries
        number = (number << BITS) + roundest(int(self.low[n]), int(self.range[n]))
        return number.to_bytes(len(digits) + BITS // 8, "big").rstrip(b"\0")
