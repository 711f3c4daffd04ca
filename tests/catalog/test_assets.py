"""The invariants of identity and metadata: what copies, moves, retags and edits do, and what they must not."""

import pytest
from sqlmodel import Session, func, select

from spresso_assets.catalog.assets import find_asset, link_source, uid_of_hash
from spresso_assets.catalog.editing import add_tags, remove_tags, set_field, tags_of
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, AssetField, AssetText, EventLog, RawChunk, SourceFile
from spresso_assets.catalog.search import search
from spresso_assets.errors import SpressoError
from tests.catalog.sounds import a_file, a_probe, add_sound


def number_of(session: Session, table: type) -> int:
    return int(session.exec(select(func.count()).select_from(table)).one())


def test_a_copy_is_linked_to_the_same_sound(catalog: Catalog) -> None:
    with catalog.session() as session:
        first, outcome = link_source(session, a_file(session, "a.wav"), a_probe("bang"))
        assert outcome == "new" and first.uid == uid_of_hash(first.audio_hash)
        second, outcome = link_source(session, a_file(session, "copy of a.wav"), a_probe("bang"))
        assert (outcome, second.id, number_of(session, Asset)) == ("linked", first.id, 1)


def test_a_move_keeps_the_sound_its_tags_and_its_edits(catalog: Catalog) -> None:
    with catalog.session() as session:
        old = a_file(session, "old/a.wav")
        asset, _ = link_source(session, old, a_probe("bang"))
        add_tags(session, asset, ["keep me"], "me")
        set_field(session, asset, "fx_name", "My bang", "me")
        old.state = "missing"
        session.flush()
        moved, outcome = link_source(session, a_file(session, "new/b.wav"), a_probe("bang"))
        assert (outcome, moved.id, moved.fx_name) == ("moved", asset.id, "My bang")
        assert tags_of(session, moved.id or 0) == ["keep me"]
        assert old.state == "moved"
        assert [hit.path for hit in search(session, "bang")] == ["new/b.wav"]
        assert search(session, "old") == [], "the former folder is no longer found"


def test_a_vanished_file_takes_nothing_with_it(catalog: Catalog) -> None:
    with catalog.session() as session:
        asset = add_sound(session, "a.wav")
        session.exec(select(SourceFile)).one().state = "missing"
        session.flush()
        assert [hit.file_state for hit in search(session, "")] == ["missing"]
        assert asset.deleted_at is None


def test_a_retag_changes_metadata_and_nothing_else(catalog: Catalog) -> None:
    with catalog.session() as session:
        file = a_file(session, "a.wav")
        asset, _ = link_source(session, file, a_probe("bang", fields={"description": "before"}))
        file.mtime_ns += 1
        again, outcome = link_source(session, file, a_probe("bang", fields={"keywords": "after"}))
        assert (outcome, again.id, number_of(session, Asset)) == ("unchanged", asset.id, 1)
        assert (again.description, again.keywords) == (None, "after")
        assert search(session, "before") == [] and len(search(session, "after")) == 1


def test_another_sound_at_the_same_path_leaves_the_former_sound(catalog: Catalog) -> None:
    with catalog.session() as session:
        file = a_file(session, "a.wav")
        former, _ = link_source(session, file, a_probe("bang", fields={"description": "loud"}))
        new, outcome = link_source(session, file, a_probe("whisper"))
        assert (outcome, file.asset_id, number_of(session, Asset)) == ("replaced", new.id, 2)
        assert former.description is None, "what the file said is said of its new sound"


def test_a_rescan_never_overwrites_a_persons_edit(catalog: Catalog) -> None:
    with catalog.session() as session:
        file = a_file(session, "a.wav")
        asset, _ = link_source(session, file, a_probe("bang", fields={"description": "from the file"}))
        assert set_field(session, asset, "description", "mine", "me") is True
        for text in ("from the file", "changed in the file"):
            link_source(session, file, a_probe("bang", fields={"description": text}))
            assert asset.description == "mine"
        assert search(session, "mine") != []
        set_field(session, asset, "description", None, "me")
        assert asset.description == "changed in the file", "taking the edit back shows what the file says now"


def test_a_probe_cannot_pretend_to_be_a_person(catalog: Catalog) -> None:
    with catalog.session() as session:
        asset = add_sound(session, "a.wav", fields={"description": "sneaky"}, source="user")
        assert asset.description is None


