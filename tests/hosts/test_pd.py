"""The Pure Data patch in a real Pd without a screen, with its helper as the program that users start."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from plugin_bridge.installing import client_named, install, target_of
from tests.hosts.programs import needs
from tests.plugin_bridge.running import FilledCatalog, Running

needs("pd")

RATE = 48_000
PATIENCE_S = 60

# Loads a slot, then plays its takes one after the other while it records, then many times by itself.
PATCH = r"""#N canvas 0 0 600 500 12;
#X obj 20 60 spresso~ {slot};
#X obj 20 300 writesf~ 2;
#X obj 200 100 route ready playing found end;
#X obj 400 140 print OTHER;
#X obj 200 140 t b b b f;
#X obj 300 140 print READY;
#X msg 60 180 open -bytes 4 {recording} \, start;
#X msg 20 20 take 0;
#X obj 200 180 delay {gap};
#X msg 100 20 take 1;
#X obj 200 220 delay {gap2};
#X msg 20 260 stop;
#X obj 200 260 t b b b;
#X obj 300 260 until;
#X msg 300 230 40;
#X obj 260 170 print PLAYING;
#X obj 260 330 delay 200;
#X msg 260 360 \; pd quit;
#X obj 420 20 print FOUND;
#X obj 420 60 print END;
#X msg 200 20 search gravel;
#X obj 260 300 bang;
#X connect 0 0 1 0;
#X connect 0 1 1 1;
#X connect 0 2 2 0;
#X connect 2 0 4 0;
#X connect 2 1 15 0;
#X connect 2 2 18 0;
#X connect 2 3 19 0;
#X connect 2 4 3 0;
#X connect 4 3 5 0;
#X connect 4 2 6 0;
#X connect 6 0 1 0;
#X connect 4 1 7 0;
#X connect 7 0 0 0;
#X connect 4 0 8 0;
#X connect 4 0 10 0;
#X connect 8 0 9 0;
#X connect 9 0 0 0;
#X connect 10 0 12 0;
#X connect 12 2 11 0;
#X connect 11 0 1 0;
#X connect 12 1 14 0;
#X connect 14 0 13 0;
#X connect 13 0 0 0;
#X connect 12 0 20 0;
#X connect 20 0 0 0;
#X connect 2 3 16 0;
#X connect 16 0 17 0;
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The client, as `spresso bridge install pd DIR` puts it."""
    client = client_named("pd")
    install(client, target_of(client, tmp_path))
    return tmp_path / "spresso"


@contextlib.contextmanager
def helper(folder: Path, served: Running) -> Iterator[subprocess.Popen[str]]:
    """`spresso_pd.py`, listening."""
    process = subprocess.Popen(
        [sys.executable, folder / "spresso_pd.py"],
        env={**os.environ, **served.environment, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on 127.0.0.1:")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        process.stdout.close()


def pd(folder: Path, patch: str) -> list[str]:
    """What a patch prints until it quits."""
    (folder.parent / "test.pd").write_text(patch)
    done = subprocess.run(
        [
            *("pd", "-nogui", "-noaudio", "-noprefs", "-r", str(RATE), "-stderr", "-path", str(folder)),
            *("-send", "pd dsp 1", "-open", str(folder.parent / "test.pd")),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return done.stderr.splitlines()


def of_slot(served: Running, slot: int) -> list[NDArray[np.float32]]:
    """The takes of a slot as the bridge gives them out, as [frames, 2]."""
    takes = []
    for take in served.client.get(f"/v1/slots/{slot}").json()["takes"]:
        body = served.client.get(f"{take['audio_url']}&bits=32f&ch=2&rate={RATE}").content
        takes.append(soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)[0])
    return takes


def test_a_slot_plays_bit_by_bit_and_never_twice_the_same(
    folder: Path, running_bridge: Running, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    client = running_bridge.client
    sound = bridge_catalog.id_of("Metal door")  # stereo, 0.5 s
    assert client.put("/v1/slots/11", json={"ids": [sound], "variations": 4}).is_success
    try:
        takes = of_slot(running_bridge, 11)
        recording = tmp_path / "heard.wav"
        with helper(folder, running_bridge):
            assert (folder / "spresso-pd.txt").stat().st_mode & 0o777 == 0o600
            said = pd(folder, PATCH.format(slot=11, recording=recording, gap=800, gap2=1600))
        assert not (folder / "spresso-pd.txt").exists()
        assert not list(folder.glob("spresso-pd-*"))  # its files went with it
    finally:
        client.delete("/v1/slots/11")
    assert "READY: 4" in said, said
    heard, rate = soundfile.read(recording, dtype="float32", always_2d=True)
    assert rate == RATE
    starts = np.flatnonzero(np.abs(heard).max(axis=1) > 0)
    at = [int(starts[0]), int(starts[starts > starts[0] + len(takes[0])][0])]
    for begin, take in zip(at, takes[:2], strict=True):
        lead = int(np.flatnonzero(np.abs(take).max(axis=1) > 0)[0])
        assert np.array_equal(heard[begin - lead : begin - lead + len(take)], take)
    played = [int(line.removeprefix("PLAYING: ")) for line in said if line.startswith("PLAYING: ")]
    assert played[:2] == [0, 1] and len(played) == 42
    assert all(one != other for one, other in itertools.pairwise(played[1:]))
    assert set(played) == {0, 1, 2, 3}
    found = [line.split() for line in said if line.startswith("FOUND: ")]
    assert {words[1].removeprefix("id-") for words in found} == {
        uid for name, uid in bridge_catalog.ids.items() if "gravel" in name
    }
    assert "END: 3" in said


ONE = r"""#N canvas 0 0 400 300 12;
#X obj 20 60 spresso~ {slot};
#X obj 20 140 print SAID;
#X obj 20 170 t b;
#X obj 20 200 delay 300;
#X msg 20 230 \; pd quit;
#X obj 200 20 loadbang;
#X connect 0 2 1 0;
#X connect 0 2 2 0;
#X connect 2 0 3 0;
#X connect 3 0 4 0;
"""


def test_an_empty_slot_is_said(folder: Path, running_bridge: Running) -> None:
    with helper(folder, running_bridge):
        said = pd(folder, ONE.format(slot=99))
    assert any(line.startswith("SAID: error empty_slot") for line in said), said


def test_without_its_helper_the_patch_says_what_to_start(folder: Path) -> None:
    said = pd(folder, ONE.format(slot=3).replace("connect 0 2 2 0", "connect 5 0 2 0"))
    assert any(line.startswith("SAID: error no_helper start spresso_pd.py") for line in said), said
