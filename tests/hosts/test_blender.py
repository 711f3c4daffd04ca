"""The Blender add-on, installed by the command that users run, in a real Blender without a screen."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from plugin_bridge.installing import client_named, install, target_of
from tests.hosts.programs import needs
from tests.plugin_bridge.running import FilledCatalog, running

needs("blender")

DRIVE = Path(__file__).parent / "blender" / "drive.py"
RATE, FPS, PLAYHEAD = 48_000, 25, 51


def blender(folder: Path, bridge: Path, **environment: str) -> dict[str, Any]:
    """What the panel said, by step."""
    addons = folder / "scripts" / "addons"
    addons.mkdir(parents=True, exist_ok=True)
    client = client_named("blender")
    install(client, target_of(client, addons))
    done = subprocess.run(
        ["blender", "-b", "--factory-startup", "--python", str(DRIVE)],
        env={
            **os.environ,
            "BLENDER_USER_SCRIPTS": str(folder / "scripts"),
            "BLENDER_USER_CONFIG": str(folder / "config"),
            "SPRESSO_BRIDGE": str(bridge),
            "TEST_FOLDER": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    said: dict[str, Any] = json.loads((folder / "said.json").read_text())
    return said


def samples_of(client: httpx2.Client, sound: str, seed: int) -> NDArray[np.float32]:
    """What the bridge gives out as [frames, 2]."""
    body = client.get(f"/v1/sounds/{sound}/audio.wav", params={"seed": seed, "rate": RATE}).content
    samples, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
    assert rate == RATE
    return samples if samples.shape[1] == 2 else np.repeat(samples, 2, axis=1)


def alike(mixdown: Path, samples: NDArray[np.float32]) -> float:
    """Correlation of the mixdown with the sound at the playhead's place."""
    heard, rate = soundfile.read(mixdown, dtype="float32", always_2d=True)
    assert rate == RATE
    at = (PLAYHEAD - 1) * RATE // FPS
    assert not heard[:at].any()
    part = heard[at : at + len(samples)]
    return float(np.sum(part * samples) / (np.linalg.norm(part) * np.linalg.norm(samples)))


def test_search_insert_and_reroll(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    with running(bridge_catalog, tmp_path / "served", place_folders=[tmp_path]) as served:
        said = blender(tmp_path, served.file)
        sound = bridge_catalog.id_of("Metal door")
        takes = [item["seed"] for item in served.client.get(f"/v1/sounds/{sound}/variations?n=6").json()["items"]]
        assert said["unsaved"] == ["1 of 1 sounds", "Save the .blend file first: sounds are kept beside it"]
        assert said["nothing selected"] == "Select a strip that was inserted from the spresso panel"
        assert said["audition"].endswith(", variation 1")

        first, second, rerolled = said["first"], said["second"], said["rerolled"]
        assert (first["start"], first["channel"], first["id"], first["seed"]) == (PLAYHEAD, 1, sound, takes[0])
        assert Path(first["file"]).parent == tmp_path / "spresso"
        original = samples_of(served.client, sound, takes[0])
        assert alike(tmp_path / "first.wav", original) > 0.9999

        # On top of each other is not possible: the next channel.
        assert (second["start"], second["channel"], second["seed"]) == (PLAYHEAD, 2, takes[5])

        # Another file and seed; everything else is as it was, and the other strip too.
        assert rerolled["seed"] == takes[1] and rerolled["file"] != first["file"]
        kept = ("start", "channel", "volume", "id")
        assert [rerolled[name] for name in kept] == [first[name] for name in kept]
        assert rerolled["frames"] == first["frames"] - 2
        assert said["second later"] == second
        assert alike(tmp_path / "rerolled.wav", samples_of(served.client, sound, takes[1])) > 0.9999
        assert abs(alike(tmp_path / "rerolled.wav", original)) < 0.999

        # The .blend file keeps it.
        assert said["reopened"] == {**rerolled, "frames": first["frames"]}
    manifest = (tmp_path / "spresso" / "spresso-manifest.csv").read_text()
    assert all(Path(file).name in manifest for file in (first["file"], second["file"], rerolled["file"]))


@pytest.mark.parametrize("stale", [False, True])
def test_without_a_bridge_the_panel_says_what_to_start(tmp_path: Path, stale: bool) -> None:
    file = tmp_path / "bridge.json"
    if stale:
        file.write_text(json.dumps({"port": 1, "token": "x", "dav_token": "y", "pid": 1, "api": 1}))
    said = blender(tmp_path, file, ONLY_SEARCH="1")
    assert said["search"].startswith("the bridge is not running. ") and "spresso serve" in said["search"]
