"""A screen that nobody sees, for programs with windows: Xvfb, a window manager, a mouse, screenshots.

    with Desktop(tmp_path) as desktop:
        desktop.start("audacity", env={"HOME": str(tmp_path)})
        window = desktop.window("Audacity")
        desktop.drag((100, 100), (400, 300))

Every program is ended by its process id, and the display is one that was free: a person's session is not touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")
PROGRAMS = ("Xvfb", "openbox", "xdotool")
POLL_S = 0.1


def wait_for(what: str, condition: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true answer of a condition that another process brings about."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(POLL_S)
    raise AssertionError(f"waited {seconds:g} s for {what}")


class Desktop:
    """A private display with a window manager. What was on it at its end is kept as last.png.

    Args:
        folder: for the logs of the programs and the picture of the screen.
        size: of the screen, pixels.
    """

    def __init__(self, folder: Path, size: tuple[int, int] = (1280, 800)) -> None:
        self.folder = folder
        self._size = size
        self._programs: list[subprocess.Popen[bytes]] = []
        self.display = ""

    def __enter__(self) -> Desktop:
        reading, writing = os.pipe()
        width, height = self._size
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24"]
        command += ["-nolisten", "tcp", "-fbdir", str(self.folder)]
        self._run(command, dict(os.environ), "xvfb", pass_fds=(writing,))
        os.close(writing)
        with os.fdopen(reading) as said:
            self.display = ":" + said.readline().strip()
        self.start("openbox")
        wait_for("the window manager", lambda: self._ask("xdotool", "get_num_desktops"))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self.screenshot(self.folder / "last.png")
        for program in reversed(self._programs):
            self.stop(program)

    @property
    def env(self) -> dict[str, str]:
        """The environment of programs on this display; no other display, bus or session gets in."""
        away = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "SESSION_MANAGER")
        kept = {name: value for name, value in os.environ.items() if name not in away}
        return {**kept, "DISPLAY": self.display}

    def start(
        self, *command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program on this display; what it says goes to NAME.log in the folder."""
        return self._run(list(command), {**self.env, **(env or {})}, Path(command[0]).name, cwd=cwd)

    def _run(
        self,
        command: list[str],
        env: dict[str, str],
        name: str,
        cwd: Path | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            program = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        self._programs.append(program)
        return program

    def stop(self, program: subprocess.Popen[bytes]) -> None:
        """End a program and what it started: it leads a session of its own."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(timeout=5)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)

    def _ask(self, *command: str) -> bytes:
        return subprocess.run(command, env=self.env, capture_output=True, check=False).stdout

    def windows(self, title: str) -> list[str]:
        """Ids of the visible windows whose title answers to a regular expression."""
        return self._ask("xdotool", "search", "--onlyvisible", "--name", title).decode().split()

    def window(self, title: str, seconds: float = 30.0) -> str:
        """Id of a visible window, as soon as there is one."""
        return wait_for(f"a window {title!r}", lambda: self.windows(title), seconds)[0]

    def place(self, window: str, x: int, y: int, width: int, height: int) -> None:
        """Move and resize a window, and wait until it is there."""
        subprocess.run(
            ["xdotool", "windowsize", "--sync", window, str(width), str(height), "windowmove", window, str(x), str(y)],
            env=self.env,
            check=True,
            timeout=20,
        )

    def leave(self, title: str, key: str) -> None:
        """Press a key until a dialog is gone: one that has just come up may not listen yet."""
        for _ in range(10):
            self.act("key", key)
            with contextlib.suppress(AssertionError):
                wait_for(f"the end of {title!r}", lambda: not self.windows(title), 3)
                return
        raise AssertionError(f"{title!r} does not go away")

    def at(self, window: str, x: int, y: int) -> tuple[int, int]:
        """Where a place of a window's inside is on the screen; the mouse goes there.

        xdotool's own geometry counts the frame of a window that was moved twice; the mouse does not.
        """
        said = self._ask("xdotool", "mousemove", "--window", window, str(x), str(y), "getmouselocation", "--shell")
        values = dict(line.split("=") for line in said.decode().split())
        return int(values["X"]), int(values["Y"])

    def act(self, *words: str) -> None:
        """A command of xdotool."""
        subprocess.run(["xdotool", *words], env=self.env, check=True, timeout=20)

    def drag(
        self, start: tuple[int, int], end: tuple[int, int], hold: Callable[[], object] = lambda: True, steps: int = 20
    ) -> None:
        """Press at one place, go to another in small steps as a hand does, hold there until something is so, let go.

        Programs begin a drag after a few pixels of movement and look at what hovers over them again and again: one
        jump would be over before they knew.
        """
        self.act("mousemove", str(start[0]), str(start[1]), "mousedown", "1", "sleep", "0.2")
        for n in range(1, steps + 1):
            x = start[0] + (end[0] - start[0]) * n // steps
            y = start[1] + (end[1] - start[1]) * n // steps
            self.act("mousemove", str(x), str(y), "sleep", "0.03")
        wait_for("what the hand holds for", hold)
        for x in (end[0] + 1, end[0]):
            self.act("sleep", "0.3", "mousemove", str(x), str(end[1]))
        self.act("sleep", "0.3", "mouseup", "1")

    def screenshot(self, file: Path) -> None:
        """Write the screen as a PNG."""
        width, height, rows = self._pixels()
        write_png(file, width, height, b"".join(b"\0" + row for row in rows))

    def shows(self, colour: str, x: int, y: int, width: int, height: int) -> bool:
        """Whether a part of the screen has a pixel of a colour, RRGGBB."""
        rows = self._pixels()[2][y : y + height]
        return any(row[3 * n : 3 * n + 3] == bytes.fromhex(colour) for row in rows for n in range(x, x + width))

    def _pixels(self) -> tuple[int, int, list[bytes]]:
        """Width, height, and the rows of the screen as RGB."""
        dump = (self.folder / "Xvfb_screen0").read_bytes()
        # X11/XWDFile.h, words of 4 bytes: 0 length of the head, 4 width, 5 height, 12 bytes of a line, 19 colours
        # (12 bytes each, between head and pixels).
        words = struct.unpack(">25I", dump[:100])
        head, width, height, line, colours = words[0], words[4], words[5], words[12], words[19]
        rows = []
        for y in range(height):
            at = head + 12 * colours + y * line
            bgrx = dump[at : at + 4 * width]
            row = bytearray(3 * width)
            row[0::3], row[1::3], row[2::3] = bgrx[2::4], bgrx[1::4], bgrx[0::4]
            rows.append(bytes(row))
        return width, height, rows


def write_png(file: Path, width: int, height: int, rows: bytes) -> None:
    """A PNG of 8-bit RGB rows, each behind its filter byte (ISO/IEC 15948)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
