"""The file by which programs find the bridge."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from plugin_bridge import discovery
from plugin_bridge.discovery import Discovery, answers, publish, read, refuse_second, running, withdraw
from spresso_assets.errors import SpressoError
from tests.plugin_bridge.running import Running

KNOWN = Discovery(8470, "t" * 43, "d" * 43, 4711)


def known_of(served: Running) -> Discovery:
    found = read(served.file)
    assert found is not None
    return found


def test_the_files_are_private_and_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "new" / "bridge.json"
    publish(KNOWN, file)
    assert json.loads(file.read_text()) == {
        "port": 8470, "token": "t" * 43, "dav_token": "d" * 43, "pid": 4711, "api": 1,
    }  # fmt: skip
    assert (tmp_path / "new" / "bridge.txt").read_text() == f"8470 {'t' * 43}\n"
    assert (tmp_path / "new" / "bridge.curl").read_text() == f'header = "Authorization: Bearer {"t" * 43}"\n'
    assert {path.name for path in file.parent.iterdir()} == {"bridge.json", "bridge.txt", "bridge.curl"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert read(file) == KNOWN


def test_a_readable_file_of_before_becomes_private(tmp_path: Path) -> None:
    file = tmp_path / "bridge.json"
    file.touch(mode=0o644)
    publish(KNOWN, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_file_lies_where_the_environment_says(tmp_path: Path) -> None:
    assert discovery.discovery_file({"SPRESSO_BRIDGE": "/x/other.json", "XDG_STATE_HOME": "/y"}) == Path(
        "/x/other.json"
    )
    if os.name == "posix" and os.uname().sysname == "Linux":
        assert discovery.discovery_file({"XDG_STATE_HOME": "/y"}) == Path("/y/spresso/bridge.json")


def test_files_are_removed_by_their_own_server_only(tmp_path: Path) -> None:
    file = tmp_path / "bridge.json"
    publish(Discovery(8471, "u" * 43, "d" * 43, 4712), file)
    withdraw(KNOWN, file)
    assert len(list(tmp_path.iterdir())) == 3
    withdraw(Discovery(8471, "u" * 43, "d" * 43, 4712), file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"port": 1}',
        b'{"port":"1","token":"t","dav_token":"d","pid":1,"api":1}',
    ],
)
def test_a_damaged_file_is_no_bridge(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bridge.json").write_bytes(content)
    assert read(tmp_path / "bridge.json") is None
    refuse_second(tmp_path / "bridge.json")
    with pytest.raises(SpressoError, match="bridge_not_running"):
        running(tmp_path / "bridge.json")


def test_a_running_bridge_is_found_and_keeps_a_second_one_away(running_bridge: Running) -> None:
    assert running(running_bridge.file) == known_of(running_bridge)
    with pytest.raises(SpressoError, match="bridge_running") as caught:
        refuse_second(running_bridge.file)
    assert running_bridge.token not in str(caught.value)


def test_a_file_of_a_killed_server_keeps_nobody_away(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # a process with this number runs, but it is no bridge
    left = Discovery(port, "t" * 43, "d" * 43, os.getpid())
    publish(left, tmp_path / "bridge.json")
    assert not answers(left)
    refuse_second(tmp_path / "bridge.json")
    with pytest.raises(SpressoError, match="left over"):
        running(tmp_path / "bridge.json")


def test_another_bridge_on_the_same_port_is_not_taken_for_this_one(running_bridge: Running) -> None:
    assert not answers(Discovery(running_bridge.port, "x" * 43, "d" * 43, os.getpid()))


class Stranger(BaseHTTPRequestHandler):
    """Says yes to everything, and remembers nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")

    def log_message(self, *args: object) -> None:
        pass


def test_another_web_server_on_that_port_is_no_bridge() -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert not answers(Discovery(server.server_port, "t" * 43, "d" * 43, os.getpid()))
        finally:
            server.shutdown()
            thread.join()
