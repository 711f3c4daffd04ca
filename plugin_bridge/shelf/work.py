"""Answers of the bridge without stopping the window: a job runs in a thread, what follows it in the window's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Signal

from plugin_bridge.clients.bridge_client import BridgeError

T = TypeVar("T")


class Work(QObject):
    """Runs jobs that ask the bridge."""

    _over = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._over.connect(self._deliver)

    def run(
        self,
        job: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[BridgeError], None] = lambda error: None,
    ) -> None:
        """Call `job` in a thread, then `then` with its answer, or `failed`, in the window's thread.

        The thread ends with the program: nobody waits for a decode when the window is closed.
        """

        def runs() -> None:
            follow: Callable[[Any], None]
            answer: Any
            try:
                follow, answer = then, job()
            except BridgeError as error:
                follow, answer = failed, error
            except OSError as error:
                follow, answer = (
                    failed,
                    BridgeError(f"cannot write: {error.strerror}", "cannot_write", "Is there room on the disk?"),
                )
            self._over.emit(follow, answer)

        threading.Thread(target=runs, daemon=True).start()

    def _deliver(self, follow: Callable[[Any], None], answer: Any) -> None:
        follow(answer)
