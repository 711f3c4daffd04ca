"""Which sounds lie on which slot: 128 places that instruments, patches and scripts play by number.

The server owns the table, so that a pad in a plugin, a Pd patch and a script mean the same sounds by "slot 3".
"""

import json
import logging
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from plugin_bridge.paths import write_private
from spresso_assets.errors import ExitCode, SpressoError

SLOTS = 128  # as many as there are MIDI notes
MAX_SOUNDS = 64
MAX_VARIATIONS = 32

log = logging.getLogger("spresso.bridge")

Uid = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Slot(BaseModel):
    """Sounds and how many variations of each a slot plays.

    Attributes:
        ids: uids of the sounds, in order.
        variations: of each sound; the k-th is decoded with the sound's own seed plus k.
        q: quality of decoding.
        profile: None takes the best that each sound has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[Uid, ...] = Field(min_length=1, max_length=MAX_SOUNDS)
    variations: int = Field(4, ge=1, le=MAX_VARIATIONS)
    q: Literal["preview", "default", "paper"] = "default"
    profile: str | None = Field(None, max_length=100)

    def takes(self) -> list[tuple[str, int]]:
        """(uid, variation) of every take, sound by sound; their order is the number ``take`` of a request."""
        return [(uid, variation) for uid in self.ids for variation in range(self.variations)]


_TABLE = TypeAdapter(dict[Annotated[int, Field(ge=0, lt=SLOTS)], Slot])


class Slots:
    """The table, in memory and in a file that only its owner may read. Threads may share it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._table = self._load()

    def all(self) -> dict[int, Slot]:
        """Slots that hold something, by number."""
        with self._lock:
            return dict(sorted(self._table.items()))

    def get(self, number: int) -> Slot:
        """One slot.

        Raises:
            SpressoError: ``empty_slot`` (exit 4).
        """
        with self._lock:
            slot = self._table.get(number)
        if slot is None:
            raise SpressoError(
                f"nothing lies on slot {number}",
                code="empty_slot",
                hint=f'Put sounds on it: PUT /v1/slots/{number} {{"ids": ["3f2a"]}}.',
                exit_code=ExitCode.NOT_FOUND,
            )
        return slot

    def put(self, number: int, slot: Slot) -> None:
        """Put sounds on a slot; it is kept on disk when this returns.

        Raises:
            SpressoError: ``state_not_writable``; the slot then is as it was.
        """
        with self._lock:
            self._save({**self._table, number: slot})

    def clear(self, number: int) -> bool:
        """Empty a slot; returns whether it held anything.

        Raises:
            SpressoError: ``state_not_writable``; the slot then is as it was.
        """
        with self._lock:
            rest = {other: slot for other, slot in self._table.items() if other != number}
            held = number in self._table
            if held:
                self._save(rest)
            return held

    def _save(self, table: dict[int, Slot]) -> None:
        plain = {str(number): slot.model_dump(mode="json") for number, slot in sorted(table.items())}
        write_private(self._file, json.dumps({"slots": plain}, indent=1) + "\n")
        self._table = table

    def _load(self) -> dict[int, Slot]:
        try:
            stored: Any = json.loads(self._file.read_text(encoding="utf-8"))
            return _TABLE.validate_python(stored["slots"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, RecursionError, ValidationError) as error:
            self._set_aside(error)
            return {}

    def _set_aside(self, why: Exception) -> None:
        """Keep what cannot be read, and begin anew: a broken table must not keep the server from starting."""
        reason = why.strerror if isinstance(why, OSError) else "it is no slot table"
        aside = self._file.with_name(f"{self._file.stem}.broken-{time.time_ns()}.json")
        try:
            self._file.rename(aside)
        except OSError as error:
            log.warning("the slots in %s cannot be read (%s); all slots are empty (%s)", self._file, reason, error)
        else:
            log.warning(
                "the slots in %s cannot be read (%s); kept as %s, all slots are empty", self._file, reason, aside
            )
