"""Systems on the same sounds: every figure is there and right, faults cost one point, a killed run goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.comparison import Comparison, compare_systems
from spresso_assets.evaluation.metrics import compare
from spresso_assets.evaluation.records import Records
from spresso_assets.evaluation.systems import Entry, carry, entries, mono48
from tests.evaluation.rough import Broken, Refusing, Rough, Varying, sound, sounds

CONDITIONS = {"seconds": 1.0}


@pytest.fixture(scope="module")
def compared() -> Comparison:
    given = entries([Rough(), Varying("varying")])
    return compare_systems(given, sounds(), Records(CONDITIONS), takes=3)


def test_points_come_low_rates_first_and_high_ones_can_be_left_out() -> None:
    systems = [Rough("a"), Rough("b")]
    assert [e.point for e in entries(systems)] == ["a 3 bit", "a 8 bit", "b 3 bit", "b 8 bit"]
    assert [e.point for e in entries(systems, max_kbps=100)] == ["a 3 bit", "b 3 bit"]


def test_every_row_has_its_true_rate_and_its_figures(compared: Comparison) -> None:
    assert [(r.system, r.point) for r in compared.rows[:2]] == [("rough", "rough 3 bit"), ("rough", "rough 8 bit")]
    low, high = compared.rows[:2]
    # 24,000 samples a second in a byte each, and one byte per sound of 0.6 s.
    assert high.kbps == pytest.approx(192 + 8 / 600, abs=1e-3) and high.nominal_kbps == 192
    for row in compared.rows:
        assert row.sounds == 9 and row.seconds == pytest.approx(5.4)
        mel = row.metrics["mel_distance"]
        assert mel.low <= mel.value <= mel.high and mel.count == 9
        assert row.worst["mel_distance"] >= mel.value * 0.9
        assert (row.encode_speed or 0) > 0 and (row.decode_speed_cpu or 0) >= 0
        like = row.likeness["hand-made"]
        assert like.frechet is not None and like.kernel is not None
        assert like.retrieval is not None and like.similarity is not None
        assert 0 <= like.retrieval.value <= 1 and -1 <= like.similarity.value <= 1
    assert low.metrics["mel_distance"].value > high.metrics["mel_distance"].value
    fine, coarse = high.likeness["hand-made"], low.likeness["hand-made"]
    assert fine.frechet and coarse.frechet and fine.frechet.value < coarse.frechet.value
    assert fine.similarity and coarse.similarity and fine.retrieval and coarse.retrieval
    assert fine.similarity.value > coarse.similarity.value
    assert fine.retrieval.value > 0.8 > coarse.retrieval.value


def test_the_figures_of_a_sound_are_those_of_its_decode(compared: Comparison) -> None:
    entry = Entry(Rough(), "rough 3 bit", 72.0)
    _, audio_CN, rate = sounds()[1]
    reference_N = mono48(audio_CN, rate)
    passage, _ = carry(entry, reference_N)
    record = next(r for r in compared.records if r["sound"] == "sound 1" and r["profile"] == "rough 3 bit")
    for name, value in compare(passage.decoded_N, reference_N).items():
        assert record["metrics"][name] == pytest.approx(value, abs=1e-5), name
    assert record["bytes"] == len(passage.data)


def test_only_what_varies_has_diversity(compared: Comparison) -> None:
    assert [row.diversity is not None for row in compared.rows] == [False, False, True, True]
    assert compared.rows[2].diversity is not None and compared.rows[2].diversity.value > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark of memory is Linux's")
def test_memory_is_what_a_call_takes_on_top() -> None:
    class Greedy(Rough):
        def decode(self, data: bytes) -> np.ndarray:
            for _ in range(40):
                np.ones(200_000).sum()  # small enough to be kept by the C library when it is freed
            np.ones(8_000_000).sum()  # 64 MB for a moment
            return super().decode(data)

    (row,) = compare_systems([Entry(Greedy(), "p", 72.0)], sounds(1), Records(CONDITIONS)).rows
    assert row.decode_bytes is not None and 60e6 < row.decode_bytes < 100e6
    assert row.encode_bytes is not None and row.encode_bytes < 20e6


def test_a_fault_costs_its_point_for_its_sound_and_is_told() -> None:
    told: list[tuple[str, str]] = []
    given = entries([Rough(), Broken("broken"), Refusing("refusing")], max_kbps=200)
    silent = ("silent", np.zeros((1, 24_000), np.float32), 24_000)
    found = compare_systems(
        given,
        [sound("good"), silent, sound("short", 0.03)],
        Records(CONDITIONS),
        skip=lambda what, e: told.append((what, e.code)),
    )
    assert [row.system for row in found.rows] == ["rough", "rough"]
    assert told == [
        ("good, broken broken 8 bit", "system_length"),
        ("good, refusing refusing 8 bit", "refused"),
        ("silent", "silent_sound"),
        ("short", "too_short"),
    ]
    assert found.left_out == {"system_length": 1, "refused": 1, "silent_sound": 1, "too_short": 1}


def test_a_stopped_run_keeps_what_is_done_and_goes_on(tmp_path: Path) -> None:
    file, stopping = tmp_path / "records.jsonl", Rough()
    whole = compare_systems(entries([Rough()]), sounds(4), Records(CONDITIONS))

    def stop(done: int, what: str) -> None:
        if done == 2 and "8 bit" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_systems(entries([stopping]), sounds(4), Records(CONDITIONS, file), progress=stop)
    assert stopping.encoded == 7  # five figures, and each point once untimed
    again = Rough()
    found = compare_systems(entries([again]), sounds(4), Records(CONDITIONS, file))
    assert again.encoded == 5
    for one, other in zip(found.rows, whole.rows, strict=True):
        assert one.metrics == other.metrics and one.kbps == other.kbps
    # A system more costs only itself.
    later = Rough()
    more = compare_systems(entries([later, Rough("more")]), sounds(4), Records(CONDITIONS, file))
    assert later.encoded == 0 and len(more.rows) == 4


def test_few_sounds_have_no_likeness_by_an_embedding_that_they_would_have_to_scale() -> None:
    (row,) = compare_systems(entries([Rough()], max_kbps=100), sounds(3), Records(CONDITIONS)).rows
    assert row.likeness["hand-made"].similarity is None and row.likeness["hand-made"].frechet is None
    assert row.metrics["mel_distance"].count == 3


def test_what_is_written_is_read_again(compared: Comparison, tmp_path: Path) -> None:
    file = tmp_path / "comparison.json"
    file.write_text(compared.to_json())
    again = Comparison.read(file)
    assert again == compared and again.sounds == [name for name, _, _ in sounds()]
    assert "embeddings" not in file.read_text()
    for broken in ("{}", json.dumps({"schema": 0}), "no json"):
        file.write_text(broken)
        with pytest.raises(SpressoError, match="bad_summary"):
            Comparison.read(file)


def test_every_source_and_decode_is_heard_once() -> None:
    heard: list[tuple[str, str, int]] = []
    compare_systems(
        entries([Rough()], max_kbps=100),
        sounds(2),
        Records(CONDITIONS),
        listen=lambda name, entry, x_N: heard.append((name, entry.point if entry else "", len(x_N))),
    )
    assert heard == [(name, point, 28_800) for name in ("sound 0", "sound 1") for point in ("", "rough 3 bit")]
