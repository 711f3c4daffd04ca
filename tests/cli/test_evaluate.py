"""`spresso evaluate`: measures, keeps what it measured, renews pages, and says what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Spresso

PAGE = "# Page\n<!-- measured:conditions -->\n<!-- /measured -->\n<!-- measured:speed -->\n<!-- /measured -->\n"


def test_one_command_measures_and_renews_a_page(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    page, out = tmp_path / "page.md", tmp_path / "figures"
    page.write_text(PAGE)
    given = ("evaluate", sounds, "--profiles", "1hz", "--limit", "2", "--out", out)
    data = spresso.ok(*given, "--docs", page, "--json").data
    assert data["sounds"] == 2
    text = page.read_text()
    assert "2 sounds, the first 5 s" in text and "| `1hz` |" in text
    assert json.loads((out / "summary.json").read_text()) == data
    records = (out / "records.jsonl").read_bytes()
    # Again: nothing is left to measure. From the summary alone: the same page.
    assert "1hz" in spresso.ok(*given).out
    assert (out / "records.jsonl").read_bytes() == records
    page.write_text(PAGE)
    spresso.ok("evaluate", "--from", out / "summary.json", "--docs", page)
    assert page.read_text() == text


def test_an_unreadable_file_is_named_counted_and_left_out(spresso: Spresso, sounds: Path) -> None:
    (sounds / "bad.wav").write_bytes(b"RIFF....")
    result = spresso("evaluate", sounds, "--profiles", "1hz", "--json")
    assert result.code == 3
    assert result.data["skipped"] == {"unreadable": 1} and result.data["sounds"] == 3
    assert [Path(f["path"]).name for f in result.json["failures"]] == ["bad.wav"]


def test_mistakes_cost_one_line_and_no_work(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    page, empty = tmp_path / "page.md", tmp_path / "empty"
    page.write_text("no tables\n")
    empty.mkdir()
    for arguments, code, exit_code in (
        ((), "usage", 2),
        ((empty,), "no_sounds", 4),
        ((sounds, "--profiles", "9hz"), "unknown_point", 2),
        ((sounds, "--qualities", "best"), "unknown_quality", 2),
        ((sounds, "--docs", page), "bad_tables", 2),
        (("--from", page), "bad_summary", 2),
    ):
        result = spresso("evaluate", *arguments)
        assert (result.code, result.err.split(": ")[1]) == (exit_code, code), result.err
        assert len(result.err.strip().splitlines()) == 1
    assert page.read_text() == "no tables\n"


def test_figures_of_another_seed_are_not_mixed(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    given = ("evaluate", sounds, "--profiles", "1hz", "--limit", "1", "--out", tmp_path)
    spresso.ok(*given)
    result = spresso(*given, "--seed", "1")
    assert result.code == 1 and "other_conditions" in result.err


def test_systems_are_compared_into_a_report_and_a_listening_test(
    spresso: Spresso, sounds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    given = ("evaluate", sounds, "--systems", "opus,spresso,nearest-clip", "--profiles", "1hz", "--max-kbps", "8")
    given = (*given, "--library", sounds, "--heard", "1", "--seeds", "2", "--out", out)
    data = spresso.ok(*given, "--json").data
    assert [(row["system"], row["sounds"]) for row in data["rows"]] == [
        ("opus", 3),
        ("opus", 3),
        ("spresso", 3),
        ("nearest-clip", 3),
    ]
    assert [row["diversity"] is not None for row in data["rows"]] == [False, False, True, False]
    remembered = data["rows"][-1]["metrics"]["mel_distance"]["value"]
    assert remembered < 0.01  # the library holds these very sounds
    assert json.loads((out / "comparison.json").read_text()) == data
    assert (out / "report.html").is_file() and (out / "report-listening-test.html").is_file()
    made = {file: file.stat().st_mtime_ns for file in (out / "audio").iterdir()}
    assert len(made) == 3 * 6 * 2  # sounds; original, anchor and four decodes; picture and sound
    records = (out / "records.jsonl").read_bytes()
    # Again: nothing is measured or made once more.
    assert "nearest-clip" in spresso.ok(*given).out
    assert (out / "records.jsonl").read_bytes() == records
    assert {file: file.stat().st_mtime_ns for file in (out / "audio").iterdir()} == made


def test_a_system_that_joins_later_costs_only_itself(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    given = ("evaluate", sounds, "--profiles", "1hz", "--max-kbps", "6", "--heard", "0", "--out", tmp_path / "out")
    spresso.ok(*given, "--systems", "opus")
    records = (tmp_path / "out" / "records.jsonl").read_bytes()
    assert len(spresso.ok(*given, "--systems", "opus,spresso", "--json").data["rows"]) == 2
    assert (tmp_path / "out" / "records.jsonl").read_bytes().startswith(records)


def test_a_report_can_be_one_file(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    page = tmp_path / "all.html"
    spresso.ok("evaluate", sounds, "--systems", "opus", "--max-kbps", "6", "--limit", "1", "--out", page)
    assert page.read_text().count("data:audio/flac") == 2
    assert "data:audio/flac" in (tmp_path / "all-listening-test.html").read_text()
    assert (tmp_path / "all-files" / "records.jsonl").is_file()


def test_systems_are_timed_and_a_page_is_renewed(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    blocks = "".join(f"<!-- measured:{name} -->\nold\n<!-- /measured -->\n" for name in ("systems", "systems-speed"))
    page.write_text(f"# Ours\n{blocks}")
    given = ("evaluate", sounds, "--systems", "opus", "--max-kbps", "6", "--limit", "2", "--timed", "2")
    data = spresso.ok(*given, "--docs", page, "--json").data
    assert [(s["threads"], s["sounds"]) for s in data["speeds"]] == [(1, 2), (2, 2)]
    assert page.read_text().count("| opus 6 kbps |") == 2 and "old" not in page.read_text()
    page.write_text("<!-- measured:quality -->\n<!-- /measured -->\n")
    assert "bad_tables" in spresso(*given, "--docs", page).err


def test_mistakes_about_systems_cost_one_line(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    for arguments, code, exit_code in (
        (("--systems", "opus"), "usage", 2),
        ((sounds, "--systems", "opuss"), "unknown_system", 2),
        ((sounds, "--systems", "encodec"), "rival_missing", 13),
        ((sounds, "--systems", "nearest-clip"), "rival_missing", 13),
        ((sounds, "--systems", "opus", "--weights", "encodec"), "usage", 2),
        ((sounds, "--systems", "opus", "--max-kbps", "1"), "usage", 2),
        ((sounds, "--systems", "spresso", "--profiles", "9hz"), "unknown_point", 2),
        ((sounds, "--systems", "opus", "--embedder", "resnet"), "unknown_embedder", 2),
        ((sounds, "--systems", "opus", "--embedder", "yamnet=nowhere"), "embedder_missing", 1),
        (("--ratings", tmp_path / "nowhere.csv"), "bad_ratings", 2),
    ):
        result = spresso("evaluate", *arguments)
        assert (result.code, result.err.split(": ")[1]) == (exit_code, code), result.err
        assert len(result.err.strip().splitlines()) == 1


def test_answers_of_listeners_are_summed_up(spresso: Spresso, tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(
        "listener,trial,sound,system,point,score,slot,plays,seconds\n"
        "ann,1,rain,reference,,100,A,1,9\nann,1,rain,opus,opus 6 kbps,42,B,1,9\n"
    )
    assert "opus 6 kbps" in (said := spresso.ok("evaluate", "--ratings", file)).out and "42.0" in said.out
