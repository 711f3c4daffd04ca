"""The Godot add-ons: for 3 in the real editor without a screen and then in a game without a bridge; for 4 by lint."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import soundfile

from tests.hosts.programs import needs
from tests.plugin_bridge.running import FilledCatalog, Running, running

CLIENTS = Path(__file__).resolve().parents[2] / "plugin_bridge" / "clients"
HERE = Path(__file__).parent / "godot"
PATIENCE_S = 120


class Project:
    """A Godot 3 project with the add-on, and a plugin of the test that presses its buttons."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        addon, drive = folder / "addons" / "spresso", folder / "addons" / "drive"
        drive.mkdir(parents=True)
        shutil.copytree(CLIENTS / "godot3", addon)
        shutil.copy(HERE / "drive3.gd", drive / "plugin.gd")
        drive.joinpath("plugin.cfg").write_text(
            '[plugin]\nname="drive"\ndescription=""\nauthor=""\nversion="1"\nscript="plugin.gd"\n'
        )
        folder.joinpath("project.godot").write_text(
            'config_version=4\n[application]\nconfig/name="test"\n'
            '[editor_plugins]\nenabled=PoolStringArray( "spresso", "drive" )\n'
        )
        shutil.copy(HERE / "game3.gd", folder / "game.gd")

    def _godot(self, *options: str, **environment: str) -> str:
        home = self.folder.parent / "home"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SPRESSO_"))}
        done = subprocess.run(
            ["godot3-server", "--path", str(self.folder), *options],
            env={**kept, "HOME": str(home), **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        said = done.stdout + done.stderr
        assert "SCRIPT ERROR" not in said and "Parse Error" not in said, said
        return said

    def edit(self, *steps: str, bridge: Path) -> list[str]:
        """What the editor says to each step."""
        said = self._godot("--editor", STEPS=";".join(steps), SPRESSO_BRIDGE=str(bridge))
        return [line.removeprefix("DROVE ") for line in said.splitlines() if line.startswith("DROVE ")]

    def play(self, randomizer: str) -> dict[str, list[str]]:
        """What the game says, by its first word."""
        said = self._godot("-s", "game.gd", RANDOMIZER=randomizer, SPRESSO_BRIDGE="/nowhere/bridge.json")
        words = [line.split(" ", 2)[1:] for line in said.splitlines() if line.startswith("GAME ")]
        assert words, said
        return {word: [rest for other, rest in words if other == word] for word, _ in words}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    needs("godot3-server")
    return Project(tmp_path / "game")


def godots_hash(samples: bytes) -> str:
    """As the scripts of the test hash a stream."""
    return hashlib.md5(base64.b64encode(samples)).hexdigest()


def samples_of(client: httpx2.Client, sound: str, seed: str, **more: str) -> tuple[bytes, int, int]:
    """16-bit samples as the bridge gives them out, their rate and channels."""
    answer = client.get(f"/v1/sounds/{sound}/audio.wav", params={"bits": "16", "seed": seed, **more})
    samples, rate = soundfile.read(io.BytesIO(answer.content), dtype="int16", always_2d=True)
    return samples.tobytes(), rate, samples.shape[1]


def test_search_hear_and_import_then_play_without_a_bridge(
    project: Project, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    with running(bridge_catalog, tmp_path / "served", place_folders=[project.folder]) as served:
        steps = ["search rusty", "audition 0", "audition 0", "import 0 4"]
        said = project.edit(*steps, bridge=served.file)
        found, _, first, _, second, _, imported, status = said
        assert found == "found 1"
        sound = bridge_catalog.id_of("Metal door")
        seeds = [item["seed"] for item in served.client.get(f"/v1/sounds/{sound}/variations?n=4").json()["items"]]
        for heard, seed in ((first, seeds[0]), (second, seeds[1])):
            samples, rate, channels = samples_of(served.client, sound, seed, q="preview")
            assert heard == f"heard {rate} {channels == 2} {godots_hash(samples)}"
        word, randomizer = imported.split(" ", 1)
        assert word == "imported" and status == f"status Imported: {randomizer}"
        assert randomizer.startswith("res://sounds/DOORMetl_") and randomizer.endswith(".tres")
        expected = [samples_of(served.client, sound, seed) for seed in seeds]

        game = project.play(randomizer)
        assert game["class"] == ["res://addons/spresso/randomizer.gd"]
        order = game["order"][0].split()
        assert set(order) == {"0", "1", "2", "3"}
        assert all(one != other for one, other in itertools.pairwise(order))
        assert game["playing"] == ["True True"]
        heard_streams = [line.split() for line in game["stream"]]
        for (path, *facts), (samples, rate, channels) in zip(heard_streams, expected, strict=True):
            assert path.startswith("res://sounds/")
            assert facts == [str(rate), str(channels == 2), str(len(samples)), godots_hash(samples)]

        # Once more: the same files are found again, nothing is doubled.
        files = sorted(path.name for path in (project.folder / "sounds").iterdir())
        assert project.edit("search rusty", "import 0 4", bridge=served.file)[2] == imported
        assert sorted(path.name for path in (project.folder / "sounds").iterdir()) == files
    assert (project.folder / "sounds" / "spresso-manifest.csv").exists()
    assert not list(project.folder.rglob("*.translation"))


def test_a_project_that_is_not_allowed_is_told_how_to_allow_it(project: Project, running_bridge: Running) -> None:
    said = project.edit("search rusty", "import 0 2", bridge=running_bridge.file)
    assert said[2] == "imported "
    assert f"spresso bridge allow '{project.folder}/'" in said[3]


def test_without_a_bridge_the_dock_says_what_to_start(project: Project, tmp_path: Path) -> None:
    said = project.edit("search door", bridge=tmp_path / "nothing" / "bridge.json")
    assert said == ["found 0", "status The bridge is not running: start it with `spresso serve`."]
    (tmp_path / "bridge.txt").write_text("1 stale\n")
    said = project.edit("search door", bridge=tmp_path / "bridge.json")
    assert said == ["found 0", "status The bridge is not running: start it with `spresso serve`."]


def test_the_scripts_for_godot_4_are_well_formed(tmp_path: Path) -> None:
    """All that can be said of them without Godot 4: its language's parser and linter take them."""
    linter, parser = (Path(sys.executable).parent / name for name in ("gdlint", "gdparse"))
    if not linter.exists():
        pytest.skip("gdtoolkit is not installed (pip install -e '.[hosts]')")
    scripts = sorted((CLIENTS / "godot").glob("*.gd"))
    assert len(scripts) == 5
    shutil.copy(HERE / "gdlintrc", tmp_path / "gdlintrc")
    for program in (parser, linter):
        done = subprocess.run([program, *scripts], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
