"""Level stat: does the disk agree with the catalog, and the catalog with itself? Nothing is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session, col, select

from spresso_assets.catalog.engine import Catalog, database_now
from spresso_assets.catalog.models import Asset, EncodeProfile, Rendition, SourceFile, WatchRoot
from spresso_assets.catalog.profiles import get_profile
from spresso_assets.errors import SpressoError
from spresso_assets.verify.finding import Finding, error, info, warning

LATE_US = 60_000_000  # a dead worker's lease is freed within seconds of its end

# Facts about jobs and rows that hold at every moment, whatever is killed when: (code, query, message, hint).
INVARIANTS = (
    (
        "lease_over",
        "SELECT j.uid FROM job j WHERE j.status = 'running' AND j.lease_until < :late",
        "counts as running although its worker's lease is long over",
        "Any worker frees it, or: spresso doctor --fix",
    ),
    (
        "result_missing",
        "SELECT j.uid FROM job j WHERE j.status = 'succeeded' AND j.profile_id IS NOT NULL AND j.asset_id IS NOT NULL "
        "AND j.kind IN ('encode', 'cut', 'quantise', 'transcode') AND NOT EXISTS (SELECT 1 FROM rendition r "
        "WHERE r.asset_id = j.asset_id AND r.profile_id = j.profile_id)",
        "succeeded, and there is no rendition of it",
        "spresso encode makes it again",
    ),
    (
        "job_unfinished",
        "SELECT j.uid FROM job j JOIN rendition r ON r.job_id = j.id WHERE j.status <> 'succeeded'",
        "left a rendition and did not succeed",
        "spresso verify --level hash looks at the rendition",
    ),
    (
        "probe_missing",
        "SELECT f.rel_path FROM source_file f JOIN watch_root w ON w.id = f.root_id "
        "WHERE f.state = 'present' AND f.asset_id IS NULL AND w.state = 'active' AND NOT EXISTS "
        "(SELECT 1 FROM job j WHERE j.source_file_id = f.id AND j.status IN ('queued', 'running', 'failed'))",
        "is there, was never read, and nobody is asked to",
        "spresso scan asks for it",
    ),
    (
        "text_missing",
        "SELECT a.uid FROM asset a WHERE a.deleted_at IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM asset_text x WHERE x.asset_id = a.id)",
        "cannot be found by words",
        "spresso db upgrade --reindex writes the index anew",
    ),
)
SHOWN = 100  # of one invariant: the rest is a number


def check_rows(session: Session) -> Iterator[Finding]:
    """The whole catalog's own contradictions."""
    late = database_now(session) - LATE_US
    for code, query, message, hint in INVARIANTS:
        found = (
            session.connection().execute(text(query), {"late": late} if ":late" in query else {}).fetchmany(SHOWN + 1)
        )
        for row in found[:SHOWN]:
            yield error(code, str(row[0])[:40], message, hint)
        if len(found) > SHOWN:
            yield error(code, "more", f"more than {SHOWN} of them", hint)


def check_orphans(session: Session) -> Iterator[Finding]:
    """Rows that belong to nothing any more."""
    for code, query, what in (
        (
            "orphan_embeddings",
            "SELECT count(*) FROM embedding e JOIN codec_model m ON m.id = e.model_id WHERE m.state = 'retired'",
            "embeddings of retired models",
        ),
        (
            "orphan_renditions",
            "SELECT count(*) FROM rendition r JOIN asset a ON a.id = r.asset_id WHERE a.deleted_at IS NOT NULL",
            "renditions of deleted sounds",
        ),
        (
            "orphan_tags",
            "SELECT count(*) FROM tag t WHERE NOT EXISTS (SELECT 1 FROM asset_tag x WHERE x.tag_id = t.id)",
            "tags on no sound",
        ),
    ):
        number = session.connection().execute(text(query)).scalar_one()
        if number:
            hint = "spresso verify --orphans --repair drops them" if code == "orphan_embeddings" else "spresso gc"
            yield info(code, "catalog", f"{number} {what}", hint)


