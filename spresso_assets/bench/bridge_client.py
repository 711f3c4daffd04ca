"""A client that looks at the clock: one connection that stays open, nothing between it and the socket."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from spresso_assets.errors import SpressoError

HEADER_BYTES = 4096
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Heard:
    """One sound: status, bytes, and the seconds until its first samples and its end."""

    status: int
    size: int
    first_s: float
    whole_s: float
    retry_after_s: float = 0.0


class Client:
    """Asks one bridge."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    @classmethod
    def of(cls, discovery: Path) -> Client:
        """A client of the bridge that a discovery file names."""
        known = json.loads(discovery.read_text(encoding="utf-8"))
        return cls(known["port"], known["token"])

    def get_json(self, path: str) -> Any:
        """The body of an answer.

        Raises:
            SpressoError: ``bench_failed`` unless it is 200.
        """
        with _explained(path):
            answer = self._ask("GET", path)
            body = answer.read()
        if answer.status != 200:
            raise _failed(path, answer.status, body)
        return json.loads(body)

    def head(self, uid: str, **form: object) -> int:
        """The length that is promised for a sound."""
        path = _path(uid, form)
        with _explained(path):
            answer = self._ask("HEAD", path)
            answer.read()
        if answer.status != 200:
            raise _failed(path, answer.status, b"")
        return int(answer.headers["content-length"])

    def search(self, query: str) -> Any:
        """A page of results."""
        return self.get_json(f"/v1/search?{urlencode({'q': query, 'limit': 50})}")

    def sound(self, uid: str, **form: object) -> Heard:
        """A whole sound.

        Raises:
            SpressoError: ``bench_failed`` unless the answer is 200.
        """
        with _explained(_path(uid, form)):
            heard = self.audition(uid, form)
        if heard.status != 200:
            raise _failed(_path(uid, form), heard.status, b"")
        return heard

    def audition(self, uid: str, form: dict[str, object], leave_after: int | None = None) -> Heard:
        """Ask for a sound and listen, whatever the status.

        Args:
            leave_after: hang up after so many bytes of samples.

        Raises:
            OSError, http.client.HTTPException: the connection broke off.
        """
        began = time.perf_counter()
        answer = self._ask("GET", _path(uid, form))
        if answer.status != 200:
            answer.read()
            wait = float(answer.headers.get("retry-after", 0))
            return Heard(answer.status, 0, 0.0, time.perf_counter() - began, wait)
        size, first = 0, 0.0
        while piece := answer.read1(1 << 16):
            size += len(piece)
            if not first and size > HEADER_BYTES:
                first = time.perf_counter() - began
            if leave_after is not None and size > HEADER_BYTES + leave_after:
                self._connection.close()
                break
        else:
            if size != int(answer.headers["content-length"]):
                self._connection.close()
                raise http.client.IncompleteRead(b"", size)
            answer.close()  # which `read1` leaves to us
        return Heard(200, size, first, time.perf_counter() - began)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self, method: str, path: str) -> http.client.HTTPResponse:
        self._connection.request(method, path, headers={"Authorization": f"Bearer {self.token}"})
        return self._connection.getresponse()


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise SpressoError(f"the bridge broke off at {path}: {error!r}", code="bench_failed") from error


def _path(uid: str, form: dict[str, object]) -> str:
    return f"/v1/sounds/{uid}/audio.wav?{urlencode(cast('dict[str, str]', form))}"


def _failed(path: str, status: int, body: bytes) -> SpressoError:
    return SpressoError(
        f"the bridge answered {status} to {path}: {body[:200].decode('utf-8', 'replace')}", code="bench_failed"
    )
