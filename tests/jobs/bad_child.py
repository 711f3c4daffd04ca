"""A probing child that misbehaves on command: the file's name says how."""

import os
import signal
import threading

from spresso_assets.jobs import probe_child

honest = probe_child.answer


def answer(request: dict[str, str]) -> dict[str, object]:
    name = os.path.basename(request["path"])
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("hang"):
        threading.Event().wait()
    if name.startswith("eat"):
        from spresso_assets.audio import probe

        probe.probe = lambda *_, **__: bytearray(8 << 30)  # type: ignore[assignment]
    return honest(request)


probe_child.answer = answer  # type: ignore[assignment]
probe_child.main()
