"""Sounds over HTTP: the promised length, every kind of range, and no decode that nobody wants."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile

from plugin_bridge.render.decoders import LocalDecoder
from plugin_bridge.render.takes import Take
from tests.plugin_bridge.running import FilledCatalog, Running, running

FORMS = [
    {}, {"q": "preview"}, {"rate": 44_100, "bits": "16"}, {"rate": 8000, "bits": "24", "ch": "1"},
    {"bits": "32f", "ch": "2"}, {"start": 0.1, "dur": 0.0123, "bits": "24"}, {"start": 0.25, "rate": 96_000},
    {"seed": 7, "gain_db": -6}, {"variation": 2, "dur": 10}, {"profile": "2.5kbps", "dur": 0.00001},
]  # fmt: skip


class Counting(LocalDecoder):
    """The real decoder; notes the seeds of its decodes and of their blocks, and can be held before any block."""

    def __init__(self, load_codec: Callable[[], Any]) -> None:
        super().__init__(load_codec)
        self.begun: list[int] = []
        self.given: list[int] = []
        self.free = threading.Event()
        self.free.set()
        self.cut: int | None = None
        self.fail = False

    def blocks(self, take: Take, between: Callable[[], None]) -> Iterator[Any]:
        self.begun.append(take.seed)
        for whole in super().blocks(take, between):
            step = self.cut or whole.shape[1]
            for at in range(0, whole.shape[1], step):
                self.given.append(take.seed)
                yield whole[:, at : at + step]
                assert self.free.wait(30)
                if self.fail:
                    raise RuntimeError("the network broke")


@contextmanager
def counting(catalog: FilledCatalog, folder: Path, **settings: Any) -> Iterator[tuple[Running, Counting]]:
    """A bridge of one's own, and its decoder."""
    with running(catalog, folder, **settings) as served:
        renderer = served.bridge.renderer
        decoder = Counting(renderer._decoder._load_codec)  # type: ignore[attr-defined]
        renderer._decoder = renderer._workshop._decoder = decoder
        decoder.prepare()
        yield served, decoder


@pytest.fixture
def rain(bridge_catalog: FilledCatalog) -> str:
    """Address of a stereo sound of two seconds."""
    return f"/v1/sounds/{bridge_catalog.id_of('Heavy rain')}/audio.wav"


def test_every_sound_in_every_form_has_the_length_that_was_promised(
    client: httpx2.Client, bridge_catalog: FilledCatalog
) -> None:
    for uid in bridge_catalog.ids.values():
        for form in FORMS:
            url = f"/v1/sounds/{uid}/audio.wav"
            head, got = client.head(url, params=form), client.get(url, params=form)
            assert head.status_code == got.status_code == 200, got.text
            assert int(head.headers["content-length"]) == len(got.content), form
            assert {name: head.headers[name] for name in head.headers if name != "date"} == {
                name: got.headers[name] for name in got.headers if name != "date"
            }
            assert (
                int.from_bytes(got.content[4092:4096], "little")
                <= len(got.content) - 4096
                < 2 + int.from_bytes(got.content[4092:4096], "little")
            )
            samples, rate = soundfile.read(io.BytesIO(got.content), always_2d=True)
            assert rate == form.get("rate", 48_000) and len(samples) >= 1


def test_head_and_ranges_of_the_header_decode_nothing(bridge_catalog: FilledCatalog, tmp_path: Path, rain: str) -> None:
    with counting(bridge_catalog, tmp_path) as (served, decoder):
        head = served.client.head(rain)
        size = int(head.headers["content-length"])
        assert (head.content, head.headers["accept-ranges"]) == (b"", "bytes")
        part = served.client.get(rain, headers={"range": "bytes=0-4095"})
        assert (part.status_code, part.headers["content-range"]) == (206, f"bytes 0-4095/{size}")
        assert part.content[:4] == b"RIFF" and part.content[-8:-4] == b"data" and len(part.content) == 4096
        assert served.client.get(rain, headers={"range": f"bytes={size}-"}).status_code == 416
        assert decoder.begun == []
        rest = served.client.get(rain, headers={"range": "bytes=4096-"})
        assert len(rest.content) == size - 4096 and len(decoder.begun) == 1


