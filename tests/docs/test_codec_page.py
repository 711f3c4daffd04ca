"""Figures of the codec page that follow from the code are those of the code."""

from __future__ import annotations

import re

import pytest

from spresso_assets.codec.codec import QUALITIES
from spresso_assets.codec.config import OPERATING_POINTS, PRESETS
from spresso_assets.codec.cost import meta_modules, module_shapes, parts
from spresso_assets.evaluation.points import evaluations
from tests.docs.codes import REPOSITORY

PAGE = (REPOSITORY / "docs" / "codec.md").read_text(encoding="utf-8")
# Row of the page -> parts that it sums up.
ROWS = {
    "AudioAE": ("autoencoder encoder", "autoencoder decoder"),
    "prior": ("denoiser: audio stream", "denoiser: text stream", "denoiser: modulation", "denoiser: rest"),
    "adapters": ("f_phi", "audio-down QKV", "LoRA"),
    "linear code": ("linear code",),
    "latent encoder": ("latent encoder",),
    "quantizers": ("quantizer",),
}


def cells(first: str) -> list[str]:
    """The row of a table that begins with these words."""
    row = re.search(rf"^\| {re.escape(first)}.*$", PAGE, re.MULTILINE)
    assert row is not None, first
    return [cell.strip() for cell in row[0].strip("|").split("|")]


@pytest.mark.parametrize("column, preset", [(1, "small"), (2, "full")])
def test_weights(column: int, preset: str) -> None:
    counted = parts(module_shapes(meta_modules(PRESETS[preset])))
    for row, names in ROWS.items():
        total = sum(part.weights for part in counted if part.name in names) / 1e6
        shown = cells(row)[column].split(",")[0]
        assert shown == ("none" if not total else f"{total:.1f}"), row
    assert {part.name for part in counted} <= {name for names in ROWS.values() for name in names}
    assert cells("all |")[column] == f"{sum(part.weights for part in counted) / 1e6:.1f}"


def test_operating_points() -> None:
    for name, point in OPERATING_POINTS.items():
        if point.codebooks is None:
            assert f"`{name}`" in PAGE
        else:
            bits = f"{1000 * point.nominal_kbps():.0f}"
            assert cells(f"`{name}` |")[1:] == [str(point.pool), str(point.codebooks), str(point.bits), bits]


def test_samplers() -> None:
    for name in ("paper", "default"):
        how, shown = QUALITIES[name], cells(f"`{name}` |")
        assert shown[2].split(" ")[0] == str(evaluations(name))
        assert [float(cell) for cell in shown[3:]] == [how.sigma_max, how.start_scale]
