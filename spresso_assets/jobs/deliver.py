"""Decodes that workers do for somebody else: ask for one, wait for it, take the sound.

A request is a job of the queue ``decode``; its result lies in the table ``delivery`` for an hour, under a key made of
everything that it depends on. Who asks for the same thing again gets the same one job and the same one result.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from spresso_assets.catalog.assets import find_asset
from spresso_assets.catalog.engine import Catalog, database_now
from spresso_assets.catalog.models import Delivery, Job
from spresso_assets.catalog.renditions import get_payload
from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.jobs.queue import ACTIVE, INTERACTIVE, enqueue, is_paused
from spresso_assets.jobs.roster import served_queues

KEPT_S = 3600.0
# Longer sounds are decoded where they are wanted: a database is no place for them. Eleven minutes in stereo.
LARGEST_BYTES = 256_000_000
# Name -> file type and bits. `wav32` is float, as the decoder gives it: from it any file is made as by a local decode.
FORMATS = {"flac16": (".flac", 16), "flac24": (".flac", 24), "wav32": (".wav", 32)}
MEDIA_TYPES = {".flac": "audio/flac", ".wav": "audio/wav"}
SEEDS = 1 << 31
POLL_S = 0.1
COUNT_WORKERS_EVERY_S = 2.0


@dataclass(frozen=True)
class Request:
    """A decode that was asked for.

    Attributes:
        key: of its delivery.
        job_uid: of the job that makes it; '' if it is there already.
    """

    key: str
    job_uid: str
    asset_uid: str
    profile: str
    weights_sha256: str
    seed: int


@dataclass(frozen=True)
class Waiting:
    """How far a requested decode is.

    Attributes:
        status: of its job: queued or running.
        progress: 0 … 1.
        hindrance: why it cannot begin, in words; '' while nothing stands in its way.
    """

    status: str
    progress: float
    hindrance: str


def request_decode(
    catalog: Catalog,
    id_prefix: str,
    *,
    profile: str | None = None,
    seed: int | None = None,
    variation: int = 0,
    quality: str = "default",
    steps: int | None = None,
    format: str = "flac24",
    trigger: str = "cli",
) -> Request:
    """Ask the workers for a decode, unless it is there or on its way. Wake them up afterwards if there is a broker.

    Args:
        profile, seed, variation, quality, steps: as in `export.decode.decode_asset`.
        format: a key of `FORMATS`.

    Raises:
        SpressoError: ``asset_not_found``, ``ambiguous_id``, ``not_encoded``, ``payload_corrupt``, ``bad_format``,
            ``delivery_too_long``.
    """
    if format not in FORMATS:
        raise SpressoError(
            f"sounds are not delivered as '{format}'",
            code="bad_format",
            hint=f"Use {', '.join(FORMATS)}.",
            exit_code=ExitCode.USAGE,
        )
    with catalog.session() as session:
        asset = find_asset(session, id_prefix)
        stored = get_payload(session, asset, profile)
        _, bits = FORMATS[format]
        if asset.frames * asset.channels * bits // 8 > LARGEST_BYTES:
            raise SpressoError(
                f"{asset.uid[:8]} is too long to be delivered by workers ({asset.duration / 60:.0f} minutes)",
                code="delivery_too_long",
                hint="Decode it here: spresso decode without --workers.",
            )
        chosen = ((stored.decode_seed if seed is None else seed) + variation) % SEEDS
        recipe = "\0".join(map(str, (stored.rendition_uid, chosen, quality, steps, format)))
        key = hashlib.sha256(recipe.encode()).hexdigest()
        request = Request(key, "", asset.uid, stored.profile, stored.weights_sha256, chosen)
        if _kept(session, key):
            return request
        params = {
            "asset_uid": asset.uid, "profile": stored.profile, "seed": chosen, "quality": quality, "steps": steps,
            "format": format, "key": key,
        }  # fmt: skip
        dedupe_key = f"decode:{key}"
        uid = enqueue(
            session, "decode", dedupe_key, asset_id=asset.id, params=params, cost_s=asset.duration, trigger=trigger
        )
        if uid is None:
            active = select(col(Job.uid)).where(col(Job.dedupe_key) == dedupe_key, col(Job.status).in_(ACTIVE))
            uid = session.connection().execute(active).scalar_one()
    return replace(request, job_uid=uid)


def delivered(catalog: Catalog, key: str) -> Delivery | None:
    """A delivery that is there, with its sound; None if it is not there yet or not any more."""
    with catalog.read() as session:
        found = session.get(Delivery, key)
        return found if found is not None and found.expires_at > database_now(session) else None


def wait_for_delivery(
    catalog: Catalog,
    request: Request,
    *,
    patience_s: float = 600.0,
    on_waiting: Callable[[Waiting], None] = lambda waiting: None,
) -> Delivery:
    """Wait until a requested decode is there.

    Args:
        patience_s: how long nothing at all may happen: a job that makes progress is waited for.
        on_waiting: called about ten times a second.

    Raises:
        SpressoError: what made the decode fail; ``job_cancelled``; ``decode_timeout``.
    """
    last: tuple[str, float] = ("", 0.0)
    moved_at = time.monotonic()
    hindrance, counted_at = "", -COUNT_WORKERS_EVERY_S
    while (found := delivered(catalog, request.key)) is None:
        with catalog.read() as session:
            job = session.execute(select(Job).where(col(Job.uid) == request.job_uid)).scalar_one_or_none()
            if time.monotonic() - counted_at > COUNT_WORKERS_EVERY_S:
                counted_at = time.monotonic()
                hindrance = _hindrance(session)
        if job is None or job.status not in ACTIVE:
            if (found := delivered(catalog, request.key)) is not None:  # it came between the two looks
                return found
            raise _why_not(job)
        if (job.status, job.progress) != last:
            last, moved_at = (job.status, job.progress), time.monotonic()
        if time.monotonic() - moved_at > patience_s:
            raise SpressoError(
                f"the workers have not decoded {request.asset_uid[:8]} within {patience_s:.0f} s",
                code="decode_timeout",
                hint=hindrance or "'spresso workers list' shows what they do.",
                kind=FaultKind.RETRYABLE,
            )
        on_waiting(Waiting(job.status, job.progress, hindrance if job.status == "queued" else ""))
        time.sleep(POLL_S)
    return found


def keep(session: Session, delivery: Delivery) -> None:
    """Store a delivery, for an hour from now."""
    now = database_now(session)
    session.merge(delivery.model_copy(update={"created_at": now, "expires_at": now + int(KEPT_S * 1e6)}))
    session.flush()


def forget_expired(session: Session) -> int:
    """Delete what nobody has asked for within its hour."""
    expired = delete(Delivery).where(col(Delivery.expires_at) < database_now(session))
    return session.connection().execute(expired).rowcount


def _kept(session: Session, key: str) -> bool:
    """Whether a delivery is there; it is then kept for another hour."""
    now = database_now(session)
    statement = (
        update(Delivery)
        .where(col(Delivery.key) == key, col(Delivery.expires_at) > now)
        .values(expires_at=now + int(KEPT_S * 1e6))
    )
    return session.connection().execute(statement).rowcount == 1


def _hindrance(session: Session) -> str:
    if is_paused(session, INTERACTIVE):
        return f"The queue {INTERACTIVE} is paused: spresso jobs resume {INTERACTIVE}."
    if INTERACTIVE not in served_queues(session):
        return f"No worker serves the queue {INTERACTIVE}: spresso worker --queues {INTERACTIVE}."
    return ""


def _why_not(job: Job | None) -> SpressoError:
    if job is None or job.status == "succeeded":
        return SpressoError(
            "the decode was done, but nobody took it within an hour", code="delivery_expired", hint="Ask again."
        )
    if job.status == "cancelled":
        return SpressoError("the decode was cancelled", code="job_cancelled", hint="Ask again if it is still wanted.")
    return SpressoError(job.message or "the decode failed", code=job.error_code or "failed", hint=job.hint or "")
