"""`root test`: what a scan would do with a path, and that it then does so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spresso_assets.catalog.models import WatchRoot
from spresso_assets.errors import SpressoError
from spresso_assets.ingest.forecast import Forecast, forecast
from tests.ingest.conftest import Library


def ask(library: Library, rel_path: str) -> Forecast:
    with library.catalog.read() as session:
        return forecast(session, library.folder / rel_path)


def test_a_file_is_followed_from_its_arrival_to_its_end(library: Library) -> None:
    with library.catalog.session() as session:
        session.get_one(WatchRoot, library.root_id).settle_s = 0.0
    file = library.put("a.wav", b"no sound")
    assert ask(library, "a.wav").next == "it is read" and ask(library, "a.wav").known is None
    library.scan()
    assert ask(library, "a.wav").next == "nothing: it was read, and has not changed"
    file.unlink()
    assert "it will be marked as missing" in ask(library, "a.wav").next
    library.put("b.wav")
    library.scan(accept_removals=True)
    assert "it is marked as missing" in ask(library, "a.wav").next


def test_what_a_file_waits_for_is_said(library: Library) -> None:
    with (library.folder / "open.wav").open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        found = ask(library, "open.wav")
    assert found.included and "open for writing" in found.next
    library.put("young.wav", age_s=0)
    assert "waits at least" in ask(library, "young.wav").next


@pytest.mark.parametrize(
    ("rel_path", "included", "said"),
    [("a.txt", False, "left out"), ("link.wav", False, "left out"), ("pipe.wav", True, "no ordinary file")],
)
def test_what_is_no_sound_is_said(library: Library, rel_path: str, included: bool, said: str) -> None:
    (library.folder / "a.txt").write_text("no sound")
    (library.folder / "link.wav").symlink_to("a.txt")
    os.mkfifo(library.folder / "pipe.wav")
    found = ask(library, rel_path)
    assert found.included is included and said in found.next


def test_paused_and_absent_roots_are_said(library: Library, tmp_path: Path) -> None:
    library.put("a.wav")
    with library.catalog.session() as session:
        session.get_one(WatchRoot, library.root_id).state = "paused"
    assert ask(library, "a.wav").next == "nothing: the root is paused"
    with library.catalog.session() as session:
        session.get_one(WatchRoot, library.root_id).state = "active"
    library.folder.rename(tmp_path / "away")
    assert ask(library, "a.wav").next == "nothing: the root is offline"


def test_a_path_in_no_root(library: Library, tmp_path: Path) -> None:
    with library.catalog.read() as session, pytest.raises(SpressoError, match="outside_root"):
        forecast(session, tmp_path / "elsewhere.wav")
