"""How a Python program finds the running bridge and asks it for sounds. One file, standard library only.

Programs with a Python of their own (Blender) have no packages: `spresso bridge install` copies this file beside the
client, so it imports nothing of the project and runs on Python 3.10.

    client = BridgeClient()
    found = client.search("gravel footsteps")["items"]
    placed = client.place([{"id": found[0]["id"], "variation": 2}], "/projects/film/audio")
    print(placed["files"][0]["path"])
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

API = 1
START = "Start it: spresso serve."
# A decode of a long sound on a slow machine keeps a connection silent for a while; an answer from memory never does.
QUICK_S, SLOW_S = 10.0, 600.0
Value = str | int | float | Sequence[str] | None


class BridgeError(Exception):
    """What went wrong between this program and the bridge, and what to do about it.

    Args:
        message: what happened and why, one line.
        code: stable name: the bridge's own code, or one of ``bridge_not_running``, ``bridge_too_new``,
            ``bridge_silent``, ``bad_answer``, ``short_body``.
        hint: what the user can do next.
        status: the HTTP status, 0 if there was no answer.
    """

    def __init__(self, message: str, code: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.message, self.code, self.hint, self.status = message, code, hint, status

    def __str__(self) -> str:
        return f"{self.message.rstrip('.')}. {self.hint}" if self.hint else self.message


class Address(NamedTuple):
    """Where the bridge listens (always 127.0.0.1) and the token it wants."""

    port: int
    token: str

    def __repr__(self) -> str:  # a token in a traceback is a token in a log
        return f"Address(port={self.port})"


def discovery_file() -> Path:
    """The file that a running bridge writes; SPRESSO_BRIDGE names another one."""
    if named := os.environ.get("SPRESSO_BRIDGE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "spresso" / "bridge.json"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(base) / "spresso" / "bridge.json"
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "spresso" / "bridge.json"


def find_bridge(file: Path | None = None) -> Address:
    """Read the discovery file.

    Raises:
        BridgeError: `bridge_not_running` without a readable file, `bridge_too_new` if it speaks another version.
    """
    file = file or discovery_file()
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        api, address = said["api"], Address(int(said["port"]), str(said["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise BridgeError("the bridge is not running", "bridge_not_running", START) from None
    if api != API:
        raise BridgeError(
            f"the bridge speaks version {api}, this program version {API}",
            "bridge_too_new",
            "Install this client again: spresso bridge install.",
        )
    return address


class BridgeClient:
    """The bridge's HTTP interface as methods; answers are the JSON objects of the bridge.

    The discovery file is read for every request, so a bridge that was started again on another port is found. Safe to
    use from several threads: each request has a connection of its own.

    Args:
        file: a discovery file other than the usual one.

    Every method raises BridgeError, with the bridge's own code and hint where it answered.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    def running(self) -> bool:
        """Whether a bridge answers now."""
        try:
            return bool(self._json("GET", "/v1/health").get("ok"))
        except BridgeError:
            return False

    def info(self) -> dict[str, Any]:
        """Version, model, profiles, formats, folders that may be placed into, and what can be sent where."""
        return self._json("GET", "/v1/info")

    def search(self, query: str = "", **filters: Value) -> dict[str, Any]:
        """Sounds: ``{"items": [...], "total": ..., "next_cursor": ...}``.

        Args:
            query: words, as in `spresso search`.
            filters: category, tag, dur_min and dur_max [s], channels, profile, sort, limit, cursor.
        """
        return self._json("GET", "/v1/search", {"q": query, **filters})

    def sound(self, sound: str) -> dict[str, Any]:
        """Everything known of one sound."""
        return self._json("GET", f"/v1/sounds/{quote(sound, safe='')}")

    def peaks(self, sound: str, n: int = 800) -> list[int]:
        """The outline as min0, max0, min1, max1, ... of `n` columns, each -128..127; costs no decode."""
        return list(self._json("GET", f"/v1/sounds/{quote(sound, safe='')}/peaks", {"n": n})["peaks"])

    def variations(self, sound: str, n: int = 8, **take: Value) -> list[dict[str, Any]]:
        """`n` variations as seed, filename, audio_url and bytes; costs no decode."""
        answer = self._json("GET", f"/v1/sounds/{quote(sound, safe='')}/variations", {"n": n, **take})
        return list(answer["items"])

    def audio(self, sound: str, kind: str = "wav", **take: Value) -> bytes:
        """One take as the bytes of a file (`kind`: wav, flac, ogg); `take` as in the query of the bridge."""
        with self._open("GET", f"/v1/sounds/{quote(sound, safe='')}/audio.{kind}", take, timeout=SLOW_S) as answer:
            return _whole(answer)

    def fetch(self, url: str, file: Path) -> int:
        """Write what a path of the bridge (audio_url, original_url) answers into `file`; returns the bytes.

        Written beside and renamed: `file` is never half there.
        """
        with self._open("GET", url, timeout=SLOW_S) as answer:
            body = _whole(answer)
        descriptor, name = tempfile.mkstemp(dir=str(file.parent), prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(body)
            os.replace(name, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        return len(body)

    def place(
        self, items: Sequence[Mapping[str, Any]], folder: str, *, name_style: str = "ucs", kind: str = "wav"
    ) -> dict[str, Any]:
        """Real files in a folder that the user allowed: ``{"files": [{"path", "seed", ...}], "manifest": ...}``.

        Args:
            items: each ``{"id": ..., "seed": ..., ...}`` with the parameters of a take.
            folder: absolute; `spresso bridge allow FOLDER` allows it.
            name_style: "ucs", or "safe" for names without spaces.
            kind: "wav" or "flac".
        """
        body = {"items": [dict(item) for item in items], "dir": folder, "name_style": name_style, "format": kind}
        return self._json("POST", "/v1/place", body=body, timeout=SLOW_S)

    def next_of_group(self, group: str, **wish: Any) -> dict[str, Any]:
        """The next of a group's sounds and seeds, never the same twice in a row; `wish`: ids or query, variations."""
        return self._json("POST", f"/v1/groups/{quote(group, safe='')}/next", body=wish)

    def slot(self, number: int) -> dict[str, Any]:
        """What a slot (0 to 127) holds."""
        return self._json("GET", f"/v1/slots/{number}")

    def set_slot(self, number: int, **content: Any) -> dict[str, Any]:
        """Fill a slot: ids or id, variations, q, profile."""
        return self._json("PUT", f"/v1/slots/{number}", body=content)

    def send(
        self,
        target: str,
        items: Sequence[Mapping[str, Any]],
        *,
        position_s: float | None = None,
        track: str | None = None,
    ) -> dict[str, Any]:
        """Put sounds into a running program: ``{"placed": [...]}``; `target_not_running` (424) if it is not there."""
        body: dict[str, Any] = {"items": [dict(item) for item in items]}
        if position_s is not None:
            body["position_s"] = position_s
        if track is not None:
            body["track"] = track
        return self._json("POST", f"/v1/send/{quote(target, safe='')}", body=body, timeout=SLOW_S)

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, Value] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        timeout: float = QUICK_S,
    ) -> dict[str, Any]:
        with self._open(method, path, query, body=body, timeout=timeout) as answer:
            text = _whole(answer)
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise BridgeError("what answered is not the bridge", "bad_answer", "Start `spresso serve` anew.")
        return said

    @contextlib.contextmanager
    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, Value] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        timeout: float = QUICK_S,
    ) -> Iterator[http.client.HTTPResponse]:
        """One request; whatever is not 2xx is raised."""
        address = find_bridge(self._file)
        # Not urllib: that would send a request for 127.0.0.1 through the proxy of the environment.
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {address.token}"}
        payload = None
        if body is not None:
            payload, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = path + ("&" if "?" in path else "?") + urlencode(given, doseq=True) if given else path
        try:
            connection.request(method, target, payload, headers)
            answer = connection.getresponse()
            if not 200 <= answer.status < 300:
                raise _problem(answer.status, answer.read(65536))
            yield answer
        except TimeoutError:
            raise BridgeError(f"no answer for {timeout:g} s", "bridge_silent", "Try again.") from None
        except ConnectionRefusedError:
            raise BridgeError("the bridge is not running", "bridge_not_running", START) from None
        except (OSError, http.client.HTTPException) as error:
            what = f"the connection to the bridge broke ({type(error).__name__})"
            raise BridgeError(what, "bridge_silent", "Try again; the terminal of `spresso serve` says more.") from None
        finally:
            connection.close()


def _whole(answer: http.client.HTTPResponse) -> bytes:
    """The body, all of it: the bridge says that a decode failed on the way by ending early."""
    try:
        return answer.read()
    except http.client.IncompleteRead as cut:
        what = f"the sound ended after {len(cut.partial)} bytes: its decode failed or was replaced by a newer one"
        raise BridgeError(what, "short_body", "Try again.") from None


def _problem(status: int, body: bytes) -> BridgeError:
    """The bridge's own words for what it refused."""
    try:
        said = json.loads(body)
        message = str(said.get("detail") or said.get("title") or status)
        return BridgeError(message, str(said.get("code") or "refused"), str(said.get("hint") or ""), status)
    except (ValueError, AttributeError):
        return BridgeError(f"the bridge answered {status}", "refused", "", status)
