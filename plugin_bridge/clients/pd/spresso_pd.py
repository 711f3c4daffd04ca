"""Between Pure Data and the bridge: Pd speaks its own FUDI over TCP, the bridge speaks HTTP. Run it beside Pd:

    python3 spresso_pd.py

It listens on a free port of 127.0.0.1 and writes `spresso-pd.txt` (port and key, for this user only) beside itself,
where `spresso~.pd` looks. It reads nothing of a patch but the messages below and writes nowhere but in a folder of its
own, which goes when it ends. A first message without the key ends the connection: other users of the machine, and web
pages, can reach the port.

    key KEY;                   first
    slot N load MOST RATE;     answers: take I PATH; ... loaded COUNT;
    sound ID load MOST RATE;   the same for the variations of one sound
    search WORDS;              answers: found ID SECONDS NAME; ... end COUNT;
    Everything may answer: error CODE WORDS;

Standard library only, and `bridge_client.py` beside it.
"""

from __future__ import annotations

import contextlib
import hmac
import importlib
import os
import re
import secrets
import shutil
import signal
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Beside this file where it is installed; in its package where it is not.
bridge_client: Any = importlib.import_module(
    "bridge_client" if __package__ in (None, "") else "plugin_bridge.clients.bridge_client"
)

FILE = Path(__file__).resolve().parent / "spresso-pd.txt"
MAX_MESSAGE = 4096
MAX_PATCHES = 32  # connections at once
MAX_TAKES = 8  # that `spresso~.pd` has tables for
SLOTS = 128
RATES = range(8000, 192_001)
FOUND = 50
ID_MARK = "id-"  # without it Pd would take an id of digits, or 12e5, for a number


class RefusedError(Exception):
    """A message that is not understood, or a key that is not ours."""


def words(text: str, most: int = 100) -> str:
    """Text as one or more FUDI words: nothing in it ends the message or is read as a variable."""
    return re.sub(r"[;,\\$\s]+", " ", text).strip()[:most]


def symbol(text: str) -> str:
    """Text as one word that Pd takes for a symbol."""
    made = re.sub(r"[;,\\$\s]+", "_", text).strip("_") or "_"
    return f"_{made}" if re.fullmatch(r"[-+.\d].*", made) else made


class Helper:
    """What the messages mean.

    Args:
        folder: for the files that Pd reads; its path must be one FUDI word.
        client: of the bridge.
    """

    def __init__(self, folder: Path, client: Any) -> None:
        self._folder = folder
        self._client = client

    def answer(self, message: list[str]) -> Iterator[str]:
        """The messages that answer one message.

        Raises:
            RefusedError: it is not one of ours.
            BridgeError: of the bridge.
        """
        match message:
            case ["slot", number, "load", most, rate]:
                slot = _number(number, range(SLOTS))
                urls = [take["audio_url"] for take in self._client.slot(slot)["takes"]]
                yield from self._load(f"slot{slot}", urls, most, rate)
            case ["sound", sound, "load", most, rate]:
                uid = sound.removeprefix(ID_MARK)
                if not re.fullmatch(r"[0-9a-f]{3,32}", uid):
                    raise RefusedError("that is no id of a sound")
                urls = [item["audio_url"] for item in self._client.variations(uid, MAX_TAKES)]
                yield from self._load(f"sound{uid}", urls, most, rate)
            case ["search", *query]:
                items = self._client.search(" ".join(query), limit=FOUND)["items"]
                for item in items:
                    yield f"found {ID_MARK}{item['id']} {item['duration_s']:.3f} {symbol(item['name'])}"
                yield f"end {len(items)}"
            case _:
                raise RefusedError("messages are: slot N load MOST RATE, sound ID load MOST RATE, search WORDS")

    def _load(self, name: str, urls: list[str], most: str, rate: str) -> Iterator[str]:
        wanted, hertz = urls[: _number(most, range(1, MAX_TAKES + 1))], _number(rate, RATES)
        for i, url in enumerate(wanted):
            file = self._folder / f"{name}-{i}.wav"  # the next load replaces it: the folder stays small
            self._client.fetch(f"{url}&bits=32f&ch=2&rate={hertz}", file)
            yield f"take {i} {file}"
        yield f"loaded {len(wanted)}"


class Server(socketserver.ThreadingTCPServer):
    """Connections of patches, a thread each."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, helper: Helper, key: str) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.helper, self.key = helper, key
        self.places = threading.BoundedSemaphore(MAX_PATCHES)


class Connection(socketserver.StreamRequestHandler):
    """One patch."""

    server: Server

    def handle(self) -> None:
        """Answer its messages until it leaves."""
        if not self.server.places.acquire(blocking=False):
            return
        with contextlib.suppress(OSError):  # it left
            try:
                messages = self._messages()
                given = next(messages, [])
                if len(given) != 2 or given[0] != "key" or not hmac.compare_digest(given[1], self.server.key):
                    return
                for message in messages:
                    self._obey(message)
            finally:
                self.server.places.release()

    def _obey(self, message: list[str]) -> None:
        try:
            for said in self.server.helper.answer(message):
                self._say(said)
        except RefusedError as error:
            self._say(f"error bad_message {words(str(error))}")
        except bridge_client.BridgeError as error:
            self._say(f"error {error.code} {words(str(error))}")
        except (KeyError, TypeError, ValueError):
            self._say("error bad_answer what answered is not the bridge")

    def _say(self, message: str) -> None:
        self.wfile.write(message.encode("utf-8") + b";\n")

    def _messages(self) -> Iterator[list[str]]:
        """Words of each message; ends where a message is too long."""
        pending = b""
        while received := self.request.recv(MAX_MESSAGE):
            *whole, pending = (pending + received).split(b";")
            for text in whole:
                # Anything that is not ASCII has no place in a key, and hmac refuses to compare it.
                yield text.decode("ascii", "ignore").replace("\\", "").split()
            if len(pending) > MAX_MESSAGE:
                return


def _number(text: str, allowed: range) -> int:
    # Pd writes large numbers as 1e+06.
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value not in allowed:
        raise RefusedError(f"{text} is not between {allowed[0]} and {allowed[-1]}")
    return int(value)


def announce(file: Path, port: int, key: str) -> None:
    """Tell patches where to connect, and nobody else."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(f"{port} {key};\n")
    os.replace(part, file)


def main() -> int:
    """Serve until Ctrl-C; returns the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="spresso-pd-"))
    key = "k" + secrets.token_hex(16)
    try:
        if words(str(folder)) != str(folder):
            print(f"{folder} cannot be told to Pd; set TMPDIR to a folder without spaces", file=sys.stderr)
            return 1
        with Server(Helper(folder, bridge_client.BridgeClient()), key) as server:
            port = server.server_address[1]
            announce(FILE, port, key)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            print(f"listening on 127.0.0.1:{port}; patches find it by {FILE}; end with Ctrl-C", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            if key in FILE.read_text():  # another one may have started since
                FILE.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
