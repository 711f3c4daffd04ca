"""What a catalog no longer needs, and its removal. Nothing else in the product ever removes what was kept.

A sound that can still be heard stays: its rows are kept as long as it has a file that may come back within the grace
period, or a ready rendition. So an archive that is gone keeps its latents, its names and the paths of its originals.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from spresso_assets.catalog.engine import Catalog, database_now

CHUNK = 500
WORKER_SILENT_US = 86_400_000_000  # a worker that has not been heard of for a day is gone

# Times: {before} is the end of the grace period. Nothing was encoded for the sound since: what was retired may still
# be wanted back.
_RETIRED = (
    "FROM rendition r WHERE r.status = '{}' AND NOT EXISTS "
    "(SELECT 1 FROM rendition n WHERE n.asset_id = r.asset_id AND n.created_at >= :before)"
)
_PAYLOAD = "r.payload_bytes"
_GONE = "{f}.state IN ('missing', 'moved') AND coalesce({f}.missing_since, {f}.last_seen) < :before"
_FILES = (
    f"FROM source_file r WHERE {_GONE.format(f='r')} AND (r.asset_id IS NULL OR EXISTS "
    "(SELECT 1 FROM source_file o WHERE o.asset_id = r.asset_id AND o.state NOT IN ('missing', 'moved')))"
)
_ASSETS = (
    "FROM asset r WHERE r.created_at < :before "
    "AND NOT EXISTS (SELECT 1 FROM rendition n WHERE n.asset_id = r.id AND n.status = 'ready') "
    f"AND NOT EXISTS (SELECT 1 FROM source_file o WHERE o.asset_id = r.id AND NOT ({_GONE.format(f='o')})) "
    "AND NOT EXISTS (SELECT 1 FROM job j WHERE j.asset_id = r.id AND j.status IN ('queued', 'running'))"
)


@dataclass(frozen=True)
class Kind:
    """Rows of one kind that may go: ``about`` for people, ``size`` an SQL sum of bytes, ``key`` the primary key."""

    name: str
    about: str
    table: str
    rows: str
    size: str = "0"
    key: str = "id"


KINDS = (
    Kind("superseded", "renditions that others replaced", "rendition", _RETIRED.format("superseded"), _PAYLOAD),
    Kind("corrupt", "renditions found damaged", "rendition", _RETIRED.format("corrupt"), _PAYLOAD),
    Kind("files", "files long gone, of sounds that have another file", "source_file", _FILES),
    Kind("sounds", "sounds without a file and without a rendition", "asset", _ASSETS),
    Kind(
        "deliveries",
        "decoded sounds that nobody fetched in time",
        "delivery",
        "FROM delivery r WHERE r.expires_at < :now",
        "length(r.content)",
        "key",
    ),
    Kind(
        "jobs",
        "jobs that succeeded or were cancelled long ago",
        "job",
        "FROM job r WHERE r.status IN ('succeeded', 'cancelled') AND r.finished_at < :before",
    ),
    Kind(
        "workers",
        "workers not heard of for a day",
        "worker",
        "FROM worker r WHERE r.heartbeat_at < :silent",
        key="owner",
    ),
    Kind(
        "tags",
        "tags on no sound",
        "tag",
        "FROM tag r WHERE NOT EXISTS (SELECT 1 FROM asset_tag x WHERE x.tag_id = r.id)",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Garbage:
    """Rows of one kind, and the bytes of their content."""

    name: str
    about: str
    rows: int
    bytes: int


def survey(session: Session, grace_s: float) -> list[Garbage]:
    """What would go; kinds of which there is nothing are in the list too."""
    found = []
    for kind in KINDS:
        statement = f"SELECT count(*), coalesce(sum({kind.size}), 0) {kind.rows}"
        rows, size = session.connection().execute(text(statement), _times(session, grace_s)).one()
        found.append(Garbage(kind.name, kind.about, int(rows), int(size)))
    return found


def collect_garbage(
    catalog: Catalog, grace_s: float, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Garbage]:
    """Remove it, some hundred rows per transaction: others wait for no longer than that, and a stop loses nothing.

    Returns:
        what was removed.
    """
    with catalog.read() as session:
        expected = survey(session, grace_s)
    total, done = sum(item.rows for item in expected), 0
    removed = []
    for kind, item in zip(KINDS, expected, strict=True):
        rows = size = 0
        while item.rows:
            with catalog.session() as session:
                number, content = _remove_some(session, kind, grace_s)
            if number == 0:
                break
            rows, size, done = rows + number, size + content, done + number
            on_progress(min(done, total), total)
        removed.append(Garbage(kind.name, kind.about, rows, size))
    return removed


def _remove_some(session: Session, kind: Kind, grace_s: float) -> tuple[int, int]:
    connection = session.connection()
    statement = f"SELECT r.{kind.key}, {kind.size} {kind.rows} LIMIT {CHUNK}"
    found = connection.execute(text(statement), _times(session, grace_s)).all()
    if not found:
        return 0, 0
    keys = {f"k{n}": row[0] for n, row in enumerate(found)}
    listed = ", ".join(f":{name}" for name in keys)
    touched: list[int] = []
    if kind.table == "source_file":
        owners = text(f"SELECT DISTINCT asset_id FROM source_file WHERE asset_id IS NOT NULL AND id IN ({listed})")
        touched = list(connection.execute(owners, keys).scalars())
    if kind.table == "asset":
        connection.execute(text(f"DELETE FROM source_file WHERE asset_id IN ({listed})"), keys)
    connection.execute(text(f'DELETE FROM {kind.table} WHERE "{kind.key}" IN ({listed})'), keys)
    if touched:
        from spresso_assets.catalog.assets import resolve

        for asset_id in touched:  # what the file said of the sound went with it
            resolve(session, asset_id)
    return len(found), sum(int(row[1]) for row in found)


def _times(session: Session, grace_s: float) -> dict[str, Any]:
    now = database_now(session)
    return {"now": now, "before": now - int(grace_s * 1e6), "silent": now - WORKER_SILENT_US}
