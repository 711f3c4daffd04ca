"""Work that is done is not asked for again, however late a scan comes to write what it saw."""

from pathlib import Path

from sqlmodel import select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import SourceFile
from spresso_assets.jobs.plan import enqueue_probe
from spresso_assets.jobs.runner import EmbeddedRunner
from tests.jobs.sounds import a_context, enqueue_files, register, write_sound


def test_a_file_that_was_read_meanwhile_is_not_read_again(catalog: Catalog, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "sfx" / "door.wav", 1)
    enqueue_files(catalog, register(catalog, path.parent), path.parent)
    EmbeddedRunner(catalog, a_context()).run()
    with catalog.session() as session:
        row = session.exec(select(SourceFile)).one()
        assert enqueue_probe(session, row) is None, "size and time are those that it was read at"
        row.mtime_ns += 1
        assert enqueue_probe(session, row) is not None
