"""Entropy coding of QINCo2 codes: an integer range coder and the model that drives it. No torch, no floats.

A range coder writes a message as one number. It starts with an interval, cuts it in proportion to the probabilities of
the next symbol, keeps the piece of the symbol that comes, and goes on inside that; likely symbols keep large pieces, so
naming a number in the last one takes few digits (Martin, "Range encoding", 1979). Encoder and decoder must cut exactly
alike, or everything after the first difference is noise. So every quantity here is an integer, and both sides walk
through the codes by the same function, `walk`.

The model has two parts. *Recency*: sounds come back to the same codes, in silence, in steady noise, from one channel
to the other. Codes of a frame are taken one after the other; where those of this frame so far have stood together
before, the codes that followed them then are candidates, the latest first, and which of them follows now (or none) is
coded by counts that adapt. They start from counts measured on training sounds, so that short files gain too.
*Novelty*: what is no candidate is coded by fixed frequencies, one table per codebook, also measured.

Equal first codes mean an equal reconstruction so far (`quantizer`), which is why what stood beside them before says so
much. And a code is told by the codes before it alone, so a prefix of every frame's codes is a message of its own.

Axes: F latent frames, C coded channels, M codebooks, K entries of a codebook, R ranks of a candidate.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["CANDIDATES", "Decoder", "Encoder", "EntropyTables", "decode_codes", "decode_prefix", "encode_codes", "walk"]

CANDIDATES = 8  # that are offered at most
RANK_TOTAL = 256  # sum of the counts that a rank starts from
RANK_STEP = 32  # what an occurrence adds to its count
RANK_LIMIT = 4096  # sum at which counts are halved: old occurrences fade

BITS = 56  # width of the coder's interval; two digits of a Python integer
FULL = 1 << BITS
LOW = 1 << BITS - 8  # an interval as small as this moves up by a byte


@dataclass(frozen=True)
class EntropyTables:
    """What the model knows before the first code of a stream, for one frame rate.

    Attributes:
        frequency_MK: uint16, at least 1 each: how often each entry of each codebook is a novelty.
        rank_MRR: uint16, [m, n - 1, r]: how often, of n candidates, the one of rank r follows (r = n: none of them).
            At least 1 for r <= n; what lies beyond is not looked at.
    """

    frequency_MK: npt.NDArray[np.uint16]
    rank_MRR: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        frequency_MK, rank_MRR = self.frequency_MK, self.rank_MRR
        codebooks = len(frequency_MK)
        if frequency_MK.dtype != np.uint16 or rank_MRR.dtype != np.uint16:
            raise ValueError("entropy tables must be of type uint16")
        if frequency_MK.ndim != 2 or rank_MRR.shape != (codebooks, CANDIDATES, CANDIDATES + 1) or not codebooks:
            raise ValueError(f"entropy tables of shapes {frequency_MK.shape} and {rank_MRR.shape} do not go together")
        if (
            frequency_MK.shape[1] < 2
            or frequency_MK.min() < 1
            or rank_MRR[:, *np.tril_indices(CANDIDATES, 1)].min() < 1
        ):
            raise ValueError("entropy tables must give every symbol a frequency of at least 1")

    @classmethod
    def even(cls, codebooks: int, entries: int) -> EntropyTables:
        """Tables that know nothing: every entry and every rank alike."""
        rank_MRR = np.full((codebooks, CANDIDATES, CANDIDATES + 1), RANK_TOTAL // (CANDIDATES + 1), np.uint16)
        return cls(np.ones((codebooks, entries), np.uint16), rank_MRR)

    @property
    def codebooks(self) -> int:
        """M; streams with fewer codebooks use the first tables."""
        return len(self.frequency_MK)

    @property
    def entries(self) -> int:
        """K."""
        return self.frequency_MK.shape[1]

    @cached_property
    def cumulative(self) -> list[list[int]]:
        """Of each codebook, where the piece of each entry starts; K + 1 numbers."""
        return [[0, *row] for row in np.cumsum(self.frequency_MK, 1, dtype=np.int64).tolist()]

    @cached_property
    def ranks(self) -> list[list[list[int]]]:
        """Counts [m][n - 1][r] to start from; copy a row before it adapts."""
        return [[row[: n + 2] for n, row in enumerate(rows)] for rows in self.rank_MRR.tolist()]


def encode_codes(codes_FCM: npt.NDArray[Any], tables: EntropyTables) -> bytes:
    """Codes [F, C, M], each in 0..K-1, M at most that of the tables, as the shortest byte string that says them."""
    coder = Encoder()
    walk(coder, tables, codes_FCM.shape, codes_FCM.tolist())
    return coder.finish()


def decode_codes(data: bytes, shape: tuple[int, int, int], tables: EntropyTables) -> npt.NDArray[np.int32]:
    """Inverse of `encode_codes`; `shape` is (F, C, M).

    Raises:
        ValueError: these bytes are not what `encode_codes` writes for any codes of this shape.
    """
    coder = Decoder(data)
    codes = walk(coder, tables, shape, None)
    if not coder.finished():
        raise ValueError("bytes that no encoder writes")
    return np.array(codes, np.int32).reshape(shape)


def decode_prefix(data: bytes, shape: tuple[int, int, int], tables: EntropyTables) -> npt.NDArray[np.int32]:
    """The whole frames [f <= F, C, M] that the first bytes of an encoded block settle.

    Whatever bytes follow, the number that they complete lies between the one that goes on with zeros and the one that
    goes on with 255s. Symbols are ordered as numbers are, so what these two agree on is certain.
    """
    low_FCM, high_FCM = (
        np.array(walk(Decoder(data, fill), tables, shape, None), np.int32).reshape(shape) for fill in (0, 255)
    )
    open_F = (low_FCM != high_FCM).any((1, 2))
    return low_FCM[: int(open_F.argmax()) if open_F.any() else shape[0]]


class Coder(Protocol):
    """What `walk` takes codes through. An encoder is told each symbol and returns it; a decoder finds it out."""

    def choose(self, m: int, weights: list[int], wanted: int) -> int:
        """One of a few weights of codebook m: the rank of a candidate, or their number for none of them."""
        ...

    def draw(self, m: int, cumulative: list[int], excluded: list[int], wanted: int) -> int:
        """An entry of codebook m, known to be none of `excluded`."""
        ...


def walk(coder: Coder, tables: EntropyTables, shape: tuple[int, ...], codes: list[Any] | None) -> list[int]:
    """Take codes through a coder in order of time; the one place where the model is spelled out.

    Args:
        coder: see `Coder`.
        tables: what is known before.
        shape: (F, C, M) of the codes.
        codes: them as nested lists, or None if the coder is to find them out.

    Returns:
        All codes as one list.
    """
    frames, channels, codebooks = shape
    fresh = tables.ranks
    ranks: list[dict[tuple[int, int], list[int]]] = [{} for _ in range(channels)]  # as they adapt, by m and count
    cumulative = tables.cumulative
    choose, draw = coder.choose, coder.draw
    offered = min(CANDIDATES, tables.entries - 1)  # one entry stays for "none of them"
    prefixes: dict[int, Any] = {}  # a tree; the children of a node are the codes that followed its path, latest last
    nothing: list[int] = []
    done: list[int] = []
    for frame in range(frames):
        for channel in range(channels):
            wanted = codes[frame][channel] if codes is not None else None
            node = prefixes
            for m in range(codebooks):
                symbol = wanted[m] if wanted is not None else -1
                if not node:  # nothing has stood here before: as it is with most codes of most sounds
                    symbol = draw(m, cumulative[m], nothing, symbol)
                    done.append(symbol)
                    node[symbol] = node = {}
                    continue
                candidates = list(islice(reversed(node), offered))
                count = len(candidates)
                weights = ranks[channel].get((m, count))
                if weights is None:
                    weights = ranks[channel][m, count] = fresh[m][count - 1].copy()
                rank = choose(m, weights, candidates.index(symbol) if symbol in candidates else count)
                weights[rank] += RANK_STEP
                if sum(weights) > RANK_LIMIT:
                    weights[:] = [weight + 1 >> 1 for weight in weights]
                symbol = candidates[rank] if rank < count else draw(m, cumulative[m], sorted(candidates), symbol)
                done.append(symbol)
                child = node.pop(symbol, None)  # and back in as the latest
                node[symbol] = child = {} if child is None else child
                node = child
    return done


class Encoder:
    """Symbols to bytes. The interval is [low, low + range) behind the bytes that are out already."""

    def __init__(self) -> None:
        self.low, self.range = 0, FULL
        self.out = bytearray()

    def choose(self, m: int, weights: list[int], wanted: int) -> int:
        self._narrow(sum(weights[:wanted]), weights[wanted], sum(weights))
        return wanted

    def draw(self, m: int, cumulative: list[int], excluded: list[int], wanted: int) -> int:
        start, total = cumulative[wanted], cumulative[-1]
        for other in excluded:
            weight = cumulative[other + 1] - cumulative[other]
            total -= weight
            if other < wanted:
                start -= weight
        self._narrow(start, cumulative[wanted + 1] - cumulative[wanted], total)
        return wanted

    def _narrow(self, start: int, weight: int, total: int) -> None:
        low, width = piece(self.range, start, weight, total)
        low += self.low
        while width <= LOW:
            self._emit(low >> BITS - 8)
            low = (low & LOW - 1) << 8
            width <<= 8
        self.low, self.range = low, width

    def _emit(self, byte: int) -> None:
        if byte > 255:  # carry into the bytes before
            at = len(self.out) - 1
            while self.out[at] == 255:
                self.out[at] = 0
                at -= 1
            self.out[at] += 1
        self.out.append(byte & 255)

    def finish(self) -> bytes:
        """The shortest string that, going on with zeros for ever, lies in the interval."""
        number = roundest(self.low, self.range)
        for shift in range(BITS - 8, -1, -8):
            self._emit(number >> shift if shift == BITS - 8 else number >> shift & 255)
        return bytes(self.out.rstrip(b"\0"))


class Decoder:
    """Bytes to symbols. `offset` is the message less the lower end of the interval."""

    def __init__(self, data: bytes, fill: int = 0) -> None:
        self.data, self.fill = data, fill
        self.low, self.range, self.offset, self.position = 0, FULL, 0, 0
        for _ in range(BITS // 8):
            self._shift()

    def _shift(self) -> None:
        byte = self.data[self.position] if self.position < len(self.data) else self.fill
        self.offset = self.offset << 8 | byte
        self.position += 1

    def choose(self, m: int, weights: list[int], wanted: int) -> int:
        """See `Coder`."""
        total = sum(weights)
        target = min(self.offset // (self.range // total), total - 1)
        start, index = 0, 0
        while start + weights[index] <= target:
            start += weights[index]
            index += 1
        self.narrow(m, start, weights[index], total)
        return index

    def draw(self, m: int, cumulative: list[int], excluded: list[int], wanted: int) -> int:
        """See `Coder`."""
        total, hidden = cumulative[-1], 0
        for other in excluded:
            total -= cumulative[other + 1] - cumulative[other]
        target = min(self.offset // (self.range // total), total - 1)
        for other in excluded:
            if cumulative[other] > target + hidden:
                break
            hidden += cumulative[other + 1] - cumulative[other]
        symbol = bisect_right(cumulative, target + hidden) - 1
        start = cumulative[symbol]
        self.narrow(m, start - hidden, cumulative[symbol + 1] - start, total)
        return symbol

    def narrow(self, m: int, start: int, weight: int, total: int) -> None:
        """Go on in the piece that a symbol of codebook m has."""
        start, self.range = piece(self.range, start, weight, total)
        self.low += start
        self.offset -= start
        while self.range <= LOW:
            self.low = (self.low & LOW - 1) << 8
            self.range <<= 8
            self._shift()

    def finished(self) -> bool:
        """Whether the encoder would have ended with just these bytes."""
        whole = len(self.data) <= self.position and not self.data.endswith(b"\0")
        return whole and self.offset == roundest(self.low, self.range) - self.low


def piece(width: int, start: int, weight: int, total: int) -> tuple[int, int]:
    """Where in an interval the piece start/total .. (start + weight)/total begins, and its width.

    The last piece takes what the division leaves: every number then belongs to a symbol, and any bytes decode.
    """
    step = width // total
    begin = step * start
    return begin, width - begin if start + weight == total else step * weight


def roundest(low: int, width: int) -> int:
    """The smallest of those numbers in [low, low + width) that have most zero bytes at their end."""
    for shift in range(BITS, -1, -8):
        number = -(-low >> shift) << shift
        if number < low + width:
            return number
    raise AssertionError("an interval is never empty")
