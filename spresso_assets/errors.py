"""Errors that say what happened, why, and what to do, each with a stable code.

Every error that a user can meet is a `SpressoError`. Its `code` is stable (docs and scripts key on it), its
`exit_code` is the process status of the command that met it, and its `kind` tells the job runner what to do next.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any


class ExitCode(IntEnum):
    """Process exit codes of `spresso`, the same with and without `--json`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    NOT_FOUND = 4
    FINDINGS = 5
    CATALOG_MISSING = 10
    CATALOG_LOCKED = 11
    BROKER_UNREACHABLE = 12
    MODEL_MISSING = 13
    ROOT_OFFLINE = 14
    INTERRUPTED = 130


class FaultKind(StrEnum):
    """What a failed job may hope for."""

    RETRYABLE = "retryable"  # the same input may work later: share offline, database busy
    PERMANENT = "permanent"  # this input never works: corrupt, unsupported, empty
    ENVIRONMENT = "environment"  # no input works until a person acts: weights missing, disk full


class SpressoError(Exception):
    """A fault with a stable code, one clear line and a next step.

    Args:
        message: what happened and why, one line, no trailing full stop needed.
        code: stable snake_case identifier, for example ``truncated_file``.
        hint: what the user can do next.
        exit_code: process status if this error ends a command.
        kind: how the job runner treats it.
        details: machine-readable facts for ``--json``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "failed",
        hint: str = "",
        exit_code: ExitCode = ExitCode.FAILED,
        kind: FaultKind = FaultKind.PERMANENT,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.exit_code = exit_code
        self.kind = kind
        self.details = details or {}

    def __str__(self) -> str:
        stop = "" if self.message.endswith((".", "!", "?")) or not self.hint else "."
        return f"{self.code}: {self.message}{stop}" + (f" {self.hint}" if self.hint else "")
