"""The broker: it answers, and not to everybody. What it loses costs nothing, so persistence is only told."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spresso_assets.cli.checks.finding import Finding, Level

if TYPE_CHECKING:
    from pydantic import SecretStr

PATIENCE_S = 2


def check(url: SecretStr | None) -> Iterator[Finding]:
    if url is None:
        yield Finding(Level.OK, "broker", "none: work is done by the command itself, and workers look by themselves")
        return
    secret = url.get_secret_value()
    if not secret.startswith("sentinel://"):
        yield from _ask(secret)
    if not _guarded(secret):
        message = "Redis is asked without a password, on an address that others can reach"
        hint = "Set a password (requirepass or an ACL user) and name it in broker_url, or bind it to 127.0.0.1."
        yield Finding(Level.PROBLEM, "broker", message, hint, "broker_open")


def _ask(secret: str) -> Iterator[Finding]:
    import redis

    try:
        client = redis.Redis.from_url(secret, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
        client.ping()
        facts = client.info()
    except (redis.RedisError, ValueError) as error:
        hint = "Start Redis, mend its address or password in broker_url, or unset that to work without it."
        yield Finding(Level.PROBLEM, "broker", f"no answer: {type(error).__name__}", hint, "broker_unreachable")
        return
    finally:
        if "client" in locals():
            client.close()
    kept = "persistent" if facts.get("aof_enabled") else "without append-only file, which is fine"
    yield Finding(Level.OK, "broker", f"Redis {facts.get('redis_version', '')} answers, {kept}")


def _guarded(secret: str) -> bool:
    """A password in the URL, or an address that only this machine reaches."""
    parts = urlsplit(secret.replace("redis+socket://", "unix://"))
    if parts.scheme == "unix" or parts.password:
        return True
    host = parts.hostname or "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
