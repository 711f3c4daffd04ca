"""`spresso reencode` and `spresso quality` on real sounds with the untrained bundle: every way, end to end."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from spresso_assets.catalog.engine import open_catalog
from tests.cli.conftest import Spresso


def profiles(spresso: Spresso) -> set[tuple[str, ...]]:
    """Which profiles sounds have ready renditions under."""
    with contextlib.closing(sqlite3.connect(os.environ["SPRESSO_CATALOG"])) as database:
        rows = database.execute(
            "SELECT r.asset_id, p.name FROM rendition r JOIN encode_profile p ON p.id = r.profile_id "
            "WHERE r.status = 'ready' ORDER BY p.name"
        ).fetchall()
    assert len(set(rows)) == len(rows)
    return {tuple(name for asset_id, name in rows if asset_id == wanted) for wanted, _ in rows}


def ways(result: Any) -> dict[str, int]:
    return {name: way["sounds"] for name, way in result.data["ways"].items()}


def test_a_dry_run_shows_the_plan_and_changes_nothing(filled: Spresso) -> None:
    shown = filled.ok("reencode", "--profile", "1hz", "--dry-run")
    assert "encode from the file" in shown.out and "old ones      are kept" in shown.out
    data = filled.ok("reencode", "--profile", "1hz", "--dry-run", "--json").data
    assert data["ways"]["encode"]["sounds"] == 3 and data["batch"] is None
    assert profiles(filled) == {("2.5kbps",)}


def test_each_exact_way_and_what_it_leaves(filled: Spresso) -> None:
    assert ways(filled.ok("reencode", "--profile", "0.3kbps", "-y", "--json")) == {"encode": 3}
    cut = filled.ok("reencode", "--profile", "0.096kbps", "--from", "0.3kbps", "--retire-old", "-y", "--json")
    assert ways(cut) == {"cut": 3} and cut.data["done"]["made"] == {"cut": 3} and cut.data["done"]["retired"] == 3
    assert profiles(filled) == {("0.096kbps", "2.5kbps")}
    assert ways(filled.ok("reencode", "--profile", "25hz", "-y", "--json")) == {"encode": 3}
    made = filled.ok("reencode", "--profile", "2.5kbps", "--all", "-y", "--json")
    assert ways(made) == {"quantise": 3} and made.data["done"]["made"] == {"quantised": 3}
    assert profiles(filled) == {("0.096kbps", "2.5kbps", "25hz")}
    assert filled.ok("reencode", "--profile", "2.5kbps", "-y", "--json").data["sounds"] == 0, "nothing is missing"


def test_without_its_file_a_sound_is_transcoded_if_that_is_allowed_and_marked(
    filled: Spresso, tmp_path: Path, sounds: Path
) -> None:
    shutil.rmtree(sounds)
    catalog = open_catalog(tmp_path / "catalog.db")
    with catalog.session() as session:
        session.connection().exec_driver_sql("UPDATE source_file SET state = 'missing'")
    plan = filled.ok("reencode", "--profile", "1hz", "-y", "--json").data
    assert plan["ways"]["source_missing"]["sounds"] == 3 and plan["transcodable"] == 3 and plan["batch"] is None
    assert [item["reason"] for item in plan["unreached"]] == ["source_missing"] * 3
    assert profiles(filled) == {("2.5kbps",)}
    done = filled.ok("reencode", "--profile", "1hz", "--allow-transcode", "-y", "--json").data["done"]
    assert done["made"] == {"transcoded": 3}
    with catalog.read() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT r.origin, r.generation, r.verified_at > 0, r.parent_uid IS NOT NULL FROM rendition r "
            "JOIN encode_profile p ON p.id = r.profile_id WHERE p.name = '1hz'"
        )
        assert {tuple(row) for row in rows} == {("transcoded", 2, 1, 1)}
    catalog.close()
    uid = filled.ok("search", "--json").data[0]["uid"]
    assert "transcoded, generation 2" in filled.ok("show", uid).out
    filled.ok("decode", uid, "--profile", "1hz", "-o", tmp_path / "again.wav")
    assert b"GENERATION=2" in (tmp_path / "again.wav").read_bytes()
    filled.ok("decode", uid, "--profile", "2.5kbps", "-o", tmp_path / "once.wav")
    assert b"GENERATION" not in (tmp_path / "once.wav").read_bytes()


def test_a_target_quality_picks_the_lowest_rate_that_passes(filled: Spresso) -> None:
    easy = filled.ok("reencode", "--target-quality", "0", "-y", "--json").data
    assert easy["done"]["made"] == {"encoded": 3}
    assert profiles(filled) == {("0.096kbps", "2.5kbps")}
    hard = filled.ok("reencode", "--target-quality", "1", "--profile", "0.3kbps", "-y", "--json").data
    assert hard["sounds"] == 3 and profiles(filled) == {("0.096kbps", "0.3kbps", "2.5kbps")}
    report = filled.ok("quality", "--json").data
    measured = {row["profile"]: row["measured"] for row in report["profiles"]}
    assert measured == {"2.5kbps": 0, "0.3kbps": 3, "0.096kbps": 3}
    assert report["fell_short"]["count"] == 3
    assert {item["profile"] for item in report["fell_short"]["sounds"]} == {"0.3kbps"}
    assert all(0 <= item["value"] < item["target"] == 1 for item in report["fell_short"]["sounds"])
    assert "fell short" in filled.ok("quality").out
    again = filled.ok("reencode", "--target-quality", "1", "--profile", "0.3kbps", "-y", "--json").data
    assert again["sounds"] == 0, "it was tried, and said so"


def test_questions_without_an_answer_are_refused(filled: Spresso) -> None:
    for arguments in (
        ["--profile", "1hz", "--stale", "--all"],
        [],
        ["--profile", "1hz", "--retire-old"],
        ["--profile", "nothing"],
        ["--target-quality", "0.5", "--stale"],
    ):
        assert filled("reencode", *arguments, "-y").code == 2, arguments
    assert "Say --yes" in filled("reencode", "--profile", "1hz").err
    assert profiles(filled) == {("2.5kbps",)}


def test_a_plan_that_was_interrupted_is_made_whole_by_resuming_its_batch(filled: Spresso, tmp_path: Path) -> None:
    from spresso_assets.jobs.reencode_plan import start
    from spresso_assets.jobs.reencode_ways import Request

    with contextlib.closing(open_catalog(tmp_path / "catalog.db")) as catalog:
        batch = start(catalog, Request("", "1hz"))
    refused = filled("jobs", "pause", "--batch", batch)
    assert refused.code != 0 and "jobs resume --batch" in refused.err
    filled.ok("jobs", "resume", "--batch", batch, "--dry-run")
    with contextlib.closing(sqlite3.connect(os.environ["SPRESSO_CATALOG"])) as database:
        assert database.execute("SELECT state FROM batch WHERE uid = ?", (batch,)).fetchone() == ("planning",)
    filled.ok("jobs", "resume", "--batch", batch)
    with contextlib.closing(sqlite3.connect(os.environ["SPRESSO_CATALOG"])) as database:
        assert database.execute("SELECT state, total FROM batch WHERE uid = ?", (batch,)).fetchone() == ("running", 3)
