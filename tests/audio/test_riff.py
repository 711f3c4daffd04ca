from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.audio.riff import chunk_bytes, load_chunk, read_chunks, walk_chunks
from spresso_assets.errors import SpressoError
from tests.audio import nasty

IDS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789", min_size=4, max_size=4).filter(lambda name: name != "ds64")


@given(st.lists(st.tuples(IDS, st.binary(max_size=50)), max_size=12))
def test_written_chunks_are_read_back(chunks: list[tuple[str, bytes]]) -> None:
    body = b"WAVE" + b"".join(chunk_bytes(name, content) for name, content in chunks)
    file = io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body)
    riff = walk_chunks(file)
    # A body that looks like a chunk id may fool the search for missing pad bytes only where a size is odd.
    if all(len(content) % 2 == 0 for _, content in chunks):
        assert riff.complete
        assert [(chunk.id, load_chunk(file, chunk)) for chunk in riff.chunks] == chunks


@given(st.binary(max_size=200), st.sampled_from([b"RIFF", b"RF64", b"BW64", b"RIFX", b"FORM"]))
def test_any_bytes_are_walked_without_harm(content: bytes, form: bytes) -> None:
    file = io.BytesIO(form + content)
    riff = walk_chunks(file)
    for chunk in riff.chunks:
        assert chunk.offset + chunk.size <= riff.file_size
        assert len(load_chunk(file, chunk)) == chunk.size


@pytest.mark.parametrize("form", [b"RF64", b"BW64"])
def test_sizes_of_64_bits_come_from_ds64(form: bytes) -> None:
    riff = walk_chunks(io.BytesIO(nasty.rf64(form)))
    data = riff.find("data")
    assert data is not None
    assert data.declared_size == 19_200
    assert riff.complete


def test_big_endian_sizes() -> None:
    riff = walk_chunks(io.BytesIO(nasty.rifx()))
    assert [chunk.id for chunk in riff.chunks] == ["fmt ", "data"]
    assert riff.byte_order == "big"


def test_a_missing_pad_byte_is_seen() -> None:
    riff = walk_chunks(io.BytesIO(nasty.riff(b"note\3\0\0\0abc", nasty.fmt(), nasty.chunk(b"data", b"12"))))
    assert [chunk.id for chunk in riff.chunks] == ["note", "fmt ", "data"]
    assert riff.unpadded


def test_a_million_chunks_end_the_walk() -> None:
    riff = walk_chunks(io.BytesIO(b"RIFF\0\0\0\0WAVE" + b"abcd\0\0\0\0" * 10_000))
    assert riff.problem == "more than 4096 chunks"


def test_other_files_have_no_form(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no sound at all")
    assert read_chunks(path).form == ""
    with pytest.raises(SpressoError, match="directory"):
        read_chunks(tmp_path)
