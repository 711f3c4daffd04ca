"""The pipe adapter and `/v1/send/audacity` in a real Audacity, asked by Audacity's own GetInfo what came in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from plugin_bridge.clients.audacity.pipe import AudacityPipe, send
from spresso_assets.errors import SpressoError
from tests.hosts.audacity_program import AudacityProgram, module
from tests.hosts.desktop import PROGRAMS, Desktop, wait_for
from tests.hosts.programs import needs, needs_file
from tests.plugin_bridge.running import FilledCatalog, Running

needs(*PROGRAMS, "audacity")
if module() is None:
    needs_file("/usr/lib/audacity/modules/mod-script-pipe.so", "audacity")


@pytest.fixture(scope="module")
def audacity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AudacityProgram]:
    folder = tmp_path_factory.mktemp("audacity")
    with Desktop(folder) as desktop:
        program = AudacityProgram(desktop, folder)
        program.start()
        yield program


@pytest.fixture
def project(audacity: AudacityProgram) -> AudacityProgram:
    """Audacity with nothing in its project."""
    with AudacityPipe() as pipe:
        pipe.command("SelectAll:")
        pipe.command("RemoveTracks:")
        assert pipe.info("Tracks") == []
    return audacity


def test_the_bridge_sends_a_take_to_its_place(
    project: AudacityProgram, running_bridge: Running, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    request = {
        "items": [{"id": bridge_catalog.id_of("tin roof"), "variation": 1}, {"id": bridge_catalog.id_of("rusty")}],
        "position_s": 2.5,
        "track": 'Rain "wet" é',
    }
    answer = running_bridge.client.post("/v1/send/audacity", json=request)
    assert answer.status_code == 200, answer.text
    placed = answer.json()["placed"]
    assert [(item["track"], item["start_s"]) for item in placed] == [(0, 2.5), (1, 2.5)]
    with AudacityPipe() as pipe:
        tracks, clips = pipe.info("Tracks"), pipe.info("Clips")
        assert [track["name"] for track in tracks] == ['Rain "wet" é'] * 2
        assert [track["channels"] for track in tracks] == [2, 2]
        assert [(clip["track"], clip["start"]) for clip in clips] == [(0, 2.5), (1, 2.5)]
        assert clips[0]["end"] == pytest.approx(4.5, abs=1e-3)
        # what is in the project is the take: Export2 writes 16 bits with dither
        out = tmp_path / "out.wav"
        pipe.command("SelectTracks: Track=0 TrackCount=1 Mode=Set")
        pipe.command("SelTrackStartToEnd:")
        pipe.command(f'Export2: Filename="{out}" NumChannels=2')
    take = running_bridge.client.get(f"/v1/sounds/{request['items'][0]['id']}/audio.wav?variation=1")  # type: ignore[index]
    (tmp_path / "take.wav").write_bytes(take.content)
    wanted, rate = soundfile.read(tmp_path / "take.wav")
    heard, heard_rate = soundfile.read(out)
    assert heard_rate == rate
    np.testing.assert_allclose(heard[-len(wanted) :], wanted, atol=3e-4)


def test_what_was_there_is_not_moved(project: AudacityProgram, bridge_catalog: FilledCatalog) -> None:
    files = sorted(bridge_catalog.folder.rglob("*gravel*.wav"))
    send(files[:1], 1.0)
    send(files[1:3], 5.0)
    assert [clip["start"] for clip in project.clips()] == [1.0, 5.0, 5.0]


def test_odd_paths_are_spelled_right(project: AudacityProgram, bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    folder = tmp_path / 'o"dd \\ name é = 1'
    folder.mkdir()
    file = folder / "it's [1] #2.wav"
    file.write_bytes(next(bridge_catalog.folder.rglob("*gravel*.wav")).read_bytes())
    (placed,) = send([file])
    assert placed["path"] == str(file) and len(project.clips()) == 1


def test_a_file_that_is_not_there_is_no_dialog(project: AudacityProgram, tmp_path: Path) -> None:
    with pytest.raises(SpressoError) as caught:
        send([tmp_path / "none.wav"])
    assert caught.value.code == "file_missing"
    assert project.answers()


def test_after_it_ended_it_is_said_to_be_gone(audacity: AudacityProgram, running_bridge: Running) -> None:
    """Last, because nothing runs afterwards."""
    audacity.stop()
    wait_for("its end", lambda: not audacity.answers())
    wanted = {"items": [{"id": running_bridge.client.get("/v1/search").json()["items"][0]["id"]}]}
    answer = running_bridge.client.post("/v1/send/audacity", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (424, "target_not_running")
    assert "Start" in answer.json()["hint"]
