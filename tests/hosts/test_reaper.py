"""The REAPER actions under real Lua, with real curl, against the real bridge. REAPER itself is a strict stub: these
tests say that our code does what it should, not that REAPER does what we think."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile

from plugin_bridge.place_folders import PlaceFolders
from tests.hosts.programs import needs
from tests.plugin_bridge.running import FilledCatalog, Running, running

needs("curl", "lua5.4")

CLIENT = Path(__file__).resolve().parents[2] / "plugin_bridge" / "clients" / "reaper"
STUB = Path(__file__).with_name("reaper_stub.lua")
ENTER, SPACE, DOWN, RIGHT, ESCAPE, BACKSPACE = 13, 32, 1685026670, 1919379572, 27, 8


def lua(value: Any) -> str:
    """A value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{lua(key)}] = {lua(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(lua(item) for item in value) + "}"
    if isinstance(value, str):
        return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass
class Played:
    """What a run of the stub left: its lines by kind, and the takes of the project."""

    lines: list[list[str]]

    def all(self, kind: str) -> list[list[str]]:
        return [line[1:] for line in self.lines if line[0] == kind]

    @property
    def boxes(self) -> list[str]:
        return [text for _, _, text in self.all("box")]

    @property
    def takes(self) -> list[dict[str, str]]:
        names = ("track", "position", "length", "active", "path", "name", "id", "seed", "profile")
        return [dict(zip(names, line, strict=True)) for line in self.all("take")]


@dataclass
class Reaper:
    """Plays steps in a project of its own; `world` is what the stub is told besides."""

    folder: Path
    program: str
    environment: dict[str, str]
    world: dict[str, Any] = field(default_factory=dict)

    @property
    def media(self) -> Path:
        return self.folder / "My Film é" / "Audio"

    def play(self, *steps: dict[str, Any]) -> Played:
        """Run actions one after the other in one project."""
        self.media.mkdir(parents=True, exist_ok=True)
        world = {
            "resource": str(self.folder / "REAPER"),
            "project": str(self.media.parent / "film.rpp"),
            "media": str(self.media),
            "sws": True,
            "cursor": 12.5,
            "steps": [{**step, "action": str(CLIENT / f"spresso_{step['action']}.lua")} for step in steps],
            **self.world,
        }
        file = self.folder / "world.lua"
        file.write_text("return " + lua(world), encoding="utf-8")
        done = subprocess.run(
            [self.program, str(STUB), str(file)], env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr + done.stdout
        plain = {"\\t": "\t", "\\n": "\n"}
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        return Played([[cell.replace("\\n", plain["\\n"]) for cell in line] for line in lines])


@pytest.fixture(scope="module", params=["lua5.3", "lua5.4"])
def program(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed (Debian: apt-get install {request.param})")
    return str(request.param)


@pytest.fixture(scope="module")
def bridge(bridge_catalog: FilledCatalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(bridge_catalog, tmp_path_factory.mktemp("reaper")) as served:
        yield served


def allowed(bridge: Running) -> PlaceFolders:
    """What `spresso bridge allow` changes."""
    return PlaceFolders([], bridge.bridge.settings.state_dir)


@pytest.fixture
def reaper(bridge: Running, program: str, tmp_path: Path) -> Iterator[Reaper]:
    """REAPER with a saved project whose media folder was allowed."""
    # A proxy of the environment and a .curlrc of the user must not come between curl and the bridge.
    (tmp_path / ".curlrc").write_text("output = /nonexistent/file\n", encoding="utf-8")
    proxy = {"http_proxy": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    made = Reaper(tmp_path, program, {**os.environ, **proxy, **bridge.environment})
    made.media.mkdir(parents=True)
    allowed(bridge).allow(made.media)
    yield made
    allowed(bridge).forget(made.media)


def search(words: str, *keys: int | dict[str, Any]) -> dict[str, Any]:
    """Type words, go to the list, press keys."""
    return {"action": "search", "keys": [words, ENTER, {"until_shown": "sound"}, *keys]}


def test_a_sound_is_searched_and_inserted_at_the_cursor(reaper: Reaper, bridge_catalog: FilledCatalog) -> None:
    done = reaper.play(search("höhle", ENTER))
    (take,) = done.takes
    assert take["id"] == bridge_catalog.id_of("höhle")
    assert float(take["position"]) == 12.5
    with soundfile.SoundFile(take["path"]) as sound:
        assert float(take["length"]) == pytest.approx(len(sound) / sound.samplerate, abs=1e-9)
        assert sound.subtype == "PCM_24"
    assert Path(take["path"]).parent == reaper.media
    assert take["name"] == Path(take["path"]).stem
    assert f"s{take['seed']}" in take["name"] and take["profile"] == "2.5kbps"
    ((name, _, edits),) = done.all("undo")
    assert name == f"spresso: insert {take['name']}" and int(edits) > 0
    assert done.boxes == []


def test_variations_are_stepped_through(reaper: Reaper) -> None:
    first, third = reaper.play(search("rusty", ENTER, RIGHT, RIGHT, ENTER)).takes
    assert int(third["seed"]) == int(first["seed"]) + 2
    assert Path(first["path"]).read_bytes()[4096:] != Path(third["path"]).read_bytes()[4096:]


def test_an_audition_plays_what_is_inserted_later(reaper: Reaper) -> None:
    played = reaper.play(search("tin roof", RIGHT, SPACE, {"until_shown": "playing variation 1"}, ENTER))
    ((path, seconds),) = played.all("play")
    (take,) = played.takes
    heard, heard_rate = soundfile.read(path)
    kept, kept_rate = soundfile.read(take["path"])
    assert heard_rate == kept_rate and (heard == kept).all()
    assert float(seconds) == pytest.approx(2.0, abs=0.01)


def test_a_newer_audition_takes_the_place_of_an_older_one(reaper: Reaper) -> None:
    played = reaper.play(search("tin roof", SPACE, RIGHT, SPACE, {"until_shown": "playing variation 1"}, ENTER))
    (take,) = played.takes
    assert (soundfile.read(played.all("play")[-1][0])[0] == soundfile.read(take["path"])[0]).all()
    assert played.boxes == []


def test_without_sws_an_audition_becomes_an_insert_if_the_user_wants(reaper: Reaper) -> None:
    reaper.world["sws"] = False
    said_no = reaper.play({**search("rusty", SPACE), "box": 7})
    assert "SWS" in said_no.boxes[0] and said_no.takes == []
    assert len(reaper.play({**search("rusty", SPACE), "box": 6}).takes) == 1


def test_items_are_rolled_again_in_place(reaper: Reaper, bridge_catalog: FilledCatalog) -> None:
    steps = [search("rusty", ENTER), {"action": "reroll", "select": [True]}, {"action": "reroll", "select": [True]}]
    before = reaper.play(steps[0]).takes[0]
    done = reaper.play(*steps)
    (after,) = done.takes
    assert int(after["seed"]) == int(before["seed"]) + 2
    assert after["path"] != before["path"] and Path(after["path"]).is_file()
    for kept in ("id", "position", "length", "profile", "track"):
        assert after[kept] == before[kept]
    assert [name for name, _, _ in done.all("undo")][1:] == ["spresso: re-roll 1 item"] * 2


def test_a_setting_keeps_the_former_takes(reaper: Reaper) -> None:
    reaper.world["ext"] = {"spresso.takes": "yes"}
    former, new = reaper.play(search("rusty", ENTER), {"action": "reroll", "select": [True]}).takes
    assert (former["active"], new["active"]) == ("false", "true")
    assert int(new["seed"]) == int(former["seed"]) + 1


def test_only_our_items_are_rolled(reaper: Reaper) -> None:
    done = reaper.play({"action": "reroll"})
    assert "No selected item is from spresso" in done.boxes[0]
    assert done.all("undo") == []


def test_a_folder_that_is_not_allowed_says_how(reaper: Reaper, bridge: Running) -> None:
    allowed(bridge).forget(reaper.media)
    done = reaper.play(search("rusty", ENTER))
    assert f'spresso bridge allow "{reaper.media}"' in done.boxes[0]
    assert done.takes == [] and done.all("undo") == []


def test_a_project_without_a_folder_says_so(reaper: Reaper) -> None:
    reaper.world["project"] = ""
    assert "Save it" in reaper.play(search("rusty", ENTER)).boxes[0]


def test_a_bridge_that_is_not_there_says_how_to_start_it(reaper: Reaper, tmp_path: Path) -> None:
    reaper.environment["SPRESSO_BRIDGE"] = str(tmp_path / "none.json")
    assert "spresso serve" in reaper.play({"action": "search", "keys": [ESCAPE]}).boxes[0]
    # left behind by one that was killed
    (tmp_path / "none.txt").write_text("9 token\n", encoding="utf-8")
    (tmp_path / "none.curl").write_text('header = "Authorization: Bearer token"\n', encoding="utf-8")
    assert "spresso serve" in reaper.play({"action": "search", "keys": [ESCAPE]}).boxes[0]


def test_without_curl_the_box_says_so(reaper: Reaper) -> None:
    reaper.world["no_curl"] = True
    assert "curl" in reaper.play({"action": "search", "keys": [ESCAPE]}).boxes[0]


def test_the_bridges_own_words_are_shown(reaper: Reaper) -> None:
    reaper.world["ext"] = {"spresso.profile": "nonsense"}
    (box,) = reaper.play(search("rusty", ENTER)).boxes
    assert "nonsense" in box or "profile" in box


def test_words_find_nothing(reaper: Reaper) -> None:
    done = reaper.play(
        {"action": "search", "keys": ["rustyx", {"until_shown": "nothing"}, BACKSPACE, {"until_shown": "1 sound"}]}
    )
    assert done.takes == [] and done.boxes == []


def test_a_double_click_inserts(reaper: Reaper) -> None:
    twice = {"click": [100, 70]}
    done = reaper.play({"action": "search", "keys": ["rusty", {"until_shown": "1 sound"}, twice, 0, twice, 0]})
    assert len(done.takes) == 1


def test_settings_are_checked_and_kept(reaper: Reaper) -> None:
    good = reaper.play({"action": "settings", "inputs": "25hz,preview,16,44100,no,"})
    kept = {name: value for _, name, value in good.all("ext")}
    assert kept == {"profile": "25hz", "quality": "preview", "bits": "16", "rate": "44100", "takes": "no", "curl": ""}
    for wrong in ("25hz,best,16,,no,", "25hz,preview,20,,no,", "25hz,preview,16,12,no,", "25hz,preview,16,4e4,no,"):
        bad = reaper.play({"action": "settings", "inputs": wrong})
        assert bad.all("ext") == [] and "Nothing was changed" in bad.boxes[0]


def test_settings_are_used(reaper: Reaper) -> None:
    reaper.world["ext"] = {"spresso.bits": "16", "spresso.rate": "44100", "spresso.quality": "preview"}
    (take,) = reaper.play(search("rusty", ENTER)).takes
    with soundfile.SoundFile(take["path"]) as sound:
        assert (sound.samplerate, sound.subtype) == (44100, "PCM_16")


def test_no_token_on_a_command_line_and_none_in_our_files(reaper: Reaper, bridge: Running) -> None:
    done = reaper.play(search("rusty", SPACE, {"until_shown": "playing"}, ENTER))
    commands = [command for command, _ in done.all("exec")]
    assert len(commands) >= 3
    assert not any(bridge.token in command or "rusty" in command for command in commands)
    for file in reaper.folder.rglob("*"):
        assert not file.is_file() or bridge.token.encode() not in file.read_bytes(), file
