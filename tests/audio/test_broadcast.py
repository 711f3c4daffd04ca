from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.audio.broadcast import (
    Bext,
    build_ixml,
    parse_cues,
    parse_info,
    parse_ixml,
    parse_labels,
    parse_loops,
)
from tests.audio import nasty

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc", "Zs"]), max_size=40)


@given(WORDS, WORDS.filter(lambda text: len(text.encode()) <= 32), st.integers(0, 2**64 - 1), st.integers(0, 2), WORDS)
def test_bext_survives_the_round_trip(description: str, originator: str, time: int, version: int, history: str) -> None:
    bext = Bext(
        description=description,
        originator=originator,
        origination_date="2026-11-20",
        time_reference=time,
        version=version,
        umid="060a2b34",
        coding_history=history,
    )
    body = bext.to_bytes()
    assert len(body) >= 602
    assert Bext.from_bytes(body) == bext


def test_long_texts_are_cut_between_characters() -> None:
    bext = Bext.from_bytes(Bext(originator="ü" * 40).to_bytes())
    assert bext is not None
    assert bext.originator == "ü" * 16


@given(st.binary(max_size=800))
def test_parsers_take_any_bytes(body: bytes) -> None:
    Bext.from_bytes(body)
    parse_ixml(body)
    parse_info(b"INFO" + body)
    parse_labels(b"adtl" + body)
    parse_cues(body)
    parse_loops(body)


def test_ixml_round_trip() -> None:
    fields = {"SCENE": "12A", "NOTE": "wind & <rain>", "USER/FXName": "Tür", "ASWG/catId": "DOORWood"}
    flat = parse_ixml(build_ixml(fields).encode())
    assert {key: flat[key] for key in fields} == fields


def test_damaged_ixml_gives_what_came_before() -> None:
    assert parse_ixml(b"<BWFXML><SCENE>4</SCENE><TAKE>2</TA") == {"SCENE": "4"}


def test_ixml_with_entities_is_refused() -> None:
    assert parse_ixml(nasty.XML_BOMB) == {}


def test_info_texts() -> None:
    body = b"INFO" + nasty.chunk(b"INAM", b"Door\0") + nasty.chunk(b"ICMT", "Tür".encode("latin-1"))
    assert parse_info(body) == {"INAM": "Door", "ICMT": "Tür"}


def test_cues_labels_and_loops() -> None:
    cue = struct.pack("<I", 1) + struct.pack("<II4sIII", 7, 0, b"data", 0, 0, 4_800)
    assert parse_cues(cue) == [(7, 4_800)]
    assert parse_labels(b"adtl" + nasty.chunk(b"labl", struct.pack("<I", 7) + b"hit\0")) == {7: "hit"}
    loop = struct.pack("<9I", 0, 0, 20_833, 60, 0, 0, 0, 1, 0) + struct.pack("<6I", 0, 0, 100, 2_000, 0, 0)
    assert parse_loops(loop) == [(100, 2_000)]
