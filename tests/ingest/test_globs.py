"""Patterns: what a person expects of '*.wav', 'RAW/' and 'Doors/**/old*', and the reason for each answer."""

from __future__ import annotations

import pytest

from spresso_assets.ingest.globs import Rules, matches, suffix_of


@pytest.mark.parametrize(
    ("pattern", "path", "is_dir", "expected"),
    [
        ("*.wav", "Doors/Slam.WAV", False, True),
        ("*.wav", "Doors/Slam.wav.part", False, False),
        ("RAW/", "Doors/RAW", True, True),
        ("RAW/", "Doors/RAW", False, False),
        ("Doors/*.wav", "Doors/a.wav", False, True),
        ("Doors/*.wav", "Doors/old/a.wav", False, False),
        ("Doors/**/a.wav", "Doors/old/older/a.wav", False, True),
        ("Doors/**/a.wav", "Doors/a.wav", False, True),
        ("take?.wav", "take1.wav", False, True),
        ("[x].wav", "[x].wav", False, True),
    ],
)
def test_patterns(pattern: str, path: str, is_dir: bool, expected: bool) -> None:
    assert matches(pattern, path, is_dir=is_dir) is expected


@pytest.mark.parametrize(
    ("path", "included", "reason"),
    [
        ("Doors/slam.wav", True, ".wav is a sound"),
        ("Doors/._slam.wav", False, "name matches '._*'"),
        ("Doors/slam.wav.part", False, "name matches '*.part'"),
        ("@eaDir/slam.wav", False, "folder '@eaDir' matches '@eaDir/'"),
        ("Doors/slam.txt", False, ".txt is not a sound"),
        ("Doors/slam.m4a", False, "no decoder for .m4a"),
        ("Doors/slam", False, "a name without suffix is not a sound"),
        (".hidden/slam.wav", False, "folder '.hidden' matches '.*'"),
    ],
)
def test_default_rules_say_why(path: str, included: bool, reason: str) -> None:
    verdict = Rules().verdict(path)
    assert (verdict.included, verdict.reason) == (included, reason)


def test_own_rules() -> None:
    rules = Rules(include=("*.wav",), exclude=("RAW/", "*_old.wav"))
    assert rules.verdict("a.wav").included
    assert not rules.verdict("a.flac").included
    assert not rules.verdict("RAW/a.wav").included
    assert not rules.verdict("a_old.wav").included


def test_a_bang_lets_in_again() -> None:
    rules = Rules(exclude=("!._keep*",))
    assert rules.verdict("._keep.wav").included
    assert not rules.verdict("._other.wav").included


def test_suffix_of_a_dot_file_is_none() -> None:
    assert suffix_of("a/.wav") == ""
    assert suffix_of("a.b/c") == ""
    assert suffix_of("a.b/c.WAV") == "wav"
