"""Records brought together: one row per point, with the spread of every metric."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spresso_assets.evaluation.embedding import (
    DIMENSIONS,
    Embedding,
    Whitening,
    frechet_distance,
    kernel_distance,
)
from spresso_assets.evaluation.metrics import METRICS
from spresso_assets.evaluation.points import CODEC, REFERENCE_QUALITY, Point
from spresso_assets.evaluation.records import Record, key_of, unpacked
from spresso_assets.evaluation.stored import read_stored

SCHEMA = 1
SOURCE = "source"  # records that hold a source's own embedding
FEWEST_FOR_DISTRIBUTIONS = 8  # sounds; fewer say nothing about a distribution


@dataclass(frozen=True)
class Spread:
    """A metric over the sounds on which it is defined; ``worst`` is the tenth percentile from its bad end."""

    mean: float
    median: float
    worst: float
    count: int


@dataclass(frozen=True)
class Row:
    """One point.

    Attributes:
        sounds: how many were measured.
        seconds: their length together.
        evaluations: of the denoiser, per decode.
        kbps: true bit rate, containers included: all bytes over all seconds.
        encode_speed, decode_speed: seconds of sound per second of wall time; ``_cpu``: per second of processor time.
        metrics: by name, see `metrics.METRICS`.
        to_paper: mel distance to what Heun-64 makes of the same code and seed.
        diversity: mel distance between takes.
        frechet, kernel: distances of the whitened hand-made embedding, see `embedding`.
    """

    method: str
    profile: str
    quality: str
    sounds: int
    seconds: float
    metrics: dict[str, Spread]
    evaluations: int | None = None
    kbps: float | None = None
    encode_speed: float | None = None
    encode_speed_cpu: float | None = None
    decode_speed: float | None = None
    decode_speed_cpu: float | None = None
    to_paper: Spread | None = None
    diversity: Spread | None = None
    frechet: float | None = None
    kernel: float | None = None


@dataclass(frozen=True)
class Summary:
    """All rows of a measurement, and the conditions under which they are comparable.

    Attributes:
        rows: every point, on all sounds that it was measured on.
        samplers: every quality of the profiles that were held against Heun-64, on the sounds that Heun-64 was run on.
    """

    conditions: dict[str, Any]
    sounds: int
    rows: tuple[Row, ...]
    samplers: tuple[Row, ...] = ()
    skipped: dict[str, int] = field(default_factory=dict)

    def find(self, profile: str = "", quality: str = "", method: str = CODEC) -> Row | None:
        """The row of a point, None if it was not measured."""
        wanted = (method, profile, quality)
        return next((r for r in self.rows if (r.method, r.profile, r.quality) == wanted), None)

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def to_json(self) -> str:
        """The text of summary.json."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Summary:
        """Inverse of `to_json`.

        Raises:
            SpressoError: ``bad_summary``.
        """

        def build(data: dict[str, Any]) -> Summary:
            rows, samplers = (tuple(_row_of(row) for row in data.pop(name)) for name in ("rows", "samplers"))
            return cls(rows=rows, samplers=samplers, **data)

        hint = "Name the summary.json that 'spresso evaluate --out FOLDER' wrote."
        return read_stored(path, SCHEMA, build, "summary of measurements", hint)


def _row_of(data: dict[str, Any]) -> Row:
    metrics = {name: Spread(**spread) for name, spread in data.pop("metrics").items()}
    spreads = {k: Spread(**data[k]) if data.get(k) else None for k in ("to_paper", "diversity")}
    return Row(metrics=metrics, **{**data, **spreads})


def summarise(conditions: dict[str, Any], records: Iterable[Record], points: Sequence[Point]) -> Summary:
    """Rows of the points that have records, in the order of ``points``; samplers by profile."""
    by_key: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        by_key.setdefault(key_of(record)[1:], []).append(record)
    sources = {r["sound"]: unpacked(r["embedding"], DIMENSIONS) for r in by_key.get((SOURCE, "", ""), [])}
    rows = tuple(_row(by_key[point.key], sources) for point in points if point.key in by_key)
    samplers = []
    coded = [p for p in points if p.method == CODEC and p.key in by_key]
    places = list(dict.fromkeys(p.profile for p in coded))
    for point in sorted(coded, key=lambda p: places.index(p.profile)):
        heard = {r["sound"] for r in by_key.get((CODEC, point.profile, REFERENCE_QUALITY), [])}
        if same := [r for r in by_key[point.key] if r["sound"] in heard]:
            samplers.append(_row(same, sources))
    return Summary(dict(conditions), len(sources), rows, tuple(samplers))


def _row(records: list[Record], sources: dict[str, Embedding]) -> Row:
    first = records[0]
    seconds = sum(r["seconds"] for r in records)

    def spread(values: Iterable[float | None], better: str = "lower") -> Spread | None:
        defined = np.array([v for v in values if v is not None])
        if not len(defined):
            return None
        bad_end = np.abs(defined) if better == "zero" else defined
        mean, median, worst = (
            round(float(v), 6)
            for v in (defined.mean(), np.median(defined), np.quantile(bad_end, 0.1 if better == "higher" else 0.9))
        )
        return Spread(mean, median, worst, len(defined))

    def speed(name: str) -> float | None:
        spent = [r[name] for r in records if name in r]
        return round(seconds / sum(spent), 3) if len(spent) == len(records) and sum(spent) > 0 else None

    spreads = {name: spread((r["metrics"].get(name) for r in records), m.better) for name, m in METRICS.items()}
    frechet, kernel = _distributions(records, sources)
    return Row(
        method=first["method"],
        profile=first["profile"],
        quality=first["quality"],
        sounds=len(records),
        seconds=round(seconds, 3),
        metrics={name: s for name, s in spreads.items() if s is not None},
        evaluations=first.get("evaluations"),
        kbps=round(sum(r["bytes"] for r in records) * 8 / seconds / 1000, 6) if "bytes" in first else None,
        encode_speed=speed("encode_wall_s"),
        encode_speed_cpu=speed("encode_cpu_s"),
        decode_speed=speed("decode_wall_s"),
        decode_speed_cpu=speed("decode_cpu_s"),
        to_paper=spread(r.get("to_paper") for r in records),
        diversity=spread(r.get("diversity") for r in records),
        frechet=frechet,
        kernel=kernel,
    )


def _distributions(records: list[Record], sources: dict[str, Embedding]) -> tuple[float | None, float | None]:
    if len(records) < FEWEST_FOR_DISTRIBUTIONS:
        return None, None
    pairs = [(sources[r["sound"]], unpacked(r["embedding"], DIMENSIONS)) for r in records]
    reference_WE, decoded_WE = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    sounds_W = np.repeat(np.arange(len(pairs)), [len(reference) for reference, _ in pairs])
    whiten = Whitening.of(reference_WE)
    reference_WD, decoded_WD = whiten(reference_WE), whiten(decoded_WE)
    frechet = frechet_distance(decoded_WD, reference_WD)
    return round(frechet, 6), round(kernel_distance(decoded_WD, reference_WD, sounds_W), 6)
