"""A comparison as tables of the documentation: see `tables` for the markers between which they stand."""

from __future__ import annotations

from collections.abc import Callable

from spresso_assets.evaluation.comparison import Comparison, Row
from spresso_assets.evaluation.intervals import Estimate
from spresso_assets.evaluation.metrics import METRICS
from spresso_assets.evaluation.report import ARROWS, SHOWN, conditions
from spresso_assets.evaluation.speed import Speed
from spresso_assets.evaluation.tables import NONE, figure, table

DIGITS = {"mel_distance": 3, "envelope_correlation": 3, "onset_f1": 2, "bandwidth_error": 2, "flux_difference": 2}
RIVAL = "dac-untrained"  # encoding speeds are told as multiples of this one's


def quality(found: Comparison) -> str:
    """Every system at every point: true rate and means over the sounds; of mel distance also its 95 % interval."""
    head = ["system", "kbit/s"]
    for name in SHOWN:
        m = METRICS[name]
        head.append(f"{m.title} {ARROWS[m.better]}" + (f", {m.unit}" if m.unit else ""))
    lines = []
    for row in found.rows:
        cells = [row.point + _fewer(row, found), f"{row.kbps:.3g}"]
        for name in SHOWN:
            cell = _estimate(row.metrics.get(name), DIGITS.get(name, 1))
            if name == "mel_distance" and (e := row.metrics.get(name)) is not None:
                cell = f"**{cell}** ({e.low:.2f} … {e.high:.2f})"
            cells.append(cell)
        lines.append(cells)
    return table(head, lines)


def likeness(found: Comparison) -> str:
    """How much sets of decodes are like sets of sources, by every embedder."""
    embedders = list(dict.fromkeys(e for row in found.rows for e in row.likeness))
    kinds = (
        ("similarity ↑", "similarity", 3),
        ("R@1 ↑", "retrieval", 2),
        ("FAD ↓", "frechet", 2),
        ("KAD ↓", "kernel", 2),
    )
    head = ["system", "kbit/s", *(f"{title}, {embedder}" for embedder in embedders for title, _, _ in kinds)]
    lines = [
        [
            row.point,
            f"{row.kbps:.3g}",
            *(
                _estimate(getattr(row.likeness.get(embedder), what, None), digits)
                for embedder in embedders
                for _, what, digits in kinds
            ),
        ]
        for row in found.rows
    ]
    return table(head, lines)


def speed(found: Comparison) -> str:
    """Seconds of sound per second, by threads, beside DAC where it was timed; and working memory."""
    threads = sorted({speed.threads for speed in found.speeds})
    by_key: dict[tuple[str, str], dict[int, Speed]] = {}
    for one in found.speeds:
        by_key.setdefault((one.system, one.point), {})[one.threads] = one
    rival = next((of for (system, _), of in by_key.items() if system == RIVAL), None)
    numbers = [f"{n} thread" + ("" if n == 1 else "s") for n in threads]
    head = ["system", *(f"encoding, {n}" for n in numbers), *(f"decoding, {n}" for n in numbers)]
    head += [f"encoding against DAC, {n}" for n in numbers] if rival else []
    lines = []
    for (_, point), of in by_key.items():
        cells = [point]
        cells += [_times(of.get(n), "encode") for n in threads]
        cells += [_times(of.get(n), "decode") for n in threads]
        if rival:
            cells += [f"{of[n].encode / rival[n].encode:.3g}" if n in of and n in rival else NONE for n in threads]
        sizes = [
            max((b for o in of.values() if (b := getattr(o, f"{w}_bytes"))), default=None) for w in ("encode", "decode")
        ]
        cells.append(" / ".join(NONE if size is None else f"{size / 1e6:.0f}" for size in sizes))
        lines.append(cells)
    return table([*head, "memory, MB, encoding / decoding"], lines)


def told_conditions(found: Comparison) -> str:
    """What was measured, and on how many sounds speeds were."""
    if not found.speeds:
        return conditions(found)
    one = max(found.speeds, key=lambda speed: speed.sounds)
    return f"{conditions(found)} Speeds: {one.sounds} of the sounds, {one.seconds:.0f} s."


COMPARISON_TABLES: dict[str, Callable[[Comparison], str]] = {
    "systems-conditions": told_conditions,
    "systems": quality,
    "systems-likeness": likeness,
    "systems-speed": speed,
}


def _most(of: dict[int, Speed], what: str) -> str:
    """Megabytes that a call took at most."""
    sizes = [size for speed in of.values() if (size := getattr(speed, f"{what}_bytes")) is not None]
    return figure(max(sizes) / 1e6, 0) if sizes else NONE


def _fewer(row: Row, found: Comparison) -> str:
    return "" if row.sounds == len(found.sounds) else f" ({row.sounds} sounds)"


def _estimate(e: Estimate | None, digits: int) -> str:
    return figure(None if e is None else e.value, digits)


def _times(speed: Speed | None, what: str) -> str:
    return NONE if speed is None else f"{getattr(speed, what):.3g} x"
