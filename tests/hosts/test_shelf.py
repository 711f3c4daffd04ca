"""Real drags out of the real shelf into real programs, by a mouse, looked at from inside those programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from tests.hosts.ardour_program import RATE, ArdourProgram
from tests.hosts.audacity_program import AudacityProgram, module
from tests.hosts.desktop import PROGRAMS, Desktop, wait_for
from tests.hosts.programs import needs
from tests.plugin_bridge.running import Running

needs(*PROGRAMS)
pytest.importorskip(
    "PySide6.QtWidgets",
    reason="PySide6, or a library that it needs, is not installed (pip install 'spresso-assets[shelf]')",
    exc_type=ImportError,
)

SHELF = (470, 640)  # the size of the window
ROW_1 = (120, 75)  # a place in the first row
CHOSEN = "2f5f9e"
START = "import sys; from spresso_assets.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    with Desktop(tmp_path, (1700, 900)) as shown:
        yield shown


class ShelfWindow:
    """The shelf at the right of the screen."""

    def __init__(self, desktop: Desktop, bridge: Running, words: str) -> None:
        self.desktop = desktop
        command = [sys.executable, "-c", START, "shelf", words, "--folder", str(bridge.place_folder)]
        desktop.start(*command, env={**bridge.environment, "XDG_STATE_HOME": str(desktop.folder / "state")})
        self.window = desktop.window("^spresso shelf$", 60)
        desktop.place(self.window, 1700 - SHELF[0] - 10, 40, *SHELF)
        wait_for("a chosen row", lambda: desktop.shows(CHOSEN, *self.at(ROW_1), 40, 10), 60)

    def at(self, place: tuple[int, int]) -> tuple[int, int]:
        return self.desktop.at(self.window, *place)

    def drag_first_to(self, target: tuple[int, int], folder: Path) -> Path:
        """Drag the first row somewhere; the hand waits there until the file is written, and returns it."""
        before = set(folder.glob("*.wav"))
        self.desktop.drag(self.at(ROW_1), target, lambda: set(folder.glob("*.wav")) - before)
        return (set(folder.glob("*.wav")) - before).pop()


def test_a_drag_into_audacity_is_a_clip_there(desktop: Desktop, running_bridge: Running, tmp_path: Path) -> None:
    needs("audacity")
    if module() is None:
        pytest.skip("Audacity came without mod-script-pipe, by which the test looks into it")
    audacity = AudacityProgram(desktop, tmp_path)
    audacity.start()
    desktop.place(audacity.project, 0, 0, 1180, 850)
    shelf = ShelfWindow(desktop, running_bridge, "rusty")
    desktop.screenshot(tmp_path / "before.png")
    file = shelf.drag_first_to((600, 500), running_bridge.place_folder)
    (clip,) = wait_for("a clip in Audacity", audacity.clips)
    sound = soundfile.info(file)
    assert clip["end"] - clip["start"] == pytest.approx(sound.frames / sound.samplerate, abs=1e-4)
    desktop.screenshot(tmp_path / "after.png")


def test_a_drag_onto_a_track_of_ardour_is_a_region_there(
    desktop: Desktop, running_bridge: Running, tmp_path: Path
) -> None:
    needs("ardour")
    ardour, session = ArdourProgram(desktop, tmp_path, running_bridge.environment), tmp_path / "scene"
    ardour.new_session(session, "scene", "SFX")
    ardour.start(str(session))
    window = desktop.window("^scene - Ardour$", 90)
    desktop.place(window, 0, 0, 1180, 850)
    shelf = ShelfWindow(desktop, running_bridge, "creak")
    file = shelf.drag_first_to((700, 400), running_bridge.place_folder)
    copies = session / "interchange"
    wait_for("Ardour's copy", lambda: list(copies.rglob(f"{file.stem}*.wav")))
    desktop.screenshot(tmp_path / "after.png")
    desktop.act("windowfocus", "--sync", window, "key", "ctrl+s")
    wait_for("the saved session", lambda: file.stem in (session / "scene.ardour").read_text(encoding="utf-8"))
    ardour.stop()
    regions = ardour.regions(session, "scene")
    assert len({region.position for region in regions}) == 1
    assert regions[0].length == pytest.approx(
        soundfile.info(file).frames * RATE / soundfile.info(file).samplerate, abs=1
    )
    assert file.stem in regions[0].name
