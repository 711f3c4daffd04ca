"""One line of `spresso doctor`'s report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from spresso_assets.errors import SpressoError


class Level(Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True)
class Finding:
    """What was found about something, what to do, and a code for scripts and runbooks."""

    level: Level
    about: str
    message: str
    hint: str = ""
    code: str = ""

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "level": self.level.value.lower(),
            "about": self.about,
            "message": self.message,
            "hint": self.hint,
            "code": self.code,
        }


def problem(about: str, error: SpressoError) -> Finding:
    """An error that a check met is what it found."""
    return Finding(Level.PROBLEM, about, error.message, error.hint, error.code)
