"""Which measured qualities count: those of today's metric. Figures of earlier ones meant something else."""

from typing import Any

METRIC = "mel"  # as `evaluation.judging` measures


def is_measured(rendition: str) -> str:
    """The SQL condition that a rendition, by its name in the statement, has a quality of today's metric."""
    return f"{rendition}.quality->>'metric' = '{METRIC}'"


def measured(quality: dict[str, Any] | None) -> dict[str, Any] | None:
    """What `Rendition.quality` holds, if it is of today's metric."""
    return quality if quality is not None and quality.get("metric") == METRIC else None