def test_ranges_are_parts_of_the_whole(client: httpx2.Client, rain: str) -> None:
    for bits in ("16", "24", "32f"):
        whole = client.get(rain, params={"bits": bits}).content
        size = len(whole)
        for first, last in ((0, 0), (4090, 4100), (4096, 4096), (4097, 4101), (70_000, 400_000), (size - 1, size - 1)):
            got = client.get(rain, params={"bits": bits}, headers={"range": f"bytes={first}-{last}"})
            assert (got.status_code, got.content) == (206, whole[first : min(last + 1, size)])
            assert got.headers["content-range"] == f"bytes {first}-{min(last, size - 1)}/{size}"
        tail = client.get(rain, params={"bits": bits}, headers={"range": "bytes=-1000"})
        assert tail.content == whole[-1000:]
        several = client.get(rain, params={"bits": bits}, headers={"range": "bytes=0-1,5-9"})
        assert (several.status_code, several.content) == (200, whole)
    beyond = client.get(rain, headers={"range": "bytes=999999999-"})
    assert beyond.status_code == 416 and beyond.headers["content-type"] == "application/problem+json"
    assert beyond.headers["content-range"].startswith("bytes */")


def test_a_part_with_an_odd_number_of_bytes_ends_in_its_pad_byte(
    client: httpx2.Client, bridge_catalog: FilledCatalog
) -> None:
    url = f"/v1/sounds/{bridge_catalog.id_of('gravel 01')}/audio.wav"
    form = {"bits": "24", "ch": "1", "dur": 101 / 48_000}
    whole = client.get(url, params=form).content
    assert len(whole) == 4096 + 303 + 1 and whole[-1] == 0
    last = client.get(url, params=form, headers={"range": "bytes=-1"})
    assert (last.status_code, last.content) == (206, b"\0")


