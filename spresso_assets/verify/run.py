"""Go through sounds level by level, finding by finding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from sqlmodel import col, select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile, Rendition, SourceFile, WatchRoot
from spresso_assets.catalog.profiles import list_profiles
from spresso_assets.catalog.quality import above, keep_verdicts, with_a_better
from spresso_assets.catalog.search import search_ids
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.verify import belief, content, sounding
from spresso_assets.verify.finding import Finding, info, warning
from spresso_assets.verify.sounding import Decoder, Measured

CHUNK = 200  # sounds per snapshot: a long read would keep SQLite's log from being folded in


class Depth(IntEnum):
    """How much is looked at; each level contains those before it."""

    STAT = 0
    HASH = 1
    DECODE = 2
    QUALITY = 3


@dataclass(frozen=True)
class Order:
    """What to verify.

    Args:
        query: see `catalog.grammar`; '' for all, and then the catalog's own contradictions too.
        depth: see `Depth`.
        sample: share of renditions that are decoded, 0 … 1; the same ones for the same seed.
        orphans: also look for rows that belong to nothing.
        keep: store what was measured in `rendition.quality`.
    """

    query: str = ""
    depth: Depth = Depth.STAT
    sample: float = 0.05
    seed: int = 0
    orphans: bool = False
    keep: bool = True


@dataclass
class Looked:
    """How much was looked at, so that no finding means something."""

    sounds: int = 0
    payloads: int = 0
    decoded: int = 0
    measured: list[Measured] = field(default_factory=list)


def depth_named(name: str) -> Depth:
    """Raise `unknown_level` (exit 2) for a level that does not exist."""
    try:
        return Depth[name.upper()]
    except KeyError:
        raise SpressoError(
            f"there is no level '{name}'",
            code="unknown_level",
            hint=f"Levels: {', '.join(level.name.lower() for level in Depth)}.",
            exit_code=ExitCode.USAGE,
        ) from None


def verify(
    catalog: Catalog,
    order: Order,
    codec: Callable[[], Decoder],
    looked: Looked,
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Iterator[Finding]:
    """Look, and tell what is found.

    Args:
        codec: gives the loaded model; called only for the levels that decode.
        looked: is filled in.
        on_progress: told sounds done, sounds in all, and a name.

    Raises:
        SpressoError: `bad_query`, `unknown_field`, and what loading the model raises.
    """
    if not order.query:
        with catalog.read() as session:
            found = list(belief.check_rows(session))
        yield from found
    if order.orphans:
        with catalog.read() as session:
            found = list(belief.check_orphans(session))
        yield from found
    with catalog.read() as session:
        ids = search_ids(session, order.query)
    offline: set[str] = set()
    for at in range(0, len(ids), CHUNK):
        part = ids[at : at + CHUNK]
        on_progress(at, len(ids), "")
        with catalog.read() as session:
            assets = list(session.exec(select(Asset).where(col(Asset.id).in_(part)).order_by(col(Asset.id))))
            found = list(belief.check_files(session, assets, offline))
            found += belief.check_renditions(session, assets, belief.wanted_profiles(session, assets))
            files = content.originals(session, part) if order.depth >= Depth.HASH else []
        yield from found
        looked.sounds += len(assets)
        if order.depth >= Depth.HASH:
            yield from content.check_originals(files)
            yield from _contents(catalog, order, codec, looked, part)
    on_progress(len(ids), len(ids), "")
    if order.depth >= Depth.QUALITY:
        yield from _outliers(catalog, order, looked.measured)


def chosen(rendition_uid: str, order: Order) -> bool:
    """Whether a rendition is in the sample: a share of them by their ids, so that a run can be repeated."""
    digest = hashlib.sha256(f"{order.seed}:{rendition_uid}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < order.sample * 2**64


def _contents(
    catalog: Catalog, order: Order, codec: Callable[[], Decoder], looked: Looked, asset_ids: list[int]
) -> Iterator[Finding]:
    for rendition_id in belief.ready_ids(catalog, asset_ids):
        with catalog.read() as session:
            row = session.exec(
                select(Rendition, Asset, EncodeProfile, CodecModel)
                .join(Asset, col(Rendition.asset_id) == col(Asset.id))
                .join(EncodeProfile, col(Rendition.profile_id) == col(EncodeProfile.id))
                .join(CodecModel, col(EncodeProfile.model_id) == col(CodecModel.id))
                .where(Rendition.id == rendition_id)
            ).first()
        if row is None:
            continue
        rendition, asset, profile, model = row
        looked.payloads += 1
        wrong = list(content.check_payload(rendition, asset, profile, model))
        yield from wrong
        if wrong or order.depth < Depth.DECODE or not chosen(rendition.uid, order):
            continue
        about = f"{asset.uid[:8]} {profile.name}"
        loaded = codec()
        if loaded.weights_sha256 != model.weights_sha256:
            hint = "Name the bundle that made it with --bundle"
            yield info("wrong_model", about, f"was made by the weights {model.weights_sha256[:12]}: not decoded", hint)
            continue
        looked.decoded += 1
        heard, wrong = sounding.decode_one(loaded, rendition, asset, about)
        yield from wrong
        if heard is None or order.depth < Depth.QUALITY:
            continue
        path = _source(catalog, asset)
        if path is None:
            yield info("source_missing", about, "has no file here to be compared with", "Bring it back and scan")
            continue
        try:
            quality = sounding.measure(heard, path, rendition.decode_seed)
        except SpressoError as fault:
            yield warning(fault.code, str(path), fault.message, fault.hint)
            continue
        if quality is None:
            continue
        looked.measured.append(Measured(asset, profile, rendition_id, 1 - quality["value"]))
        if order.keep:
            with catalog.session() as session:
                stored = session.get(Rendition, rendition.id)
                if stored is not None:
                    stored.quality = {**(stored.quality or {}), **quality}
                    session.add(stored)


def _outliers(catalog: Catalog, order: Order, measured: list[Measured]) -> Iterator[Finding]:
    """Compare what was measured with its like, and keep which stand out: re-encoding takes exactly these."""
    judged = sounding.judged(measured)
    for at in range(0, len(judged) if order.keep else 0, CHUNK):
        with catalog.session() as session:
            keep_verdicts(session, {one.measured.rendition_id: one.low for one in judged[at : at + CHUNK]})
    low = [one for one in judged if one.low]
    with catalog.read() as session:
        better = with_a_better(session, [one.measured.rendition_id for one in low])
        profiles = list_profiles(session)
    for one in low:
        higher = above(one.measured.profile, profiles)
        is_mended = one.measured.rendition_id in better
        yield sounding.outlier(one, higher[0].name if higher else None, is_mended)


def _source(catalog: Catalog, asset: Asset) -> Path | None:
    """A file of the sound that is as it was when it was read."""
    with catalog.read() as session:
        rows = session.exec(
            select(SourceFile, WatchRoot)
            .join(WatchRoot)
            .where(SourceFile.asset_id == asset.id, SourceFile.state == "present")
        ).all()
    for file, root in rows:
        path = Path(root.path) / file.rel_path
        try:
            status = path.stat()
        except OSError:
            continue
        if (status.st_size, status.st_mtime_ns) == (file.probed_size, file.probed_mtime_ns):
            return path
    return None
