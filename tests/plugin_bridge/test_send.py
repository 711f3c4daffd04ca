"""Sending into a running program: real files while it imports them, nothing left afterwards, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from plugin_bridge.api import send as send_module
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.export.provenance import provenance_of
from tests.plugin_bridge.running import FilledCatalog, Running


def test_takes_are_files_for_as_long_as_the_program_imports_them(
    client: httpx2.Client, running_bridge: Running, bridge_catalog: FilledCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, str], float | None, str | None]] = []

    def importing(files: list[Path], position_s: float | None, track: str | None) -> list[dict[str, Any]]:
        seen.extend((provenance_of(file), position_s, track) for file in files)
        return [{"path": str(file), "track": n, "start_s": 2.5} for n, file in enumerate(files)]

    monkeypatch.setitem(send_module.TARGETS, "audacity", importing)
    uid = bridge_catalog.id_of("Wooden")
    items = [{"id": uid, "q": "preview"}, {"id": uid, "q": "preview", "gain_db": -6}]  # one name, two sounds
    answer = client.post("/v1/send/audacity", json={"items": items, "position_s": 2.5, "track": "Doors"})
    assert answer.status_code == 200, answer.text
    assert [(told["ASSET"], position, track) for told, position, track in seen] == [(uid, 2.5, "Doors")] * 2
    placed = answer.json()["placed"]
    assert [(one["id"], one["track"], one["start_s"]) for one in placed] == [(uid, 0, 2.5), (uid, 1, 2.5)]
    assert placed[0]["file"].startswith("DOORWood") and "path" not in placed[0]
    assert not list((running_bridge.bridge.settings.cache_dir / "send").iterdir())


def test_a_program_that_does_not_run(
    client: httpx2.Client, running_bridge: Running, bridge_catalog: FilledCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(files: list[Path], position_s: float | None, track: str | None) -> list[dict[str, Any]]:
        raise SpressoError("it does not answer", code="target_not_running", hint="Start it.", kind=FaultKind.RETRYABLE)

    monkeypatch.setitem(send_module.TARGETS, "audacity", deaf)
    answer = client.post("/v1/send/audacity", json={"items": [{"id": bridge_catalog.id_of("rusty"), "q": "preview"}]})
    assert (answer.status_code, answer.json()["code"]) == (424, "target_not_running")
    assert not list((running_bridge.bridge.settings.cache_dir / "send").iterdir())


@pytest.mark.parametrize("target", ["protools", "wwise", "x" * 50])
def test_programs_that_cannot_be_sent_to_yet(client: httpx2.Client, bridge_catalog: FilledCatalog, target: str) -> None:
    answer = client.post(f"/v1/send/{target}", json={"items": [{"id": bridge_catalog.id_of("rusty")}]})
    assert (answer.status_code, answer.json()["code"]) == (501, "not_supported")
    assert "audacity" in answer.json()["hint"]


def test_bad_requests(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    uid = bridge_catalog.id_of("rusty")
    assert client.post("/v1/send/audacity", json={"items": [{"id": "ffffffff"}]}).status_code == 404
    assert client.post("/v1/send/audacity", json={"items": []}).status_code == 400
    assert client.post("/v1/send/audacity", json={"items": [{"id": uid}], "position_s": -1}).status_code == 400


def test_what_can_be_sent_to_is_told(client: httpx2.Client) -> None:
    assert client.get("/v1/info").json()["capabilities"]["send"] == send_module.send_targets() == ["audacity"]
