"""Tables of measured figures for the documentation, put between markers so that one command renews them.

<!-- measured:quality -->
...
<!-- /measured -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from spresso_assets.codec.config import OPERATING_POINTS
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.evaluation.points import AUTOENCODER, CODEC, MEAN_SPECTRUM, OTHER_SOUND, REFERENCE_QUALITY
from spresso_assets.evaluation.summary import Row, Spread, Summary

BLOCK = re.compile(r"(<!-- measured:([\w-]+) -->\n)(.*?)(<!-- /measured -->)", re.DOTALL)
START = "<!-- measured:"
NONE = "–"


def conditions(summary: Summary) -> str:
    """What was measured, in a sentence or two."""
    given = summary.conditions
    length = "whole files" if given.get("seconds") is None else f"the first {given['seconds']:g} s of each"
    text = (
        f"{summary.sounds} sounds, {length}, mono; bundle `{given['bundle']}`, "
        f"weights `{given['weights_sha256'][:12]}`; seed {given['seed']}; "
        f"torch {given['torch']} on {given['device']}, {_count(given['threads'], 'thread')}, {given['precision']}."
    )
    left = ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in sorted(summary.skipped.items()))
    return f"{text} Left out: {left}." if left else text


def quality(summary: Summary) -> str:
    """Every profile at the default quality, between its ceiling and its floors."""
    columns = (
        ("multi-scale mel", "multiscale_mel", 2),
        ("log-spectral dB", "log_spectral_distance", 2),
        ("envelope corr.", "envelope_correlation", 3),
        ("onset F1", "onset_f1", 2),
        ("level dB", "level_error", 1),
        ("bandwidth oct.", "bandwidth_error", 2),
        ("flux dB", "flux_difference", 2),
        ("SI-SDR dB", "si_sdr", 1),
    )
    head = ["profile", "mel distance", "median", "worst tenth", *(title for title, _, _ in columns)]
    lines = []
    for row in _ordered(summary, "default"):
        mel = row.metrics.get("mel_distance")
        cells = [_name(row, summary.sounds), f"**{_mean(mel, 3)}**", figure(mel.median if mel else None, 3)]
        cells.append(figure(mel.worst if mel else None, 3))
        cells += [_mean(row.metrics.get(key), digits) for _, key, digits in columns]
        lines.append([*cells, figure(row.frechet, 2), figure(row.kernel, 2)])
    return table([*head, "Fréchet", "kernel"], lines)


def samplers(summary: Summary) -> str:
    """What each way to sample costs and gives, on the profiles where it was held against Heun-64."""
    head = ["profile", "quality", "sounds", "evaluations", "to the source", "to Heun-64", "between seeds"]
    lines = [
        [
            f"`{row.profile}`",
            f"`{row.quality}`",
            str(row.sounds),
            NONE if row.evaluations is None else str(row.evaluations),
            _mean(row.metrics.get("mel_distance"), 3),
            _mean(row.to_paper, 3) if row.quality != REFERENCE_QUALITY else NONE,
            _mean(row.diversity, 3),
            _mean(row.metrics.get("flux_difference"), 2),
            figure(row.kernel, 2),
            figure(row.decode_speed_cpu, 1),
        ]
        for row in summary.samplers
    ]
    return table([*head, "flux dB", "kernel", "decoding, x real time"], lines)


def speed(summary: Summary) -> str:
    """Bit rates and speeds of every profile at the default quality."""
    head = ["profile", "kbit/s by formula", "true kbit/s", "encoding, x real time", "decoding, x real time"]
    lines = [
        [
            f"`{row.profile}`",
            f"{OPERATING_POINTS[row.profile].nominal_kbps():.4g}",
            figure(row.kbps, 3),
            _both(row.encode_speed_cpu, row.encode_speed),
            _both(row.decode_speed_cpu, row.decode_speed),
        ]
        for row in _ordered(summary, "default")
        if row.method == CODEC
    ]
    return table(head, lines)


TABLES: dict[str, Callable[[Summary], str]] = {
    "conditions": conditions,
    "quality": quality,
    "samplers": samplers,
    "speed": speed,
}


def read_page(page: Path, names: Collection[str] = TABLES) -> str:
    """The text of a page with marked blocks, all of which can be made.

    Args:
        names: of the tables that can be made.

    Raises:
        SpressoError: ``bad_tables`` when it has no blocks, one of an unknown name or one without an end;
            ``unreadable_file``.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpressoError(
            f"{page} cannot be read: {error}", code="unreadable_file", hint="Name a Markdown page."
        ) from error
    found = [block[1] for block in BLOCK.findall(text)]
    unknown = [name for name in found if name not in names]
    if unknown or not found or len(found) != text.count(START):
        fault = f"asks for '{unknown[0]}'" if unknown else "has a block without an end" if found else "has no blocks"
        raise SpressoError(
            f"{page} {fault}",
            code="bad_tables",
            hint=f"Blocks stand between '<!-- measured:NAME -->' and '<!-- /measured -->'; names: {', '.join(names)}.",
            exit_code=ExitCode.USAGE,
        )
    return text


def renewed(text: str, made: Callable[[str], str]) -> str:
    """``text`` with every marked block made anew by its name."""
    return BLOCK.sub(lambda block: f"{block[1]}{made(block[2])}\n{block[4]}", text)


def _ordered(summary: Summary, quality: str) -> list[Row]:
    """Ceiling, profiles by falling quality, floors; only at ``quality``."""
    rank = {AUTOENCODER: 0, CODEC: 1, MEAN_SPECTRUM: 2, OTHER_SOUND: 3}
    rows = [row for row in summary.rows if row.quality in ("", quality)]

    def place(row: Row) -> tuple[int, float]:
        mel = row.metrics.get("mel_distance")
        return rank[row.method], mel.mean if mel else 0.0

    return sorted(rows, key=place)


def _name(row: Row, sounds: int) -> str:
    other = f"`{row.profile}`, code of another sound"
    titles = {CODEC: f"`{row.profile}`", AUTOENCODER: "AudioAE alone", MEAN_SPECTRUM: "mean spectrum (x0 = 0)"}
    return titles.get(row.method, other) + ("" if row.sounds == sounds else f" ({_count(row.sounds, 'sound')})")


def _both(cpu: float | None, wall: float | None) -> str:
    return f"{figure(cpu, 1)} ({figure(wall, 1)})"


def _mean(spread: Spread | None, digits: int) -> str:
    return figure(spread.mean if spread else None, digits)


def figure(value: float | None, digits: int) -> str:
    """A number with so many digits behind the point; a dash where there is none."""
    return NONE if value is None else f"{value:.{digits}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    rows = [f"| {' | '.join(cells)} |" for cells in (head, *lines)]
    return "\n".join([rows[0], "|---" * len(head) + "|", *rows[1:]])
