"""The child that decodes untrusted files: ``python -m spresso_assets.jobs.probe_child``.

It reads one JSON request per line and answers with one JSON line. A crash in a C library, a decompression bomb or an
endless loop ends this process and costs one file. Sound libraries print to both output streams, so the answers go
to a private copy of standard output, and the public ones lead nowhere.
"""

import base64
import json
import os
import resource
import sys
import threading
import time
from dataclasses import asdict, is_dataclass
from typing import Any

from spresso_assets.errors import FaultKind, SpressoError

MEMORY_BYTES = 2 << 30
OPEN_FILES = 64


def limit_this_process(memory_bytes: int = MEMORY_BYTES) -> None:
    """No more memory than given, no writing of files, no core dumps."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def leave_with_the_parent(parent: int, every_s: float = 1.0) -> None:
    """End this process soon after its parent was killed, even in the middle of a file."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every_s)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Probe one file; errors are answers too."""
    from spresso_assets.audio.probe import probe

    try:
        return {"probe": encoded(asdict(probe(request["path"], allow_truncated=False)))}
    except SpressoError as error:
        return {
            "error": {
                "message": error.message,
                "code": error.code,
                "hint": error.hint,
                "kind": error.kind.value,
            }
        }
    except MemoryError:
        return {
            "error": {
                "message": f"{os.path.basename(request['path'])} needs more memory than a probe may take",
                "code": "too_much_memory",
                "hint": "It may be damaged, or a decompression bomb; split it if it is a real recording",
                "kind": FaultKind.PERMANENT.value,
            }
        }


def encoded(value: Any) -> Any:
    """JSON-able copy: bytes become ``{"b64": …}``, and file-name bytes that are not UTF-8 stay as they are."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {key: encoded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return encoded(asdict(value))
    return value


def main() -> None:
    parent = int(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    leave_with_the_parent(parent)

    limit_this_process()
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
