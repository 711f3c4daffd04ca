"""The jobs of a re-encoding: cuts and quantisations by the hundred, encodings and transcodings one by one."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from spresso_assets.catalog.columns import new_uid, now_us
from spresso_assets.catalog.models import Asset, EncodeProfile
from spresso_assets.catalog.tables_work import ACTIVE_JOB
from spresso_assets.jobs.queue import JOBS, NEW_JOB, QUEUE_OF_KIND, Claim, enqueue
from spresso_assets.jobs.reencode_ways import ALL, Route

# Most renditions and most seconds of sound in one job: long enough to be worth a row, short enough for a lease.
CUT_SOUNDS, CUT_S = 2000, 36_000.0
QUANTISE_SOUNDS, QUANTISE_S = 64, 600.0


def jobs_of(route: Route, batch_id: int, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Job rows for some sounds, as `reencode_ways.next_ways` lists them; those that no way leads to are passed over."""
    made: list[dict[str, Any]] = []
    by_way: dict[str, list[Any]] = {}
    for row in rows:
        by_way.setdefault(row.way, []).append(row)
    for way in ("retire", "cut"):
        made += (_chunk(route, batch_id, "cut", some) for some in _portions(by_way.get(way, []), CUT_SOUNDS, CUT_S))
    for some in _portions(by_way.get("quantise", []), QUANTISE_SOUNDS, QUANTISE_S):
        made.append(_chunk(route, batch_id, "quantise", some))
    made += (_single(route, batch_id, "encode", row) for row in by_way.get("encode", []))
    made += (_single(route, batch_id, "transcode", row) for row in by_way.get("transcode", []))
    return made


def add_jobs(session: Session, rows: list[dict[str, Any]]) -> None:
    """Write job rows; one whose work is waiting or running already is left out."""
    if rows:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        # not `queue.ADD_JOB`: it asks for what it added, and then rows go in one by one
        add = dialect.insert(JOBS).on_conflict_do_nothing(index_elements=["dedupe_key"], index_where=text(ACTIVE_JOB))
        session.connection().execute(add, rows)


def _portions(rows: Sequence[Any], sounds: int, seconds: float) -> Iterator[list[Any]]:
    portion: list[Any] = []
    length = 0.0
    for row in rows:
        if portion and (len(portion) == sounds or length + row.duration > seconds):
            yield portion
            portion, length = [], 0.0
        portion.append(row)
        length += row.duration
    if portion:
        yield portion


def _chunk(route: Route, batch_id: int, kind: str, rows: Sequence[Any]) -> dict[str, Any]:
    ids = [row.parent_id for row in rows]
    digest = hashlib.sha256(repr((ids, _params(route))).encode()).hexdigest()[:32]
    return _row(
        route,
        batch_id,
        kind,
        f"{kind}:{route.profile.id}:{digest}",
        sum(row.duration for row in rows),
        _params(route) | {"renditions": ids, "sounds": len(ids)},
    )


def _single(route: Route, batch_id: int, kind: str, row: Any) -> dict[str, Any]:
    params = _params(route)
    key = f"{kind}:{row.audio_hash}:{route.profile.id}"
    if params["retire"] or params["again"]:
        key += f":{batch_id}"  # more than an ordinary job would do
    if route.ladder:
        names = [profile.name for profile in route.ladder]
        params |= {"ladder": names, "target_quality": route.request.target_quality}
        key = f"ladder:{row.audio_hash}:{route.profile.id}:{route.request.target_quality}:{batch_id}"
    if kind == "transcode":
        params |= {"renditions": [row.parent_id]}
    return _row(route, batch_id, kind, key, row.duration, params) | {"asset_id": row.id}


def _params(route: Route) -> dict[str, Any]:
    return {"retire": list(route.retire), "again": route.request.which == ALL}


def _row(route: Route, batch_id: int, kind: str, key: str, seconds: float, params: dict[str, Any]) -> dict[str, Any]:
    return NEW_JOB | {
        "uid": new_uid(),
        "kind": kind,
        "dedupe_key": key,
        # jobs of one profile run together; a ladder is its own kind of work
        "profile_id": None if route.ladder else route.profile.id,
        "batch_id": batch_id,
        "params": params,
        "queue": QUEUE_OF_KIND[kind],
        "priority": route.request.priority,
        "cost_s": seconds,
        "created_at": now_us(),
    }


def enqueue_one_encode(session: Session, asset: Asset, profile: EncodeProfile, claim: Claim) -> None:
    """Encode a sound from its file in place of what a job could not make of its stored stream."""
    enqueue(
        session,
        "encode",
        f"encode:{asset.audio_hash}:{profile.id}:{claim.uid}",
        asset_id=asset.id,
        profile_id=profile.id,
        batch_id=claim.batch_id,
        params={"retire": claim.params.get("retire", []), "again": bool(claim.params.get("again"))},
        cost_s=asset.duration,
        trigger=claim.trigger,
    )
