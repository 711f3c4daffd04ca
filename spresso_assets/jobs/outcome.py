"""How a job ended, as runners count it and users see it."""

from dataclasses import dataclass
from typing import Any

from spresso_assets.errors import SpressoError


@dataclass(frozen=True)
class Outcome:
    """One job's end.

    Attributes:
        status: ``succeeded``; ``failed``; ``queued`` (will be tried again); ``cancelled``; ``skipped`` (was not
            waiting any more, or another worker took over: nothing was written).
        what: for ``succeeded``: new, linked, moved, unchanged, replaced (probe), encoded, already (encode).
        path: of the file that was read.
        seconds: of sound.
        payload_bytes: that an encode made.
    """

    uid: str
    kind: str
    status: str
    what: str = ""
    path: str = ""
    asset_uid: str = ""
    seconds: float = 0.0
    payload_bytes: int = 0
    error: SpressoError | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        shown = {name: value for name, value in vars(self).items() if name != "error" and value not in ("", 0, 0.0)}
        if self.error is not None:
            shown["error"] = {"code": self.error.code, "message": self.error.message, "hint": self.error.hint}
        return shown
