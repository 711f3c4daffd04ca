"""One sound: what is known of it, and its waveform."""

from __future__ import annotations

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_bridge.api.sounds import outline
from spresso_assets.audio.overview import Overview
from tests.plugin_bridge.running import FilledCatalog


def test_a_sound_tells_everything(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    uid = bridge_catalog.id_of("Metal")
    told = client.get(f"/v1/sounds/{uid}").json()
    assert told == client.get(f"/v1/sounds/{uid[:6]}").json()
    assert (told["id"], told["name"], told["cat_id"]) == (uid, "Metal door, rusty", "DOORMetl")
    assert (told["duration_s"], told["channels"], told["frames"]) == (0.5, 2, 24_000)
    (rendition,) = told["renditions"]
    assert rendition["kbps"] > 0 and rendition["bytes"] > 0 and rendition["profile"] == told["profiles"][0]
    assert told["fields"]["fx_name"]["value"] == "Metal door, rusty"
    assert told["files"] == [
        {"root": "sfx", "path": f"Doors/{told['filename']}", "state": "present", "bytes": told["files"][0]["bytes"]}
    ]
    assert "peaks" not in told
    for address in ("peaks_url", "audio_url", "original_url"):
        assert client.head(told[address]).status_code in (200, 405)
    assert client.get(told["peaks_url"]).json()["n"] == 800


def test_a_prefix_of_several_sounds_is_not_enough(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    answer = client.get("/v1/sounds/ab")
    assert (answer.status_code, answer.json()["code"]) == (400, "id_too_short")


def test_peaks_follow_the_sound(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    uid = bridge_catalog.id_of("rain")  # noise that fades out
    for n in (1, 7, 512, 800, 4096):
        told = client.get(f"/v1/sounds/{uid}/peaks", params={"n": n}).json()
        pairs = np.array(told["peaks"]).reshape(-1, 2)
        assert told["n"] == n == len(pairs)
        assert (pairs[:, 0] < 0).all() and (pairs[:, 1] > 0).all() and np.abs(pairs).max() <= 127
    assert pairs[:400, 1].mean() > 4 * pairs[-400:, 1].mean()


@given(st.integers(1, 512), st.integers(1, 3000), st.integers(0, 2**31))
def test_an_outline_covers_all_of_the_sound(stored: int, wanted: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.sort(rng.integers(-127, 128, (stored, 2), dtype=np.int8), axis=1)
    drawn = outline(pairs.tobytes(), wanted)
    assert drawn.shape == (wanted, 2)
    # no peak is lost, none is invented
    assert (drawn[:, 0].min(), drawn[:, 1].max()) == (pairs[:, 0].min(), pairs[:, 1].max())
    # and each stands where it was
    for at in range(wanted):
        first, last = at * stored // wanted, -(-(at + 1) * stored // wanted)
        assert tuple(drawn[at]) == (pairs[first:last, 0].min(), pairs[first:last, 1].max())


def test_an_outline_is_that_of_the_samples() -> None:
    samples = np.zeros((48_000, 1), np.float32)
    samples[36_000] = 0.5
    overview = Overview(48_000)
    overview.add(samples)
    drawn = outline(overview.to_bytes(), 100)
    assert drawn[75].tolist() == [0, 64]
    assert not np.delete(drawn, 75, axis=0).any()


@pytest.mark.parametrize("stored", [b"", b"\x01"])
def test_a_sound_without_an_outline_is_flat(stored: bytes) -> None:
    assert not outline(stored, 10).any()
