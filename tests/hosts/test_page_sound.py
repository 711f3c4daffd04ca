"""What the page does to sound, by the numbers: its deck sample by sample, its loudness and spectrogram by sines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.hosts.browser import chromium, needs_chromium
from tests.plugin_bridge.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

needs_chromium()

FADE, ATTACK = 384, 48

# The processor runs here outside of an audio thread, so that every block of it can be looked at.
DECK = """async (script) => {
  if (!globalThis.DeckProcessor) {
    globalThis.AudioWorkletProcessor = class { constructor() { this.port = { postMessage: (m) => said.push(m) }; } };
    globalThis.registerProcessor = (name, made) => { globalThis.DeckProcessor = made; };
    globalThis.said = [];
    await import('/page/deck_worklet.js');
  }
  said.length = 0;
  const deck = new DeckProcessor();
  const out = [[], []];
  for (const step of script) {
    if (typeof step === 'number') {
      for (let block = 0; block < step; block++) {
        const sides = [new Float32Array(128), new Float32Array(128)];
        deck.process([], [sides]);
        sides.forEach((side, i) => out[i].push(...side));
      }
    } else deck.port.onmessage({ data: { ...step, parts: step.parts?.map((part) => Float32Array.from(part)) } });
  }
  return { out, said };
}"""

WORKER = """(message) => new Promise((tell) => {
  const worker = new Worker('/page/spectrum_worker.js');
  worker.onmessage = ({ data }) => tell({ ...data, image: data.image && [...data.image] });
  worker.postMessage({ ...message, channels: message.channels.map((samples) => Float32Array.from(samples)) });
})"""


@pytest.fixture(scope="module")
def page(running_bridge: Running) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(running_bridge.url)
        yield page


def play(page: Page, *script: Any) -> tuple[NDArray[np.float64], list[dict[str, Any]]]:
    """Stereo that came out of the deck, and its reports. Numbers in the script are blocks of 128 frames."""
    told = page.evaluate(DECK, list(script))
    return np.array(told["out"]), told["said"]


def take(name: str, *channels: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Messages that put a whole sound on the deck."""
    frames = len(channels[0])
    opened = {"do": "open", "id": name, "channels": len(channels), "frames": frames}
    return [opened, {"do": "fill", "id": name, "parts": [list(channel) for channel in channels]}]


def test_every_sample_is_played_once_in_order(page: Page) -> None:
    left, right = np.linspace(0.1, 0.9, 4096), np.linspace(-0.2, 0.4, 4096)
    out, said = play(page, *take("a", left, right), {"do": "use", "id": "a"}, {"do": "play", "at": 0}, 40)
    np.testing.assert_allclose(out[0, ATTACK:4096], left[ATTACK:], atol=1e-6)
    np.testing.assert_allclose(out[1, ATTACK:4096], right[ATTACK:], atol=1e-6)
    assert not out[:, 4096:].any()
    assert said[-1] == {**said[-1], "playing": False}
    assert [report["ended"] for report in said].count(True) == 1


def test_another_take_takes_over_at_the_same_place_without_a_dip(page: Page) -> None:
    sound = np.sin(np.arange(8192) / 30) * 0.5
    script = [*take("preview", sound), *take("full", sound), {"do": "use", "id": "preview"}, {"do": "play", "at": 0}]
    out, _ = play(page, *script, 20, {"do": "use", "id": "full"}, 20)
    np.testing.assert_allclose(out[0, ATTACK:5120], sound[ATTACK:5120], atol=1e-6)


def test_a_gain_turns_one_side_down(page: Page) -> None:
    script = [*take("a", np.full(4096, 0.5)), {"do": "gain", "id": "a", "gain": 0.25}, {"do": "use", "id": "a"}]
    out, _ = play(page, *script, {"do": "play", "at": 0}, 10)
    np.testing.assert_allclose(out[:, ATTACK:1280], 0.125, atol=1e-6)


def test_the_deck_waits_for_samples_that_have_not_come_and_drops_none(page: Page) -> None:
    ramp = np.linspace(0.1, 0.9, 4096)
    opened = {"do": "open", "id": "a", "channels": 1, "frames": 4096}
    first, rest = ({"do": "fill", "id": "a", "parts": [list(part)]} for part in (ramp[:1000], ramp[1000:]))
    out, said = play(page, opened, first, {"do": "use", "id": "a"}, {"do": "play", "at": 0}, 20, rest, 40)
    heard = out[0][out[0] > 0]
    np.testing.assert_allclose(heard[ATTACK:], ramp[ATTACK + 1 :], atol=1e-6)  # the very first one has gain 0
    assert any(report["waits"] for report in said)


def test_a_selection_loops(page: Page) -> None:
    ramp = np.arange(8192) / 8192
    region = {"do": "region", "from": 2000, "to": 4000}
    script = [*take("a", ramp), {"do": "use", "id": "a"}, region, {"do": "loop", "loop": True}]
    out, said = play(page, *script, {"do": "play", "at": 2000}, 60)
    second = out[0, 2000 + FADE : 4000]  # behind the crossfade
    np.testing.assert_allclose(second, ramp[2000 + FADE : 4000], atol=1e-6)
    assert all(report["playing"] for report in said)


def test_stopping_fades_and_is_silent(page: Page) -> None:
    script = [*take("a", np.full(48000, 0.5)), {"do": "use", "id": "a"}, {"do": "play", "at": 0}]
    out, _ = play(page, *script, 10, {"do": "stop"}, 10)
    assert np.abs(np.diff(out[0, 1280:])).max() < 0.01  # no click
    assert not out[:, 1280 + FADE :].any()


@pytest.mark.parametrize("gain_db, channels, expected", [(0, 1, -3.01), (-20, 1, -23.01), (-20, 2, -20.0)])
def test_loudness_is_that_of_the_standard(page: Page, gain_db: float, channels: int, expected: float) -> None:
    """A sine of 997 Hz at full scale has -3.01 LUFS in one channel (ITU-R BS.1770)."""
    sine = 10 ** (gain_db / 20) * np.sin(2 * np.pi * 997 * np.arange(96000) / 48000)
    told = page.evaluate(WORKER, {"key": "k", "want": "loudness", "rate": 48000, "channels": [list(sine)] * channels})
    assert told["level"] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("hertz", [100, 1000, 8000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_spectrogram_shows_a_tone_where_it_is(page: Page, hertz: float, channels: int) -> None:
    sine = np.sin(2 * np.pi * hertz * np.arange(48000) / 48000)
    # in the right channel alone, a picture of the mid signal or of the left one would miss it
    sound = [list(sine)] if channels == 1 else [[0.0] * 48000, list(sine)]
    asked = {"key": "k", "want": "spectrogram", "rate": 48000, "columns": 20, "rows": 200, "low": 40, "high": 20000}
    told = page.evaluate(WORKER, {**asked, "channels": sound})
    picture = np.array(told["image"]).reshape(200, 20, 4)[:, 10, :3].sum(axis=1)
    loudest = 40 * 500 ** (1 - (picture.argmax() + 0.5) / 200)
    assert loudest == pytest.approx(hertz, rel=0.12)
    assert picture[int(200 * (1 - np.log(hertz / 40) / np.log(500) - 0.25)) % 200] < picture.max() / 2
