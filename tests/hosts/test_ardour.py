"""The Ardour action in a real Ardour, with its real dialogs answered by keys, looked at with Ardour's own tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from plugin_bridge.place_folders import PlaceFolders
from tests.hosts.ardour_program import RATE, ArdourProgram
from tests.hosts.desktop import PROGRAMS, Desktop, wait_for
from tests.hosts.programs import needs
from tests.plugin_bridge.running import Running

needs(*PROGRAMS, "ardour", "curl")

ACTION = Path(__file__).resolve().parents[2] / "plugin_bridge" / "clients" / "ardour" / "spresso.lua"
# Runs our action as it is, once for each position, in a new session; what it returns is saved then.
DRIVER = """ardour {{ ["type"] = "EditorAction", name = "drive", license = "", author = "", description = "" }}
function session_setup () return true end
function factory () return function ()
    local file = io.open ("{action}")
    local env = setmetatable ({{ ardour = function () end }}, {{ __index = _ENV }})
    assert (load (file:read ("*a"), "spresso", "t", env)) ()
    file:close ()
    for _, position in ipairs ({{ {positions} }}) do
        Session:request_locate (position, false, ARDOUR.LocateTransportDisposition.MustStop,
            ARDOUR.TransportRequestSource.TRS_UI)
        env.factory ({{ quality = "preview" }}) ()
    end
    Session:save_state ("")
    io.open ("{done}", "w"):close ()
end end
"""


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    with Desktop(tmp_path) as shown:
        yield shown


class Driven:
    """An Ardour that runs our action in a session below `films`."""

    def __init__(self, desktop: Desktop, bridge: Running, home: Path, positions: list[int]) -> None:
        self.desktop, self.done = desktop, home / "done"
        self.session = home / "films" / "scene"
        self.session.parent.mkdir()
        self.ardour = ArdourProgram(desktop, home, bridge.environment)
        text = DRIVER.format(action=ACTION, positions=", ".join(map(str, positions)), done=self.done)
        (self.ardour.scripts / "drive.lua").write_text(text, encoding="utf-8")
        self.ardour.start("-N", str(self.session), "-T", "drive")
        desktop.window("Audio/MIDI Setup", 90)
        desktop.leave("Audio/MIDI Setup", "Return")

    def answer(self, words: str, variation: int) -> None:
        """Go through the two dialogs of the action."""
        self.desktop.window("^spresso: search$", 60)
        self.desktop.act("sleep", "0.5", "type", words)
        self.desktop.leave("^spresso: search$", "alt+o")
        self.desktop.window("^spresso: choose$", 60)
        self.desktop.act("sleep", "0.5", "type", str(variation))
        self.desktop.act("key", "Tab")  # a number counts when its field is left
        self.desktop.leave("^spresso: choose$", "alt+o")


@pytest.fixture
def folders(running_bridge: Running) -> PlaceFolders:
    """What `spresso bridge allow` changes."""
    return PlaceFolders([], running_bridge.bridge.settings.state_dir)


def test_sounds_are_imported_at_the_playhead(
    desktop: Desktop, running_bridge: Running, folders: PlaceFolders, tmp_path: Path
) -> None:
    first, second = RATE, 3 * RATE
    driven = Driven(desktop, running_bridge, tmp_path, [first, second])
    folders.allow(driven.session.parent)
    driven.answer("tin roof", 0)
    driven.answer("tin roof", 2)
    wait_for("the saved session", driven.done.exists, 60)
    desktop.screenshot(tmp_path / "imported.png")
    driven.ardour.stop()

    placed = sorted((driven.session / "spresso").glob("*.wav"))
    assert len(placed) == 2 and (driven.session / "spresso" / "spresso-manifest.csv").is_file()
    one, other = driven.ardour.regions(driven.session, "scene")
    frames = soundfile.info(placed[0]).frames
    assert (one.position, one.length) == (first, frames)
    assert (other.position, other.length) == (second, frames)
    assert one.track == other.track  # an imported track is selected, and a selected track takes the next sound
    assert seed_of(other.name) == seed_of(one.name) + 2

    for region in (one, other):
        (kept,) = [file for file in placed if f"-s{seed_of(region.name)}." in file.name]
        wanted, _ = soundfile.read(kept)
        copies = sorted((driven.session / "interchange").rglob(f"*-s{seed_of(region.name)}*.wav"))
        imported = np.stack([soundfile.read(copy)[0] for copy in copies], axis=1)
        np.testing.assert_allclose(imported, wanted, atol=2**-23)

    # what is heard: at the place, and the sound, but for fades, gain and pan law
    mix = tmp_path / "mix.wav"
    driven.ardour.exported(driven.session, "scene", mix)
    heard, _ = soundfile.read(mix, always_2d=True)
    wanted, _ = soundfile.read(next(file for file in placed if f"-s{seed_of(one.name)}." in file.name))
    assert np.corrcoef(heard[: len(wanted), 0], wanted[:, 0])[0, 1] > 0.99


def seed_of(name: str) -> int:
    """The seed that a file name ends in."""
    return int(name.rsplit("-s", 1)[1].split(".")[0].split("%")[0].split("-")[0])


def test_a_session_that_is_not_allowed_says_how(desktop: Desktop, running_bridge: Running, tmp_path: Path) -> None:
    driven = Driven(desktop, running_bridge, tmp_path, [0])
    driven.answer("rusty", 0)
    desktop.window("^spresso$")
    desktop.screenshot(tmp_path / "refused.png")
    desktop.leave("^spresso$", "Return")
    wait_for("the saved session", driven.done.exists, 60)
    assert driven.ardour.regions(driven.session, "scene") == []
    assert not (driven.session / "spresso").exists()
