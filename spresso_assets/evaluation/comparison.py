"""Many systems on the same sounds: one record per sound, system and point, and one row of figures per point."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.embedders import Embedder, HandMade, standardised, whitened
from spresso_assets.evaluation.embedding import Embedding, KernelDistance, frechet_distance
from spresso_assets.evaluation.intervals import Estimate, jackknife_estimate, mean_estimate
from spresso_assets.evaluation.likeness import clip_vector, found_first, own_similarity
from spresso_assets.evaluation.metrics import METRICS, aligned, compare, diversity
from spresso_assets.evaluation.records import Record, Records, finite, packed, unpacked
from spresso_assets.evaluation.sounds import Sound, unfit
from spresso_assets.evaluation.speed import Speed
from spresso_assets.evaluation.stored import read_stored
from spresso_assets.evaluation.summary import FEWEST_FOR_DISTRIBUTIONS, SOURCE
from spresso_assets.evaluation.systems import Audio, Entry, carry, measured, mono48, weigh

SCHEMA = 2
Skip = Callable[[str, SpressoError], None]
Listen = Callable[[str, Entry | None, Audio], None]


@dataclass(frozen=True)
class Likeness:
    """Sets compared by one embedder: two distances of distributions, similarity to the own source, retrieval R@1.

    None where fewer than eight sounds say nothing: of distributions, and of all with an embedder whose entries have to
    be standardised by them first.
    """

    frechet: Estimate | None
    kernel: Estimate | None
    similarity: Estimate | None
    retrieval: Estimate | None


@dataclass(frozen=True)
class Row:
    """One system at one point.

    Attributes:
        nominal_kbps, kbps: by name, and all bytes over all seconds.
        metrics: mean over sounds, see `metrics.METRICS`.
        worst: the tenth percentile of each metric from its bad end.
        likeness: by embedder.
        encode_speed, decode_speed: seconds of sound per second of wall time; ``_cpu``: per second of processor time.
        encode_bytes, decode_bytes: memory that a call took on top of what was there, with the first sound of a run.
        diversity: mel distance between takes, where a system has them.
    """

    system: str
    point: str
    nominal_kbps: float
    kbps: float
    sounds: int
    seconds: float
    metrics: dict[str, Estimate]
    worst: dict[str, float]
    likeness: dict[str, Likeness]
    encode_speed: float | None
    encode_speed_cpu: float | None
    decode_speed: float | None
    decode_speed_cpu: float | None
    encode_bytes: int | None
    decode_bytes: int | None
    diversity: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """All rows, what each sound got at each point, and the conditions under which figures are comparable."""

    conditions: dict[str, Any]
    rows: tuple[Row, ...]
    records: tuple[Record, ...]  # without embeddings
    left_out: dict[str, int] = field(default_factory=dict)
    speeds: tuple[Speed, ...] = ()

    @property
    def sounds(self) -> list[str]:
        """Names, in the order in which they were measured."""
        return list(dict.fromkeys(record["sound"] for record in self.records))

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def to_json(self) -> str:
        """The text of comparison.json."""
        return json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Comparison:
        """Inverse of `to_json`.

        Raises:
            SpressoError: ``bad_summary``.
        """

        def build(data: dict[str, Any]) -> Comparison:
            rows = tuple(_row_of(row) for row in data.pop("rows"))
            speeds = tuple(Speed(**speed) for speed in data.pop("speeds"))
            return cls(rows=rows, records=tuple(data.pop("records")), speeds=speeds, **data)

        hint = "Name the comparison.json that 'spresso evaluate --systems ... --out FOLDER' wrote."
        return read_stored(path, SCHEMA, build, "comparison", hint)


def compare_systems(
    given: Sequence[Entry],
    sounds: Iterable[Sound],
    records: Records,
    *,
    embedders: Sequence[Embedder] = (HandMade(),),
    takes: int = 1,
    skip: Skip | None = None,
    progress: Callable[[int, str], None] | None = None,
    listen: Listen | None = None,
) -> Comparison:
    """Carry every sound through every system; what the records hold already is not measured again.

    Args:
        sounds: (name, float32 [C, N] at any rate, rate) each.
        takes: decodes per stream of systems that vary; two or more give diversity.
        skip: told of sounds that are silent or shorter than 50 ms, and of points that fail on a sound. A sound counts
            with the points that it has.
        progress: told how many sounds are done, and what is in work.
        listen: given each source (entry None) and each decode at 48 kHz as it is made.
    """
    names: list[str] = []
    left_out: dict[str, int] = {}

    def leave(what: str, error: SpressoError) -> None:
        left_out[error.code] = left_out.get(error.code, 0) + 1
        if skip is not None:
            skip(what, error)

    warm: set[tuple[str, str]] = set()
    for sound in sounds:
        name, audio_CN, rate = sound
        if (fault := unfit(sound)) is not None:
            leave(name, fault)
            continue
        reference_N = mono48(audio_CN, rate)
        head = {"sound": name, "seconds": round(audio_CN.shape[1] / rate, 6), "quality": ""}
        source = records.get((name, SOURCE, "", ""))
        if source is None or not _embedded(source, embedders):
            vectors = _embeddings(embedders, aligned(reference_N, reference_N)[0])
            records.add({**head, "method": SOURCE, "profile": "", "embeddings": vectors})
        if listen is not None:
            listen(name, None, reference_N)
        for entry in given:
            if progress is not None:
                progress(len(names), f"{entry.system.name} {entry.point}: {name}")
            known = measured(records, name, entry)
            varied = takes < 2 or not hasattr(entry.system, "decode_take") or "diversity" in (known or {})
            if known is not None and _embedded(known, embedders) and varied:
                continue
            try:
                weight: dict[str, Any] = {}
                if entry.key not in warm:
                    # Once untimed: the first call of a process pays for what later ones find ready.
                    weight = weigh(entry, reference_N)
                    warm.add(entry.key)
                passage, more = carry(entry, reference_N, takes)
            except SpressoError as error:
                leave(f"{name}, {entry.system.name} {entry.point}", error)
                continue
            record = {
                **head,
                "method": entry.system.name,
                "profile": entry.point,
                "weights": entry.weights,
                "bytes": len(passage.data),
                **passage.cost,
                **weight,
                "metrics": finite(compare(passage.decoded_N, reference_N)),
                "embeddings": _embeddings(embedders, aligned(passage.decoded_N, reference_N)[0]),
            }
            if more:
                heard = [aligned(take_N, reference_N)[0] for take_N in (passage.decoded_N, *more)]
                record["diversity"] = round(diversity(heard), 6)
            records.add(record)
            if listen is not None:
                listen(name, entry, passage.decoded_N)
        names.append(name)
    if progress is not None:
        progress(len(names), "")
    return _compared(given, names, records, embedders, left_out)


def _embeddings(embedders: Sequence[Embedder], x_N: Audio) -> dict[str, str]:
    return {embedder.name: packed(embedder(x_N)) for embedder in embedders}


def _embedded(record: Record, embedders: Sequence[Embedder]) -> bool:
    return all(embedder.name in record.get("embeddings", {}) for embedder in embedders)


def _compared(
    given: Sequence[Entry],
    names: Sequence[str],
    records: Records,
    embedders: Sequence[Embedder],
    left_out: dict[str, int],
) -> Comparison:
    rows, kept = [], []
    for entry in given:
        found = [r for name in names if (r := measured(records, name, entry)) is not None]
        if not found:
            continue
        likeness = {e.name: _likeness(e, found, records) for e in embedders}
        rows.append(_row(entry, found, likeness))
        kept += [{k: v for k, v in record.items() if k != "embeddings"} for record in found]
    order = {name: n for n, name in enumerate(names)}
    kept.sort(key=lambda record: order[record["sound"]])
    return Comparison(dict(records.conditions), tuple(rows), tuple(kept), left_out)


def _row(entry: Entry, found: Sequence[Record], likeness: dict[str, Likeness]) -> Row:
    seconds = sum(r["seconds"] for r in found)
    metrics: dict[str, Estimate] = {}
    worst: dict[str, float] = {}
    for name, metric in METRICS.items():
        defined = [v for r in found if (v := r["metrics"].get(name)) is not None]
        if (estimate := mean_estimate(defined)) is not None:
            metrics[name] = _rounded(estimate)
            bad_end = np.abs(defined) if metric.better == "zero" else defined
            worst[name] = round(float(np.quantile(bad_end, 0.1 if metric.better == "higher" else 0.9)), 6)

    def speed(name: str) -> float | None:
        spent = sum(r[name] for r in found)
        return round(seconds / spent, 3) if spent > 0 else None

    def most(name: str) -> int | None:
        return max((r[name] for r in found if name in r), default=None)

    takes = mean_estimate([r["diversity"] for r in found if "diversity" in r])
    return Row(
        system=entry.system.name,
        point=entry.point,
        nominal_kbps=entry.kbps,
        kbps=round(sum(r["bytes"] for r in found) * 8 / seconds / 1000, 6),
        sounds=len(found),
        seconds=round(seconds, 3),
        metrics=metrics,
        worst=worst,
        likeness=likeness,
        encode_speed=speed("encode_wall_s"),
        encode_speed_cpu=speed("encode_cpu_s"),
        decode_speed=speed("decode_wall_s"),
        decode_speed_cpu=speed("decode_cpu_s"),
        encode_bytes=most("encode_bytes"),
        decode_bytes=most("decode_bytes"),
        diversity=None if takes is None else _rounded(takes),
    )


def _likeness(embedder: Embedder, found: Sequence[Record], records: Records) -> Likeness:
    enough = len(found) >= FEWEST_FOR_DISTRIBUTIONS
    if embedder.whitened and not enough:
        return Likeness(None, None, None, None)
    decoded: list[Embedding] = []
    sources: list[Embedding] = []
    for record in found:
        source = records.get((record["sound"], SOURCE, "", ""))
        assert source is not None
        sources.append(unpacked(source["embeddings"][embedder.name], embedder.width))
        decoded.append(unpacked(record["embeddings"][embedder.name], embedder.width))
    both = np.concatenate(decoded), np.concatenate(sources)
    decoded_WD, source_WD = whitened(embedder, *both)
    counts = [len(windows) for windows in sources]
    sounds_W = np.repeat(np.arange(len(found)), counts)
    ends = np.cumsum(counts)[:-1]
    decoded_SE, source_SE = (
        np.stack([clip_vector(part_WE) for part_WE in np.split(x_WE, ends)]) for x_WE in standardised(embedder, *both)
    )
    similarity, retrieval = (mean_estimate(f(decoded_SE, source_SE)) for f in (own_similarity, found_first))
    assert similarity is not None and retrieval is not None
    frechet = kernel = None
    if enough:

        def rows_of(kept_S: NDArray[np.bool_]) -> NDArray[np.bool_]:
            return kept_S[sounds_W]

        frechet = jackknife_estimate(
            lambda kept: frechet_distance(decoded_WD[rows_of(kept)], source_WD[rows_of(kept)]), len(found), least=0.0
        )
        distance = KernelDistance(decoded_WD, source_WD, sounds_W)
        kernel = jackknife_estimate(lambda kept: distance(rows_of(kept)), len(found))
    return Likeness(
        None if frechet is None else _rounded(frechet),
        None if kernel is None else _rounded(kernel),
        _rounded(similarity),
        _rounded(retrieval),
    )


def _rounded(estimate: Estimate) -> Estimate:
    return Estimate(round(estimate.value, 6), round(estimate.low, 6), round(estimate.high, 6), estimate.count)


def _row_of(data: dict[str, Any]) -> Row:
    def estimate(found: Any) -> Any:
        return None if found is None else Estimate(**found)

    data["metrics"] = {name: Estimate(**found) for name, found in data["metrics"].items()}
    data["diversity"] = estimate(data["diversity"])
    data["likeness"] = {
        name: Likeness(**{key: estimate(value) for key, value in found.items()})
        for name, found in data["likeness"].items()
    }
    return Row(**data)
