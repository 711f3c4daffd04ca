"""A real Ardour with a profile of its own, no sound card, and sessions that can be looked into from outside.

What it takes was found by trying (Debian's 7.3): the file .a7 stands for the first-run wizard, the dummy backend must
be allowed in the configuration, and a script with `session_setup` runs when `-T` names it for a new session.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.desktop import Desktop

RATE = 48_000
CONFIG = f"""<?xml version="1.0" encoding="UTF-8"?>
<Ardour><Config><Option name="hide-dummy-backend" value="0"/></Config>
<Extra><AudioMIDISetup><EngineStates>
<State backend="None (Dummy)" driver="Normal Speed" device="Silence" input-device="" output-device=""
 sample-rate="{RATE}" buffer-size="1024" n-periods="0" input-latency="0" output-latency="0" input-channels="0"
 output-channels="0" active="1" use-buffered-io="0" midi-option="No MIDI I/O" lm-input="" lm-output=""><MIDIDevices/>
</State></EngineStates></AudioMIDISetup></Extra></Ardour>
"""
ENGINE = 'AudioEngine:set_backend ("None (Dummy)", "Unit-Test", "")\n'


@dataclass(frozen=True)
class Region:
    """A region on a track; position and length in samples."""

    track: str
    name: str
    position: int
    length: int


EXPORTS = 3


class ArdourProgram:
    """Ardour on a desktop.

    Args:
        desktop: where its windows are.
        home: for its profile.
        environment: what it has to know besides, such as where the bridge is.
    """

    def __init__(self, desktop: Desktop, home: Path, environment: Mapping[str, str]) -> None:
        self._desktop = desktop
        self.env = {**environment, "HOME": str(home), "ARDOUR_TRY_AUTOSTART_ENGINE": "1"}
        self._home = home
        self._program: subprocess.Popen[bytes] | None = None
        self.scripts = home / ".config" / "ardour7" / "scripts"
        self.scripts.mkdir(parents=True)
        (self.scripts.parent / ".a7").touch()
        (self.scripts.parent / "config").write_text(CONFIG, encoding="utf-8")

    def start(self, *options: str) -> None:
        """Start the program itself; `-a -n` keep its greeting and its plug-in scan away."""
        self._program = self._desktop.start("ardour", "-a", "-n", *options, env=self.env, cwd=self._home)

    def stop(self) -> None:
        """End the program; what was not saved is lost."""
        if self._program is not None:
            self._desktop.stop(self._program)

    def run(self, script: str) -> str:
        """What a script prints in Ardour without windows."""
        file = self._home / "run.lua"
        file.write_text(ENGINE + script, encoding="utf-8")
        done = subprocess.run(
            ["ardour7-lua", str(file)],
            env={**os.environ, **self.env},
            cwd=self._home,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def new_session(self, folder: Path, name: str, track: str) -> None:
        """A session with one mono track."""
        self.run(
            f"""
            local session = create_session ("{folder}", "{name}", {RATE})
            session:new_audio_track (1, 2, nil, 1, "{track}", ARDOUR.PresentationInfo.max_order,
                ARDOUR.TrackMode.Normal, true)
            session:save_state ("")
            close_session ()
            """
        )

    def regions(self, folder: Path, name: str) -> list[Region]:
        """What Ardour says of the regions in a saved session. A copy is opened: the program may have the other."""
        copy = self._home / "looked-into"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        said = self.run(
            f"""
            local session = load_session ("{copy}", "{name}")
            for route in session:get_tracks ():iter () do
                for region in route:to_track ():playlist ():region_list ():iter () do
                    print (table.concat ({{ "region", route:name (), region:name (), region:position ():samples (),
                        region:length ():samples () }}, "\\t"))
                end
            end
            close_session ()
            """
        )
        rows = [line.split("\t")[1:] for line in said.splitlines() if line.startswith("region\t")]
        return [Region(track, region, int(position), int(length)) for track, region, position, length in rows]

    def exported(self, folder: Path, name: str, file: Path) -> None:
        """Mix a session down into a 24-bit WAV file; it crashes while the program has the session."""
        command = ["ardour7-export", "-b", "24", "-o", str(file), str(folder), name]
        for _ in range(EXPORTS):
            done = subprocess.run(command, env={**os.environ, **self.env}, capture_output=True, timeout=180)
            if done.returncode >= 0:  # on a busy machine Ardour's exporter sometimes aborts in its own shutdown
                break
        done.check_returncode()
