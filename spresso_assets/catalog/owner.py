"""Who holds a lease or runs a scan, and whether that process still lives.

An owner is ``seat:pid:start:nonce``. The seat is a hash of host, boot and process-id namespace: on the same seat a
process id can be checked, so what a killed process held is free again at once instead of after its lease.
"""

import hashlib
import os
import platform
import secrets
from pathlib import Path

PROC = Path("/proc")


def new_owner() -> str:
    """A name for this worker, unique among all workers of all hosts."""
    return f"{seat()}:{os.getpid()}:{start_time(os.getpid())}:{secrets.token_hex(4)}"


def seat() -> str:
    """Equal only where process ids mean the same: one host, one boot, one container."""
    parts = [platform.node()]
    for name in ("sys/kernel/random/boot_id", "self/ns/pid"):
        try:
            path = PROC / name
            parts.append(os.readlink(path) if path.is_symlink() else path.read_text(encoding="ascii").strip())
        except OSError:
            parts.append("")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def start_time(pid: int) -> str:
    """Clock tick at which a process started (so that a reused id is told apart); '' where that is not known."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def is_gone(owner: str) -> bool:
    """True only if the owner surely died: same seat, and its process is no more. False if in doubt."""
    parts = owner.split(":")
    if len(parts) != 4 or parts[0] != seat() or not parts[1].isdigit() or not PROC.is_dir():
        return False
    pid, started = int(parts[1]), parts[2]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(started) and start_time(pid) != started
