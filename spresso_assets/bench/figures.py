"""What a benchmark found: a number, its unit, and what it should have been."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Tell = Callable[[str], None]  # one line about what is being measured now


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: what was measured, in words.
        unit: of ``value``; '' for a ratio.
        at_most, at_least: the target; None where there is none.
        facts: whatever else somebody needs who wants to measure the same.
    """

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "target": self.target or None,
            "met": self.met,
            **self.facts,
        }
