"""The server: it listens for this machine alone, is found, stops when told, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from plugin_bridge.discovery import Discovery, publish, read
from spresso_assets.cli.main import main
from spresso_assets.errors import SpressoError
from tests.plugin_bridge.running import FilledCatalog, Running, running

PATIENCE_S = 60.0


def until_published(file: Path, process: subprocess.Popen[str]) -> Discovery:
    """What a server process says of itself, once it listens."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        known = read(file)
        if known is not None and known.pid == process.pid:
            return known
        time.sleep(0.02)
    raise AssertionError(f"no bridge was published: {process.poll()}")


def test_a_life_of_a_bridge(
    bridge_catalog: FilledCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, folder in (("STATE", "state"), ("CACHE", "cache"), ("CONFIG", "config")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / folder))
    for name in ("SPRESSO_BRIDGE", "SPRESSO_BROKER_URL", "SPRESSO_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPRESSO_CATALOG", str(bridge_catalog.file))
    monkeypatch.setenv("SPRESSO_BUNDLE", str(bridge_catalog.bundle))
    project = tmp_path / "project"
    project.mkdir()

    def spresso(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    file = tmp_path / "state" / "spresso" / "bridge.json"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unused = free.getsockname()[1]
    publish(Discovery(unused, "t" * 43, "d" * 43, os.getpid()), file)  # what a killed server left
    assert spresso("bridge", "status")[0] == 4

    serve = [sys.executable, "-m", "spresso_assets.cli.main", "serve", "--port", "0"]
    process = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        known = until_published(file, process)
        _, out, err = spresso("bridge", "status", "--json")
        told = json.loads(out)["data"]
        assert (told["url"], told["pid"], told["sounds"]) == (known.url, process.pid, 8)
        assert known.token not in out + err and known.dav_token not in out + err
        assert f"/dav/{known.dav_token}/" in spresso("bridge", "status", "--dav")[1]

        code, _, err = spresso("serve", "--port", "0")
        assert code == 1 and "bridge_running" in err and str(known.port) in err
        assert read(file) == known  # and its clients still find the first one

        assert spresso("bridge", "allow", str(project))[0] == 0
        headers = {"Authorization": f"Bearer {known.token}"}
        with httpx2.Client(base_url=known.url, headers=headers, trust_env=False, timeout=PATIENCE_S) as client:
            assert client.get("/v1/info").json()["place_folders"] == [str(project)]
        one_time = spresso("bridge", "open", "--print")[1].strip().partition("/?code=")[2]
        with httpx2.Client(base_url=known.url, trust_env=False, timeout=PATIENCE_S) as page:
            assert page.get("/").status_code == 200
            assert page.post("/v1/session", json={"code": one_time}).json() == {"token": known.token}
            assert page.post("/v1/session", json={"code": one_time}).status_code == 403

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, ""), err
    assert f"page: {known.url}/?code=" in err and "Traceback" not in err
    assert known.token not in err and known.dav_token not in err
    assert {path.name for path in file.parent.iterdir()} == {"dav-token", "place-folders.json"}
    code, _, err = spresso("bridge", "status")
    assert code == 4 and "bridge_not_running" in err


def test_only_this_machine_can_reach_it(running_bridge: Running) -> None:
    for address in {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        if not str(address).startswith("127.0.0.1"):
            with pytest.raises(OSError):
                socket.create_connection((address, running_bridge.port), timeout=5).close()


def test_small_answers_do_not_wait_for_an_acknowledgement(
    bridge_catalog: FilledCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[socket.socket] = []
    made = H11Protocol.connection_made

    def noted(self: H11Protocol, transport: asyncio.Transport) -> None:
        connections.append(transport.get_extra_info("socket"))
        made(self, transport)

    monkeypatch.setattr(H11Protocol, "connection_made", noted)
    with running(bridge_catalog, tmp_path) as served:
        assert served.client.get("/v1/health").status_code == 200
        assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in connections] == [1]


def test_a_port_in_use_is_said(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(SpressoError, match="port_in_use") as caught,
            running(bridge_catalog, tmp_path, port=taken.getsockname()[1]),
        ):
            pass
    assert "--port 0" in caught.value.hint
    assert not (tmp_path / "state" / "bridge.json").exists()


def test_without_a_model_sounds_are_found_but_not_heard(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    with running(bridge_catalog, tmp_path, model=False) as served:
        uid = bridge_catalog.id_of("rain")
        assert len(served.client.get("/v1/search").json()["items"]) == 8
        heard = served.client.get(f"/v1/sounds/{uid}/audio.wav")
        assert (heard.status_code, heard.json()["code"]) == (503, "model_missing")
        assert served.client.get(f"/v1/sounds/{uid}/original.wav").status_code == 200
        assert served.client.get("/v1/info").json()["model"] == {"name": "", "weights_sha256": ""}


def test_an_open_stream_does_not_keep_it_from_stopping(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    began, over = threading.Event(), threading.Event()

    def listen(served: Running) -> None:
        headers = {"Authorization": f"Bearer {served.token}"}
        with httpx2.stream("GET", f"{served.url}/v1/events", headers=headers, trust_env=False) as answer:
            for _ in answer.iter_bytes():
                began.set()
        over.set()

    with running(bridge_catalog, tmp_path) as served:
        listener = threading.Thread(target=listen, args=(served,))
        listener.start()
        assert began.wait(PATIENCE_S)
    listener.join(PATIENCE_S)
    assert over.is_set()  # ended properly, not torn


def test_two_bridges_of_one_machine_have_tokens_of_their_own(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(bridge_catalog, tmp_path / "a") as one, running(bridge_catalog, tmp_path / "b") as other:
        headers = {"Authorization": f"Bearer {one.token}"}
        assert httpx2.get(f"{other.url}/v1/info", headers=headers, trust_env=False).status_code == 401
        assert httpx2.get(f"{one.url}/v1/info", headers=headers, trust_env=False).status_code == 200
