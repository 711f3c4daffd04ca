"""What people listen to: the anchor's filter, levels that stay comparable, files that are made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from spresso_assets.evaluation.comparison import compare_systems
from spresso_assets.evaluation.listening import ANCHOR, SOURCE, Listening, badness, fill, low_passed
from spresso_assets.evaluation.records import Records
from spresso_assets.evaluation.systems import entries
from tests.evaluation.rough import Rough, sounds


def test_the_anchor_keeps_what_is_below_its_cutoff_and_nothing_above() -> None:
    impulse = np.zeros(48_000, np.float32)
    impulse[24_000] = 1
    found = low_passed(impulse, 3500.0)
    assert len(found) == 48_000 and np.abs(found).argmax() == 24_000  # no delay
    hz = np.fft.rfftfreq(48_000, 1 / 48_000)
    decibel = 20 * np.log10(np.abs(np.fft.rfft(found)) + 1e-9)
    assert np.abs(decibel[(hz > 20) & (hz <= 3500)]).max() < 0.1
    assert decibel[(hz >= 4700)].max() < -50


@pytest.fixture
def listening(tmp_path: Path) -> Listening:
    return Listening(tmp_path, {"seed": 0})


def test_sounds_are_made_once_and_keep_their_differences_in_level(listening: Listening) -> None:
    class Half(Rough):
        def decode(self, data: bytes) -> np.ndarray:
            return super().decode(data) / 2

    half = Half("half")
    given = entries([half], max_kbps=100)
    for _ in range(2):
        fill(listening, given, sounds(1), lambda *_: None, lambda _: None)
    assert half.encoded == 1
    (source, rate), (decode, _) = (
        soundfile.read(listening.sound("sound 0", key)) for key in (SOURCE, ("half", "half 3 bit"))
    )
    assert rate == 48_000 and np.abs(source).max() == pytest.approx(0.7, abs=1e-3)
    assert 0.1 < np.abs(decode).max() < 0.5
    assert listening.has("sound 0", ANCHOR) and listening.picture("sound 0").is_file()


def test_names_tell_nothing_and_other_conditions_make_other_files(tmp_path: Path, listening: Listening) -> None:
    name = listening.sound("door slam", ("spresso", "1hz")).name
    assert "door" not in name and "spresso" not in name
    assert Listening(tmp_path, {"seed": 1}).sound("door slam", ("spresso", "1hz")).name != name


def test_the_worst_sound_comes_first() -> None:
    found = compare_systems(entries([Rough()]), sounds(4), Records({}))
    ranked = badness(found)
    assert list(ranked.values()) == sorted(ranked.values(), reverse=True) and len(ranked) == 4
    name, value = next(iter(ranked.items()))
    mine = [r["metrics"]["mel_distance"] for r in found.records if r["sound"] == name]
    assert value == pytest.approx(np.mean(mine))
