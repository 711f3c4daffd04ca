"""Pictures, read back by another program and from their own coordinates."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from spresso_assets.evaluation.intervals import Estimate
from spresso_assets.evaluation.pictures import BANDS, WIDTH, Curve, png, rate_plot, spectrogram_png


def shades_of(picture: bytes) -> np.ndarray:
    """Indices into the palette, by another reader."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    with image.open(io.BytesIO(picture)) as opened:
        assert opened.mode == "P"
        return np.asarray(opened)


def test_a_picture_is_read_as_it_was_written() -> None:
    shades = np.random.default_rng(0).integers(0, 256, (13, 37), dtype=np.uint8)
    assert (shades_of(png(shades)) == shades).all()


def test_a_spectrogram_has_time_to_the_right_and_treble_on_top() -> None:
    time = np.arange(192_000) / 48_000
    low_then_high = np.where(time < 2, np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 12_000 * time))
    shades = shades_of(spectrogram_png(0.5 * low_then_high)).astype(float)
    assert shades.shape[0] == BANDS and WIDTH - 5 <= shades.shape[1] <= WIDTH + 2
    half = shades.shape[1] // 2
    left, right = shades[:, : half - 10].mean(1), shades[:, half + 10 :].mean(1)
    assert right.argmax() < BANDS / 3 < 2 * BANDS / 3 < left.argmax()
    assert shades_of(spectrogram_png(np.zeros(100))).max() == 0


def test_a_plot_puts_points_where_their_values_are() -> None:
    curve = Curve(
        "a < b", "c0", [(1.0, Estimate(0.5, 0.4, 0.6, 9), "a 1"), (10.0, Estimate(0.25, 0.2, 0.3, 9), "a 10")]
    )
    svg = rate_plot("distance", "dB", [curve])
    root = ElementTree.fromstring(svg)
    dots = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in root.iter("circle")]
    assert dots[0][0] < dots[1][0] and dots[0][1] < dots[1][1]  # higher rate to the right, lower value below
    marks = {
        float(t.text or 0): float(t.get("y", 0)) - 4
        for t in root.iter("text")
        if t.get("text-anchor") == "end" and re.fullmatch(r"[\d.]+", t.text or "")
    }
    (v0, y0), (v1, y1) = list(marks.items())[:2]
    assert dots[0][1] == pytest.approx(y0 + (0.5 - v0) / (v1 - v0) * (y1 - y0), abs=0.2)
    assert next(t.text for t in root.iter("title")) == "a < b"


def test_plots_of_odd_values_are_drawn_too() -> None:
    flat = Curve("flat", "c1", [(6.0, Estimate(3.0, 3.0, 3.0, 1), "one")])
    free = Curve("free", "c2", [(0.0, Estimate(1.0, 1.0, 1.0, 1), "no rate")])
    assert ElementTree.fromstring(rate_plot("x", "", [flat, free])) is not None
    assert rate_plot("x", "", [free]) == "" == rate_plot("x", "", [])
