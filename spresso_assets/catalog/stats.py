"""What is in the catalog, in numbers: sounds, hours, bytes before and after, true bit rates, coverage, failures."""

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from spresso_assets.catalog.conditions import compile_query, source_of
from spresso_assets.catalog.grammar import parse
from spresso_assets.catalog.rows import Rows, as_rows

if TYPE_CHECKING:
    from sqlmodel import Session


@dataclass(frozen=True)
class ProfileStats:
    """One profile's share of the catalog; ``kbps`` counts containers and is over the sounds' total length."""

    name: str
    nominal_kbps: float
    active: bool
    renditions: int
    hours: float
    payload_bytes: int
    source_bytes: int  # files of the same sounds, one per sound
    kbps: float
    ratio: float  # source bytes per payload byte
    coverage: float  # share of all sounds, 0 … 1


@dataclass(frozen=True)
class Stats:
    assets: int
    hours: float
    files: int
    missing_files: int
    unreadable_files: int
    source_bytes: int
    payload_bytes: int
    encoded: int  # sounds with at least one ready rendition
    flags: dict[str, int] = field(default_factory=dict)
    profiles: list[ProfileStats] = field(default_factory=list)
    failed_jobs: dict[str, int] = field(default_factory=dict)  # by error code
    waiting_jobs: dict[str, int] = field(default_factory=dict)  # by kind

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


CHOSEN = """
WITH chosen AS (
  SELECT asset.id, asset.duration, asset.flags {source}
  WHERE asset.deleted_at IS NULL AND ({where})
)
"""


def collect(source: "Session | Rows", query: str = "") -> Stats:
    """Statistics of the sounds that match a query ('' for all). Job counts are always of the whole catalog."""
    rows = as_rows(source)
    compiled = compile_query(parse(query), rows.dialect)

    chosen = CHOSEN.format(where=compiled.where, source=source_of(compiled.where))

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return rows.rows(chosen + sql, compiled.params)

    def among(column: str) -> str:
        """The chosen sounds; of all of them it is quicker to say which are not."""
        if query.strip():
            return f"{column} IN (SELECT id FROM chosen)"
        return f"{column} IS NOT NULL AND {column} NOT IN (SELECT id FROM asset WHERE deleted_at IS NOT NULL)"

    assets, seconds = 0, 0.0
    flags: dict[str, int] = {}
    # one pass over the sounds: each costs as much as a large archive takes to be read
    by_flags = "SELECT CAST(flags AS TEXT), count(*), sum(duration) FROM chosen GROUP BY CAST(flags AS TEXT)"
    for stored, number, length in ask(by_flags):
        assets, seconds = assets + int(number), seconds + float(length)
        for flag in json.loads(stored):
            flags[flag] = flags.get(flag, 0) + int(number)
    by_state = dict(
        (state, (int(number), int(size)))
        for state, number, size in ask(
            "SELECT f.state, count(*), coalesce(sum(f.size), 0) FROM source_file f "
            f"WHERE f.state <> 'moved' AND {among('f.asset_id')} GROUP BY f.state"
        )
    )
    payload_bytes, encoded = ask(
        "SELECT coalesce(sum(r.payload_bytes), 0), count(DISTINCT r.asset_id) FROM rendition r "
        f"WHERE r.status = 'ready' AND {among('r.asset_id')}"
    )[0]
    unreadable = rows.rows("SELECT count(*) FROM source_file WHERE state = 'unreadable'", {})[0][0]
    failed = rows.rows(
        "SELECT error_code, count(*) FROM job WHERE status = 'failed' GROUP BY error_code ORDER BY 1", {}
    )
    waiting = rows.rows(
        "SELECT kind, count(*) FROM job WHERE status IN ('queued', 'running') GROUP BY kind ORDER BY kind", {}
    )
    return Stats(
        assets=int(assets),
        hours=float(seconds) / 3600,
        files=sum(number for number, _ in by_state.values()),
        missing_files=by_state.get("missing", (0, 0))[0],
        unreadable_files=int(unreadable),
        source_bytes=sum(size for _, size in by_state.values()),
        payload_bytes=int(payload_bytes),
        encoded=int(encoded),
        flags=flags,
        profiles=[_profile(row, int(assets)) for row in ask(_PROFILES)],
        failed_jobs={code: int(number) for code, number in failed},
        waiting_jobs={kind: int(number) for kind, number in waiting},
    )


_PROFILES = """
SELECT p.name, p.nominal_kbps, p.state, count(*), sum(c.duration), sum(r.payload_bytes),
       sum(coalesce((SELECT min(f.size) FROM source_file f WHERE f.asset_id = c.id AND f.state <> 'moved'), 0))
FROM rendition r JOIN chosen c ON c.id = r.asset_id JOIN encode_profile p ON p.id = r.profile_id
WHERE r.status = 'ready' GROUP BY p.id, p.name, p.nominal_kbps, p.state ORDER BY p.state, p.nominal_kbps DESC, p.id
"""


def _profile(row: tuple[Any, ...], assets: int) -> ProfileStats:
    name, nominal, state, number, seconds, payload_bytes, source_bytes = row
    seconds, payload_bytes, source_bytes = float(seconds), int(payload_bytes), int(source_bytes)
    return ProfileStats(
        name=name,
        nominal_kbps=float(nominal),
        active=state == "active",
        renditions=int(number),
        hours=seconds / 3600,
        payload_bytes=payload_bytes,
        source_bytes=source_bytes,
        kbps=payload_bytes * 8 / 1000 / seconds if seconds else 0.0,
        ratio=source_bytes / payload_bytes if payload_bytes else 0.0,
        coverage=number / assets if assets else 0.0,
    )
