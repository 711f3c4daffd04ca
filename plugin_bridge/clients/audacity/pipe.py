"""Puts files into a running Audacity through mod-script-pipe, the pipe that Audacity opens for scripts.

The pipe is a pair of FIFOs, /tmp/audacity_script_pipe.{to,from}.UID. A command is one line; an answer is lines up to an
empty one, the last of them "BatchCommand finished: OK" or "... Failed!". Three traps decide how this is written:

- Audacity dies of SIGPIPE if nobody reads its answer. Whoever sent a command has to read on, even after giving up.
- FIFOs outlive a crashed Audacity, and opening one without a reader waits for ever: they are opened without blocking.
- While a dialog is open, or without a project window, an answer is empty or late: so the first command only asks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import select
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from spresso_assets.errors import FaultKind, SpressoError

HANDSHAKE_S = 5.0
COMMAND_S = 60.0  # an import copies the whole file
LONGEST = 1000  # bytes of a command: Audacity reads lines into a buffer of 1024
ENABLE = (
    "Start Audacity; in its preferences, page Modules, set mod-script-pipe to Enabled, restart it. The drag shelf "
    "(`spresso shelf`) needs no module."
)
_one_at_a_time = threading.Lock()


def send(files: Sequence[Path], position_s: float | None = None, track: str | None = None) -> list[dict[str, Any]]:
    """Import files into the project that is open in Audacity, each on a new track.

    Args:
        files: sounds, absolute paths.
        position_s: where they begin on the time line, in seconds; None means at its start.
        track: name of the new tracks; None leaves the name that Audacity gives, which is the file's.

    Returns:
        For each file ``{"path", "track", "start_s", "end_s"}``; `track` counts from 0.

    Raises:
        SpressoError: `target_not_running` if Audacity does not answer, `target_refused` if it would not do a command,
            `file_missing`.
    """
    for file in files:
        # Audacity would open a dialog about it, and be deaf until somebody closes that.
        if not Path(file).is_file():
            raise SpressoError(f"{file} is not there", code="file_missing", hint="Place the sound again.")
    with _one_at_a_time, AudacityPipe() as audacity:
        return [_import(audacity, Path(file), position_s or 0.0, track) for file in files]


def _import(audacity: AudacityPipe, file: Path, position_s: float, name: str | None) -> dict[str, Any]:
    before = len(audacity.info("Tracks"))
    audacity.command(f"Import2: Filename={quoted(str(file))}")
    # One file is one track, whatever its channels; count all the same, a track that was there is never moved.
    for number in range(before, len(audacity.info("Tracks"))):
        audacity.command(f"SelectTracks: Track={number} TrackCount=1 Mode=Set")
        if name is not None:
            audacity.command(f"SetTrack: Name={quoted(name)}")
        if position_s > 0:
            clip = _clip_of(audacity, number, file)
            inside = (clip["start"] + clip["end"]) / 2
            audacity.command(f"SetClip: At={inside:.6f} Start={position_s:.6f}")
    clip = _clip_of(audacity, before, file)
    return {"path": str(file), "track": before, "start_s": clip["start"], "end_s": clip["end"]}


def _clip_of(audacity: AudacityPipe, track: int, file: Path) -> dict[str, Any]:
    for clip in audacity.info("Clips"):
        if clip["track"] == track:
            return dict(clip)
    raise SpressoError(
        f"Audacity said that it imported {file.name}, but no clip came",
        code="target_refused",
        hint="Is a dialog open in Audacity? Answer it and try again.",
    )


def quoted(text: str) -> str:
    """A text as a value of a command; a line break would be the end of the command."""
    return '"' + re.sub(r'([\\"])', r"\\\1", re.sub(r"[\r\n]", " ", text)) + '"'


class AudacityPipe:
    """A conversation with Audacity, in a `with` block: opened and tried at its start, closed at its end.

    Args:
        folder: where the FIFOs lie.

    Raises:
        SpressoError: `target_not_running`, with what to do for each way in which a pipe can be dead.
    """

    def __init__(self, folder: Path = Path("/tmp")) -> None:
        self._to_file = folder / f"audacity_script_pipe.to.{_user()}"
        self._from_file = folder / f"audacity_script_pipe.from.{_user()}"
        self._to = self._from = -1
        self._due = False

    def __enter__(self) -> AudacityPipe:
        if sys.platform == "win32":
            raise _not_running(
                "sending to Audacity is not done on Windows yet", "Drag the sound from the shelf: `spresso shelf`."
            )
        try:
            self._to = os.open(self._to_file, os.O_WRONLY | os.O_NONBLOCK)
            self._from = os.open(self._from_file, os.O_RDONLY | os.O_NONBLOCK)
            answer = self._converse("GetInfo: Type=Tracks Format=JSON", HANDSHAKE_S)
        except FileNotFoundError:
            self._close()
            raise _not_running("Audacity is not running, or its module mod-script-pipe is off", ENABLE) from None
        except OSError as error:
            self._close()
            if error.errno != errno.ENXIO:
                raise _not_running(f"Audacity's pipe cannot be opened: {error.strerror}", ENABLE) from None
            raise _not_running(
                "nobody listens at Audacity's pipe: it is not running, or its pipe is dead",
                "Start or restart Audacity. A fresh one has a dead pipe on its first start, not later.",
            ) from None
        except BaseException:
            self._close()
            raise
        if not answer.strip():
            self._close()
            raise _not_running(
                "Audacity has no project window",
                "Close its dialogs (crash recovery, welcome), open a project, try again.",
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._close()

    def command(self, text: str) -> str:
        """Do a command and return what it printed.

        Raises:
            SpressoError: `target_refused` if Audacity said no, `target_not_running` if it went silent.
        """
        answer = self._converse(text, COMMAND_S)
        printed, _, verdict = answer.rpartition("BatchCommand finished:")
        if verdict.strip() != "OK":
            verb = text.split(":")[0]
            raise SpressoError(
                f"Audacity would not do {verb}: {printed.strip() or verdict.strip() or 'it did not say why'}",
                code="target_refused",
                hint="Is a dialog open, or something playing, in Audacity? Stop it and try again.",
                details={"command": text},
            )
        return printed

    def info(self, kind: str) -> list[dict[str, Any]]:
        """What GetInfo says of Tracks or Clips."""
        printed = self.command(f"GetInfo: Type={kind} Format=JSON")
        try:
            found = json.loads(printed)
        except ValueError:
            found = None
        if not isinstance(found, list):
            raise SpressoError(f"Audacity's list of {kind} cannot be read", code="target_refused", hint="Try again.")
        return found

    def _converse(self, text: str, seconds: float) -> str:
        line = text.encode() + b"\n"
        if len(line) > LONGEST:
            raise SpressoError(
                f"the command has {len(line)} bytes, Audacity reads {LONGEST}",
                code="target_refused",
                hint="Place the sound in a folder with a shorter path.",
            )
        self._due = True
        try:
            os.write(self._to, line)
        except BrokenPipeError:
            self._due = False
            raise _not_running("Audacity closed its pipe", "Has it crashed? Start it again.") from None
        answer = _read_answer(self._from, time.monotonic() + seconds)
        if answer is None:
            raise _not_running(
                f"Audacity gave no answer for {seconds:g} s", "Close the dialog that is open in it, then try again."
            )
        self._due = False
        return answer

    def _close(self) -> None:
        """Let go of the pipe; if an answer is still due, a thread stays behind and reads it."""
        to, from_, self._to, self._from = self._to, self._from, -1, -1
        if self._due and from_ >= 0 and to >= 0:
            threading.Thread(target=_read_to_the_end, args=(to, from_), daemon=True).start()
            return
        for descriptor in (to, from_):
            if descriptor >= 0:
                os.close(descriptor)


def _read_answer(descriptor: int, until: float) -> str | None:
    """Lines up to the empty one, None if it did not come in time."""
    got = b""
    while (left := until - time.monotonic()) > 0:
        # An empty answer is a lone line break; the end of the file means that Audacity has not opened its side yet.
        if got == b"\n" or got.endswith(b"\n\n"):
            return got.decode(errors="replace")
        if not select.select([descriptor], [], [], min(left, 0.2))[0]:
            continue
        with contextlib.suppress(BlockingIOError):
            if chunk := os.read(descriptor, 65536):
                got += chunk
            else:
                time.sleep(0.02)
    return None


def _read_to_the_end(to: int, from_: int) -> None:
    with contextlib.suppress(OSError):
        _read_answer(from_, time.monotonic() + 600)
    for descriptor in (to, from_):
        os.close(descriptor)


def _user() -> int:
    return os.getuid() if sys.platform != "win32" else 0


def _not_running(message: str, hint: str) -> SpressoError:
    return SpressoError(message, code="target_not_running", hint=hint, kind=FaultKind.ENVIRONMENT)
