"""A listening test after ITU-R BS.1534-3 (MUSHRA) as one page, and what its answers say.

The page runs from a disk, without a server: it asks for a name, trains, lets people rate every sound blindly against
its open reference, with the reference and a 3.5 kHz low-pass hidden among the systems, and gives the answers as CSV.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.evaluation.intervals import Estimate, mean_estimate
from spresso_assets.evaluation.listening import ANCHOR, SOURCE, Key, Listening
from spresso_assets.evaluation.report import Links, filled_page

MOST_SYSTEMS = 8  # with reference and anchor ten sliders: the standard advises against more than twelve
REFERENCE = "reference"
COLUMNS = ("listener", "trial", "sound", "system", "point", "score", "slot", "plays", "seconds")
LEAST_FOR_REFERENCE, SHARE_MISSED = 90.0, 0.15


def chosen(points: Sequence[Key]) -> list[Key]:
    """At most eight points: from every system in turn, its lowest rate first. They come in their given order."""
    by_system: dict[str, list[Key]] = {}
    for key in points:
        by_system.setdefault(key[0], []).append(key)
    taken: set[Key] = set()
    for turn in range(max(map(len, by_system.values()), default=0)):
        taken |= {keys[turn] for keys in by_system.values() if turn < len(keys) and len(taken) < MOST_SYSTEMS}
        if len(taken) >= MOST_SYSTEMS:
            break
    return [key for key in points if key in taken][:MOST_SYSTEMS]


def mushra_page(
    listening: Listening, sounds: Sequence[str], points: Sequence[Key], page: Path, *, title: str, embed: bool = False
) -> str:
    """The text of the page, of all sounds that have all their files.

    Args:
        points: systems to rate, see `chosen`.
        page: where it will lie.
        embed: put the sounds inside.
    """
    links = Links(page, embed)
    trials = []
    for name in sounds:
        keys = [SOURCE, ANCHOR, *points]
        if not all(listening.has(name, key) for key in keys):
            continue
        if not links.room_for([listening.sound(name, key) for key in keys]):
            break
        conditions = [
            {
                "system": REFERENCE if key == SOURCE else key[0],
                "point": key[1],
                "url": links(listening.sound(name, key)),
            }
            for key in keys
        ]
        trials.append({"sound": name, "conditions": conditions})
    body = f"<h1>{escape(title)}</h1><main id='stage' class='step'></main><noscript>This page needs scripts.</noscript>"
    return filled_page("mushra", title, body, {"title": title, "columns": COLUMNS, "trials": trials})


@dataclass(frozen=True)
class Score:
    """Mean rating of one system at one point with its interval over the ratings, 0 to 100."""

    system: str
    point: str
    score: Estimate


@dataclass(frozen=True)
class Verdict:
    """Scores, best first; ``excluded`` listeners rated the hidden reference below 90 in over 15 % of their trials."""

    scores: tuple[Score, ...]
    listeners: int
    excluded: tuple[str, ...]


def verdict(files: Iterable[Path]) -> Verdict:
    """What the answers of several listeners say, after the post-screening of BS.1534-3, 4.1.2.

    The interval treats every rating as one drawn at random; with few listeners it is too narrow.

    Raises:
        SpressoError: ``bad_ratings`` for a file that the page did not write.
    """
    by_listener: dict[str, list[dict[str, str]]] = {}
    for file in files:
        for row in _rows(file):
            by_listener.setdefault(row["listener"], []).append(row)
    excluded = []
    kept: dict[Key, list[float]] = {}
    for listener, rows in by_listener.items():
        found = [float(row["score"]) for row in rows if row["system"] == REFERENCE]
        if sum(score < LEAST_FOR_REFERENCE for score in found) > SHARE_MISSED * len(found):
            excluded.append(listener)
            continue
        for row in rows:
            kept.setdefault((row["system"], row["point"]), []).append(float(row["score"]))
    scores = [Score(*key, e) for key, values in kept.items() if (e := mean_estimate(values)) is not None]
    return Verdict(tuple(sorted(scores, key=lambda s: -s.score.value)), len(by_listener), tuple(excluded))


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened))
        for row in rows:
            if not 0 <= float(row["score"]) <= 100 or None in (row["listener"], row["system"], row["point"]):
                raise ValueError(f"a score of {row['score']}")
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise SpressoError(
            f"{file} holds no ratings: {error!r}",
            code="bad_ratings",
            hint="Name the CSV files that the listening test gave.",
            exit_code=ExitCode.USAGE,
        ) from error
    return rows
