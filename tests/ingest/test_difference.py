"""What counts as new, changed, moved and gone, whatever the order of events was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.ingest.difference import Known, difference, path_key
from spresso_assets.ingest.settle import Signature


def sig(size: int = 10, mtime: int = 1, ino: int = 1) -> Signature:
    return Signature(size, mtime, mtime, ino, 1)


def known(id_: int, path: str, state: str = "present", *, ino: int | None = None, probed: bool = True) -> Known:
    return Known(id_, path, state, 10, 1, id_ if ino is None else ino, probed)


def test_rename_is_one_move() -> None:
    diff = difference([known(1, "a.wav")], {"b/a.wav": sig(ino=1)})
    assert [(item.id, new) for item, new in diff.moved] == [(1, "b/a.wav")]
    assert not diff.new and not diff.gone


def test_renamed_folder_is_only_moves() -> None:
    before = [known(n, f"old/{n}.wav") for n in range(1, 50)]
    diff = difference(before, {f"new/{n}.wav": sig(ino=n) for n in range(1, 50)})
    assert len(diff.moved) == 49 and not diff.new and not diff.gone


def test_case_and_unicode_renames_without_stable_inodes() -> None:
    diff = difference([known(1, "Caf\u00e9.wav")], {"cafe\u0301.WAV": sig(ino=99)})
    assert [(item.id, new) for item, new in diff.moved] == [(1, "cafe\u0301.WAV")]


def test_hard_link_beside_its_original_is_new_not_moved() -> None:
    diff = difference([known(1, "a.wav")], {"a.wav": sig(ino=1), "b.wav": sig(ino=1)})
    assert diff.new == ["b.wav"] and len(diff.same) == 1 and not diff.moved


def test_two_new_names_for_one_vanished_file_are_not_guessed() -> None:
    diff = difference([known(1, "a.wav")], {"b.wav": sig(ino=1), "c.wav": sig(ino=1)})
    assert diff.new == ["b.wav", "c.wav"] and [item.id for item in diff.gone] == [1]


def test_reused_inode_with_other_content_is_not_a_move() -> None:
    diff = difference([known(1, "a.wav")], {"b.wav": sig(size=11, ino=1)})
    assert diff.new == ["b.wav"] and len(diff.gone) == 1


def test_written_in_place_is_changed() -> None:
    diff = difference([known(1, "a.wav")], {"a.wav": sig(size=11)})
    assert [item.id for item in diff.changed] == [1]


def test_missing_file_comes_back_even_elsewhere() -> None:
    missing = known(1, "a.wav", "missing")
    assert difference([missing], {"a.wav": sig()}).back == [missing]
    assert difference([missing], {"b.wav": sig(ino=1)}).moved == [(missing, "b.wav")]
    assert difference([missing], {}).still_gone == [missing]


def test_unread_files_are_told_apart_from_read_ones() -> None:
    diff = difference(
        [known(1, "a.wav", probed=False), known(2, "b.wav", "unreadable", probed=False), known(3, "c.wav")],
        {"a.wav": sig(ino=1), "b.wav": sig(ino=2), "c.wav": sig(ino=3)},
    )
    assert [k.id for k in diff.waiting] == [1]
    assert [k.id for k in diff.unreadable] == [2]
    assert [k.id for k in diff.same] == [3]


def test_caps_need_a_share_and_a_number() -> None:
    few = difference([known(n, f"{n}.wav") for n in range(1, 5)], {})
    assert not few.exceeds(0.05, 4)
    many = difference([known(n, f"{n}.wav") for n in range(1, 21)], {})
    assert many.exceeds(0.05, 100) and not many.exceeds(0.05, 1000)


def test_path_key_joins_what_file_systems_join() -> None:
    assert path_key("STRASSE/Caf\u00e9.WAV") == path_key("strasse/cafe\u0301.wav")


PATHS = st.sampled_from(["a", "A", "b", "c/a", "c/b", "\u00e9", "e\u0301"])
SIGNATURES = st.builds(sig, size=st.integers(10, 11), ino=st.integers(1, 4))


@given(
    st.dictionaries(PATHS, st.tuples(SIGNATURES, st.sampled_from(["present", "missing", "unreadable"])), max_size=7),
    st.dictionaries(PATHS, SIGNATURES, max_size=7),
)
def test_every_path_is_accounted_for_once(before: dict[str, tuple[Signature, str]], seen: dict[str, Signature]) -> None:
    rows = [Known(n, path, state, s.size, 1, s.ino, True) for n, (path, (s, state)) in enumerate(before.items(), 1)]
    diff = difference(rows, seen)
    groups = [diff.same, diff.unreadable, diff.waiting, diff.changed, diff.back, diff.gone, diff.still_gone]
    ids = [item.id for group in groups for item in group] + [item.id for item, _ in diff.moved]
    assert sorted(ids) == [row.id for row in rows]
    there = [diff.same, diff.unreadable, diff.waiting, diff.changed, diff.back]
    paths = [item.rel_path for group in there for item in group] + [new for _, new in diff.moved] + diff.new
    assert sorted(paths) == sorted(seen)
