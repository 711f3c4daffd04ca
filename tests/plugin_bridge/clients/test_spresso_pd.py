"""The helper of the Pure Data patch: what it answers, and whom it does not answer at all."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugin_bridge.clients.bridge_client import BridgeError
from plugin_bridge.clients.pd.spresso_pd import MAX_MESSAGE, Helper, Server, announce, symbol, words

KEY = "k0123"


class FakeClient:
    """A bridge with five takes on slot 3."""

    def __init__(self) -> None:
        self.fetched: list[str] = []

    def slot(self, number: int) -> dict[str, Any]:
        if number != 3:
            raise BridgeError(f"nothing lies on slot {number}", "empty_slot", "Put sounds; on $1, it\n.", 404)
        return {"takes": [{"audio_url": f"/v1/sounds/ab/audio.wav?seed={seed}"} for seed in range(5)]}

    def variations(self, sound: str, n: int) -> list[dict[str, Any]]:
        return [{"audio_url": f"/v1/sounds/{sound}/audio.wav?seed={seed}"} for seed in range(n)]

    def search(self, query: str, **_: Any) -> dict[str, Any]:
        items = [{"id": "12e5", "duration_s": 0.5, "name": f"A; {query}, $1 \\ name"}]
        return {"items": items, "total": 1}

    def fetch(self, url: str, file: Path) -> int:
        self.fetched.append(url)
        file.write_bytes(b"RIFF")
        return 4


@pytest.fixture
def fake() -> FakeClient:
    return FakeClient()


@pytest.fixture
def server(fake: FakeClient, tmp_path: Path) -> Iterator[Server]:
    with Server(Helper(tmp_path, fake), KEY) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def talk(server: Server, text: str | bytes, answers: int = 0) -> list[str]:
    """Say something; returns so many answers, or what comes until the other side hangs up."""
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as connection:
        connection.sendall(text if isinstance(text, bytes) else text.encode())
        if not answers:
            with contextlib.suppress(OSError):  # the other side may have hung up already
                connection.shutdown(socket.SHUT_WR)
        got = b""
        while (not answers or got.count(b";\n") < answers) and (more := connection.recv(4096)):
            got += more
    return [line for line in got.decode().split(";\n") if line]


def test_a_slot_is_loaded_into_files_at_the_rate_of_pd(server: Server, fake: FakeClient, tmp_path: Path) -> None:
    said = talk(server, f"key {KEY};\nslot 3 load 3 44100;\n", answers=4)
    assert said == [f"take {i} {tmp_path}/slot3-{i}.wav" for i in range(3)] + ["loaded 3"]
    assert fake.fetched[0] == "/v1/sounds/ab/audio.wav?seed=0&bits=32f&ch=2&rate=44100"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["slot3-0.wav", "slot3-1.wav", "slot3-2.wav"]
    # Again: the same files, not more of them.
    talk(server, f"key {KEY};slot 3 load 2 48000;", answers=3)
    assert len(list(tmp_path.iterdir())) == 3


def test_sounds_are_found_and_loaded_by_an_id_that_stays_a_symbol(server: Server) -> None:
    found, end = talk(server, f"key {KEY};search gravel;", answers=2)
    assert (found, end) == ("found id-12e5 0.500 A_gravel_1_name", "end 1")
    assert talk(server, f"key {KEY};sound id-12e5 load 1 48000;", answers=2)[-1] == "loaded 1"


@pytest.mark.parametrize(
    "message",
    [
        "slot 128 load 1 48000",
        "slot -1 load 1 48000",
        "slot 3.5 load 1 48000",
        "slot nan load 1 48000",
        "slot 3 load 0 48000",
        "slot 3 load 9 48000",
        "slot 3 load 1 1e9",
        "sound ../../x load 1 48000",
        "sound id-AB load 1 48000",
        "read /etc/passwd",
        "",
    ],
)
def test_messages_that_are_none_are_refused_and_the_next_is_heard(
    server: Server, fake: FakeClient, message: str
) -> None:
    first, second = talk(server, f"key {KEY};{message};slot 9 load 1 48000;", answers=2)
    assert first.startswith("error bad_message ")
    assert second == "error empty_slot nothing lies on slot 9. Put sounds on 1 it ."
    assert fake.fetched == []


@pytest.mark.parametrize(
    "text",
    [
        "slot 3 load 1 48000;",
        "key wrong;slot 3 load 1 48000;",
        f"key {KEY} more;slot 3 load 1 48000;",
        "key kéy;slot 3 load 1 48000;",
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nkey {KEY};slot 3 load 1 48000;",  # a web page
        f"key {KEY}" + "x" * 2 * MAX_MESSAGE,
    ],
)
def test_without_the_key_nothing_is_answered(server: Server, fake: FakeClient, text: str) -> None:
    with contextlib.suppress(ConnectionError):  # it may hang up while there is still something to say
        assert talk(server, text) == []
    assert fake.fetched == []


def test_a_message_without_end_is_not_kept(server: Server) -> None:
    with contextlib.suppress(ConnectionError):
        talk(server, f"key {KEY};" + "x" * 100 * MAX_MESSAGE)
    assert talk(server, f"key {KEY};search door;", answers=2)[-1] == "end 1"


def test_only_this_user_reads_the_key(tmp_path: Path) -> None:
    file = tmp_path / "spresso-pd.txt"
    announce(file, 1234, KEY)
    assert file.read_text() == f"1234 {KEY};\n" and file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["spresso-pd.txt"]


def test_words_of_others_end_no_message() -> None:
    assert words("a;b,c\\d$1\n e") == "a b c d 1 e"
    assert symbol("1e5; x") == "_1e5_x"
    assert symbol(" ;, ") == "_"
