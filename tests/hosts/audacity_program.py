"""A real Audacity with a profile of its own and its scripting pipe on.

What it takes was found by trying (Debian's 3.2.4): the module is switched off again unless its path and date are known;
a first start with a fresh profile leaves a dead pipe, a second one never did; without a window manager or with a crash
dialog from an earlier run there is no project window; a folder `lv2` in the current directory crashes it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

from plugin_bridge.clients.audacity.pipe import AudacityPipe
from spresso_assets.errors import SpressoError
from tests.hosts.desktop import Desktop, wait_for

MODULES = (Path("/usr/lib/audacity/modules/mod-script-pipe.so"), Path("/usr/lib/audacity/mod-script-pipe.so"))
WARM_UP_S = 8


def module() -> Path | None:
    """The scripting module, None where Audacity came without."""
    return next((file for file in MODULES if file.exists()), None)


class AudacityProgram:
    """Starts Audacity on a desktop; `project` is the id of its window, `answers()` says whether its pipe lives."""

    def __init__(self, desktop: Desktop, home: Path) -> None:
        self._desktop = desktop
        self._home = home
        self._program: subprocess.Popen[bytes] | None = None
        self.project = ""

    def start(self) -> None:
        """First for the profile alone, then until the pipe lives: on a busy machine one warm-up may be too short."""
        self._profile()
        warming = self._launch()
        # Nothing tells when Audacity has looked at its plug-ins, and that is what the first start is for.
        time.sleep(WARM_UP_S)
        self._desktop.stop(warming)
        for last in (False, False, True):
            self._profile()
            self._program = self._launch()
            self.project = self._desktop.window("^Audacity$", 90)
            try:
                wait_for("Audacity's pipe", self.answers, 25)
                return
            except AssertionError:
                if last:
                    raise
            self._desktop.stop(self._program)

    def stop(self) -> None:
        if self._program is not None:
            self._desktop.stop(self._program)

    def answers(self) -> bool:
        try:
            with AudacityPipe():
                return True
        except SpressoError:
            return False

    def clips(self) -> list[dict[str, float]]:
        """What GetInfo says of the clips: track, start and end in seconds."""
        with AudacityPipe() as audacity:
            return audacity.info("Clips")

    def _launch(self) -> subprocess.Popen[bytes]:
        for fifo in (Path(f"/tmp/audacity_script_pipe.{way}.{os.getuid()}") for way in ("to", "from")):
            fifo.unlink(missing_ok=True)
        empty = self._home / "empty"
        empty.mkdir(exist_ok=True)
        runtime = self._home / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        env = {"HOME": str(self._home), "XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(self._home / ".config")}
        return self._desktop.start("audacity", env=env, cwd=empty)

    def _profile(self) -> None:
        file = self._home / ".config" / "audacity" / "audacity.cfg"
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._home / "temporary"
        shutil.rmtree(temporary, ignore_errors=True)  # a project left there brings up the crash dialog
        temporary.mkdir()
        library = module()
        assert library is not None
        date = datetime.fromtimestamp(int(library.stat().st_mtime)).isoformat()
        file.write_text(
            "NewPrefsInitialized=1\n[Version]\nMajor=3\nMinor=2\nMicro=4\n"
            f"[Directories]\nTempDir={temporary}\n"
            "[GUI]\nShowSplashScreen=0\n[Update]\nUpdateNoticeShown=1\nDefaultUpdatesChecking=0\n"
            f"[Module]\nmod-script-pipe=1\n[ModulePath]\nmod-script-pipe={library}\n"
            f"[ModuleDateTime]\nmod-script-pipe={date}\n",
            encoding="utf-8",
        )
