"""Answers as a bridge does, as far as instruments ask it, and misbehaves on demand.

What a client does with a sound is tested against the real bridge; this one is for known signals and for answers that
the real one never gives.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

TOKEN = "a-token_of-tests"
Answer = bytes | None  # None: hang up without a word


def wav_32f(samples: NDArray[np.float32], rate: int) -> bytes:
    """A float WAV of samples [frames, channels], with a chunk before the data as the bridge has."""
    channels = samples.shape[1]
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    data = samples.astype("<f4").tobytes()
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body
        for name, body in ((b"JUNK", bytes(37) + b"\0"), (b"fmt ", form), (b"data", data))
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def noise(seed: int, frames: int, channels: int) -> NDArray[np.float32]:
    """The sound of a seed."""
    return (0.2 * np.random.default_rng(seed).standard_normal((frames, channels))).astype(np.float32)


def answer(status: int, body: bytes, **headers: str) -> bytes:
    """An HTTP answer with its length."""
    lines = [f"HTTP/1.1 {status} said", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def problem(status: int, code: str) -> bytes:
    return answer(status, json.dumps({"status": status, "code": code, "detail": code}).encode())


class FakeBridge:
    """Serves slots of sounds from the moment it is made.

    Attributes:
        slots: number -> list of (sound id, seed).
        sounds: id -> (frames at 48 kHz, channels); the samples are `noise(seed, ...)`.
        instead: path (without query) -> what is answered instead.
        asked: targets of all requests so far.
    """

    def __init__(self, folder: Path) -> None:
        self.slots: dict[int, list[tuple[str, int]]] = {}
        self.sounds: dict[str, tuple[int, int]] = {}
        self.instead: dict[str, Callable[[str], Answer] | Answer] = {}
        self.asked: list[str] = []
        self.file = folder / "bridge.json"
        self._server: socketserver.ThreadingTCPServer | None = None

    def start(self) -> None:
        """Listen on a free port and say so."""
        bridge = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (more := self.request.recv(4096)):
                        return
                    head += more
                said = bridge.respond(head.decode("latin-1"))
                if said is not None:
                    self.wfile.write(said)

            def finish(self) -> None:
                with contextlib.suppress(OSError):  # the client left
                    super().finish()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                pass  # clients that hang up are what is tested

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        port = self._server.server_address[1]
        self.file.write_text(json.dumps({"port": port, "token": TOKEN, "api": 1, "pid": os.getpid()}))
        self.file.with_suffix(".txt").write_text(f"{port} {TOKEN}\n")

    def stop(self) -> None:
        """As if it had never run."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for file in (self.file, self.file.with_suffix(".txt")):
            file.unlink(missing_ok=True)

    def target(self, sound: str, seed: int) -> str:
        """The path that a slot names for a take."""
        return f"/v1/sounds/{sound}/audio.wav?seed={seed}&profile=2.5kbps"

    def respond(self, head: str) -> Answer:
        """The answer to a request of which this is the head."""
        request, *fields = head.split("\r\n")
        _, target, _ = request.split(" ")
        self.asked.append(target)
        path = urlsplit(target).path
        if path in self.instead:
            said = self.instead[path]
            return said(target) if callable(said) else said
        if f"Authorization: Bearer {TOKEN}" not in fields:
            return problem(401, "bad_token")
        return self.usual(target)

    def usual(self, target: str) -> bytes:
        """What is answered where nothing is said to the contrary."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        parts = path.strip("/").split("/")
        if parts[:2] == ["v1", "slots"]:
            takes = self.slots.get(int(parts[2]))
            if takes is None:
                return problem(404, "empty_slot")
            items = [
                {"i": i, "id": sound, "seed": seed, "audio_url": self.target(sound, seed), "bytes": 1}
                for i, (sound, seed) in enumerate(takes)
            ]
            return answer(200, json.dumps({"slot": int(parts[2]), "ids": [], "takes": items}).encode())
        if parts[:2] == ["v1", "sounds"] and parts[2] in self.sounds:
            frames, channels = self.sounds[parts[2]]
            if query["ch"] == ["2"]:
                channels = 2
            rate = int(query["rate"][0])
            assert query["bits"] == ["32f"]
            return answer(200, wav_32f(noise(int(query["seed"][0]), frames * rate // 48_000, channels), rate))
        return problem(404, "asset_not_found")
