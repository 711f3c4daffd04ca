"""Spectrograms as PNG pictures, and figures over the bit rate as SVG: nothing but numpy and zlib is needed."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from spresso_assets.evaluation.intervals import Estimate
from spresso_assets.evaluation.spectra import Signal, mel_bank, power_spectrogram

WIDTH, BANDS = 420, 96  # pixels of a spectrogram
DARKEST_DB, LIGHTEST_DB = -95.0, -25.0  # of a full-scale amplitude
ANCHORS = ((0, 0, 8), (45, 17, 90), (130, 30, 110), (205, 65, 75), (247, 140, 50), (252, 253, 190))


def spectrogram_png(x_N: Signal) -> bytes:
    """Mel spectrogram of mono 48 kHz sound: time to the right, 20 Hz to 24 kHz upwards, -95 to -25 dB."""
    hop = max(256, -(-len(x_N) // WIDTH))
    level_TM = 10 * np.log10(power_spectrogram(x_N, 4096, hop) @ mel_bank(4096, BANDS) + 1e-12)
    shade_TM = np.clip((level_TM - DARKEST_DB) / (LIGHTEST_DB - DARKEST_DB), 0, 1)
    return png((255 * shade_TM.T[::-1]).round().astype(np.uint8))


def png(shades_YX: NDArray[np.uint8]) -> bytes:
    """A picture of 256 shades, top row first (PNG, ISO 15948: palette of 8 bits, filter 0)."""
    height, width = shades_YX.shape
    places = np.linspace(0, len(ANCHORS) - 1, 256)
    palette = np.stack([np.interp(places, range(len(ANCHORS)), [a[c] for a in ANCHORS]) for c in range(3)], 1)
    rows = b"".join(b"\0" + row.tobytes() for row in shades_YX)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.round().astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


@dataclass(frozen=True)
class Curve:
    """One system: a figure with its interval at each of its true rates; ``colour`` is a CSS class."""

    name: str
    colour: str
    points: Sequence[tuple[float, Estimate, str]]  # kbit/s, figure, name of the point


PLOT_W, PLOT_H = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 38


def rate_plot(title: str, unit: str, curves: Sequence[Curve]) -> str:
    """Figures over the true bit rate (logarithmic), whiskers for the intervals; '' without a point to show."""
    shown = [(rate, e) for curve in curves for rate, e, _ in curve.points if rate > 0]
    if not shown:
        return ""
    low_x, high_x = _decade_ends(min(r for r, _ in shown), max(r for r, _ in shown))
    marks = _ticks(min(e.low for _, e in shown), max(e.high for _, e in shown))
    low_y, high_y = marks[0], marks[-1]

    def x(rate: float) -> float:
        share = math.log(rate / low_x) / math.log(high_x / low_x)
        return LEFT + share * (PLOT_W - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high_y - value) / (high_y - low_y) * (PLOT_H - TOP - BOTTOM)

    label = escape(f"{title}{f' ({unit})' if unit else ''} over bit rate")
    out = [f'<svg class="plot" viewBox="0 0 {PLOT_W} {PLOT_H}" role="img" aria-label="{label}">']
    for mark in marks:
        out.append(f'<line class="grid" x1="{LEFT}" x2="{PLOT_W - RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
        out.append(f'<text class="tick" x="{LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:.4g}</text>')
    for rate in _rates(low_x, high_x):
        out.append(
            f'<line class="grid" x1="{x(rate):.1f}" x2="{x(rate):.1f}" y1="{TOP}" y2="{PLOT_H - BOTTOM}"/>'
            f'<text class="tick" x="{x(rate):.1f}" y="{PLOT_H - BOTTOM + 15}" text-anchor="middle">{rate:g}</text>'
        )
    out.append(f'<text class="tick" x="{PLOT_W - RIGHT}" y="{PLOT_H - 6}" text-anchor="end">kbit/s</text>')
    for curve in curves:
        points = sorted((p for p in curve.points if p[0] > 0), key=lambda p: p[0])
        if not points:
            continue
        out.append(f'<g class="{curve.colour}"><title>{escape(curve.name)}</title>')
        path = " ".join(f"{x(rate):.1f},{y(e.value):.1f}" for rate, e, _ in points)
        out.append(f'<polyline points="{path}"/>')
        for rate, e, name in points:
            told = escape(f"{name}: {rate:.3g} kbit/s, {e.value:.3g} ({e.low:.3g} to {e.high:.3g})")
            out.append(f'<path d="M{x(rate):.1f} {y(e.low):.1f}V{y(e.high):.1f}"/>')
            out.append(f'<circle cx="{x(rate):.1f}" cy="{y(e.value):.1f}" r="4"><title>{told}</title></circle>')
        out.append("</g>")
    return "".join([*out, "</svg>"])


def _decade_ends(low: float, high: float) -> tuple[float, float]:
    return low / 1.25, max(high, low * 1.5) * 1.25


def _rates(low: float, high: float) -> list[float]:
    """Round rates to label, few enough to stand side by side."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [r for d in decades for s in steps if low <= (r := round(s * 10.0**d, 6)) <= high]
        if len(found) <= 9:
            return found
    return found


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round values that enclose a range."""
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 4
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(scale * s for s in (1, 2, 2.5, 5, 10) if scale * s >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 9) for n in range(first, last + 1)]
