"""The envelope, the streams and the exit codes: what scripts rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spresso_assets.cli import format
from spresso_assets.cli.arguments import arrange
from spresso_assets.cli.main import app
from spresso_assets.cli.waveform import outline
from tests.cli.conftest import Spresso

VERBS = (
    *("init", "demo", "doctor", "root", "scan", "watch", "ingest", "search", "show", "decode", "export", "stats"),
    *("encode", "fields", "profile", "models", "jobs", "codec", "train"),
)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["search", "door", "--json"], ["--json", "search", "door"]),
        (["search", "--catalog", "a.db", "x"], ["--catalog", "a.db", "search", "x"]),
        (["search", "--catalog=a.db", "x"], ["--catalog=a.db", "search", "x"]),
        (["search", "--", "--json"], ["search", "--", "--json"]),
        (["search", "--catalog"], ["--catalog", "search"]),
        (["search", "--config", "a.toml"], ["--config", "a.toml", "search"]),
        (["train", "prior", "--config", "t.toml", "--json"], ["--json", "train", "prior", "--config", "t.toml"]),
        (
            ["--config", "a.toml", "train", "prior", "--config=t.toml"],
            ["--config", "a.toml", "train", "prior", "--config=t.toml"],
        ),
    ],
)
def test_global_options_may_stand_anywhere(args: list[str], expected: list[str]) -> None:
    assert arrange(args, app) == expected


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["search", "door", "-wood"], ["search", "--", "door", "-wood"]),
        (["search", "-paper", "-p", "door"], ["search", "-p", "--", "-paper", "door"]),
        (["search", "-wood", "--sort", "-added", "--paths"], ["search", "--sort", "-added", "--paths", "--", "-wood"]),
        (["stats", "-cat_id:DOOR", "--json"], ["--json", "stats", "--", "-cat_id:DOOR"]),
        (["encode", "--profile=11hz", "-wood", "-y"], ["encode", "--profile=11hz", "-y", "--", "-wood"]),
        (
            ["export", "steps", "-wood", "out", "--as", "latent"],
            ["export", "--as", "latent", "--", "steps", "-wood", "out"],
        ),
        (["search", "a", "-wood", "--", "-p"], ["search", "--", "a", "-wood", "-p"]),
        (["search", "-p", "door", "-x"], ["search", "-p", "door", "-x"]),
        (["decode", "3f2", "-wood"], ["decode", "3f2", "-wood"]),
    ],
)
def test_negated_words_are_no_options(args: list[str], expected: list[str]) -> None:
    assert arrange(args, app) == expected


def test_missing_catalog_is_code_10_with_and_without_json(spresso: Spresso) -> None:
    plain, as_json = spresso("search", "door"), spresso("search", "door", "--json")
    assert plain.code == as_json.code == 10
    assert plain.out == "" and "spresso init" in plain.err
    error = as_json.json["error"]
    assert as_json.json["ok"] is False and error["code"] == "catalog_missing" and error["hint"]


def test_usage_errors_are_code_2_in_an_envelope(spresso: Spresso) -> None:
    result = spresso("search", "--frobnicate", "--json")
    assert result.code == 2 and result.json["error"]["code"] == "usage"
    assert spresso("nonsense").code == 2


def test_success_envelope(filled: Spresso) -> None:
    document = filled.ok("search", "rain", "--json").json
    assert document["ok"] is True and document["command"] == "search" and document["schema"] == 1
    assert [hit["name"] for hit in document["data"]] == ["Heavy rain on a tin roof"]
    assert document["warnings"] == []


def test_jsonl_is_one_document_per_line_and_a_summary(filled: Spresso) -> None:
    lines = [json.loads(line) for line in filled.ok("search", "door", "--jsonl").out.splitlines()]
    assert len(lines) == 3 and lines[-1]["summary"]["items"] == 2 and lines[-1]["summary"]["exit_code"] == 0


def test_nothing_found_is_code_4(filled: Spresso) -> None:
    assert filled("search", "saxophone").code == 4
    assert filled("show", "abcdef").code == 4


def test_help_of_every_verb(spresso: Spresso) -> None:
    top = spresso.ok("--help").out
    for verb in VERBS:
        assert verb in top
        assert spresso.ok(verb, "--help").out


def test_version(spresso: Spresso) -> None:
    assert spresso.ok("--version").out.startswith("spresso ")


def test_names_cannot_reach_the_terminal_as_commands() -> None:
    assert format.printable("a\n\x1b[31mb\u202ec\udce9") == "a\\u000a\\u001b[31mb\\u202ec\\udce9"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (1_234_567, "1.23 MB"), (7.2e12, "7.2 TB")]
)
def test_sizes(value: float, text: str) -> None:
    assert format.size(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.50 s"), (12.34, "12.3 s"), (61, "1:01"), (7322, "2:02:02")])
def test_lengths(value: float, text: str) -> None:
    assert format.length(value) == text


def test_outline_follows_the_peaks() -> None:
    peaks = bytes(value & 0xFF for pair in ((-127, 127), (-64, 10), (0, 0), (-1, 0)) for value in pair)
    assert outline(peaks, 4) == "█▄ ▁"
    assert outline(b"") == ""


def test_wrong_settings_file(spresso: Spresso, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("nonsense = 1\n")
    assert spresso("--config", file, "stats").code == 2