def test_sources_rank_and_the_first_file_decides_between_equals(catalog: Catalog) -> None:
    with catalog.session() as session:
        fields = [{"field": "title", "value": source, "source": source} for source in ("folder", "bext", "ixml", "id3")]
        asset, _ = link_source(session, a_file(session, "a.wav"), a_probe("bang") | {"fields": fields})
        assert asset.title == "ixml"
        link_source(session, a_file(session, "b.wav"), a_probe("bang", fields={"title": "second file"}))
        assert asset.title == "ixml"
        assert number_of(session, AssetField) == 5, "every source keeps its own word"


def test_a_deleted_sound_that_is_found_again_is_back(catalog: Catalog) -> None:
    with catalog.session() as session:
        asset = add_sound(session, "a.wav", sound="bang")
        asset.deleted_at = 1
        session.flush()
        assert search(session, "") == []
        link_source(session, a_file(session, "b.wav"), a_probe("bang"))
        assert len(search(session, "")) == 1


def test_chunks_are_kept_byte_for_byte(catalog: Catalog) -> None:
    chunks = [("bext", bytes(range(256)) * 4), ("iXML", b"<a/>\0"), ("odd ", b"\xff")]
    with catalog.session() as session:
        add_sound(session, "a.wav", raw_chunks=chunks)
    with catalog.read() as session:
        kept = session.exec(select(RawChunk).order_by(RawChunk.position)).all()  # type: ignore[arg-type]
    assert [(chunk.chunk_id, chunk.content) for chunk in kept] == chunks


def test_metadata_of_any_kind_is_storable(catalog: Catalog) -> None:
    with catalog.session() as session:
        asset = add_sound(session, "a.wav", fields={"description": "NUL \0 and \udcff surrogate", "keywords": " \0 "})
        assert (asset.description, asset.keywords) == ("NUL  and  surrogate", None)


def test_ids_are_found_by_their_first_digits(catalog: Catalog) -> None:
    with catalog.session() as session:
        asset = add_sound(session, "a.wav")
        assert find_asset(session, asset.uid[:6].upper()).id == asset.id
        for prefix, code in (("zzz", "asset_not_found"), ("ab", "id_too_short"), ("___", "asset_not_found")):
            with pytest.raises(SpressoError, match=code):
                find_asset(session, prefix)
        twin = asset.uid[:6] + "0" * 26
        session.add(Asset(uid=twin, audio_hash="x", frames=1, duration=1, sample_rate=1, channels=1))
        session.flush()
        with pytest.raises(SpressoError, match="ambiguous_id"):
            find_asset(session, asset.uid[:6])


def test_tags_are_one_whatever_their_spelling_and_history_is_kept(catalog: Catalog) -> None:
    with catalog.session() as session:
        asset = add_sound(session, "a.wav")
        assert add_tags(session, asset, ["Wet", " wet ", "", "Dry"], "me") == ["Wet", "Dry"]
        assert remove_tags(session, asset, ["WET", "unknown"], "me") == ["Wet"]
        assert tags_of(session, asset.id or 0) == ["Dry"]
        assert [event.verb for event in session.exec(select(EventLog))] == ["tag", "untag"]


def test_fields_that_do_not_exist_are_named(catalog: Catalog) -> None:
    with catalog.session() as session, pytest.raises(SpressoError, match="unknown_field"):
        set_field(session, add_sound(session, "a.wav"), "audio_hash", "x", "me")


def test_the_search_text_equals_a_rebuild_from_scratch(catalog: Catalog) -> None:
    from spresso_assets.catalog.asset_text import rebuild_text

    with catalog.session() as session:
        asset = add_sound(session, "Doors/a_bang.wav", sound="bang", fields={"description": "loud"})
        add_sound(session, "Copies/b.wav", sound="bang")
        add_tags(session, asset, ["one", "two"], "me")
        remove_tags(session, asset, ["one"], "me")
        set_field(session, asset, "fx_name", "Boom", "me")
        before = session.exec(select(AssetText)).one().model_dump()
        session.expunge_all()
        assert rebuild_text(session) == 1
        assert session.exec(select(AssetText)).one().model_dump() == before
        assert len(search(session, "boom two")) == 1 and search(session, "one") == []
