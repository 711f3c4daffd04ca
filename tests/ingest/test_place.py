"""Names and folders speak for a sound, people have the last word."""

from __future__ import annotations

from spresso_assets.catalog.editing import add_tags, set_field, tags_of
from spresso_assets.catalog.models import Asset, WatchRoot
from spresso_assets.ingest.place import tag_by_folders
from spresso_assets.ingest.roots import change_root
from tests.ingest.conftest import Library


def test_ucs_fields_follow_a_rename_and_edits_stay(library: Library) -> None:
    file = library.put("plain.wav")
    library.scan()
    asset_id = library.assets()["plain.wav"]
    with library.catalog.session() as session:
        set_field(session, session.get_one(Asset, asset_id), "creator_id", "ME", "me")
    renamed = file.rename(file.with_name("DOORWood_Back door_JD_LIB.wav"))
    assert len(library.scan().moved) == 1
    with library.catalog.read() as session:
        asset = session.get_one(Asset, asset_id)
        assert (asset.cat_id, asset.fx_name, asset.creator_id) == ("DOORWood", "Back door", "ME")
    renamed.rename(file)
    library.scan()
    with library.catalog.read() as session:
        asset = session.get_one(Asset, asset_id)
        assert (asset.cat_id, asset.fx_name, asset.creator_id) == (None, None, "ME")


def test_folder_tags_follow_a_move_and_own_tags_stay(library: Library) -> None:
    file = library.put("Doors/Wood/slam.wav")
    library.scan()
    asset_id = library.assets()["Doors/Wood/slam.wav"] or 0
    with library.catalog.session() as session:
        tag_by_folders(session, asset_id)
        assert tags_of(session, asset_id) == [], "only where the root asks for it"
        add_tags(session, session.get_one(Asset, asset_id), ["doors"], "me")
        change_root(session, session.get_one(WatchRoot, library.root_id), tags_from_dirs=True)
        assert tags_of(session, asset_id) == ["doors", "Wood"]
    (library.folder / "Metal").mkdir()
    file.rename(library.folder / "Metal/slam.wav")
    library.scan()
    with library.catalog.read() as session:
        assert tags_of(session, asset_id) == ["doors", "Metal"]