def check_files(session: Session, assets: Sequence[Asset], offline: set[str]) -> Iterator[Finding]:
    """Files of some sounds against the disk.

    Args:
        offline: names of roots that were told to be away already; grows.
    """
    rows = session.exec(
        select(SourceFile, WatchRoot)
        .join(WatchRoot)
        .where(col(SourceFile.asset_id).in_([asset.id for asset in assets]))
        .order_by(col(SourceFile.id))
    ).all()
    for file, root in rows:
        path = Path(root.path) / file.rel_path
        if file.state == "unreadable":
            yield warning("unreadable_file", str(path), file.error_message or "cannot be read", "spresso jobs retry")
        if file.state != "present" or root.state == "paused":
            continue
        try:
            status = os.lstat(path)
        except OSError as fault:
            if not Path(root.path).is_dir():
                if root.name not in offline:
                    offline.add(root.name)
                    hint = f"Mount it, or: spresso root pause {root.name}"
                    yield warning("root_offline", root.path, "is not there; its files were not looked at", hint)
                continue
            hint = "spresso scan finds out whether it was moved"
            yield error("file_missing", str(path), f"cannot be found ({fault.strerror})", hint, asset_id=file.asset_id)
            continue
        if not stat.S_ISREG(status.st_mode):
            yield error("not_a_file", str(path), "is no longer a file", "spresso scan", asset_id=file.asset_id)
        elif (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
            message = f"has changed since it was scanned ({status.st_size} bytes, the catalog knows {file.size})"
            yield warning("file_changed", str(path), message, "spresso scan takes it up", asset_id=file.asset_id)


def check_renditions(session: Session, assets: Sequence[Asset], wanted: dict[int, set[int]]) -> Iterator[Finding]:
    """Renditions of some sounds: there under the profile that their roots ask for, and of the recorded size.

    Args:
        wanted: profiles by row id of the sound, see `wanted_profiles`.
    """
    by_id = {asset.id: asset for asset in assets}
    listed = ", ".join(str(int(asset.id or 0)) for asset in assets)
    ready: dict[int, set[int]] = {}
    rows = session.connection().execute(
        text(
            "SELECT id, asset_id, profile_id, payload_bytes, length(payload) FROM rendition "
            f"WHERE status = 'ready' AND asset_id IN ({listed})"
        )
    )
    for rendition_id, asset_id, profile_id, believed, found in rows:
        ready.setdefault(asset_id, set()).add(profile_id)
        if believed != found or not found:
            yield error(
                "payload_corrupt",
                by_id[asset_id].uid[:8],
                f"the payload has {found} bytes, {believed} were recorded",
                "spresso verify --repair encodes it again",
                asset_id=asset_id,
                rendition_id=rendition_id,
            )
    for asset_id, profiles in wanted.items():
        if asset_id in by_id and not profiles <= ready.get(asset_id, set()):
            hint = f"spresso encode id:{by_id[asset_id].uid[:8]}"
            yield warning("not_encoded", by_id[asset_id].uid[:8], "lacks its default profile", hint, asset_id=asset_id)


def wanted_profiles(session: Session, assets: Sequence[Asset]) -> dict[int, set[int]]:
    """Profiles that sounds with a file are to be encoded under, by their roots' choice."""
    rows = session.exec(
        select(SourceFile.asset_id, WatchRoot.default_profile)
        .join(WatchRoot)
        .where(col(SourceFile.asset_id).in_([asset.id for asset in assets]), SourceFile.state == "present")
    ).all()
    found: dict[int, set[int]] = {}
    known: dict[str | None, EncodeProfile | None] = {}
    for asset_id, name in rows:
        if name not in known:
            try:
                known[name] = get_profile(session, name)
            except SpressoError:
                known[name] = None  # without a model nothing can be encoded; `doctor` says that
        profile = known[name]
        if asset_id is not None and profile is not None and profile.id is not None:
            found.setdefault(asset_id, set()).add(profile.id)
    return found


def ready_ids(catalog: Catalog, asset_ids: Sequence[int]) -> list[int]:
    """Row ids of the ready renditions of some sounds."""
    with catalog.read() as session:
        found: list[int] = []
        for at in range(0, len(asset_ids), 500):
            statement = select(Rendition.id).where(
                col(Rendition.asset_id).in_(asset_ids[at : at + 500]), Rendition.status == "ready"
            )
            found += [rendition_id for rendition_id in session.exec(statement) if rendition_id is not None]
    return found
