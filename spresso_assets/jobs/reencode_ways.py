"""Which way leads from what a catalog holds to a rendition under a profile: one question about all sounds.

The cheapest exact way of each sound, in this order:

* ``retire``: the rendition is there, and what it replaces is still ready: verify the one, retire the other;
* ``cut``: a ready rendition of the same model, frame rate and channel mode has more codes: drop some;
* ``quantise``: one has continuous latents: only the quantizer runs;
* ``encode``: from a file that is there;
* ``transcode``: decode a rendition and encode what is heard. Loses twice, so only where it is allowed. Where it is,
  second generations are also cut and quantised.

All others are ``source_offline`` or ``source_missing``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from spresso_assets.catalog.conditions import compile_query, json_in
from spresso_assets.catalog.grammar import parse
from spresso_assets.catalog.measured import is_measured
from spresso_assets.catalog.models import EncodeProfile
from spresso_assets.catalog.profiles import get_profile, list_profiles
from spresso_assets.errors import ExitCode, SpressoError

WORK = ("retire", "cut", "quantise", "encode", "transcode")
UNREACHED = ("source_offline", "source_missing")
MISSING, STALE, ALL = "missing", "stale", "all"


@dataclass(frozen=True)
class Request:
    """What a person asked for; as JSON it lies in the batch, so that a plan can be taken up again.

    Attributes:
        which: ``missing``: sounds without the profile; ``stale``: those encoded under its name with other weights;
            ``all``: every sound, also those that have it.
        source: only sounds with a rendition under this profile.
        retire: the renditions under ``source`` (with ``stale``: those with other weights) give way to the new ones.
        target_quality: pick a profile per sound up to ``profile``, instead of ``profile`` itself.
        limit: at most so many sounds; 0 for all.
    """

    query: str
    profile: str
    which: str = MISSING
    source: str | None = None
    retire: bool = False
    allow_transcode: bool = False
    target_quality: float | None = None
    limit: int = 0
    priority: int = 0

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Route:
    """A request in terms of this catalog's rows.

    Attributes:
        cut_from, quantise_from: profiles whose renditions can be cut or quantised, the cheapest to read first.
        transcode_from: profiles of the same model.
        sources: profiles that `Request.source` names, of any weights.
        stale: retired profiles of the same name.
        retire: profiles whose renditions are to be retired.
        ladder: profiles to try for a target quality, lowest rate first.
    """

    request: Request
    profile: EncodeProfile
    cut_from: Sequence[int] = ()
    quantise_from: Sequence[int] = ()
    transcode_from: Sequence[int] = ()
    sources: Sequence[int] = ()
    stale: Sequence[int] = ()
    retire: Sequence[int] = ()
    ladder: Sequence[EncodeProfile] = field(default=())


def find_route(session: Session, request: Request) -> Route:
    """Look up what a request means.

    Raises:
        SpressoError: ``unknown_profile``, ``no_profiles``, ``retire_what`` (exit 2).
    """
    profile = get_profile(session, request.profile)
    rows = list_profiles(session, retired=True)
    alike = [
        row
        for row in rows
        if row.id != profile.id
        and row.model_id == profile.model_id
        and (row.params["pool"], row.channel_mode) == (profile.params["pool"], profile.channel_mode)
    ]
    wanted, bits = profile.params["codebooks"], profile.params["bits"]
    cut_from = [
        row for row in alike if wanted and row.params["bits"] == bits and (row.params["codebooks"] or 0) > wanted
    ]
    cut_from.sort(key=lambda row: row.params["codebooks"])
    sources: list[EncodeProfile] = []
    if request.source is not None:
        sources = [row for row in rows if row.name == request.source and row.id != profile.id]
        if not sources:
            get_profile(session, request.source)  # says that there is no such profile
    stale = [row for row in rows if row.name == profile.name and row.id != profile.id]
    if request.retire and not sources and request.which != STALE:
        raise SpressoError(
            "--retire-old does not say what is old",
            code="retire_what",
            hint="Name the profile whose renditions are to be retired: --from PROFILE, or use --stale",
            exit_code=ExitCode.USAGE,
        )
    retire = (sources or stale) if request.retire else []
    ladder = [
        row
        for row in sorted(list_profiles(session), key=lambda row: row.nominal_kbps)
        if row.model_id == profile.model_id
        and row.channel_mode == profile.channel_mode
        and row.params["codebooks"]
        and row.nominal_kbps <= profile.nominal_kbps
    ]
    return Route(
        request,
        profile,
        _ids(cut_from),
        _ids([row for row in alike if wanted and not row.params["codebooks"]]),
        _ids([row for row in rows if row.model_id == profile.model_id]),
        _ids(sources),
        _ids(stale),
        _ids(retire),
        ladder if request.target_quality is not None else (),
    )


def ways(route: Route, dialect: str) -> tuple[str, dict[str, Any]]:
    """SQL that lists the sounds of a request after the row id ``:after``, in order, each with its way; and parameters.

    Columns: id, uid, audio_hash, duration, way, parent_id (a rendition, or null).
    """
    compiled = compile_query(parse(route.request.query), dialect)
    select_ways = f"""
        SELECT c.id, c.uid, c.audio_hash, c.duration,
            CASE
                WHEN c.has = 1 THEN 'retire'
                WHEN c.cut_id IS NOT NULL THEN 'cut'
                WHEN c.quantise_id IS NOT NULL THEN 'quantise'
                WHEN c.here = 1 THEN 'encode'
                WHEN c.again_cut_id IS NOT NULL THEN 'cut'
                WHEN c.again_quantise_id IS NOT NULL THEN 'quantise'
                WHEN c.transcode_id IS NOT NULL THEN 'transcode'
                WHEN {_offline()} THEN 'source_offline'
                ELSE 'source_missing'
            END AS way,
            CASE
                WHEN c.has = 1 THEN c.old_id
                WHEN c.cut_id IS NOT NULL THEN c.cut_id
                WHEN c.quantise_id IS NOT NULL THEN c.quantise_id
                WHEN c.here = 1 THEN NULL
                ELSE coalesce(c.again_cut_id, c.again_quantise_id, c.transcode_id)
            END AS parent_id
        FROM ({_candidates(route, compiled.where, dialect)}) c"""
    return select_ways, compiled.params


def _candidates(route: Route, where: str, dialect: str) -> str:
    """Sounds of the request, with what each of them has."""
    request, profile_id = route.request, route.profile.id
    again = request.which == ALL
    chosen = request.target_quality is not None  # a profile per sound: made from files only
    loose = request.allow_transcode and not chosen
    has = f"EXISTS (SELECT 1 FROM rendition h WHERE h.asset_id = asset.id AND h.profile_id = {profile_id} AND h.status = 'ready')"  # noqa: E501
    conditions = [f"({where})", "asset.deleted_at IS NULL", "asset.id > :after"]
    if chosen and not again:
        conditions.append(f"NOT {_judged(request.target_quality or 0.0, dialect)}")
    elif not again:
        conditions.append(f"(NOT {has} OR {_ready(route.retire)})" if route.retire else f"NOT {has}")
    if request.source is not None:
        conditions.append(_ready(route.sources))
    if request.which == STALE:
        conditions.append(_ready(route.stale))
    none = "CAST(NULL AS INTEGER)"
    cut: Sequence[int] = () if chosen else route.cut_from
    quantise: Sequence[int] = () if chosen else route.quantise_from
    return f"""
        SELECT asset.id, asset.uid, asset.audio_hash, asset.duration,
            {"0" if again or chosen else f"CASE WHEN {has} THEN 1 ELSE 0 END"} AS has,
            {_parent(route.retire, False) if route.retire else none} AS old_id,
            {_parent(cut, True) if cut else none} AS cut_id,
            {_parent(quantise, True) if quantise else none} AS quantise_id,
            CASE WHEN EXISTS (
                SELECT 1 FROM source_file f JOIN watch_root w ON w.id = f.root_id
                WHERE f.asset_id = asset.id AND f.state = 'present' AND f.probed_size = f.size
                    AND f.probed_mtime_ns = f.mtime_ns AND w.state <> 'offline') THEN 1 ELSE 0 END AS here,
            {_parent(cut, False) if cut and loose else none} AS again_cut_id,
            {_parent(quantise, False) if quantise and loose else none} AS again_quantise_id,
            {_best(route.transcode_from) if loose else none} AS transcode_id
        FROM asset JOIN asset_text ON asset_text.asset_id = asset.id
        WHERE {" AND ".join(conditions)}"""


def _offline() -> str:
    return (
        "EXISTS (SELECT 1 FROM source_file f JOIN watch_root w ON w.id = f.root_id WHERE f.asset_id = c.id "
        "AND (f.state = 'offline' OR w.state = 'offline'))"
    )


def _ready(profile_ids: Sequence[int]) -> str:
    return (
        "EXISTS (SELECT 1 FROM rendition h WHERE h.asset_id = asset.id AND h.status = 'ready' "
        f"AND h.profile_id IN ({_listed(profile_ids)}))"
    )


def _judged(quality: float, dialect: str) -> str:
    """Whether a rendition was chosen for this quality or a better one."""
    return json_in(
        dialect,
        "EXISTS (SELECT 1 FROM rendition h WHERE h.asset_id = asset.id AND h.status = 'ready' "
        f"AND {is_measured('h')} AND CAST(h.quality->>'target' AS FLOAT) >= {float(quality)!r})",
    )


def _parent(profile_ids: Sequence[int], first_generation: bool) -> str:
    """The rendition to start from: of the earliest generation, then of the profile that stands first."""
    rank = " ".join(f"WHEN {int(profile_id)} THEN {n}" for n, profile_id in enumerate(profile_ids))
    return f"""(SELECT p.id FROM rendition p WHERE p.asset_id = asset.id AND p.status = 'ready'
                AND p.profile_id IN ({_listed(profile_ids)}) {"AND p.generation = 1" if first_generation else ""}
                ORDER BY p.generation, CASE p.profile_id {rank} END LIMIT 1)"""


def _best(profile_ids: Sequence[int]) -> str:
    """The rendition that sounds best."""
    return f"""(SELECT p.id FROM rendition p JOIN encode_profile e ON e.id = p.profile_id
                WHERE p.asset_id = asset.id AND p.status = 'ready' AND p.profile_id IN ({_listed(profile_ids)})
                ORDER BY p.generation, e.nominal_kbps DESC LIMIT 1)"""


def _listed(profile_ids: Sequence[int]) -> str:
    return ", ".join(str(int(profile_id)) for profile_id in profile_ids)


def _ids(rows: Sequence[EncodeProfile]) -> list[int]:
    return [row.id for row in rows if row.id is not None]


def next_ways(session: Session, route: Route, after: int, number: int) -> list[Any]:
    """The next sounds of a request behind a row id, reached or not."""
    sql, params = ways(route, session.get_bind().dialect.name)
    statement = text(f"{sql} ORDER BY c.id LIMIT {int(number)}")
    return list(session.connection().execute(statement, params | {"after": after}))
