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
