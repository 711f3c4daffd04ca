"""The shelf's window without a screen, against the real bridge. tests/hosts/test_shelf.py drags out of it for real."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip(
    "PySide6.QtWidgets",
    reason="PySide6, or a library that it needs, is not installed (pip install 'spresso-assets[shelf]')",
    exc_type=ImportError,
)

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from plugin_bridge.clients.bridge_client import BridgeClient
from plugin_bridge.shelf import player as player_module
from plugin_bridge.shelf.sounds import stepper_of
from plugin_bridge.shelf.window import Shelf
from tests.plugin_bridge.running import FilledCatalog, Running


@pytest.fixture(scope="module")
def app() -> QApplication:
    found = QApplication.instance() or QApplication([])
    assert isinstance(found, QApplication)
    return found


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that plays by writing down what it was given."""
    folder, heard = tmp_path / "bin", tmp_path / "heard"
    folder.mkdir()
    program = folder / "paplay"
    program.write_text(f'#!/bin/sh\n/bin/cp "$1" {heard}.part && /bin/mv {heard}.part {heard}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(player_module, "PLAYERS", (("paplay",),))
    return heard


@pytest.fixture
def shelf(app: QApplication, running_bridge: Running, player: Path) -> Iterator[Shelf]:
    window = Shelf(BridgeClient(running_bridge.file), running_bridge.place_folder, ["false"])
    window.show()
    yield window
    window.close()


def until(what: str, condition: Callable[[], object]) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        QTest.qWait(10)


def said(shelf: Shelf) -> str:
    return " / ".join(label.text() for label in shelf.findChildren(QLabel))


def find(shelf: Shelf, words: str) -> None:
    """Type words and wait for the one sound that they find."""
    shelf.words.setText(words)
    until("one sound", lambda: len(shelf.sounds.rows) == 1)


def press(shelf: Shelf, at: QPoint) -> None:
    QTest.mousePress(shelf.view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)


def test_words_find_sounds_with_their_outlines(shelf: Shelf, bridge_catalog: FilledCatalog) -> None:
    until("all sounds", lambda: len(shelf.sounds.rows) == len(bridge_catalog.ids))
    find(shelf, "rusty")
    row = shelf.sounds.rows[0]
    assert row.id == bridge_catalog.id_of("rusty") and "0.5 s" in row.facts and "stereo" in row.facts
    until("the outline", lambda: any(row.peaks))
    assert "1 sound." in said(shelf)
    shelf.words.setText("nothingofthekind")
    until("none", lambda: not shelf.sounds.rows)
    assert "fewer" in said(shelf)


def test_a_press_makes_the_file_before_any_drag(shelf: Shelf, running_bridge: Running) -> None:
    find(shelf, "rusty")
    row, box = shelf.sounds.rows[0], shelf.view.visualRect(shelf.sounds.index(0))
    press(shelf, box.topLeft() + QPoint(20, 12))
    until("the file", lambda: row.files)
    (file,) = row.files.values()
    assert file.is_file() and file.parent == running_bridge.place_folder
    assert file.name in said(shelf)
    file.unlink()  # a person tidies up: the next press makes it again
    QTest.mouseRelease(shelf.view.viewport(), Qt.MouseButton.LeftButton)
    press(shelf, box.topLeft() + QPoint(20, 12))
    until("the file again", file.is_file)


def test_variations_are_stepped_by_mouse_and_key_and_never_below_the_kept_one(shelf: Shelf) -> None:
    find(shelf, "rusty")
    row, box = shelf.sounds.rows[0], shelf.view.visualRect(shelf.sounds.index(0))
    less, more = stepper_of(box)
    press(shelf, more.center())
    QTest.keyClick(shelf.view, Qt.Key.Key_Right)
    assert row.variation == 2 and not row.files
    for _ in range(3):
        press(shelf, less.center())
    assert row.variation == 0


def test_what_is_heard_is_the_variation_that_is_shown(shelf: Shelf, player: Path, running_bridge: Running) -> None:
    find(shelf, "gravel 02")
    row = shelf.sounds.rows[0]
    shelf.view.setFocus()
    QTest.keyClick(shelf.view, Qt.Key.Key_Right)
    QTest.keyClick(shelf.view, Qt.Key.Key_Space)
    until("a sound", player.exists)
    wanted = running_bridge.client.get(f"/v1/sounds/{row.id}/audio.wav?variation=1&bits=16").content
    assert player.read_bytes() == wanted
    assert "variation 1" in said(shelf)


def test_a_drag_that_is_refused_says_why(app: QApplication, running_bridge: Running, tmp_path: Path) -> None:
    window = Shelf(BridgeClient(running_bridge.file), tmp_path, ["false"], "rusty")
    window.show()
    until("one sound", lambda: len(window.sounds.rows) == 1)
    press(window, window.view.visualRect(window.sounds.index(0)).topLeft() + QPoint(20, 12))
    until("the reason", lambda: "spresso bridge allow" in said(window))
    window.close()


def test_without_a_bridge_it_offers_to_start_one_and_finds_it_later(
    app: QApplication, running_bridge: Running, tmp_path: Path
) -> None:
    file = tmp_path / "bridge.json"
    window = Shelf(BridgeClient(file), tmp_path, ["false"])
    window.show()
    until("the reason", lambda: "spresso serve" in said(window))
    (button,) = window.findChildren(QPushButton)
    assert button.isVisible()
    file.write_text(running_bridge.file.read_text(encoding="utf-8"), encoding="utf-8")
    until("sounds", lambda: window.sounds.rows)
    assert not button.isVisible()
    window.close()


def test_a_player_that_is_not_there_is_said(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "PLAYERS", ())
    window = Shelf(shelf._client, Path("/nowhere"), ["false"], "rusty")
    until("one sound", lambda: len(window.sounds.rows) == 1)
    QTest.keyClick(window.view, Qt.Key.Key_Space)
    assert "alsa-utils" in said(window)
    window.close()
