"""The first 4096 bytes: always so many, always readable, always true."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
import wavinfo
from hypothesis import given
from hypothesis import strategies as st

from plugin_bridge.render import encode
from plugin_bridge.render.takes import Take
from plugin_bridge.render.wave_header import header
from spresso_assets.audio.riff import walk_chunks
from spresso_assets.export.decode import chunk_texts
from spresso_assets.export.provenance import provenance_of
from tests.plugin_bridge.render.fakes import a_take


def written(folder: Path, take: Take) -> Path:
    path = folder / "take.wav"
    path.write_bytes(encode.wav_bytes(take, np.zeros((take.frames, take.channels), np.float32)))
    return path


@pytest.mark.parametrize("bits", ["16", "24", "32f"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_other_programs_read_it(tmp_path: Path, bits: str, channels: int) -> None:
    take = replace(a_take(9, 3333, channels, bits=bits), original="/sfx/Oak door.wav")
    path = written(tmp_path, take)
    told = soundfile.info(path)
    assert (told.frames, told.channels, told.samplerate) == (3333, channels, 48_000)
    assert told.subtype == {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}[bits]
    found = wavinfo.WavInfoReader(str(path))
    bext, ixml = chunk_texts(take.as_decoded())
    assert found.bext.description == bext["description"] == "S-PRESSO re-synthesis: Door"
    assert found.bext.coding_history.strip() == bext["coding_history"]
    assert found.data.frame_count == 3333
    assert mutagen.File(path).info.length == pytest.approx(3333 / 48_000)
    assert ixml["SPRESSO/SEED"] == "9"
    assert provenance_of(path) == {
        "ASSET": take.asset_uid, "PROFILE": "2.5kbps", "SEED": "9", "MODEL": "fake",
        "WEIGHTS_SHA256": "ab" * 32, "ORIGINAL": "/sfx/Oak door.wav",
    }  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["description", "keywords", "notes", "fx_name", "library"]), st.text(max_size=3000)
    ),
    st.text(max_size=2000),
    st.text(max_size=200),
)
def test_any_texts_fit_and_the_origin_survives(fields: dict[str, str], original: str, name: str) -> None:
    take = replace(a_take(77, 10), fields=fields, original=original, name=name)
    made = header(take)
    assert len(made) == 4096
    riff = walk_chunks(io.BytesIO(made + bytes(take.data_bytes)))
    assert riff.complete, riff.problem
    assert [chunk.id for chunk in riff.chunks][:3] == ["bext", "iXML", "JUNK"]
    path_free = made.decode("latin-1")
    for part in ("<ASSET>" + take.asset_uid, "<SEED>77<", "<WEIGHTS_SHA256>" + "ab" * 32):
        assert part in path_free


def test_long_descriptions_are_cut_before_the_path_is(tmp_path: Path) -> None:
    original = "/sfx/" + "folder/" * 60 + "door.wav"
    fields = {"description": "A very long story. " * 400, "keywords": "door, wood, " * 100, "fx_name": "Door & <gate>"}
    found = provenance_of(written(tmp_path, replace(a_take(1), original=original, fields=fields)))
    assert found["ORIGINAL"] == original


def test_beyond_four_gigabytes_it_is_rf64() -> None:
    take = replace(a_take(1), frames=600 * 192_000, channels=16)
    made = header(take)
    assert made[:4] == b"RF64" and made[12:16] == b"ds64" and len(made) == 4096
    assert int.from_bytes(made[28:36], "little") == take.data_bytes > 1 << 32
