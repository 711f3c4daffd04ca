"""What one scan found: counts of everything, and the first paths of each kind for people to see."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.ingest.scan import Problem

# A report of a million new files must not hold a million paths.
MOST_PATHS = 1000


@dataclass
class Report:
    """What one reconcile found; `record` is its JSON form.

    Attributes:
        root: the root's name.
        quick: folders that had not changed were taken as they were.
        resumed: it went on where an interrupted scan had stopped; `paths` then lack what that one had written already.
        counts: how many files, by kind. `waiting` were known and are not read yet, `queued` of them have their job,
            `ready` is how many may be read now, `listed` and `skipped` are folders.
        new, changed, moved, back, missing, ignored, unreadable, settling: the first paths of each kind. `ignored` are
            files that were taken once and are left out by the patterns now.
        wait_s: when something is settling: look again after this many seconds.
    """

    root: str
    dry_run: bool = False
    quick: bool = False
    resumed: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    settling: list[tuple[str, str]] = field(default_factory=list)
    wait_s: float = 0.0
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: str, *paths: Any) -> None:
        """Count paths of a kind, and keep them while they are few."""
        self.counts[kind] += len(paths)
        kept: list[Any] = getattr(self, kind)
        kept += paths[: MOST_PATHS - len(kept)]

    def complain(self, problem: Problem) -> None:
        """Note a path that cannot be taken."""
        self.counts["problems"] += 1
        if len(self.problems) < MOST_PATHS:
            self.problems.append(problem)

    @property
    def unchanged(self) -> int:
        return self.counts["unchanged"]

    @property
    def waiting(self) -> int:
        return self.counts["waiting"]

    @property
    def still_missing(self) -> int:
        return self.counts["still_missing"]

    @property
    def ready(self) -> int:
        return self.counts["ready"]

    def follow(self, later: Report) -> None:
        """Take over what a later look at the same place found about the files that were still settling."""
        self.settling, self.wait_s = later.settling, later.wait_s
        self.counts["settling"] = later.counts["settling"]
        self.counts["ready"] += later.ready

    def found_something(self) -> bool:
        """Whether anything differs from what the catalog knew."""
        kinds = ("new", "changed", "moved", "back", "missing", "ignored", "ready", "problems")
        return any(self.counts[kind] for kind in kinds)

    def record(self) -> dict[str, Any]:
        """Counts first, then the first paths of each kind that a person may want to see."""
        kinds = ("unchanged", "waiting", "new", "changed", "moved", "back", "missing", "still_missing", "ignored")
        return {
            "root": self.root,
            "dry_run": self.dry_run,
            "quick": self.quick,
            "resumed": self.resumed,
            **{kind: self.counts[kind] for kind in (*kinds, "unreadable", "settling", "ready", "listed", "skipped")},
            "left_out": dict(self.left_out),
            "paths": {
                "new": self.new,
                "changed": self.changed,
                "moved": [list(pair) for pair in self.moved],
                "back": self.back,
                "missing": self.missing,
                "ignored": self.ignored,
                "unreadable": self.unreadable,
                "settling": [list(pair) for pair in self.settling],
            },
        }

    def to_summary(self) -> dict[str, Any]:
        """What a stored run keeps, so that whoever resumes it can go on counting."""
        problems = [
            [problem.rel_path.encode("utf-8", "surrogateescape").hex(), problem.error.code, problem.error.message,
             problem.error.hint, problem.error.kind.value]
            for problem in self.problems[:100]
        ]  # fmt: skip
        return {"counts": dict(self.counts), "left_out": dict(self.left_out), "problems": problems}

    def take_summary(self, summary: dict[str, Any]) -> None:
        """Go on from what an interrupted run had counted."""
        self.counts.update(summary.get("counts", {}))
        self.left_out.update(summary.get("left_out", {}))
        for path, code, message, hint, kind in summary.get("problems", []):
            rel_path = bytes.fromhex(path).decode("utf-8", "surrogateescape")
            self.problems.append(Problem(rel_path, SpressoError(message, code=code, hint=hint, kind=FaultKind(kind))))
