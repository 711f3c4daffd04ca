"""What databases complain about, as errors that say what to do. No database library is imported here."""

import re

from spresso_assets.catalog.location import Location
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

BUSY_TIMEOUT_MS = 30_000
LOCKED = ("database is locked", "database table is locked", "lock timeout", "deadlock detected")
FULL = ("disk is full", "no space left", "disk full", "could not extend file")
READ_ONLY = ("readonly database", "read-only", "unable to open database", "permission denied for")
DAMAGED = ("not a database", "malformed", "disk image", "invalid page in block", "could not read block")
GONE = (
    *("connection failed", "connection to server", "server closed the connection", "terminating connection"),
    *("connection is closed", "connection is lost", "connection already closed", "shutting down", "starting up"),
    *("consuming input failed", "recovery mode", "not accepting connections", "failed to resolve host"),
    *("no connection to the server", "ssl syscall error", "connection timeout expired", "too many clients"),
)


def describe_fault(complaint: str, location: Location) -> SpressoError | None:
    """The error for a driver's message, or None for one that is our own mistake."""
    lower = complaint.lower()
    shown = location.shown
    if any(words in lower for words in LOCKED):
        return SpressoError(
            f"Another program has been writing to {shown} for {BUSY_TIMEOUT_MS // 1000} s",
            code="catalog_locked",
            hint="Try again when it is done; 'spresso jobs list --status running' shows what runs",
            exit_code=ExitCode.CATALOG_LOCKED,
            kind=FaultKind.RETRYABLE,
        )
    if "statement timeout" in lower:
        return SpressoError(
            f"The database {shown} took too long for one question",
            code="catalog_slow",
            hint="Try again when it has less to do; 'spresso doctor' looks at it",
            exit_code=ExitCode.CATALOG_LOCKED,
            kind=FaultKind.RETRYABLE,
        )
    if any(words in lower for words in FULL):
        return SpressoError(
            f"The disk of {shown} is full; nothing of the last step was kept, nothing before it was lost",
            code="disk_full",
            hint="Free some space and run the same command again",
            kind=FaultKind.ENVIRONMENT,
        )
    if any(words in lower for words in GONE) and location.url is not None:
        return catalog_unreachable(shown, _reason(complaint))
    if any(words in lower for words in READ_ONLY):
        mend = "Check the permissions of the file and of its folder"
        return SpressoError(
            f"The catalog {shown} cannot be opened for writing",
            code="catalog_read_only",
            hint=mend if location.url is None else "Its user must own the tables, on a server that takes changes",
            exit_code=ExitCode.CATALOG_LOCKED,
            kind=FaultKind.ENVIRONMENT,
        )
    if any(words in lower for words in DAMAGED):
        return SpressoError(
            f"{shown} is not a catalog, or is damaged: {complaint}",
            code="not_a_catalog",
            hint="Restore a backup (spresso db restore FILE), or name another file with --catalog",
            kind=FaultKind.ENVIRONMENT,
        )
    return None


def catalog_unreachable(shown: str, reason: str = "") -> SpressoError:
    return SpressoError(
        f"No answer from the database {shown}" + (f": {reason}" if reason else ""),
        code="catalog_unreachable",
        hint="Is the server running, and are address, user and password right?",
        exit_code=ExitCode.CATALOG_MISSING,
        kind=FaultKind.RETRYABLE,
    )


def _reason(complaint: str) -> str:
    """What the server itself gave as its reason, which names users and databases, never passwords."""
    found = re.search(r"FATAL:\s*([^\n]*)", complaint)
    return found[1].strip() if found else ""
