"""The LV2 slot player: its parsers, then in a small host of ours under sanitizers, then in jalv with a dummy JACK.

Our host drives run() and the worker by hand; jalv is what people use. Signals of the fake bridge are known noises, so
what plays is recognised by comparing samples; with the real bridge it is compared with what the bridge gives out.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import queue
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.hosts.fake_bridge import TOKEN, FakeBridge, answer, noise, problem, wav_32f
from tests.hosts.programs import needs, needs_file
from tests.plugin_bridge.running import FilledCatalog, Running

needs("gcc", "make")
needs_file("/usr/include/lv2/core/lv2.h", "lv2-dev")

REPO = Path(__file__).resolve().parents[2]
CLIENT, HERE = REPO / "plugin_bridge" / "clients" / "lv2", Path(__file__).parent / "lv2"
SLOT, VARIATIONS, GAIN, VELOCITY, ORDER, RELOAD, STATUS, LOADED, LAST = range(3, 12)
NO_BRIDGE, LOADING, READY, EMPTY, MISSING, REFUSED, BUSY, FAILED, TOO_LARGE = range(9)
BLOCK = 256
PATIENCE_S = 40  # for the sanitizers on a busy machine; nothing waits so long when it works

# name -> flags for the plugin and the host, flags for the host alone
BUILDS = {
    "asan": (["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], []),
    "tsan": (["-g", "-O1", "-fsanitize=thread"], []),
    "trap": (["-O2"], ["-DTRAP", "-rdynamic"]),
}


def run(*command: object, **options: object) -> str:
    """What a program prints; it has to succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=240, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin and a host for each of BUILDS, the plugin as it is shipped, and `parse`."""
    folder = tmp_path_factory.mktemp("lv2")
    for name, (flags, more) in BUILDS.items():
        run("make", "-C", CLIENT, f"BUILD={folder / name}", f"CFLAGS={' '.join(flags)}", "all")
        run("gcc", "-std=gnu99", "-D_GNU_SOURCE", "-Wall", "-Wextra", *flags, *more, "-o", folder / name / "host",
            HERE / "host.c", "-ldl", "-lpthread")  # fmt: skip
    run("make", "-C", CLIENT, f"BUILD={folder / 'plain'}", "all")
    sources = [CLIENT / name for name in ("wav.c", "sounds.c", "bridge_http.c")]
    run("gcc", "-std=gnu99", "-Wall", "-Wextra", *BUILDS["asan"][0], f"-I{CLIENT}", "-o", folder / "parse",
        HERE / "parse.c", *sources, "-lm")  # fmt: skip
    return folder


# --- the parsers -------------------------------------------------------------------------------------------------


def parse(builds: Path, kind: str, text: bytes) -> list[str]:
    done = subprocess.run([builds / "parse", kind], input=text, capture_output=True, timeout=60, check=True)
    return done.stdout.decode().splitlines()


def test_a_wav_is_read_as_it_was_written(builds: Path) -> None:
    samples = noise(3, 1000, 2)
    code, frames, channels, rate, total = parse(builds, "wav", wav_32f(samples, 44_100))[0].split()
    assert (code, frames, channels, rate) == ("0", "1000", "2", "44100")
    assert float(total) == pytest.approx(float(samples.astype(np.float64).sum()), rel=1e-8)


def test_samples_that_are_no_numbers_become_silence(builds: Path) -> None:
    samples = np.array([[np.nan], [np.inf], [0.25]], dtype=np.float32)
    assert parse(builds, "wav", wav_32f(samples, 48_000)) == ["0 3 1 48000 0.25"]


def test_wav_refusals(builds: Path) -> None:
    good = wav_32f(noise(1, 10, 1), 48_000)
    at = good.index(b"fmt ") + 8
    three = wav_32f(noise(1, 10, 3), 48_000)
    malformed, unsupported = "1 0 0 0 0", "2 0 0 0 0"
    for bad, said in {
        b"": malformed,
        b"RIFF": malformed,
        good[:-1]: malformed,  # cut: its data chunk claims more than there is
        good.replace(b"fmt ", b"fmx "): malformed,
        good.replace(b"WAVE", b"AVI "): malformed,
        good[: at + 4] + bytes(4) + good[at + 8 :]: malformed,  # a rate of 0 Hz
        good[:at] + struct.pack("<H", 1) + good[at + 2 :]: unsupported,  # whole numbers
        three: unsupported,
    }.items():
        assert parse(builds, "wav", bad) == [said]


def test_heads(builds: Path) -> None:
    for text, said in {
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nbody": "39 1 200 12",
        "HTTP/1.0 404 Not Found\r\ncontent-length:7\r\n\r\n": "44 1 404 7",
        "HTTP/1.1 200 OK\r\n\r\n": "19 1 200 -1",
        "HTTP/1.1 200 OK\r\nContent-Length: 12": "0 0 0 -1",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n": "39 0 0 -1",
        "HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\n": "40 0 0 -1",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n": "57 0 0 -1",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": "57 0 0 -1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n": "47 0 0 -1",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n": "29 0 0 -1",
        "HTTP/2 200 OK\r\nContent-Length: 1\r\n\r\n": "36 0 0 -1",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\n": "38 0 0 -1",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n": "23 0 0 -1",
    }.items():
        assert parse(builds, "head", text.encode()) == [said], text


def test_the_takes_of_a_slot(builds: Path) -> None:
    one, two = "/v1/sounds/ab12/audio.wav?seed=1", "/v1/sounds/cd/audio.wav?seed=2&profile=25hz"
    takes = f'[{{"audio_url" : "{one}", "i": 0}}, {{"audio_url":"{two}"}}]'
    good = f'{{"slot": 3, "name": "\\"audio_url\\": \\"/x\\"", "takes": {takes}}}\n'
    assert parse(builds, "slot", good.encode()) == ["1", one, two]
    assert parse(builds, "slot", b'{"slot": 3, "takes": []}') == ["1"]
    assert parse(builds, "slot", good.strip()[:-1].encode())[0] == "0"  # cut
    for hostile in ("/v1/place?x", "http://elsewhere/?x", "/v1/sounds/../slots?x", "/v1/sounds/a b?", "/v1/sounds/ab"):
        assert parse(builds, "slot", f'{{"takes":[{{"audio_url":"{hostile}"}}]}}'.encode()) == ["0"], hostile
    assert parse(builds, "slot", b'{"audio_url": "/v1/sounds/a?\\r\\nX: y"}') == ["0"]


def test_the_sounds_of_a_project_file(builds: Path) -> None:
    good = "/v1/sounds/ab12/audio.wav?seed=1"
    text = f"{good}\nGET /etc\n\n/v1/sounds/x?{'y' * 300}\n{good}&q=paper"
    assert parse(builds, "text", text.encode()) == [good, f"{good}&q=paper"]
    assert len(parse(builds, "text", f"{good}\n".encode() * 100)) == 16


def test_discovery(builds: Path) -> None:
    for text, said in {
        "8470 abc-_X\n": "1 8470 abc-_X",
        "8470 abc": "0 0 ",
        "0 abc\n": "0 0 ",
        "65536 abc\n": "0 0 ",
        "123456 abc\n": "0 0 ",
        "8470 a\r\nX-Evil: 1\n": "0 0 ",
        "8470 \n": "0 0 ",
        f"8470 {'a' * 129}\n": "0 0 ",
    }.items():
        assert parse(builds, "discovery", text.encode()) == [said], text


def test_thousands_of_mutations_break_no_parser(builds: Path, tmp_path: Path) -> None:
    takes = ", ".join(f'{{"i": {i}, "audio_url": "/v1/sounds/{i:032x}/audio.wav?seed={i}"}}' for i in range(20))
    inputs = [
        ("wav", wav_32f(noise(1, 50, 2), 48_000)),
        ("wav", wav_32f(noise(1, 3, 1), 44_100)),
        ("head", b'HTTP/1.1 200 OK\r\ncontent-length: 123\r\ndate: today\r\netag: "a"\r\n\r\nbody'),
        ("slot", f'{{"slot": 3, "ids": ["a", "b\\"\\\\"], "takes": [{takes}]}}'.encode()),
        ("text", "\n".join(f"/v1/sounds/{i:032x}/audio.wav?seed={i}" for i in range(16)).encode()),
        ("discovery", b"8470 abcdefghijklmnopqrstuvwxyz0123456789-_\n"),
    ]
    named = []
    for i, (kind, text) in enumerate(inputs):
        (tmp_path / str(i)).write_bytes(text)
        named += [kind, str(tmp_path / str(i))]
    for seed in range(3):
        assert run(builds / "parse", "fuzz", seed, 20_000, *named) == "20000\n"


# --- in our host -------------------------------------------------------------------------------------------------


class Host:
    """The plugin in `lv2/host.c`."""

    def __init__(self, builds: Path, build: str, bridge_file: Path, recording: Path, rate: int = 48_000) -> None:
        environment = {
            **os.environ,
            "SPRESSO_BRIDGE": str(bridge_file),
            "ASAN_OPTIONS": "detect_leaks=1",
            "TSAN_OPTIONS": "halt_on_error=1",
        }
        plugin = builds / build / "spresso.lv2" / "spresso.so"
        self._recording = recording
        self._heard = 0
        self._errors = recording.with_suffix(".stderr").open("w+")
        self._process = subprocess.Popen(
            [builds / build / "host", plugin, str(rate), str(BLOCK), recording],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )

    def say(self, line: str) -> str:
        """One command; returns the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        assert said, self.errors()
        return said

    def errors(self) -> str:
        self._process.wait(PATIENCE_S)
        self._errors.seek(0)
        return self._errors.read()

    def set(self, port: int, value: float) -> None:
        assert self.say(f"set {port} {value}") == "ok"

    def get(self, port: int) -> int:
        return int(self.say(f"get {port}"))

    def until(self, status: int, loaded: int) -> None:
        """Run until the ports say so."""
        assert self.say(f"await {status} {loaded} {PATIENCE_S}") == f"ok {status} {loaded}"

    def play(self, note: int = 60, velocity: int = 127, blocks: int = 20, frame: int = 0) -> NDArray[np.float32]:
        """A note, and what is heard from there on as [frames, 2]."""
        self.say(f"note {note} {velocity} {frame}")
        return self.listen(blocks)

    def listen(self, blocks: int) -> NDArray[np.float32]:
        self.say(f"run {blocks}")
        whole = np.fromfile(self._recording, dtype=np.float32).reshape(-1, 2)
        heard, self._heard = whole[self._heard :], len(whole)
        assert len(heard) == blocks * BLOCK
        return heard

    def close(self) -> None:
        """End in order: sanitizers report, leaks too."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if self._process.poll() is None:
            self._process.stdin.close()
        code, said = self._process.wait(PATIENCE_S), self.errors()
        self._process.stdout.close()
        self._errors.close()
        assert (code, said) == (0, ""), said


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeBridge]:
    """A bridge with four takes of a mono sound on slot 3, two of a stereo sound on slot 5."""
    bridge = FakeBridge(tmp_path)
    bridge.sounds = {"aa": (4800, 1), "bb": (2400, 2)}
    bridge.slots = {3: [("aa", seed) for seed in range(10, 14)], 5: [("bb", 20), ("bb", 21)]}
    bridge.start()
    yield bridge
    bridge.stop()


@contextlib.contextmanager
def hosted(builds: Path, build: str, bridge: FakeBridge, tmp_path: Path, rate: int = 48_000) -> Iterator[Host]:
    host = Host(builds, build, bridge.file, tmp_path / f"heard-{build}-{rate}.f32", rate)
    try:
        yield host
    except BaseException:
        with contextlib.suppress(AssertionError):
            host.close()
        raise
    host.close()


def as_heard(seed: int, frames: int, channels: int, length: int) -> NDArray[np.float32]:
    """What a note should sound like on both outputs."""
    samples = noise(seed, frames, channels)
    both = samples if channels == 2 else np.repeat(samples, 2, axis=1)
    return np.concatenate([both, np.zeros((length - frames, 2), np.float32)])


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_notes_play_the_takes_exactly_and_never_twice_in_a_row(
    builds: Path, fake: FakeBridge, tmp_path: Path, build: str, rate: int
) -> None:
    frames = 4800 * rate // 48_000
    with hosted(builds, build, fake, tmp_path, rate) as host:
        host.set(SLOT, 3)
        host.until(READY, 4)
        order = []
        for _ in range(24):
            heard, last = host.play(), host.get(LAST)
            order.append(last)
            assert np.array_equal(heard, as_heard(9 + last, frames, 1, len(heard)))
    assert set(order) == {1, 2, 3, 4}
    assert all(one != other for one, other in itertools.pairwise(order))
    assert order != [1, 2, 3, 4] * 6


@pytest.mark.parametrize("build", BUILDS)
def test_slots_change_while_notes_sound(builds: Path, fake: FakeBridge, tmp_path: Path, build: str) -> None:
    with hosted(builds, build, fake, tmp_path) as host:
        host.until(EMPTY, 0)
        assert not host.play().any()
        host.set(SLOT, 3)
        host.until(READY, 4)
        for slot, loaded in ((5, 2), (3, 4), (9, 0), (5, 2)) * 3:
            for _ in range(40):  # more than there are voices
                host.play(blocks=1)
            host.set(SLOT, slot)
            host.until(READY if loaded else EMPTY, loaded)
            host.listen(10)
        heard = host.play()
        assert np.array_equal(heard, as_heard(19 + host.get(LAST), 2400, 2, len(heard)))


def test_the_knob_is_swept_over_all_slots(builds: Path, fake: FakeBridge, tmp_path: Path) -> None:
    with hosted(builds, "asan", fake, tmp_path) as host:
        for slot in [*range(128), 3]:
            host.set(SLOT, slot)
            host.listen(1)
        host.until(READY, 4)
        assert host.play().any()


def test_velocity_gain_and_order(builds: Path, fake: FakeBridge, tmp_path: Path) -> None:
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 3)
        host.set(ORDER, 2)
        host.until(READY, 4)
        full = host.play(note=62)
        assert np.array_equal(full, as_heard(12, 4800, 1, len(full)))
        assert np.array_equal(host.play(note=58), full)  # an octave of variations is 4
        soft = host.play(note=62, velocity=64)
        assert np.allclose(soft, full * (64 / 127) ** 2, atol=1e-7)
        host.set(VELOCITY, 0)
        assert np.array_equal(host.play(note=62, velocity=1), full)
        host.set(GAIN, -6)
        host.listen(1)
        assert np.allclose(host.play(note=62), full * 10 ** (-6 / 20), atol=1e-6)
        host.set(GAIN, float("nan"))  # a host's mistake; the lowest gain, not noise
        host.listen(1)
        assert np.abs(host.play(note=62)).max() < 0.002
        host.set(GAIN, 0)
        host.set(ORDER, 1)
        host.listen(1)
        turns = []
        for _ in range(6):
            host.play()
            turns.append(host.get(LAST))
        assert turns == [4, 1, 2, 3, 4, 1]


def test_a_note_begins_on_its_frame_and_all_sounds_off_ends_it(builds: Path, fake: FakeBridge, tmp_path: Path) -> None:
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 3)
        host.until(READY, 4)
        heard = host.play(frame=100)
        assert not heard[:100].any() and heard[100].any()
        host.play(blocks=2)
        host.say("cc 120 0")
        faded = host.listen(4)
        assert faded[:100].any() and not faded[241:].any()  # 5 ms
        assert np.abs(faded[200:241]).max() < 0.2 * np.abs(faded[:40]).max()


def test_more_notes_than_voices_steal_the_oldest_without_a_click(
    builds: Path, fake: FakeBridge, tmp_path: Path
) -> None:
    fake.sounds["long"] = (48_000, 1)
    fake.slots[7] = [("long", 1)]
    flat = answer(200, wav_32f(np.full((48_000, 1), 0.01, np.float32), 48_000))
    fake.instead["/v1/sounds/long/audio.wav"] = flat
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 7)
        host.until(READY, 1)
        heard = np.concatenate([host.play(blocks=1) for _ in range(60)])[:, 0]
    assert heard.max() <= 0.01 * 32.01  # never more than the voices there are
    starts = heard[BLOCK::BLOCK] - heard[BLOCK - 1 : -1 : BLOCK]
    assert np.diff(heard).min() > -0.0006 - 0.01 / 240 * 8  # fades, not cuts
    assert starts.max() < 0.011


def test_without_a_bridge_it_is_silent_says_so_and_finds_it_later(
    builds: Path, fake: FakeBridge, tmp_path: Path
) -> None:
    fake.stop()
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 3)
        host.until(NO_BRIDGE, 0)
        assert not host.play().any()
        fake.file.with_suffix(".txt").write_text(f"1 {TOKEN}\n")  # a file left behind; nobody listens there
        host.listen(400)
        assert host.get(STATUS) == NO_BRIDGE
        fake.start()
        host.until(READY, 4)
        fake.stop()
        host.until(NO_BRIDGE, 4)  # what is loaded stays
        assert host.play().any()


def test_a_slot_that_gets_other_sounds_is_followed(builds: Path, fake: FakeBridge, tmp_path: Path) -> None:
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 3)
        host.until(READY, 4)
        asked = [target for target in fake.asked if "sounds" in target]
        assert len(asked) == 4
        fake.slots[3] = [("bb", 30)]
        host.until(READY, 1)
        heard = host.play()
        assert np.array_equal(heard, as_heard(30, 2400, 2, len(heard)))
        fake.asked.clear()
        host.listen(48_000 * 12 // BLOCK)
        assert not [target for target in fake.asked if "sounds" in target]  # nothing changed: nothing is fetched
        del fake.slots[3]
        host.until(EMPTY, 0)


MANGLED = {
    "refused": (problem(401, "bad_token"), REFUSED),
    "busy": (problem(429, "busy"), BUSY),
    "offline": (problem(503, "root_offline"), BUSY),
    "broken": (problem(500, "internal"), FAILED),
    "nothing": (b"", FAILED),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", FAILED),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n{}", FAILED),
    "cut": (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", FAILED),
    "chunked": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", FAILED),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000, FAILED),
    "huge": (b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n", TOO_LARGE),
    "text": (answer(200, b"hello"), FAILED),
}


@pytest.mark.parametrize("name", MANGLED)
def test_answers_that_are_none(builds: Path, fake: FakeBridge, tmp_path: Path, name: str) -> None:
    said, status = MANGLED[name]
    with hosted(builds, "asan", fake, tmp_path) as host:
        fake.instead["/v1/slots/3"] = said
        host.set(SLOT, 3)
        host.until(status, 0)
        fake.instead = {"/v1/sounds/aa/audio.wav": lambda target: said if "seed=12" in target else fake.usual(target)}
        host.until(status, 2)  # the first two play; what came of the third is said
        assert host.play().any()
        fake.instead.clear()
        host.until(READY, 4)


def test_a_sound_of_many_channels_is_asked_for_in_stereo(builds: Path, fake: FakeBridge, tmp_path: Path) -> None:
    fake.sounds["cc"] = (1000, 6)
    fake.slots[8] = [("cc", 40)]
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 8)
        host.until(READY, 1)
        heard = host.play()
        assert np.array_equal(heard, as_heard(40, 1000, 2, len(heard)))


def test_closing_does_not_wait_for_a_decode(builds: Path, fake: FakeBridge, tmp_path: Path) -> None:
    waiting, done = threading.Event(), threading.Event()

    def never(target: str) -> None:
        waiting.set()
        done.wait(PATIENCE_S)

    fake.instead["/v1/slots/3"] = never

    def until_asked(host: Host) -> None:
        end = time.monotonic() + PATIENCE_S
        while not waiting.wait(0.01):  # what was asked for slot 0 ends first
            host.listen(1)
            assert time.monotonic() < end

    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 3)
        until_asked(host)
    with hosted(builds, "asan", fake, tmp_path) as host:
        waiting.clear()
        host.set(SLOT, 3)
        until_asked(host)
        assert host.say("idle 20") == "ok"  # a host that tells nothing, but runs no more
        fake.instead.clear()
        host.until(READY, 4)  # it was only paused
    assert not done.is_set()  # both ended while the bridge still thought
    done.set()


@pytest.mark.parametrize("build", BUILDS)
def test_a_project_sounds_the_same_where_the_slots_hold_something_else(
    builds: Path, fake: FakeBridge, tmp_path: Path, build: str
) -> None:
    state = tmp_path / "state"
    with hosted(builds, build, fake, tmp_path) as host:
        host.set(SLOT, 3)
        host.until(READY, 4)
        host.say(f"save {state}")
    # Another machine: slot 3 holds something else, slot 0 too.
    fake.slots = {0: [("bb", 90)], 3: [("bb", 91)], 5: [("bb", 20), ("bb", 21)]}
    with hosted(builds, build, fake, tmp_path) as host:
        host.say(f"restore {state}")
        host.set(ORDER, 1)
        host.until(READY, 4)  # the host did not set the slot's port yet
        host.set(SLOT, 3)
        host.listen(10)
        host.until(READY, 4)
        for seed in (10, 11, 12, 13):
            heard = host.play()
            assert np.array_equal(heard, as_heard(seed, 4800, 1, len(heard)))
        fake.asked.clear()
        host.listen(48_000 * 12 // BLOCK)
        assert fake.asked == []  # what the slot holds is not looked at
        host.say(f"save {tmp_path / 'again'}")
        host.set(SLOT, 5)  # now somebody chooses
        host.until(READY, 2)
        host.set(SLOT, 3)
        host.until(READY, 1)
        host.say(f"restore {state}")
        host.until(READY, 4)
        host.set(RELOAD, 1)
        host.until(READY, 1)
    assert (tmp_path / "again").read_text() == state.read_text()


def test_sounds_that_are_not_in_this_catalog_are_kept_in_the_project(
    builds: Path, fake: FakeBridge, tmp_path: Path
) -> None:
    state, again = tmp_path / "state", tmp_path / "again"
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.set(SLOT, 3)
        host.until(READY, 4)
        host.say(f"save {state}")
    del fake.sounds["aa"]
    with hosted(builds, "asan", fake, tmp_path) as host:
        host.say(f"restore {state}")
        host.set(SLOT, 3)
        host.until(MISSING, 0)
        assert not host.play().any()  # silence, not another sound
        host.say(f"save {again}")
    assert again.read_text() == state.read_text()


def test_a_hostile_project_file_asks_for_nothing_but_sounds(builds: Path, fake: FakeBridge, tmp_path: Path) -> None:
    state = tmp_path / "state"
    text = "/v1/session\n/v1/sounds/../place?x\n/v1/sounds/a?x HTTP/1.1\r\nX: y\nhttp://elsewhere/v1/sounds/?"
    line = "urn:spresso:slot#sounds http://lv2plug.in/ns/ext/atom#String 3 "
    for value in (text.encode().hex() + "00", "ff" * 20_000, text.encode().hex(), ""):
        state.write_text(f"{line}{value}\nurn:spresso:slot#inSlot http://lv2plug.in/ns/ext/atom#Int 3 01\n")
        with hosted(builds, "asan", fake, tmp_path) as host:
            host.say(f"restore {state}")
            host.set(SLOT, 3)
            host.until(READY, 4)
    assert {target.split("?")[0] for target in fake.asked} == {"/v1/slots/0", "/v1/slots/3", "/v1/sounds/aa/audio.wav"}


# --- in jalv, with the real bridge ---------------------------------------------------------------------------------


JACK_RATE, PERIOD = 48_000, 512


class Jack:
    """A JACK server without hardware, and a client of ours that sends notes and records two channels."""

    def __init__(self, folder: Path) -> None:
        name = f"spresso-{os.getpid()}"
        self.environment = {**os.environ, "JACK_DEFAULT_SERVER": name, "JACK_NO_AUDIO_RESERVATION": "1"}
        self._log = (folder / "jackd.log").open("w")
        # Synchronous: on a busy machine a period then comes late, but none is lost.
        command = [
            "jackd",
            "-n",
            name,
            "-r",
            "-S",
            "-t",
            "10000",
            "-d",
            "dummy",
            "-r",
            str(JACK_RATE),
            "-p",
            str(PERIOD),
        ]
        self._server = subprocess.Popen(command, env=self.environment, stdout=self._log, stderr=self._log)
        self._notes: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._blocks: list[NDArray[np.float32]] | None = None
        self._wanted, self._recorded = 0, threading.Event()
        jack = pytest.importorskip("jack", reason="JACK-Client is not installed (pip install -e '.[hosts]')")
        jack.set_error_function(lambda _: None)
        jack.set_info_function(lambda _: None)
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.client = jack.Client("spresso-recorder", servername=name, no_start_server=True)
                break
            except jack.JackError:
                assert self._server.poll() is None, "jackd ended"
                assert time.monotonic() < end, "jackd did not start"
                time.sleep(0.05)
        self._midi = self.client.midi_outports.register("notes")
        self._inputs = [self.client.inports.register(side) for side in ("left", "right")]
        self.client.set_process_callback(self._process)
        self.client.activate()

    def _process(self, frames: int) -> None:
        self._midi.clear_buffer()
        with contextlib.suppress(queue.Empty):
            note, velocity = self._notes.get_nowait()
            self._midi.write_midi_event(0, (0x90, note, velocity))
            self._blocks = []
        if self._blocks is not None and len(self._blocks) < self._wanted:
            self._blocks.append(np.stack([port.get_array().copy() for port in self._inputs], axis=1))
            if len(self._blocks) == self._wanted:
                self._recorded.set()

    def connect(self, name: str) -> None:
        """Wire the plugin that runs under a name, once it is there."""
        end = time.monotonic() + PATIENCE_S
        while len(self.client.get_ports(f"{name}:")) < 3:
            assert time.monotonic() < end, f"{name} did not start"
            time.sleep(0.05)
        self.client.connect(self._midi, f"{name}:midi")
        for port, side in zip(self._inputs, ("left", "right"), strict=True):
            self.client.connect(f"{name}:{side}", port)

    def play(self, note: int, seconds: float) -> NDArray[np.float32]:
        """A note at full velocity, and what comes back as [frames, 2]."""
        self._recorded.clear()
        self._blocks, self._wanted = None, int(seconds * JACK_RATE / PERIOD) + 2
        self._notes.put((note, 127))
        assert self._recorded.wait(PATIENCE_S)
        assert self._blocks is not None
        return np.concatenate(self._blocks)

    def close(self) -> None:
        self.client.deactivate()
        self.client.close()
        self._server.terminate()
        self._server.wait(PATIENCE_S)
        self._log.close()


@pytest.fixture
def jack(tmp_path: Path) -> Iterator[Jack]:
    needs("jackd", "jalv")
    server = Jack(tmp_path)
    yield server
    server.close()


class Jalv:
    """The plugin as it is shipped, in jalv."""

    def __init__(self, builds: Path, jack: Jack, running: Running, folder: Path, *options: str) -> None:
        environment = {**jack.environment, **running.environment, "LV2_PATH": str(builds / "plain")}
        self._said = (folder / "jalv.log").open("w+")
        self._process = subprocess.Popen(
            ["jalv", "-x", "-n", "spresso-player", *options, "urn:spresso:slot"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            text=True,
        )
        jack.connect("spresso-player")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def until(self, **ports: int) -> None:
        """Wait until output ports have these values."""
        wanted = {f"{name} = {value:f}" for name, value in ports.items()}
        end = time.monotonic() + PATIENCE_S
        while True:
            self._tell("monitors")
            time.sleep(0.1)
            self._said.seek(0)
            said = self._said.read().replace("> ", "").splitlines()[-3:]
            if wanted <= set(said):
                return
            assert time.monotonic() < end, said

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # the end of its input is how it is left
        assert self._process.wait(PATIENCE_S) == 0
        self._said.close()


def of_slot(running: Running, slot: int) -> list[NDArray[np.float32]]:
    """The takes of a slot as the bridge gives them out, as [frames, 2]."""
    takes = []
    for take in running.client.get(f"/v1/slots/{slot}").json()["takes"]:
        body = running.client.get(f"{take['audio_url']}&bits=32f&rate={JACK_RATE}").content
        samples, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
        assert rate == JACK_RATE
        takes.append(samples if samples.shape[1] == 2 else np.repeat(samples, 2, axis=1))
    return takes


def recognise(heard: NDArray[np.float32], takes: list[NDArray[np.float32]]) -> tuple[int, int, float]:
    """Which take was played, when it began [frames] and how loud; by the peak of the cross-correlation."""
    best = (-1.0, 0, 0, 0.0)
    for number, take in enumerate(takes):
        size = len(heard) + len(take)
        product = np.fft.rfft(heard[:, 0], size) * np.conj(np.fft.rfft(take[:, 0], size))
        correlation = np.fft.irfft(product, size)[: len(heard)]
        at = int(correlation.argmax())
        part = heard[at : at + len(take)]
        energy = float(np.sum(take[: len(part)].astype(np.float64) ** 2))
        gain = float(np.sum(part.astype(np.float64) * take[: len(part)])) / energy
        likeness = float(correlation[at]) / (np.linalg.norm(part[:, 0]) * np.linalg.norm(take[:, 0]))
        best = max(best, (likeness, number, at, gain))
    assert best[0] > 0.9999, best
    return best[1], best[2], best[3]


def test_jalv_plays_what_the_bridge_decodes(
    builds: Path, jack: Jack, running_bridge: Running, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    client = running_bridge.client
    sound = bridge_catalog.id_of("Metal door")
    assert client.put("/v1/slots/3", json={"ids": [sound], "variations": 4}).is_success
    takes = of_slot(running_bridge, 3)
    player = Jalv(builds, jack, running_bridge, tmp_path, "-c", "slot=3")
    try:
        player.until(status=READY, loaded=4)
        heard = [recognise(jack.play(60, 0.7), takes) for _ in range(12)]
    finally:
        player.close()
        client.delete("/v1/slots/3")
    order = [number for number, _, _ in heard]
    assert all(one != other for one, other in itertools.pairwise(order))
    assert len(set(order)) > 2  # of four; that twelve notes leave out two is less likely than 1 in 20,000
    assert {at for _, at, _ in heard} == {PERIOD}  # the note leaves in one period and is heard in the next
    assert all(gain == pytest.approx(1.0, abs=1e-6) for _, _, gain in heard)


def test_jalv_restores_a_project_by_its_sounds(
    builds: Path, jack: Jack, running_bridge: Running, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    client, project = running_bridge.client, tmp_path / "project"
    steps, door = bridge_catalog.id_of("gravel 01"), bridge_catalog.id_of("Metal door")
    assert client.put("/v1/slots/7", json={"ids": [steps], "variations": 3}).is_success
    takes = of_slot(running_bridge, 7)
    with contextlib.closing(Host(builds, "asan", running_bridge.file, tmp_path / "saving.f32")) as host:
        host.set(SLOT, 7)
        host.until(READY, 3)
        host.say(f"save {tmp_path / 'state'}")
    kept = turtle((tmp_path / "state").read_text(), slot=7)
    assert kept.count(steps) == 3 and kept.count("profile=") == 3
    assert client.put("/v1/slots/7", json={"ids": [door], "variations": 2}).is_success  # the other machine
    project.mkdir()
    (project / "state.ttl").write_text(kept)
    player = Jalv(builds, jack, running_bridge, tmp_path, "-l", str(project), "-c", "order=1")
    try:
        player.until(status=READY, loaded=3)
        played = [recognise(jack.play(60, 0.5), takes)[0] for _ in range(4)]
    finally:
        player.close()
        client.delete("/v1/slots/7")
    assert played == [0, 1, 2, 0]


def turtle(state: str, slot: int) -> str:
    """What our host saved, as LV2 hosts write it."""
    values = {line.split()[0]: bytes.fromhex(line.split()[3]) for line in state.splitlines()}
    sounds = values["urn:spresso:slot#sounds"].rstrip(b"\0").decode().replace("\n", "\\n")
    assert int.from_bytes(values["urn:spresso:slot#inSlot"], "little") == slot
    return f"""@prefix lv2: <http://lv2plug.in/ns/lv2core#> .
