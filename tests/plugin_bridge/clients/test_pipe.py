"""Audacity's pipe, with somebody else at its other end: what a dead, silent or refusing program looks like."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plugin_bridge.clients.audacity import pipe
from plugin_bridge.clients.audacity.pipe import AudacityPipe, quoted
from spresso_assets.errors import SpressoError

OK = b"BatchCommand finished: OK\n\n"
Answer = Callable[[bytes], bytes | None]


class Other:
    """Reads commands from the one FIFO and answers into the other, as Audacity does."""

    def __init__(self, folder: Path) -> None:
        self.to, self.from_ = (folder / f"audacity_script_pipe.{way}.{os.getuid()}" for way in ("to", "from"))
        for fifo in (self.to, self.from_):
            os.mkfifo(fifo)
        self.commands: list[bytes] = []
        self.broke = False
        self.answered = threading.Event()

    def serve(self, answer: Answer) -> None:
        # For both ways, which does not wait for a writer: the FIFO is being read when this returns.
        reader = os.open(self.to, os.O_RDWR)

        def run() -> None:
            with os.fdopen(reader, "rb") as reading, self.from_.open("wb", buffering=0) as writing:
                for line in reading:
                    self.commands.append(line)
                    said = answer(line)
                    if said is None:
                        continue
                    try:
                        writing.write(said)
                    except BrokenPipeError:
                        self.broke = True
                    self.answered.set()

        threading.Thread(target=run, daemon=True).start()


@pytest.fixture
def other(tmp_path: Path) -> Other:
    return Other(tmp_path)


@contextlib.contextmanager
def refused(code: str) -> Iterator[list[SpressoError]]:
    caught: list[SpressoError] = []
    with pytest.raises(SpressoError) as raised:
        yield caught
    caught.append(raised.value)
    assert raised.value.code == code and raised.value.hint


def test_a_conversation(other: Other, tmp_path: Path) -> None:
    replies = iter([b"[]\n" + OK, b'[ {"track":0,"start":1,"end":2} ]\n' + OK])
    other.serve(lambda line: next(replies))
    with AudacityPipe(tmp_path) as audacity:
        assert audacity.info("Clips") == [{"track": 0, "start": 1, "end": 2}]
    assert other.commands == [b"GetInfo: Type=Tracks Format=JSON\n", b"GetInfo: Type=Clips Format=JSON\n"]


def test_no_pipe_is_no_audacity(tmp_path: Path) -> None:
    with refused("target_not_running") as caught, AudacityPipe(tmp_path):
        pass
    assert "mod-script-pipe" in caught[0].message + caught[0].hint


def test_a_pipe_that_nobody_reads_is_found_at_once(other: Other, tmp_path: Path) -> None:
    with refused("target_not_running") as caught, AudacityPipe(tmp_path):
        pass
    assert "estart" in caught[0].hint


def test_no_project_window(other: Other, tmp_path: Path) -> None:
    other.serve(lambda line: b"\n")
    with refused("target_not_running") as caught, AudacityPipe(tmp_path):
        pass
    assert "project" in caught[0].message


def test_a_refused_command(other: Other, tmp_path: Path) -> None:
    replies = iter([b"[]\n" + OK, b"Track does not exist\nBatchCommand finished: Failed!\n\n"])
    other.serve(lambda line: next(replies))
    with AudacityPipe(tmp_path) as audacity, refused("target_refused") as caught:
        audacity.command("SelectTracks: Track=9")
    assert "Track does not exist" in caught[0].message


def test_who_gave_up_still_reads(other: Other, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audacity dies of SIGPIPE when nobody reads its answer."""
    monkeypatch.setattr(pipe, "HANDSHAKE_S", 0.05)
    gave_up = threading.Event()

    def late(line: bytes) -> bytes:
        assert gave_up.wait(10)
        return b"[" + b" " * 200_000 + b"]\n" + OK  # more than a pipe holds

    other.serve(late)
    with refused("target_not_running"), AudacityPipe(tmp_path):
        pass
    gave_up.set()
    assert other.answered.wait(10) and not other.broke


def test_a_command_that_audacity_would_cut_is_not_sent(other: Other, tmp_path: Path) -> None:
    other.serve(lambda line: b"[]\n" + OK)
    with AudacityPipe(tmp_path) as audacity, refused("target_refused"):
        audacity.command(f"Import2: Filename={quoted('/x' * 600)}")


def test_a_value_cannot_become_a_command() -> None:
    assert quoted('a"b\\c\nQuit:\r') == '"a\\"b\\\\c Quit: "'
