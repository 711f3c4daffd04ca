"""Plan a re-encoding before anybody says yes, and write its jobs so that a killed planner can be taken up again.

While jobs are being written the batch is in the state ``planning``; its row says up to which sound they are. Each step
of some thousand sounds is one transaction with that number, so no sound is passed over and none is taken twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text
from sqlmodel import Session, col

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Batch
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.jobs.estimate import Estimate, estimate
from spresso_assets.jobs.reencode_jobs import add_jobs, jobs_of
from spresso_assets.jobs.reencode_ways import UNREACHED, WORK, Request, Route, find_route, next_ways, ways

KIND = "reencode"
STEP = 5000  # sounds per transaction
LISTED = 20  # of the sounds that no way leads to


@dataclass(frozen=True)
class Way:
    """Sounds that one way leads to."""

    sounds: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Unreached:
    """A sound that no way leads to, and why."""

    uid: str
    reason: str


@dataclass(frozen=True)
class ReencodePlan:
    """What a request comes to.

    Attributes:
        bytes_now: of all ready renditions of these sounds. bytes_new: of what will be made. bytes_retired: of what
            will give way.
        measured: whether ``bytes_new`` rests on renditions of the profile that are there; else on its nominal rate.
        retires: names of the profiles that give way, with what each has.
        transcodable: sounds among the unreached that could be transcoded.
    """

    route: Route
    ways: dict[str, Way]
    estimate: Estimate
    bytes_now: int = 0
    bytes_new: int = 0
    bytes_retired: int = 0
    measured: bool = False
    retires: dict[str, int] = field(default_factory=dict)
    unreached: list[Unreached] = field(default_factory=list)
    transcodable: int = 0

    @property
    def sounds(self) -> int:
        """That something will be done for."""
        return sum(self.ways[way].sounds for way in WORK if way in self.ways)

    @property
    def seconds(self) -> float:
        """Of these sounds."""
        return sum(self.ways[way].seconds for way in WORK if way in self.ways)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "profile": self.route.profile.name,
            "sounds": self.sounds,
            "seconds": round(self.seconds, 3),
            "ways": {name: {"sounds": way.sounds, "seconds": round(way.seconds, 3)} for name, way in self.ways.items()},
            "machine_seconds": round(self.estimate.seconds, 1),
            "estimate_from": "history" if self.estimate.known else "defaults",
            "bytes_now": self.bytes_now,
            "bytes_new": self.bytes_new,
            "bytes_retired": self.bytes_retired,
            "bytes_after": self.bytes_now + self.bytes_new - self.bytes_retired,
            "bytes_from": "renditions" if self.measured else "nominal rate",
            "retires": self.retires,
            "transcodable": self.transcodable,
            "unreached": [vars(item) for item in self.unreached],
        }


def plan(session: Session, request: Request) -> ReencodePlan:
    """Count what a request comes to; nothing is written.

    Raises:
        SpressoError: as `reencode_ways.find_route`; ``bad_query``, ``unknown_field``.
    """
    route = find_route(session, request)
    sql, params = ways(route, session.get_bind().dialect.name)
    params = params | {"after": 0}
    connection = session.connection()
    limited = _limited(sql, request.limit)
    rows = connection.execute(text(f"SELECT way, count(*), sum(duration) FROM ({limited}) q GROUP BY way"), params)
    found = {way: Way(number, float(seconds or 0.0)) for way, number, seconds in rows}
    found = {name: found[name] for name in (*WORK, *UNREACHED) if name in found}
    unreached, transcodable = _unreached(session, route, found)
    now, retired, by_name = _bytes(session, route, limited, params)
    seconds = sum(way.seconds for name, way in found.items() if name in WORK and name != "retire")
    kbps, measured = _rate(session, route)
    kinds = {name: way.seconds for name, way in found.items() if name in WORK}
    if route.ladder:
        kinds = {"ladder": kinds.get("encode", 0.0)}
    return ReencodePlan(
        route,
        found,
        estimate(session, kinds, route.profile.frame_rate_hz),
        now,
        round(seconds * kbps * 125),
        retired,
        measured,
        by_name,
        unreached,
        transcodable,
    )


def _limited(sql: str, limit: int) -> str:
    """The sounds of a request, of those that a way leads to only the first ones."""
    if not limit:
        return sql
    reached = ", ".join(f"'{way}'" for way in WORK)
    return (
        f"SELECT * FROM (SELECT * FROM ({sql}) s WHERE s.way IN ({reached}) ORDER BY s.id LIMIT {int(limit)}) t "
        f"UNION ALL SELECT * FROM ({sql}) u WHERE u.way NOT IN ({reached})"
    )


def _unreached(session: Session, route: Route, found: dict[str, Way]) -> tuple[list[Unreached], int]:
    if not any(name in found for name in UNREACHED):
        return [], 0
    sql, params = ways(route, session.get_bind().dialect.name)
    reasons = ", ".join(f"'{reason}'" for reason in UNREACHED)
    missed = f"SELECT id, uid, way FROM ({sql}) q WHERE way IN ({reasons})"
    connection, params = session.connection(), params | {"after": 0}
    rows = connection.execute(text(f"{missed} ORDER BY id LIMIT {LISTED}"), params).all()
    transcodable = 0
    if route.transcode_from and not route.request.allow_transcode and not route.ladder:
        profiles = ", ".join(str(profile_id) for profile_id in route.transcode_from)
        statement = (
            f"SELECT count(*) FROM ({missed}) m WHERE EXISTS (SELECT 1 FROM rendition r WHERE r.asset_id = m.id "
            f"AND r.status = 'ready' AND r.profile_id IN ({profiles}))"
        )
        transcodable = connection.execute(text(statement), params).scalar_one()
    return [Unreached(row.uid, row.way) for row in rows], transcodable


def _bytes(session: Session, route: Route, sql: str, params: dict[str, Any]) -> tuple[int, int, dict[str, int]]:
    """Bytes of the ready renditions of a request's sounds; of those that give way, and how many by profile."""
    reached = ", ".join(f"'{way}'" for way in WORK)
    statement = (
        f"SELECT r.profile_id, p.name, count(*), sum(r.payload_bytes) FROM ({sql}) q "
        "JOIN rendition r ON r.asset_id = q.id AND r.status = 'ready' JOIN encode_profile p ON p.id = r.profile_id "
        f"WHERE q.way IN ({reached}) GROUP BY r.profile_id, p.name"
    )
    now = retired = 0
    by_name: dict[str, int] = {}
    for profile_id, name, number, size in session.connection().execute(text(statement), params):
        now += int(size)
        if profile_id in route.retire or (profile_id == route.profile.id and route.request.which == "all"):
            retired += int(size)
            by_name[name] = by_name.get(name, 0) + number
    return now, retired, by_name


