"""What a run tells: ``log.jsonl``, and the same in TensorBoard where that is installed (``pip install ...[train]``)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

LOG = "log.jsonl"
BOARD = "tensorboard"


class Journal:
    """Appends records to ``log.jsonl`` and numbers and sounds to ``tensorboard/``; a context manager.

    Args:
        folder: run folder of a stage.
        step: where the run continues; what an earlier process told of later steps is taken back, as they come again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / LOG
        self._cut(step)
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(folder / BOARD, purge_step=step + 1, max_queue=1000)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def tell(self, step: int, minutes: float, record: dict[str, Any]) -> None:
        """One line; numbers in ``record``, also those one level down (``eval``), become curves."""
        with self.path.open("a", encoding="utf-8") as f:
            f.write(json.dumps({"step": step, "minutes": round(minutes, 3), **record}) + "\n")
        if self._board is not None:
            for name, value in record.items():
                for inner, number in value.items() if isinstance(value, dict) else [("", value)]:
                    self._board.add_scalar(f"{name}/{inner}" if inner else name, number, step)

    def sound(self, step: int, name: str, audio_N: Tensor, sample_rate: int) -> None:
        """A sound to listen to in TensorBoard; peaks above full scale are turned down."""
        if self._board is not None:
            audio_N = audio_N.detach().float().cpu()
            self._board.add_audio(name, audio_N / audio_N.abs().max().clamp_min(1.0), step, sample_rate)

    def _cut(self, step: int) -> None:
        """Drop lines of steps after ``step``, and a last line that a kill cut short."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step(line) <= step]
        if kept != lines:
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            os.replace(temporary, self.path)


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