@prefix pset: <http://lv2plug.in/ns/ext/presets#> .
@prefix state: <http://lv2plug.in/ns/ext/state#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .

<> a pset:Preset ;
    lv2:appliesTo <urn:spresso:slot> ;
    lv2:port [ lv2:symbol "slot" ; pset:value {slot}.0 ] ;
    state:state [
        <urn:spresso:slot#sounds> "{sounds}" ;
        <urn:spresso:slot#inSlot> "{slot}"^^xsd:int
    ] .
"""


# --- in Ardour, without a screen -----------------------------------------------------------------------------------


READY_LUA = """
local until_time = os.time() + {patience}
repeat
  sleep(1)
  status, loaded = ARDOUR.LuaAPI.get_processor_param(p, 6, true), ARDOUR.LuaAPI.get_processor_param(p, 7, true)
until (status == {ready} and loaded == {loaded}) or os.time() > until_time
print("READY", ARDOUR.LuaAPI.get_processor_param(p, 0, true), status, loaded)
"""
MAKE_LUA = """
AudioEngine:set_backend("None (Dummy)", "Unit-Test", "")
s = create_session("{session}", "film", 48000)
s:new_audio_track(2, 2, nil, 1, "SFX", ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
p = ARDOUR.LuaAPI.new_plugin(s, "urn:spresso:slot", ARDOUR.PluginType.LV2, "")
s:route_by_name("SFX"):add_processor_by_index(p, 0, nil, true)
ARDOUR.LuaAPI.set_processor_param(p, 0, 9)
{ready}
s:save_state("")
close_session()
quit()
"""
LOAD_LUA = """
AudioEngine:set_backend("None (Dummy)", "Unit-Test", "")
p = load_session("{session}", "film"):route_by_name("SFX"):nth_plugin(0)
{ready}
quit()
"""


def test_ardour_keeps_the_sounds_in_its_session(
    builds: Path, running_bridge: Running, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    needs("ardour7-lua")
    client, session = running_bridge.client, tmp_path / "film"
    steps, door = bridge_catalog.id_of("gravel 02"), bridge_catalog.id_of("Metal door")
    kept_environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment = {**kept_environment, **running_bridge.environment, "HOME": str(tmp_path)}

    def ardour(script: str) -> list[str]:
        (tmp_path / "script.lua").write_text(script)
        ready = {**environment, "LV2_PATH": str(builds / "plain")}
        said = run("ardour7-lua", tmp_path / "script.lua", env=ready, cwd=tmp_path)
        return [line for line in said.splitlines() if line.startswith("READY")]

    ready = READY_LUA.format(patience=PATIENCE_S, ready=READY, loaded=3)
    assert client.put("/v1/slots/9", json={"ids": [steps], "variations": 3}).is_success
    try:
        assert ardour(MAKE_LUA.format(session=session, ready=ready))[0].split()[-2:] == ["2.0", "3.0"]
        (state,) = (file for file in session.rglob("state.ttl"))
        assert state.read_text().count(f"/v1/sounds/{steps}/audio.wav?seed=") == 3
        assert client.put("/v1/slots/9", json={"ids": [door], "variations": 2}).is_success
        assert ardour(LOAD_LUA.format(session=session, ready=ready))[0].split()[-2:] == ["2.0", "3.0"]
    finally:
        client.delete("/v1/slots/9")
