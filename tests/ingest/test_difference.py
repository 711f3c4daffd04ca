"""What counts as new, changed, back and gone, path by path."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.ingest.difference import Known, difference, exceeds, path_key
from spresso_assets.ingest.settle import Signature


def sig(size: int = 10, mtime: int = 1, ino: int = 1) -> Signature:
    return Signature(size, mtime, mtime, ino, 1)


def known(
    id_: int, path: str, state: str = "present", *, probed: bool = True, refused: bool = False, queued: bool = False
) -> Known:
    return Known(id_, path, 1, state, 10, 1, 1, id_, probed, refused, queued)


def test_written_in_place_is_changed() -> None:
    diff = difference([known(1, "a.wav")], {"a.wav": sig(size=11)})
    assert [item.id for item in diff.changed] == [1]


def test_absent_file_comes_back() -> None:
    for state in ("missing", "moved", "ignored"):
        absent = known(1, "a.wav", state)
        assert difference([absent], {"a.wav": sig()}).back == [absent]
        assert difference([absent], {}).still_gone == [absent]


def test_frozen_file_is_what_it_was_before() -> None:
    rows = [known(1, "a.wav", "offline"), known(2, "b.wav", "offline", probed=False)]
    diff = difference(rows, {"a.wav": sig(), "b.wav": sig()})
    assert (diff.same, diff.waiting) == (rows[:1], rows[1:])


def test_unread_files_are_told_apart_from_read_ones() -> None:
    rows = [
        known(1, "a.wav", probed=False),
        known(2, "b.wav", "unreadable", probed=False, refused=True),
        known(3, "c.wav"),
        known(4, "d.wav", probed=False, queued=True),
    ]
    diff = difference(rows, {f"{name}.wav": sig() for name in "abcd"})
    assert [[k.id for k in group] for group in (diff.waiting, diff.unreadable, diff.same, diff.queued)] == [
        [1], [2], [3], [4],
    ]  # fmt: skip


def test_mended_permissions_are_a_change_of_what_could_not_be_read() -> None:
    mended = Signature(10, 1, 2, 1, 1)  # chmod sets the status time only
    assert difference([known(1, "a.wav", "unreadable", probed=False, refused=True)], {"a.wav": mended}).changed
    assert difference([known(1, "a.wav")], {"a.wav": mended}).same


def test_caps_need_a_share_and_a_number() -> None:
    assert not exceeds(4, 0.05, 4)
    assert exceeds(20, 0.05, 100) and not exceeds(20, 0.05, 1000)


def test_path_key_joins_what_file_systems_join() -> None:
    assert path_key("STRASSE/Caf\u00e9.WAV") == path_key("strasse/cafe\u0301.wav")
    assert path_key("A.wav") == path_key("a.WAV") != path_key("\u00e0.wav")


PATHS = st.sampled_from(["a", "A", "b", "c/a", "c/b", "\u00e9", "e\u0301"])
SIGNATURES = st.builds(sig, size=st.integers(10, 11), ino=st.integers(1, 4))
STATES = st.sampled_from(["present", "missing", "unreadable", "offline", "ignored"])


@given(
    st.dictionaries(PATHS, st.tuples(SIGNATURES, STATES), max_size=7), st.dictionaries(PATHS, SIGNATURES, max_size=7)
)
def test_every_path_is_accounted_for_once(before: dict[str, tuple[Signature, str]], seen: dict[str, Signature]) -> None:
    rows = [Known(n, path, 1, state, s.size, 1, 1, s.ino, True) for n, (path, (s, state)) in enumerate(before.items())]
    diff = difference(rows, seen)
    there = [diff.same, diff.unreadable, diff.queued, diff.waiting, diff.changed, diff.back]
    ids = [item.id for group in (*there, diff.gone, diff.still_gone) for item in group]
    assert sorted(ids) == [row.id for row in rows]
    assert sorted([item.rel_path for group in there for item in group] + diff.new) == sorted(seen)
