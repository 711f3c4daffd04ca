"""Takes without a catalog, and a decoder that gives a known sound in blocks of any size, as far as it is let."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugin_bridge.render.renderer import Renderer
from plugin_bridge.render.takes import Take, TakeParams, form_of
from plugin_bridge.settings import BridgeSettings
from spresso_assets.errors import SpressoError

PATIENCE_S = 30.0


def a_take(
    seed: int = 0,
    frames: int = 1000,
    channels: int = 1,
    own_rate: int = 48_000,
    quality: str = "default",
    **form: Any,
) -> Take:
    """A take of a sound that only `FakeDecoder` knows."""
    return Take(
        asset_uid=f"{seed:032x}",
        name="Door",
        profile="2.5kbps",
        model="fake",
        weights_sha256="ab" * 32,
        seed=seed,
        quality=quality,
        payload=b"payload",
        fields={"fx_name": "Door", "cat_id": "DOORWood"},
        **form_of(TakeParams(**form), own_rate, channels, frames),
    )


def samples_of(take: Take) -> NDArray[np.float32]:
    """What the decoder gives for a take: float32 [C, N], other noise for every seed."""
    rng = np.random.default_rng(take.seed)
    return rng.uniform(-0.5, 0.5, (take.source_channels, take.source_frames)).astype(np.float32)


class FakeDecoder:
    """Gives `samples_of`, in blocks of the given sizes, over and over.

    Attributes:
        begun: seeds in the order in which their decodes began.
        given: seeds of the blocks in the order in which they were given.
    """

    is_ready = True

    def __init__(self, sizes: Sequence[int] = (1 << 16,), *, gated: bool = False) -> None:
        self._sizes = sizes
        self._gate = threading.Semaphore(0) if gated else None
        self.begun: list[int] = []
        self.given: list[int] = []
        self.fault: Exception | None = None

    def prepare(self) -> None:
        pass

    def let(self, blocks: int = 1) -> None:
        """Let so many more blocks be decoded."""
        assert self._gate is not None
        self._gate.release(blocks)

    def blocks(self, take: Take, between: Callable[[], None]) -> Iterator[NDArray[np.float32]]:
        self.begun.append(take.seed)
        sound, at, n = samples_of(take), 0, 0
        while at < take.source_frames:
            if self._gate is not None:
                assert self._gate.acquire(timeout=PATIENCE_S), "the test let no more blocks through"
            if self.fault is not None:
                raise self.fault
            size = self._sizes[n % len(self._sizes)]
            self.given.append(take.seed)
            yield sound[:, at : at + size]
            at, n = at + size, n + 1


def a_renderer(folder: Path, decoder: Any, **settings: Any) -> Renderer:
    """A renderer without a catalog."""
    made = BridgeSettings.model_validate({"cache_dir": folder / "cache", "state_dir": folder / "state", **settings})
    return Renderer(made, None, lambda: None, decoder=decoder)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.001)


async def code_of(task: asyncio.Task[Any]) -> str:
    """The code of the error that a task ends with."""
    try:
        await asyncio.wait_for(task, PATIENCE_S)
    except SpressoError as error:
        return error.code
    return ""
