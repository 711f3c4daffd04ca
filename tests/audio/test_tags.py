from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.id3 import COMM, ID3, TALB, TIT2, TXXX
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from spresso_assets.audio.tags import read_id3_chunk, read_tags
from tests.audio import nasty


@pytest.mark.parametrize(
    ("container", "subtype", "kind"),
    [("FLAC", "PCM_16", FLAC), ("OGG", "VORBIS", OggVorbis), ("OGG", "OPUS", OggOpus)],
)
def test_comments(tmp_path: Path, container: str, subtype: str, kind: type) -> None:
    path = tmp_path / "sound"
    path.write_bytes(nasty.encoded(container, subtype))
    file = kind(path)
    file["TITLE"], file["Album"], file["CatID"], file["unheard_of"] = "Tür", "Doors 1", "DOORWood", "x"
    file.save()
    with open(path, "rb") as opened:
        found = {value.field: (value.value, value.source) for value in read_tags(opened, container, subtype)}
    assert found == {"title": ("Tür", "id3"), "library": ("Doors 1", "id3"), "cat_id": ("DOORWood", "id3")}


def test_id3() -> None:
    tags = ID3()
    tags.add(TIT2(encoding=3, text=["Wind"]))
    tags.add(TALB(encoding=1, text=["Weather"]))
    tags.add(COMM(encoding=3, lang="eng", desc="", text=["in the trees"]))
    tags.add(COMM(encoding=3, lang="eng", desc="iTunNORM", text=["0000"]))
    tags.add(TXXX(encoding=3, desc="FX Name", text=["Gust"]))
    buffer = io.BytesIO()
    tags.save(buffer)
    found = {value.field: value.value for value in read_id3_chunk(buffer.getvalue())}
    assert found == {"title": "Wind", "library": "Weather", "description": "in the trees", "fx_name": "Gust"}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["FLAC", "OGG", "MP3"]), st.sampled_from(["VORBIS", "OPUS", "PCM_16"]), st.data())
def test_broken_tags_cost_nothing(container: str, subtype: str, data: st.DataObject) -> None:
    head = data.draw(st.sampled_from([b"", b"fLaC", b"OggS", b"ID3\4\0\0\x7f\x7f\x7f\x7f"]))
    body = head + data.draw(st.binary(max_size=300))
    assert isinstance(read_tags(io.BytesIO(body), container, subtype), list)
    assert isinstance(read_id3_chunk(body), list)
