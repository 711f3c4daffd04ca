"""Work and housekeeping: jobs, batches, workers, deliveries, queue pauses, settings, history and API tokens."""

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from spresso_assets.catalog.columns import new_uid, now_us

ACTIVE_JOB = "status IN ('queued','running')"


class Batch(SQLModel, table=True):
    """Jobs that were asked for together. Counts are computed from the jobs, never stored."""

    __tablename__ = "batch"

    id: int | None = Field(default=None, primary_key=True)
    uid: str = Field(default_factory=new_uid, unique=True, sa_type=Text)
    kind: str = Field(sa_type=Text)
    query: str | None = Field(default=None, sa_type=Text)
    params: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    total: int = 0
    # planning while its jobs are still being written; a plan that was interrupted goes on where it stopped
    state: str = Field(default="running", sa_type=Text)  # planning, running, paused, cancelled
    paused_by: str | None = Field(default=None, sa_type=Text)
    pause_expires_at: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)


class Job(SQLModel, table=True):
    """One piece of work and the only record of its state; a broker message merely says that there may be some.

    ``fence`` counts the claims. A worker writes its result only under the fence that it claimed with, so one that
    slept past its lease cannot overwrite its successor.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("status IN ('queued','running','succeeded','failed','cancelled')", name="status"),
        CheckConstraint("(status = 'running') = (lease_owner IS NOT NULL)", name="running_has_owner"),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="running_has_lease"),
        Index(
            "uq_job_active_dedupe_key",
            "dedupe_key",
            unique=True,
            sqlite_where=text(ACTIVE_JOB),
            postgresql_where=text(ACTIVE_JOB),
        ),
        Index(
            "ix_job_ready",
            "queue",
            "crashes",
            "priority",
            "id",
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "ix_job_lease",
            "lease_until",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        Index("ix_job_batch_status", "batch_id", "status"),
        Index("ix_job_status_error", "status", "error_code"),
        Index("ix_job_dedupe_key", "dedupe_key"),
    )

    id: int | None = Field(default=None, primary_key=True)
    uid: str = Field(default_factory=new_uid, unique=True, sa_type=Text)
    kind: str = Field(sa_type=Text)  # a key of `jobs.queue.QUEUE_OF_KIND`
    dedupe_key: str = Field(sa_type=Text)
    asset_id: int | None = Field(default=None, foreign_key="asset.id", ondelete="CASCADE", index=True)
    source_file_id: int | None = Field(default=None, foreign_key="source_file.id", ondelete="CASCADE", index=True)
    profile_id: int | None = Field(default=None, foreign_key="encode_profile.id")
    batch_id: int | None = Field(default=None, foreign_key="batch.id", ondelete="SET NULL")
    params: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    status: str = Field(default="queued", sa_type=Text)
    queue: str = Field(sa_type=Text)
    priority: int = 0  # smaller goes first
    cost_s: float = 0.0  # seconds of sound: what a batch is filled by
    attempt: int = 0  # claims that ended in an error or a crash or are running now
    max_attempts: int = 4
    crashes: int = 0  # claims that ended with the worker dead
    fence: int = 0
    not_before: int = Field(default=0, sa_type=BigInteger)
    lease_owner: str | None = Field(default=None, sa_type=Text)
    lease_until: int | None = Field(default=None, sa_type=BigInteger)
    cancel_requested: bool = False
    progress: float = 0.0
    celery_id: str | None = Field(default=None, sa_type=Text)
    trigger: str = Field(default="cli", sa_type=Text)  # watch, cli, api, schedule, retry
    result: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    error_code: str | None = Field(default=None, sa_type=Text)
    error_kind: str | None = Field(default=None, sa_type=Text)  # retryable, permanent, environment
    message: str | None = Field(default=None, sa_type=Text)
    hint: str | None = Field(default=None, sa_type=Text)
    traceback: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    started_at: int | None = Field(default=None, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
    run_s: float | None = None  # this job's share of the time that its batch took: what estimates are made of


class Worker(SQLModel, table=True):
    """A process that takes jobs. Its beat says that it lives, `progress_at` that its loop moves.

    A row is a report, never a lock: what a worker holds is in the leases of its jobs.
    """

    __tablename__ = "worker"
    __table_args__ = (CheckConstraint("state IN ('idle','busy','draining','stopped')", name="state"),)

    owner: str = Field(primary_key=True, sa_type=Text)  # as in `job.lease_owner`
    name: str = Field(sa_type=Text)  # for people: host and process
    queues: list[str] = Field(default_factory=list, sa_type=JSON)
    device: str = Field(default="cpu", sa_type=Text)
    version: str = Field(default="", sa_type=Text)
    weights_sha256: str | None = Field(default=None, sa_type=Text)  # of the codec it has loaded
    state: str = Field(default="idle", sa_type=Text)
    drain_requested: bool = False  # finish what is in work, take nothing new, end
    started_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    heartbeat_at: int = Field(default_factory=now_us, sa_type=BigInteger, index=True)
    progress_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    jobs_done: int = 0
    jobs_failed: int = 0
    memory_bytes: int | None = Field(default=None, sa_type=BigInteger)
    device_memory_bytes: int | None = Field(default=None, sa_type=BigInteger)


class Delivery(SQLModel, table=True):
    """A decoded sound on its way from the worker that made it to whoever asked; forgotten when it expires."""

    __tablename__ = "delivery"

    key: str = Field(primary_key=True, sa_type=Text)  # hash of rendition, seed, solver and format
    media_type: str = Field(default="audio/flac", sa_type=Text)
    sample_rate: int
    channels: int
    frames: int = Field(sa_type=BigInteger)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger, index=True)
    content: bytes = Field(sa_type=LargeBinary)


class QueuePause(SQLModel, table=True):
    """A row here stops claims from one queue, until it expires or is removed."""

    __tablename__ = "queue_pause"

    queue: str = Field(primary_key=True, sa_type=Text)
    paused_by: str = Field(sa_type=Text)
    reason: str = Field(default="", sa_type=Text)
    paused_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger)


class CatalogSetting(SQLModel, table=True):
    """Choices that belong to the archive and not to one machine, for example the default profile."""

    __tablename__ = "catalog_setting"

    key: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(sa_type=Text)


class EventLog(SQLModel, table=True):
    """Who changed what: history of an object, and what an undo needs."""

    __tablename__ = "event_log"
    __table_args__ = (Index("ix_event_log_object", "object_kind", "object_uid"),)

    id: int | None = Field(default=None, primary_key=True)
    at: int = Field(default_factory=now_us, sa_type=BigInteger, index=True)
    actor: str = Field(sa_type=Text)
    verb: str = Field(sa_type=Text)
    object_kind: str = Field(sa_type=Text)
    object_uid: str = Field(sa_type=Text)
    before: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    after: dict[str, Any] | None = Field(default=None, sa_type=JSON)


class ApiToken(SQLModel, table=True):
    """A bearer token of the bridge; only its hash is kept."""

    __tablename__ = "api_token"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, sa_type=Text)
    token_sha256: str = Field(unique=True, sa_type=Text)
    scopes: list[str] = Field(default_factory=list, sa_type=JSON)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger)
    last_used_at: int | None = Field(default=None, sa_type=BigInteger)