def test_tags_spare_the_transfer(client: httpx2.Client, rain: str) -> None:
    first = client.get(rain)
    tag = first.headers["etag"]
    again = client.get(rain, headers={"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.head(rain, headers={"if-none-match": tag}).status_code == 304
    assert client.get(rain, params={"bits": "16"}, headers={"if-none-match": tag}).status_code == 200
    same = client.get(rain, headers={"range": "bytes=0-9", "if-range": tag})
    other = client.get(rain, headers={"range": "bytes=0-9", "if-range": '"other"'})
    assert (same.status_code, other.status_code, len(other.content)) == (206, 200, len(first.content))
    assert "immutable" in first.headers["cache-control"] and "private" in first.headers["cache-control"]


def test_a_seed_is_a_sound(client: httpx2.Client, rain: str) -> None:
    own = client.get(rain)
    named = client.get(rain, params={"seed": own.headers["x-spresso-seed"]})
    other = client.get(rain, params={"variation": 1})
    assert named.content == own.content and named.headers["etag"] == own.headers["etag"]
    assert other.content[4096:] != own.content[4096:]
    assert int(other.headers["x-spresso-seed"]) == int(own.headers["x-spresso-seed"]) + 1
    assert own.headers["x-spresso-profile"] == "2.5kbps" and own.headers["x-spresso-model"].startswith("tiny ")


def test_flac_and_vorbis(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    base = f"/v1/sounds/{bridge_catalog.id_of('rusty')}/audio"
    form = {"seed": 1234}
    assert "content-length" not in client.head(f"{base}.flac", params=form).headers
    wav, _ = soundfile.read(io.BytesIO(client.get(f"{base}.wav", params=form).content), dtype="int32")
    got = client.get(f"{base}.flac", params=form)
    flac, _ = soundfile.read(io.BytesIO(got.content), dtype="int32")
    assert np.array_equal(flac, wav) and got.headers["content-type"] == "audio/flac"
    known = client.head(f"{base}.flac", params=form)
    assert int(known.headers["content-length"]) == len(got.content) and known.headers["accept-ranges"] == "none"
    ogg = client.get(f"{base}.ogg", params=form)
    assert soundfile.info(io.BytesIO(ogg.content)).frames == len(wav) and ogg.headers["etag"].startswith("W/")
    assert client.get(f"{base}.ogg", params=form, headers={"if-none-match": ogg.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/sounds/ffffffff/audio.wav", 404, "asset_not_found"),
        ("/v1/sounds/{id}/audio.mp3", 406, "not_acceptable"),
        ("/v1/sounds/{id}/audio.flac?bits=32f", 400, "bad_format"),
        ("/v1/sounds/{id}/audio.wav?rate=1", 400, "bad_request"),
        ("/v1/sounds/{id}/audio.wav?seed=-1", 400, "bad_request"),
        ("/v1/sounds/{id}/audio.wav?seed=99999999999999999999", 400, "bad_request"),
        ("/v1/sounds/{id}/audio.wav?start=nan", 400, "bad_request"),
        ("/v1/sounds/{id}/audio.wav?start=1e300", 400, "bad_request"),
        ("/v1/sounds/{id}/audio.wav?dur=-1", 400, "bad_request"),
        ("/v1/sounds/{id}/audio.wav?start=2", 400, "bad_range"),
        ("/v1/sounds/{id}/audio.wav?gain_db=1000", 400, "bad_request"),
        ("/v1/sounds/{id}/audio.wav?profile=none", 404, "not_encoded"),
        ("/v1/sounds/{id}/audio.wav?bitz=16", 400, "bad_request"),
    ],
)
def test_bad_wishes_get_the_right_status(
    client: httpx2.Client, bridge_catalog: FilledCatalog, path: str, status: int, code: str
) -> None:
    got = client.get(path.format(id=bridge_catalog.id_of("Heavy rain")))
    assert (got.status_code, got.json()["code"]) == (status, code)
    assert got.headers["content-type"] == "application/problem+json"


def test_a_request_that_is_too_long_is_told_so(bridge_catalog: FilledCatalog, tmp_path: Path, rain: str) -> None:
    with running(bridge_catalog, tmp_path, max_seconds=1.0) as served:
        got = served.client.get(rain)
        assert (got.status_code, got.json()["code"]) == (413, "take_too_long")
        assert served.client.get(rain, params={"dur": 0.5}).status_code == 200


def test_sixteen_who_want_the_same_cost_one_decode(bridge_catalog: FilledCatalog, tmp_path: Path, rain: str) -> None:
    with counting(bridge_catalog, tmp_path) as (served, decoder):
        bodies: list[bytes] = []

        def ask() -> None:
            bodies.append(served.client.get(rain).content)

        askers = [threading.Thread(target=ask) for _ in range(16)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert len(bodies) == 16 and len(set(bodies)) == 1 and len(decoder.begun) == 1


def test_the_header_comes_before_the_sound_is_decoded(bridge_catalog: FilledCatalog, tmp_path: Path, rain: str) -> None:
    with counting(bridge_catalog, tmp_path) as (served, decoder):
        decoder.cut = 10_000
        decoder.free.clear()
        with served.client.stream("GET", rain) as got:
            chunks = got.iter_bytes()
            received = next(chunks)
            while len(received) < 4096 + 10_000 * 6:  # the first block, while the second one is not made yet
                received += next(chunks)
            assert len(decoder.given) == 1
            decoder.free.set()
            rest = b"".join(chunks)
        assert len(received) + len(rest) == int(got.headers["content-length"])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_a_client_that_goes_away_ends_its_decode(bridge_catalog: FilledCatalog, tmp_path: Path, rain: str) -> None:
    with counting(bridge_catalog, tmp_path) as (served, decoder):
        decoder.cut = 1000  # 96 blocks
        decoder.free.clear()
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(
                f"GET {rain} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
                f"Authorization: Bearer {served.token}\r\n\r\n".encode()
            )
            assert connection.recv(16).startswith(b"HTTP/1.1 200")
            until(lambda: len(decoder.given) == 1)
        until(lambda: not served.bridge.renderer._flights)  # the server has seen that nobody listens
        decoder.free.set()
        until(lambda: served.bridge.renderer.counts()["running"] == 0)
        assert len(decoder.given) <= 2
        assert len(served.client.get(rain).content) == int(served.client.head(rain).headers["content-length"])


def test_a_server_that_stops_breaks_an_answer_off_and_says_nothing_of_it(
    bridge_catalog: FilledCatalog,
    tmp_path: Path,
    rain: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plugin_bridge.server.GOODBYE_S", 0.1)
    with counting(bridge_catalog, tmp_path) as (served, decoder):
        decoder.cut = 1000
        decoder.free.clear()
        connection = socket.create_connection(("127.0.0.1", served.port))
        head = f"Host: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\n\r\n"
        connection.sendall(f"GET {rain} HTTP/1.1\r\n{head}".encode())
        assert connection.recv(16).startswith(b"HTTP/1.1 200")
        until(lambda: len(decoder.given) == 1)
        threading.Timer(1.0, decoder.free.set).start()  # after the server has given up waiting
    with connection:
        while connection.recv(1 << 16):
            pass  # it ends
    assert caplog.records == []


def test_the_newest_audition_of_a_group_ends_the_older_one(
    bridge_catalog: FilledCatalog, tmp_path: Path, rain: str, caplog: pytest.LogCaptureFixture
) -> None:
    with counting(bridge_catalog, tmp_path) as (served, decoder):
        decoder.cut = 1000
        decoder.free.clear()
        with served.client.stream("GET", rain, params={"group": "page"}) as older:
            until(lambda: len(decoder.given) == 1)
            answers: list[httpx2.Response] = []
            flac = rain.replace(".wav", ".flac")
            waiting = threading.Thread(
                target=lambda: answers.append(served.client.get(flac, params={"group": "page", "seed": 5}))
            )
            waiting.start()
            until(lambda: 5 in [flight.take.seed for flight in list(served.bridge.renderer._flights.values())])
            newest = threading.Thread(
                target=lambda: answers.append(served.client.get(rain, params={"group": "page", "seed": 6}))
            )
            newest.start()
            waiting.join()
            decoder.free.set()
            newest.join()
            with pytest.raises(httpx2.RemoteProtocolError):  # fewer bytes than promised: cut off, not padded
                older.read()
        assert [answer.status_code for answer in answers] == [409, 200]
        assert answers[0].json()["code"] == "superseded"
        assert decoder.given.count(int(older.headers["x-spresso-seed"])) <= 2 and decoder.given.count(6) == 96
    assert caplog.records == []  # nothing went wrong


def test_a_decode_that_fails_on_the_way_breaks_the_connection_off(
    bridge_catalog: FilledCatalog, tmp_path: Path, rain: str
) -> None:
    with counting(bridge_catalog, tmp_path) as (served, decoder):
        decoder.cut, decoder.fail = 1000, True
        with pytest.raises(httpx2.RemoteProtocolError):
            served.client.get(rain)
        failed = served.client.get(rain.replace(".wav", ".ogg"))
        assert (failed.status_code, failed.json()["code"]) == (500, "decode_failed")
        decoder.fail = False
        assert served.client.get(rain).status_code == 200


def test_a_full_queue_answers_429(bridge_catalog: FilledCatalog, tmp_path: Path, rain: str) -> None:
    with counting(bridge_catalog, tmp_path, max_queued=1) as (served, decoder):
        decoder.cut = 1000
        decoder.free.clear()
        connections = []
        for seed in (1, 2):
            connection = socket.create_connection(("127.0.0.1", served.port))
            connection.sendall(
                f"GET {rain}?seed={seed} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
                f"Authorization: Bearer {served.token}\r\n\r\n".encode()
            )
            connections.append(connection)
            until(lambda: len(served.bridge.renderer._flights) == len(connections) and len(decoder.given) == 1)
        refused = served.client.get(rain, params={"seed": 3})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_decodes")
        assert int(refused.headers["retry-after"]) >= 1
        assert served.client.head(rain, params={"seed": 3}).status_code == 200
        decoder.free.set()
        for connection in connections:
            connection.close()


def test_without_a_model_the_answer_says_so(bridge_catalog: FilledCatalog, tmp_path: Path, rain: str) -> None:
    with running(bridge_catalog, tmp_path) as served:

        def missing() -> Any:
            from spresso_assets.codec.bundle import load_bundle

            return load_bundle(tmp_path / "nowhere")

        renderer = served.bridge.renderer
        renderer._decoder = renderer._workshop._decoder = LocalDecoder(missing)
        got = served.client.get(rain)
        assert (got.status_code, got.json()["code"]) == (503, "model_missing")
