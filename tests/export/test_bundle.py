"""A bundle is whole and explains itself; another catalog takes it in and can do with it what the first one could."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Spresso


@pytest.fixture
def bundle(filled: Spresso, tmp_path: Path) -> Path:
    filled.ok("export", "door", tmp_path / "doors", "--as", "bundle")
    return tmp_path / "doors"


@pytest.fixture
def other(filled: Spresso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spresso:
    """Another, empty catalog without a model."""
    monkeypatch.setenv("SPRESSO_CATALOG", str(tmp_path / "other.db"))
    filled.ok("init", "--bundle", tmp_path / "no model")
    return filled


def test_anybody_can_check_it(bundle: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=bundle, check=True)
    head = json.loads((bundle / "bundle.json").read_text())
    assert (head["format"], head["version"], head["sounds"]) == ("spresso-bundle", 1, 2)
    listed = {line.partition("  ")[2] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert there == listed | {"SHA256SUMS"}


def test_another_catalog_takes_it_in(bundle: Path, other: Spresso, tmp_path: Path) -> None:
    dry = other.ok("db", "import", bundle, "--dry-run", "--json").data
    assert [item["outcome"] for item in dry] == ["new", "new"]
    assert other("search").code == 4
    other.ok("db", "import", bundle)
    (found,) = other.ok("search", "slams", "cat_id:=DOORWood", "--json").data
    assert found["profiles"] == ["2.5kbps"]
    shown = other.ok("show", found["uid"], "--peaks", "--json").data[0]
    assert shown["fields"]["fx_name"] == {"value": "Wooden door slams", "source": "ucs_filename"} and shown["peaks"]
    other.ok("decode", found["uid"], "-o", tmp_path / "again.wav", "--quality", "preview")
    assert (tmp_path / "again.wav").stat().st_size > 1000
    assert [item["outcome"] for item in other.ok("db", "import", bundle, "--json").data] == ["known", "known"]
    assert len(other.ok("verify", "--level", "hash", "--json").data["findings"]) == 0


def test_both_decode_to_the_same_samples(bundle: Path, other: Spresso, tmp_path: Path) -> None:
    other.ok("db", "import", bundle)
    uid = other.ok("search", "slams", "--json").data[0]["uid"]
    for name, catalog in (("a", "catalog.db"), ("b", "other.db")):
        options = ["-o", tmp_path / f"{name}.flac", "--quality", "preview", "--catalog", tmp_path / catalog]
        other.ok("decode", uid, *options)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()


def test_a_person_s_words_come_along_and_stay_theirs(filled: Spresso, tmp_path: Path) -> None:
    import os

    from sqlmodel import select

    from spresso_assets.catalog.editing import add_tags, set_field
    from spresso_assets.catalog.engine import open_catalog
    from spresso_assets.catalog.models import Asset

    catalog = open_catalog(os.environ["SPRESSO_CATALOG"])
    with catalog.session() as session:
        asset = session.exec(select(Asset).where(Asset.cat_id == "DOORWood")).one()
        set_field(session, asset, "designer", "Ana", "ana")
        add_tags(session, asset, ["best of"], "ana")
    catalog.close()
    filled.ok("export", "", tmp_path / "all", "--as", "bundle")
    options = ["--catalog", tmp_path / "second.db"]
    filled.ok("init", *options)
    filled.ok("db", "import", tmp_path / "all", *options)
    (found,) = filled.ok("search", "tag:best", *options, "--json").data
    shown = filled.ok("show", found["uid"], *options, "--json").data[0]
    assert shown["fields"]["designer"] == {"value": "Ana", "source": "user"} and shown["tags"] == ["best of"]


def test_damage_costs_the_damaged_sound_only(bundle: Path, other: Spresso) -> None:
    payload = next(bundle.rglob("*.spr"))
    payload.write_bytes(payload.read_bytes()[:-1] + b"\0")
    result = other("db", "import", bundle, "--json")
    assert result.code == 3 and len(result.data) == 1
    assert [fault["code"] for fault in result.json["failures"]] == ["bundle_damaged"]


def test_what_is_no_whole_bundle(bundle: Path, other: Spresso, tmp_path: Path) -> None:
    head = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(head | {"version": 99}))
    assert other("db", "import", bundle, "--json").json["error"]["code"] == "bundle_newer"
    (bundle / "bundle.json").write_text(json.dumps(head))
    sums = (bundle / "SHA256SUMS").read_text()
    (bundle / "SHA256SUMS").write_text(sums + "00  ../../etc/passwd.json\n")
    assert other("db", "import", bundle, "--json").json["error"]["code"] == "not_a_bundle"
    (bundle / "SHA256SUMS").unlink()
    assert "did not end" in other("db", "import", bundle).err
    assert other("db", "import", tmp_path, "--json").json["error"]["code"] == "not_a_bundle"


def test_an_interrupted_export_can_be_run_again_and_a_whole_one_is_kept(filled: Spresso, bundle: Path) -> None:
    assert filled("export", "", bundle, "--as", "bundle", "--json").json["error"]["code"] == "target_exists"
    (bundle / "SHA256SUMS").unlink()
    filled.ok("export", "door", bundle, "--as", "bundle")
    assert (bundle / "SHA256SUMS").exists()
