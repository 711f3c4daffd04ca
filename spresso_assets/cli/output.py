"""What a verb says and where: data on stdout, everything else on stderr, one JSON envelope for all verbs.

`--json` prints one document, `--jsonl` one document per item and then a summary:

    {"ok": true, "command": "search", "schema": 1, "data": [...], "warnings": [...]}
    {"ok": false, "command": "show", "schema": 1, "error": {"code": ..., "message": ..., "hint": ..., "details": {}}}

`ok` is true exactly when the exit code is 0. A command that worked for some items only (exit code 3) has both `data`
and `failures`, a list of errors with the path of the item.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NoReturn, Protocol

import typer

from spresso_assets.cli import format
from spresso_assets.errors import ExitCode, SpressoError

SCHEMA = 1


class Mode(StrEnum):
    """How data leaves the command."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


class Progress(Protocol):
    """A progress bar; silent when stderr is not a terminal."""

    def update(self, done: float, total: float | None = None, note: str = "", label: str = "") -> None:
        """Show `done` of `total` units; `note` is a short word about the item in work, each `label` gets a bar."""


class _NoProgress:
    def update(self, done: float, total: float | None = None, note: str = "", label: str = "") -> None:
        pass


class Output:
    """Collects warnings and failures of one command and prints its result in the asked form."""

    def __init__(self, mode: Mode = Mode.TEXT, *, quiet: bool = False) -> None:
        self.mode = mode
        self.quiet = quiet
        self.command = "spresso"
        self.warnings: list[str] = []
        self.failures: list[dict[str, Any]] = []

    def note(self, message: str) -> None:
        """Tell the person at the terminal something that is not data; hidden by `--quiet` and in JSON modes."""
        if not self.quiet and self.mode is Mode.TEXT:
            self._stderr(message)

    def live(self, line: str = "") -> None:
        """Text that is part of the result and is shown as it comes; left out in JSON modes, which have the data."""
        if self.mode is Mode.TEXT:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def warn(self, message: str) -> None:
        """Something the person should know although the command goes on."""
        self.warnings.append(message)
        self._stderr(f"warning: {message}")

    def failure(self, path: str, error: SpressoError) -> None:
        """One item failed; the rest goes on. One clear line: path, code, what happened, what to do."""
        self.failures.append({"path": path, **error_record(error)})
        self._stderr(f"{path}: {sentence(error)}")

    def result(
        self, data: Any, text: Callable[[], Sequence[str]] | None = None, *, exit_code: ExitCode = ExitCode.OK
    ) -> None:
        """Print the result and end the command.

        Args:
            data: JSON-able result; a list of items for verbs that list something.
            text: makes the lines that are printed without `--json`; called only then.
            exit_code: raised to PARTIAL when there were failures.
        """
        if self.failures and exit_code is ExitCode.OK:
            exit_code = ExitCode.PARTIAL
        ok = exit_code is ExitCode.OK
        head: dict[str, Any] = {"ok": ok, "command": self.command, "schema": SCHEMA}
        tail: dict[str, Any] = {"warnings": self.warnings}
        if self.failures:
            tail["failures"] = self.failures
        if self.mode is Mode.JSON:
            self.document({**head, "data": data, **tail}, indent=2)
        elif self.mode is Mode.JSONL:
            items = data if isinstance(data, list) else [data]
            for item in items:
                self.document(item)
            self.document({"summary": {**head, "items": len(items), "exit_code": int(exit_code), **tail}})
        elif text is not None:
            for line in text():
                sys.stdout.write(line + "\n")
        if not ok:
            raise typer.Exit(int(exit_code))

    def error(self, error: SpressoError) -> int:
        """Print the error that ended the command; returns its exit code."""
        who = "spresso" if self.command == "spresso" else f"spresso {self.command}"
        self._stderr(f"{who}: {sentence(error)}")
        if self.mode is not Mode.TEXT:
            record = error_record(error)
            body: dict[str, Any] = {"ok": False, "command": self.command, "schema": SCHEMA, "error": record}
            self.document({**body, "warnings": self.warnings}, indent=2 if self.mode is Mode.JSON else None)
        return int(error.exit_code)

    @contextmanager
    def progress(self, label: str, unit: str) -> Iterator[Progress]:
        """A bar on stderr with rate and remaining time; nothing when stderr is not a terminal or `--quiet`."""
        if self.quiet or not sys.stderr.isatty():
            yield _NoProgress()
            return
        from spresso_assets.cli.progress import bars

        with bars(label, unit) as shown:
            yield shown

    def document(self, document: Any, indent: int | None = None) -> None:
        """Print one JSON document, on one line if `indent` is None."""
        sys.stdout.write(json.dumps(document, indent=indent, default=str) + "\n")

    def _stderr(self, line: str) -> None:
        sys.stderr.write(format.printable(line) + "\n")
        sys.stderr.flush()


def sentence(error: SpressoError) -> str:
    """One line: code, what happened, what to do."""
    parts = [part.rstrip(". ") for part in (error.message, error.hint) if part]
    return f"{error.code}: {'. '.join(parts)}."


def error_record(error: SpressoError) -> dict[str, Any]:
    """The JSON form of an error."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details}


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that a person may regret; `--yes` skips it, no terminal to ask on is an error.

    Raises:
        SpressoError: `not_confirmed` when the answer is no, or nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        refuse(f"{question} Nobody to ask here.", "Say --yes if you are sure.")
    if not typer.confirm(question, err=True):
        refuse("Nothing was changed", "")


def refuse(message: str, hint: str) -> NoReturn:
    """End the command because a person did not agree."""
    raise SpressoError(message, code="not_confirmed", hint=hint, exit_code=ExitCode.FAILED)


def stop_on_broken_pipe() -> None:
    """Let `spresso ... | head` end quietly: the reader is gone, so there is nobody to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
