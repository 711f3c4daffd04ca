"""Speeds beside each other: every system, every point, every number of threads, once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.comparison import compare_systems
from spresso_assets.evaluation.comparison_tables import COMPARISON_TABLES
from spresso_assets.evaluation.records import Records
from spresso_assets.evaluation.speed import measure_speed
from spresso_assets.evaluation.systems import Audio, entries, is_trained
from tests.evaluation.rough import Refusing, Rough, sound, sounds

CONDITIONS = {"seconds": 1.0}


class Watching(Rough):
    """Notes how many threads it was given."""

    def __init__(self) -> None:
        super().__init__("watching")
        self.threads: list[int] = []

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        self.threads.append(torch.get_num_threads())
        return super().encode(audio_CN, kbps)


class Noise(Rough):
    untrained = True


def test_each_point_is_timed_with_each_number_of_threads() -> None:
    before = torch.get_num_threads()
    system = Watching()
    found = measure_speed(entries([system]), sounds(3), Records(CONDITIONS), threads=(1, 2))
    assert system.threads == [1] * 8 + [2] * 8  # two points, three sounds, and one untimed
    assert torch.get_num_threads() == before
    assert [(s.point, s.threads) for s in found] == [
        ("watching 3 bit", 1), ("watching 3 bit", 2), ("watching 8 bit", 1), ("watching 8 bit", 2)
    ]  # fmt: skip
    for speed in found:
        assert speed.sounds == 3 and speed.seconds == pytest.approx(1.8)
        assert speed.encode > 0 and speed.decode > 0
        assert sys.platform != "linux" or (speed.encode_bytes is not None and speed.decode_bytes is not None)


def test_the_speed_is_all_seconds_over_all_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"wall": 0.0, "cpu": 0.0}

    class Slow(Rough):
        def encode(self, audio_CN: Audio, kbps: float) -> bytes:
            now["wall"] += audio_CN.shape[1] / 24_000 / 10
            now["cpu"] += audio_CN.shape[1] / 24_000 / 5
            return super().encode(audio_CN, kbps)

        def decode(self, data: bytes) -> Audio:
            now["wall"] += 0.3
            return super().decode(data)

    monkeypatch.setattr("spresso_assets.evaluation.timing.time.perf_counter", lambda: now["wall"])
    monkeypatch.setattr("spresso_assets.evaluation.timing.time.process_time", lambda: now["cpu"])
    given = [sound("short", 0.6), sound("long", 2.4)]
    (found,) = measure_speed(entries([Slow()], max_kbps=100), given, Records(CONDITIONS), threads=(1,))
    assert (found.encode, found.encode_cpu) == (pytest.approx(10, rel=1e-3), pytest.approx(5, rel=1e-3))
    assert found.decode == pytest.approx(3.0 / 0.6, rel=1e-3)


def test_a_stopped_timing_goes_on_and_other_weights_are_timed_anew(tmp_path: Path) -> None:
    file, first = tmp_path / "records.jsonl", Rough()

    def stop(done: int, total: int, what: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_speed(entries([first]), sounds(3), Records(CONDITIONS, file), threads=(1,), progress=stop)
    again = Rough()
    measure_speed(entries([again]), sounds(3), Records(CONDITIONS, file), threads=(1,))
    assert again.encoded == 3 + 2  # what was missing, and each point once untimed
    other = Rough()
    measure_speed(entries([other], weights={"rough": "new"}), sounds(3), Records(CONDITIONS, file), threads=(1,))
    assert other.encoded == 6 + 2


def test_what_fails_is_told_and_left_out() -> None:
    told: list[str] = []
    found = measure_speed(
        entries([Rough(), Refusing("refusing")], max_kbps=200),
        [*sounds(1), sound("too short", 0.03)],
        Records(CONDITIONS),
        threads=(1,),
        skip=lambda what, error: told.append(f"{what}: {error.code}"),
    )
    assert {speed.system for speed in found} == {"rough"}
    assert told == ["sound 0, refusing refusing 8 bit: refused"]


def test_other_weights_are_measured_anew(tmp_path: Path) -> None:
    records = Records(CONDITIONS, tmp_path / "records.jsonl")
    first, second = Rough(), Rough()
    compare_systems(entries([first], weights={"rough": "one"}), sounds(2), records)
    compare_systems(entries([second], weights={"rough": "two"}), sounds(2), records)
    assert first.encoded == second.encoded


def test_a_system_of_random_weights_is_there_for_its_speed_alone() -> None:
    assert is_trained(Rough()) and not is_trained(Noise())


def test_tables_of_the_documentation_hold_every_system() -> None:
    import dataclasses

    given = entries([Rough(), Rough("dac-untrained")], max_kbps=100)
    records = Records(CONDITIONS)
    compared = compare_systems(given[:1], sounds(), records)
    found = dataclasses.replace(compared, speeds=tuple(measure_speed(given, sounds(2), records, threads=(1, 2))))
    tables = {name: make(found) for name, make in COMPARISON_TABLES.items()}
    assert "9 sounds, the first 1 s of each" in tables["systems-conditions"]
    assert "Speeds: 2 of the sounds" in tables["systems-conditions"]
    mel = compared.rows[0].metrics["mel_distance"]
    (row,) = tables["systems"].splitlines()[2:]
    assert row.startswith("| rough 3 bit |") and f"**{mel.value:.3f}** ({mel.low:.2f} … {mel.high:.2f})" in row
    assert "FAD ↓, hand-made" in tables["systems-likeness"].splitlines()[0]
    speeds = tables["systems-speed"].splitlines()
    assert "encoding against DAC, 2 threads" in speeds[0] and len(speeds) == 4
    assert speeds[3].split(" | ")[-3:-1] == ["1", "1"]


def test_a_page_may_ask_for_every_table(tmp_path: Path) -> None:
    from spresso_assets.evaluation.tables import BLOCK, read_page

    text = read_page(Path(__file__).resolve().parents[2] / "docs" / "results.md", COMPARISON_TABLES)
    assert [name for _, name, _, _ in BLOCK.findall(text)] == list(COMPARISON_TABLES)
    page = tmp_path / "page.md"
    page.write_text("<!-- measured:quality -->\n<!-- /measured -->\n")
    with pytest.raises(SpressoError, match="quality"):
        read_page(page, COMPARISON_TABLES)