def _rate(session: Session, route: Route) -> tuple[float, bool]:
    """kbit/s that sounds take under the profile, container included, and whether that was measured here."""
    statement = text(
        "SELECT sum(s.payload_bytes), sum(s.duration) FROM (SELECT r.payload_bytes, a.duration FROM rendition r "
        "JOIN asset a ON a.id = r.asset_id WHERE r.profile_id = :profile AND r.status = 'ready' LIMIT 10000) s"
    )
    size, seconds = session.connection().execute(statement, {"profile": route.profile.id}).one()
    if not seconds:
        return route.profile.nominal_kbps, False
    return float(size) / 125 / float(seconds), True


def start(catalog: Catalog, request: Request) -> str:
    """Begin a batch for a request, or take up the one that an interrupted command began; returns its uid."""
    with catalog.session() as session:
        find_route(session, request)
        waiting = select(Batch).where(col(Batch.kind) == KIND, col(Batch.state) == "planning").order_by(col(Batch.id))
        for batch in session.execute(waiting).scalars():
            if batch.params.get("request") == request.as_dict():
                return batch.uid
        batch = Batch(
            kind=KIND,
            query=request.query,
            state="planning",
            params={"request": request.as_dict(), "after": 0, "sounds": 0},
        )
        session.add(batch)
        session.flush()
        return batch.uid


def write_jobs(catalog: Catalog, batch_uid: str, on_progress: Callable[[int], None] = lambda sounds: None) -> Batch:
    """Write the jobs of a batch that is being planned, from where it stands to the end; then it runs.

    Several may call this for one batch at once, and after any interruption. A batch that somebody cancelled or paused
    meanwhile stays so.

    Args:
        on_progress: told the number of sounds that jobs were written for so far.

    Raises:
        SpressoError: ``batch_not_found`` (exit 4).
    """
    while True:
        with catalog.session() as session:
            batch = _locked(session, batch_uid)
            if batch.state != "planning":
                return batch
            _step(session, batch)
            session.flush()
        on_progress(batch.params["sounds"])


def _locked(session: Session, batch_uid: str) -> Batch:
    found = session.execute(select(Batch).where(col(Batch.uid) == batch_uid).with_for_update()).scalar_one_or_none()
    if found is None:
        raise SpressoError(
            f"There is no batch '{batch_uid}'",
            code="batch_not_found",
            hint="'spresso jobs list' shows what there is",
            exit_code=ExitCode.NOT_FOUND,
        )
    return found


def _step(session: Session, batch: Batch) -> None:
    """Jobs for the next sounds, and how far the batch is with them."""
    assert batch.id is not None
    request = Request(**batch.params["request"])
    route = find_route(session, request)
    rows = next_ways(session, route, batch.params["after"], STEP)
    reached = [row for row in rows if row.way in WORK]
    if request.limit:
        reached = reached[: request.limit - batch.params["sounds"]]
    jobs = jobs_of(route, batch.id, reached)
    add_jobs(session, jobs)
    sounds = batch.params["sounds"] + len(reached)
    done = len(rows) < STEP or (request.limit and sounds >= request.limit)
    batch.params = batch.params | {"after": rows[-1].id if rows else batch.params["after"], "sounds": sounds}
    batch.total += len(jobs)
    if done:
        batch.state = "running"
    session.add(batch)


def unfinished(session: Session) -> list[Batch]:
    """Batches whose planning was interrupted, or goes on elsewhere."""
    statement = select(Batch).where(col(Batch.kind) == KIND, col(Batch.state) == "planning").order_by(col(Batch.id))
    return list(session.execute(statement).scalars())
