"""Plays a file with what the system has: the Qt packages that the shelf needs bring no sound."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PLAYERS = (
    ("pw-play",),
    ("paplay",),
    ("afplay",),
    ("aplay", "-q"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet"),
)


class Player:
    """One sound at a time; a new one stops the old one."""

    def __init__(self) -> None:
        self._command = next((command for command in PLAYERS if shutil.which(command[0])), None)
        self._playing: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """What plays, "" if the system has nothing that does."""
        if sys.platform == "win32":
            return "Windows"
        return self._command[0] if self._command else ""

    def play(self, file: Path) -> None:
        """Begin to play a WAV file."""
        self.stop()
        if sys.platform == "win32":
            import winsound

            winsound.PlaySound(str(file), winsound.SND_FILENAME | winsound.SND_ASYNC)
        elif self._command:
            self._playing = subprocess.Popen(
                [*self._command, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def stop(self) -> None:
        """Be silent."""
        if sys.platform == "win32":
            import winsound

            winsound.PlaySound(None, winsound.SND_PURGE)
        elif self._playing is not None:
            self._playing.kill()
            self._playing.wait()
            self._playing = None
