"""Tables of the documentation from a fixed summary, to the letter."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.summary import Row, Spread, Summary
from spresso_assets.evaluation.tables import BLOCK, TABLES, read_page, renewed


def spread(mean: float) -> Spread:
    return Spread(mean, mean - 0.001, mean + 0.1, 7)


def row(method: str, profile: str, quality: str, mel: float, **more: object) -> Row:
    metrics = {"mel_distance": spread(mel), "level_error": spread(0.46), "si_sdr": spread(-30.04)}
    return Row(method, profile, quality, 7, 21.0, metrics, **more)  # type: ignore[arg-type]


SPEEDS = {"encode_speed": 20.04, "encode_speed_cpu": 21.0, "decode_speed": 3.5, "decode_speed_cpu": 4.25}
LOW = row("codec", "0.096kbps", "default", 0.38, kbps=0.1637, **SPEEDS)
SUMMARY = Summary(
    {
        "bundle": "small",
        "weights_sha256": "81e823ca4963d3",
        "seed": 0,
        "seconds": 5.0,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "torch": "2.13.0",
    },
    7,
    (
        row("mean spectrum", "", "", 1.51),
        row("autoencoder", "", "", 0.1094, frechet=0.104, kernel=-0.02),
        LOW,
        row("codec", "25hz", "default", 0.203, kbps=25.82, **SPEEDS),
        row("codec", "0.096kbps", "paper", 0.41, kbps=0.1637, **SPEEDS),
        dataclasses.replace(row("another sound", "25hz", "default", 2.068), sounds=1),
    ),
    (
        dataclasses.replace(LOW, sounds=2, evaluations=8, to_paper=spread(0.2), diversity=spread(0.3)),
        row("codec", "0.096kbps", "paper", 0.41, **SPEEDS, evaluations=127, to_paper=spread(0.0)),
    ),
    {"unreadable": 1, "too_short": 2},
)
PAGE = """\
# Codec

<!-- measured:conditions -->
<!-- /measured -->

<!-- measured:quality -->
| old | table |
<!-- /measured -->

Between them.

<!-- measured:samplers -->
<!-- /measured -->
<!-- measured:speed -->
<!-- /measured -->
The end.
"""
RENEWED = """\
# Codec

<!-- measured:conditions -->
7 sounds, the first 5 s of each, mono; bundle `small`, weights `81e823ca4963`; seed 0; torch 2.13.0 on cpu, \
1 thread, float32. Left out: 2 too short, 1 unreadable.
<!-- /measured -->

<!-- measured:quality -->
| profile | mel distance | median | worst tenth | multi-scale mel | log-spectral dB | envelope corr. | onset F1 \
| level dB | bandwidth oct. | flux dB | SI-SDR dB | Fréchet | kernel |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| AudioAE alone | **0.109** | 0.108 | 0.209 | – | – | – | – | 0.5 | – | – | -30.0 | 0.10 | -0.02 |
| `25hz` | **0.203** | 0.202 | 0.303 | – | – | – | – | 0.5 | – | – | -30.0 | – | – |
| `0.096kbps` | **0.380** | 0.379 | 0.480 | – | – | – | – | 0.5 | – | – | -30.0 | – | – |
| mean spectrum (x0 = 0) | **1.510** | 1.509 | 1.610 | – | – | – | – | 0.5 | – | – | -30.0 | – | – |
| `25hz`, code of another sound (1 sound) | **2.068** | 2.067 | 2.168 | – | – | – | – | 0.5 | – | – | -30.0 | – | – |
<!-- /measured -->

Between them.

<!-- measured:samplers -->
| profile | quality | sounds | evaluations | to the source | to Heun-64 | between seeds | flux dB | kernel \
| decoding, x real time |
|---|---|---|---|---|---|---|---|---|---|
| `0.096kbps` | `default` | 2 | 8 | 0.380 | 0.200 | 0.300 | – | – | 4.2 |
| `0.096kbps` | `paper` | 7 | 127 | 0.410 | – | – | – | – | 4.2 |
<!-- /measured -->
<!-- measured:speed -->
| profile | kbit/s by formula | true kbit/s | encoding, x real time | decoding, x real time |
|---|---|---|---|---|
| `25hz` | 25.6 | 25.820 | 21.0 (20.0) | 4.2 (3.5) |
| `0.096kbps` | 0.096 | 0.164 | 21.0 (20.0) | 4.2 (3.5) |
<!-- /measured -->
The end.
"""


def made(name: str) -> str:
    return TABLES[name](SUMMARY)


def test_the_page_of_the_codec_has_a_place_for_every_table() -> None:
    text = read_page(Path(__file__).resolve().parents[2] / "docs" / "codec.md")
    assert [name for _, name, _, _ in BLOCK.findall(text)] == list(TABLES)


def test_a_page_is_renewed_to_the_letter_and_once_is_enough() -> None:
    text = renewed(PAGE, made)
    assert text == RENEWED
    assert renewed(text, made) == text


@pytest.mark.parametrize(
    "text, word",
    [
        ("# nothing here\n", "no blocks"),
        ("<!-- measured:weather -->\n<!-- /measured -->\n", "weather"),
        ("<!-- measured:quality -->\nno end\n", "no blocks"),
        ("<!-- measured:speed -->\n<!-- /measured -->\n<!-- measured:quality -->\n", "without an end"),
        ("<!-- measured:speed -->\n<!-- measured:quality -->\n<!-- /measured -->\n", "without an end"),
    ],
)
def test_pages_that_cannot_be_renewed_are_refused(tmp_path: Path, text: str, word: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(SpressoError, match=word) as caught:
        read_page(page)
    assert caught.value.code == "bad_tables"
