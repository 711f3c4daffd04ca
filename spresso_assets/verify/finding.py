"""What a check found: how bad, about what, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    ERROR = "error"  # something that was kept is lost or wrong
    WARNING = "warning"  # something is not as it should be, nothing is lost
    INFO = "info"  # worth knowing


@dataclass(frozen=True)
class Finding:
    """One fact that a person, or `repair`, may act upon.

    Args:
        code: stable, see docs/reference/errors.md.
        about: a path, or the sound's id and profile.
        asset_id: row id of the sound, for repairs.
        rendition_id: row id of the rendition, for repairs.
    """

    severity: Severity
    code: str
    about: str
    message: str
    hint: str = ""
    asset_id: int | None = None
    rendition_id: int | None = None

    @property
    def counts(self) -> bool:
        """Whether it makes a verification fail."""
        return self.severity is not Severity.INFO

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {key: value for key, value in asdict(self).items() if key not in ("asset_id", "rendition_id")}


def error(code: str, about: str, message: str, hint: str = "", **ids: int | None) -> Finding:
    return Finding(Severity.ERROR, code, about, message, hint, **ids)


def warning(code: str, about: str, message: str, hint: str = "", **ids: int | None) -> Finding:
    return Finding(Severity.WARNING, code, about, message, hint, **ids)


def info(code: str, about: str, message: str, hint: str = "", **ids: int | None) -> Finding:
    return Finding(Severity.INFO, code, about, message, hint, **ids)
