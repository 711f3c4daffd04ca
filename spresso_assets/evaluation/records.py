"""Measurements as they are made: one JSON line each, so that a run that is killed goes on where it was."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spresso_assets.errors import FaultKind, SpressoError

Record = dict[str, Any]
Key = tuple[str, str, str, str]


class Records:
    """Records by (sound, method, profile, quality), in memory and, with a path, on disk.

    The first line of the file says what the records are records of (weights, seed, seconds). A line cut by a kill is
    dropped; of two lines with one key the later counts.
    """

    def __init__(self, conditions: dict[str, Any], path: Path | None = None) -> None:
        """Open the file of an earlier run, or begin one.

        Raises:
            SpressoError: ``other_conditions`` if the file was measured under other conditions, ``bad_records`` if it
                is damaged, ``cannot_write``.
        """
        self.conditions = conditions
        self._path = path
        self._known: dict[Key, Record] = {}
        if path is None:
            return
        try:
            if path.exists():
                self._load(path)
            if not path.exists() or not path.stat().st_size:
                self._append({"conditions": conditions})
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _load(self, path: Path) -> None:
        whole, _, cut = path.read_bytes().rpartition(b"\n")
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            known = {key_of(record): record for record in lines[1:]}
        except (ValueError, KeyError, TypeError) as error:
            raise SpressoError(
                f"{path} is damaged: {error!r}", code="bad_records", hint="Delete it to measure again."
            ) from error
        if lines and lines[0].get("conditions") != self.conditions:
            raise SpressoError(
                f"{path} holds measurements of another bundle, seed, length or number of threads",
                code="other_conditions",
                hint="Name another --out folder, or move the old one away.",
                details={"there": lines[0].get("conditions"), "asked": self.conditions},
            )
        if cut:
            with path.open("r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        self._known = known

    def get(self, key: Key) -> Record | None:
        """The record of a key, if it was made."""
        return self._known.get(key)

    def add(self, record: Record) -> None:
        """Keep a record; on disk before this returns."""
        self._known[key_of(record)] = record
        if self._path is not None:
            self._append(record)

    def all(self) -> list[Record]:
        """Every record, in the order in which they were first made."""
        return list(self._known.values())

    def _append(self, document: Record) -> None:
        assert self._path is not None
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(document, allow_nan=False) + "\n")
        except OSError as error:
            raise _cannot_write(self._path, error) from error


def key_of(record: Record) -> Key:
    """What a record is a record of."""
    return (record["sound"], record["method"], record["profile"], record["quality"])


def finite(values: dict[str, float]) -> dict[str, float | None]:
    """Figures as JSON knows them: rounded to six digits, None for what is not defined."""
    return {name: round(value, 6) if math.isfinite(value) else None for name, value in values.items()}


def packed(x_WE: NDArray[np.float64]) -> str:
    """An embedding as text: float16, base64."""
    return base64.b64encode(x_WE.astype("<f2").tobytes()).decode()


def unpacked(text: str, width: int) -> NDArray[np.float64]:
    """Inverse of `packed`."""
    return np.frombuffer(base64.b64decode(text), "<f2").reshape(-1, width).astype(np.float64)


def _cannot_write(path: Path, error: OSError) -> SpressoError:
    return SpressoError(
        f"{path} cannot be written: {error.strerror or error}",
        code="cannot_write",
        hint="Check that the folder may be written to and is not full.",
        kind=FaultKind.ENVIRONMENT,
    )
