"""A comparison as one page: figures with intervals, plots, and every sound with its pictures and players, worst first.

The page needs no server, no network and no library. Its sounds and pictures lie beside it, or inside of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from spresso_assets.evaluation.comparison import Comparison, Row
from spresso_assets.evaluation.intervals import Estimate
from spresso_assets.evaluation.listening import SOURCE, Key, Listening, badness
from spresso_assets.evaluation.metrics import METRICS
from spresso_assets.evaluation.pictures import Curve, rate_plot
from spresso_assets.evaluation.records import Record

PAGES = Path(__file__).parent / "pages"
EMBED_LIMIT = 64 << 20  # bytes of files inside of one page; browsers get slow beyond
COLOURS = 8
LISTED = 300  # sounds; a page of thousands is slow to open, and nobody gets to its end
ARROWS = {"lower": "↓", "higher": "↑", "zero": "→0"}
MIME = {".flac": "audio/flac", ".png": "image/png"}
SHOWN = (
    "mel_distance",
    "envelope_correlation",
    "onset_f1",
    "level_error",
    "bandwidth_error",
    "flux_difference",
    "si_sdr",
)


class Links:
    """Addresses of files as a page names them: relative, or with the content inside up to a limit."""

    def __init__(self, page: Path, embed: bool) -> None:
        self._page, self._embed = page, embed
        self._left = EMBED_LIMIT

    def room_for(self, files: Sequence[Path]) -> bool:
        """Whether all of these may still be put into the page; they count from then on."""
        if not self._embed:
            return True
        size = sum(file.stat().st_size for file in files) * 4 // 3
        if size > self._left:
            return False
        self._left -= size
        return True

    def __call__(self, file: Path) -> str:
        """The address of a file."""
        if not self._embed:
            return file.relative_to(self._page.parent).as_posix()
        return f"data:{MIME[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"


def report_page(comparison: Comparison, listening: Listening, page: Path, *, title: str, embed: bool = False) -> str:
    """The text of the page.

    Args:
        page: where it will lie; files of ``listening`` are named from there.
        title: of the page, for example the folder's name.
        embed: put sounds and pictures inside, up to 64 MB, the worst sounds first.
    """
    colours = {name: f"c{n % COLOURS}" for n, name in enumerate(dict.fromkeys(r.system for r in comparison.rows))}
    links = Links(page, embed)
    records: dict[str, list[Record]] = {}
    for record in comparison.records:
        records.setdefault(record["sound"], []).append(record)
    worst = badness(comparison)
    shown = list(worst)[:LISTED]
    sounds = "".join(_sound(listening, links, colours, records[name], worst[name]) for name in shown)
    if len(worst) > LISTED:
        sounds += f"<p class='quiet'>{len(worst) - LISTED} more, all better, stand only in comparison.json.</p>"
    # What sorting needs; all figures of all sounds stand in comparison.json.
    data = {
        "rows": [{"system": row.system, "point": row.point} for row in comparison.rows],
        "distances": [
            {r["method"] + "\0" + r["profile"]: r["metrics"]["mel_distance"] for r in records[name]} for name in shown
        ],
    }
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(conditions(comparison))}</p>",
        f"<section><h2>Figures</h2>{_legend()}{_table(comparison.rows, colours)}</section>",
        f"<section><h2>By bit rate</h2>{_key(colours)}{_plots(comparison.rows, colours)}</section>",
        f"<section id='sounds'><h2>Sounds, worst first</h2>{_help()}{_choice(comparison.rows)}{sounds}</section>",
    ]
    return filled_page("report", title, "".join(body), data)


def filled_page(name: str, title: str, body: str, data: Any) -> str:
    """A page with its style, its scripts and its data inside.

    Args:
        name: of ``pages/NAME.js``.
        body: HTML.
        data: what the script reads, as JSON.
    """
    # '<' never stands in JSON outside of strings: a sound named '</script>' stays data.
    found = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<title>{escape(title)}</title><style>{_asset('style.css')}</style></head>\n<body>{body}"
        f"<script type='application/json' id='data'>{found}</script>"
        f"<script>{_asset('deck.js')}</script><script>{_asset(f'{name}.js')}</script></body></html>\n"
    )


@cache
def _asset(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def conditions(comparison: Comparison) -> str:
    """What was measured, in a sentence or two."""
    given = comparison.conditions
    length = "whole files" if given.get("seconds") is None else f"the first {given['seconds']:g} s of each"
    told = [f"{len(comparison.sounds)} sounds, {length}, in mono."]
    if more := ", ".join(f"{key.replace('_', ' ')} {given[key]}" for key in given if key != "seconds"):
        told.append(f"Measured with {more}.")
    if comparison.left_out:
        left = ", ".join(f"{n} {code.replace('_', ' ')}" for code, n in sorted(comparison.left_out.items()))
        told.append(f"Left out: {left}.")
    return " ".join(told)


def _legend() -> str:
    return (
        "<p class='quiet'>Means over the sounds; below them the 95 % interval: where the mean would lie with other "
        "sounds of the same kind. ↓ less is better, ↑ more is better. Click a heading to sort. Speeds are seconds of "
        "sound per second; in brackets per second of processor time. Memory is what one call, with the first sound, "
        "takes on top of the loaded model. Fréchet and kernel distances compare the set as a whole, with the embedder "
        "that is named.</p>"
    )


Cell = tuple[str, float | None]  # HTML, and what it is sorted by


def _columns(rows: Sequence[Row]) -> list[tuple[str, Callable[[Row], Cell]]]:
    def metric(name: str) -> Callable[[Row], Cell]:
        return lambda row: _estimate(row.metrics.get(name))

    def like(embedder: str, what: str) -> Callable[[Row], Cell]:
        return lambda row: _estimate(getattr(row.likeness.get(embedder), what, None))

    columns: list[tuple[str, Callable[[Row], Cell]]] = [("kbit/s", lambda row: (f"{row.kbps:.3g}", row.kbps))]
    for name in SHOWN:
        m = METRICS[name]
        columns.append((f"{m.title}\u00a0{ARROWS[m.better]}" + (f" <i>{m.unit}</i>" if m.unit else ""), metric(name)))
    for embedder in dict.fromkeys(e for row in rows for e in row.likeness):
        for what, head in (
            ("similarity", "similarity\u00a0↑"),
            ("retrieval", "R@1\u00a0↑"),
            ("frechet", "Fréchet\u00a0↓"),
            ("kernel", "kernel\u00a0↓"),
        ):
            columns.append((f"{head} <i>{escape(embedder)}</i>", like(embedder, what)))
    if any(row.diversity for row in rows):
        columns.append(("between seeds", lambda row: _estimate(row.diversity)))
    columns.append(("encoding <i>x real time</i>", lambda row: _speed(row.encode_speed, row.encode_speed_cpu)))
    columns.append(("decoding <i>x real time</i>", lambda row: _speed(row.decode_speed, row.decode_speed_cpu)))
    columns.append(("memory <i>MB, enc / dec</i>", lambda row: _memory(row.encode_bytes, row.decode_bytes)))
    return columns


def _table(rows: Sequence[Row], colours: dict[str, str]) -> str:
    columns = _columns(rows)
    head = "".join(f"<th scope='col'><button>{title}</button></th>" for title in ("system", *(t for t, _ in columns)))
    lines = []
    for row in rows:
        cells = [f"<th scope='row'><b class='{colours[row.system]} dot'></b>{escape(_called(row))}</th>"]
        for _, cell in columns:
            text, value = cell(row)
            cells.append(f"<td data-v='{'' if value is None else f'{value:.9g}'}'>{text}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f"<div class='wide'><table id='figures'>{body}</table></div>"


def _called(row: Row) -> str:
    return row.point if row.point.startswith(row.system) else f"{row.system} {row.point}"


def _estimate(e: Estimate | None) -> Cell:
    if e is None:
        return "–", None
    return f"{_short(e.value)}<small>{_short(e.low)} … {_short(e.high)}</small>", e.value


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _speed(wall: float | None, cpu: float | None) -> Cell:
    return ("–", None) if wall is None else (f"{wall:.3g}<small>({f'{cpu:.3g}' if cpu else '–'})</small>", wall)


def _memory(encode: int | None, decode: int | None) -> Cell:
    if encode is None or decode is None:
        return "–", None
    return f"{encode / 1e6:.0f} / {decode / 1e6:.0f}", float(max(encode, decode))


def _key(colours: dict[str, str]) -> str:
    return "<p>" + " ".join(f"<span><b class='{c} dot'></b>{escape(n)}</span>" for n, c in colours.items()) + "</p>"


def _plots(rows: Sequence[Row], colours: dict[str, str]) -> str:
    def figure(title: str, unit: str, of: Callable[[Row], Estimate | None]) -> str:
        curves = [
            Curve(
                system,
                colour,
                [(r.kbps, e, _called(r)) for r in rows if r.system == system and (e := of(r)) is not None],
            )
            for system, colour in colours.items()
        ]
        picture = rate_plot(title, unit, curves)
        caption = escape(title) + (f" <i>{escape(unit)}</i>" if unit else "")
        return f"<figure><figcaption>{caption}</figcaption>{picture}</figure>" if picture else ""

    def metric(name: str) -> str:
        m = METRICS[name]
        return figure(f"{m.title} {ARROWS[m.better]}", m.unit, lambda row: row.metrics.get(name))

    def like(embedder: str, what: str, title: str) -> str:
        return figure(f"{title} {embedder}", "", lambda row: getattr(row.likeness.get(embedder), what, None))

    parts = [metric(name) for name in ("mel_distance", "envelope_correlation", "bandwidth_error", "si_sdr")]
    for embedder in dict.fromkeys(e for row in rows for e in row.likeness):
        parts.append(like(embedder, "similarity", "similarity ↑"))
        parts.append(like(embedder, "frechet", "Fréchet distance ↓"))
        parts.append(like(embedder, "kernel", "kernel distance ↓"))
    return f"<div class='plots'>{''.join(parts)}</div>"


def _help() -> str:
    return (
        "<p class='quiet'>Open a sound. <kbd>A</kbd> plays the original, <kbd>B</kbd> the chosen system, <kbd>X</kbd> "
        "one of both in secret: say which with <kbd>1</kbd> or <kbd>2</kbd>. <kbd>Space</kbd> stops, <kbd>←</kbd> "
        "<kbd>→</kbd> choose the system.</p>"
    )


def _choice(rows: Sequence[Row]) -> str:
    options = "".join(f"<option value='{n}'>{escape(_called(row))}</option>" for n, row in enumerate(rows))
    return (
        "<p><label>Worst by mel distance of <select id='worst'><option value=''>all systems together</option>"
        f"{options}</select></label></p>"
    )


def _sound(listening: Listening, links: Links, colours: dict[str, str], records: Sequence[Record], mean: float) -> str:
    name = records[0]["sound"]
    keys: list[Key] = [SOURCE, *((r["method"], r["profile"]) for r in records)]
    heard = [key for key in keys if listening.has(name, key)]
    files = [f for key in heard for f in (listening.sound(name, key), listening.picture(name, key))]
    playable = len(heard) > 1 and heard[0] == SOURCE and links.room_for(files)
    cards = []
    for key in keys:
        record = next((r for r in records if (r["method"], r["profile"]) == key), None)
        cards.append(_card(listening, links, colours, name, key, record, playable and key in heard))
    bar = "<div class='bar'></div>" if playable else "<p class='quiet'>No sounds were kept of this one.</p>"
    facts = f"mel distance {mean:.2f}, {records[0]['seconds']:.1f} s"
    marks = " data-playable" if playable else ""
    return (
        f"<details class='sound'{marks}><summary><b>{escape(name)}</b> <span class='quiet'>{facts}</span></summary>"
        f"{bar}<div class='cards'>{''.join(cards)}</div></details>"
    )


def _card(
    listening: Listening,
    links: Links,
    colours: dict[str, str],
    name: str,
    key: Key,
    record: Record | None,
    playable: bool,
) -> str:
    if record is None:
        title, figures, dot = "original", "", ""
    else:
        title = key[1] if key[1].startswith(key[0]) else f"{key[0]} {key[1]}"
        shown = record["metrics"]
        parts = [f"{record['bytes'] * 8 / record['seconds'] / 1000:.3g} kbit/s", f"mel {_plain(shown['mel_distance'])}"]
        parts.append(f"envelope {_plain(shown['envelope_correlation'])}")
        figures, dot = ", ".join(parts), f"<b class='{colours[key[0]]} dot'></b>"
    picture = sound = ""
    if playable:
        picture = f"<img loading='lazy' alt='spectrogram' src='{escape(links(listening.picture(name, key)))}'>"
        sound = f" data-sound='{escape(links(listening.sound(name, key)))}'"
    tag = "button" if playable else "div"
    return (
        f"<{tag} class='card'{sound} data-title='{escape(title, quote=True)}'>{picture}"
        f"<span>{dot}{escape(title)}</span><small>{figures}</small></{tag}>"
    )


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
