"""The client for Python programs, against the real bridge."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

import plugin_bridge.clients.bridge_client as module
from plugin_bridge.clients.bridge_client import BridgeClient, BridgeError, discovery_file, find_bridge
from plugin_bridge.discovery import discovery_file as where_the_bridge_writes
from tests.plugin_bridge.running import FilledCatalog, Running


@pytest.fixture
def client(running_bridge: Running) -> BridgeClient:
    return BridgeClient(running_bridge.file)


def test_it_stands_alone() -> None:
    """`spresso bridge install` copies the file into programs that have no packages."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize("name", ["XDG_STATE_HOME", "SPRESSO_BRIDGE", "HOME"])
def test_it_looks_where_the_bridge_writes(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for other in ("XDG_STATE_HOME", "SPRESSO_BRIDGE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "x"))
    assert discovery_file() == where_the_bridge_writes()


def test_search_listen_and_place(
    client: BridgeClient, running_bridge: Running, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    assert client.running()
    (found,) = client.search("rusty", channels=2)["items"]
    assert found["id"] == bridge_catalog.id_of("rusty")
    assert len(client.peaks(found["id"], 50)) == 100
    one, other = client.variations(found["id"], 2)
    size = client.fetch(one["audio_url"], tmp_path / "one.wav")
    assert size == one["bytes"] == (tmp_path / "one.wav").stat().st_size
    assert (
        (tmp_path / "one.wav").read_bytes()
        == client.audio(found["id"], seed=one["seed"])
        != client.audio(found["id"], seed=other["seed"])
    )
    (placed,) = client.place([{"id": found["id"], "variation": 1}], str(running_bridge.place_folder))["files"]
    assert placed["seed"] == other["seed"] and Path(placed["path"]).is_file()
    assert list(tmp_path.iterdir()) == [tmp_path / "one.wav"]


def test_what_the_bridge_refuses_comes_with_its_words(client: BridgeClient, tmp_path: Path) -> None:
    with pytest.raises(BridgeError) as caught:
        client.sound("ffff" * 8)
    assert (caught.value.status, caught.value.code) == (404, "asset_not_found")
    with pytest.raises(BridgeError) as caught:
        client.place([{"id": client.search()["items"][0]["id"]}], str(tmp_path))
    assert caught.value.status == 403 and "spresso bridge allow" in str(caught.value)


def test_without_a_bridge_it_says_how_to_start_one(tmp_path: Path, running_bridge: Running) -> None:
    gone = BridgeClient(tmp_path / "bridge.json")
    assert not gone.running()
    with pytest.raises(BridgeError, match="spresso serve") as caught:
        gone.info()
    assert caught.value.code == "bridge_not_running"
    said = json.loads(running_bridge.file.read_text(encoding="utf-8"))
    for wrong in ("", "[]", "{}", json.dumps({**said, "port": None})):
        (tmp_path / "bridge.json").write_text(wrong, encoding="utf-8")
        with pytest.raises(BridgeError, match="not running"):
            gone.info()
    (tmp_path / "bridge.json").write_text(json.dumps({**said, "api": 2}), encoding="utf-8")
    with pytest.raises(BridgeError, match="spresso bridge install"):
        gone.info()


def test_a_proxy_of_the_environment_is_not_asked(client: BridgeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert client.running()


def test_a_token_is_never_shown(running_bridge: Running) -> None:
    assert running_bridge.token not in repr(find_bridge(running_bridge.file))
