"""Who turns payloads into samples: the model in this process, or workers elsewhere."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plugin_bridge.render.takes import Take
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.jobs.deliver import Waiting

PATIENCE_S = 5.0  # for a worker to appear, before a request is refused
BLOCK_FRAMES = 1 << 16
WARM_FRAMES = 9600

Blocks = Iterator[NDArray[np.float32]]


class Decoder(Protocol):
    """Gives the samples of takes, as they come out of the codec."""

    @property
    def is_ready(self) -> bool:
        """Whether nothing needs to be prepared."""
        ...

    def prepare(self) -> None:
        """Do now what would make the first sound late; blocks. Failures are raised, and may be tried again."""
        ...

    def blocks(self, take: Take, between: Callable[[], None]) -> Blocks:
        """Float32 blocks [C, n] of ``take.whole()``, made as they are asked for.

        Args:
            between: called between the steps of a block, as often as can be. It raises when the sound is not wanted
                any more, and takes its time when something else is more urgent.
        """
        ...


class LocalDecoder:
    """The model, loaded once into this process.

    Args:
        load_codec: see `codec.bundle.load_bundle`.
        threads: decodes at a time; they share the processor cores.
    """

    def __init__(self, load_codec: Callable[[], Any], threads: int = 1) -> None:
        self._load_codec, self._threads = load_codec, threads
        self._lock = threading.Lock()
        self._codec: Any = None
        self._here = threading.local()  # what is decoded by each thread

    def codec(self) -> Any:
        """The model, loaded on first use; a failure is tried again by whoever asks next.

        Raises:
            SpressoError: as `codec.bundle.load_bundle`.
        """
        with self._lock:
            if self._codec is None:
                codec = self._load_codec()
                self._watch(codec)
                self._warm_up(codec)
                self._codec = codec
            return self._codec

    @property
    def is_ready(self) -> bool:
        return self._codec is not None

    def prepare(self) -> None:
        self.codec()

    def blocks(self, take: Take, between: Callable[[], None]) -> Blocks:
        codec = self.codec()
        self._share_cores()
        made = codec.decode_stream(take.payload, seed=take.seed, quality=take.quality)
        while True:
            former, self._here.between = getattr(self._here, "between", None), between
            try:
                block = next(made, None)
            finally:
                self._here.between = former
            if block is None:
                return
            yield block

    def _watch(self, codec: Any) -> None:
        """Let `between` be called before every evaluation of the network: a short sound is one block of many.

        A forward hook, since the codec knows nothing of queues. Whatever is decoded inside of it runs the same
        modules again, which keep no state between their calls.
        """
        networks = codec.networks
        for module in {networks.transformer, *([networks.student] if networks.config.student else ())}:
            module.register_forward_pre_hook(self._step)

    def _step(self, module: Any, args: Any) -> None:
        if (between := getattr(self._here, "between", None)) is not None:
            between()

    def _warm_up(self, codec: Any) -> None:
        """Decode a little of nothing: the first decode of each quality sets up what the later ones find."""
        noise = np.random.default_rng(0).normal(0, 0.1, (1, WARM_FRAMES)).astype(np.float32)
        payload = codec.encode(noise, 48_000, codec.config.rates[0])
        for quality in ("preview", "default"):
            codec.decode(payload, quality=quality)

    def _share_cores(self) -> None:
        """Several decodes at once get a part of the cores each; who set a number of threads has decided already."""
        if "OMP_NUM_THREADS" in os.environ:
            return
        import torch

        from spresso_assets.jobs.cores import usable_cores

        torch.set_num_threads(max(1, usable_cores() // self._threads))


class WorkersDecoder:
    """Workers that decode for everybody, asked through the catalog.

    Args:
        wake_workers: called after a decode was asked for, so that they look at once.
    """

    def __init__(self, catalog: Catalog, wake_workers: Callable[[], Any]) -> None:
        self._catalog, self._wake_workers = catalog, wake_workers

    is_ready = True

    def prepare(self) -> None:
        """Nothing: workers load their models themselves."""

    def blocks(self, take: Take, between: Callable[[], None]) -> Blocks:
        import soundfile

        from spresso_assets.jobs.deliver import request_decode, wait_for_delivery

        request = request_decode(
            self._catalog,
            take.asset_uid,
            profile=take.profile,
            seed=take.seed,
            quality=take.quality,
            format="wav32",
            trigger="api",
        )
        if request.job_uid:
            self._wake_workers()
        began = time.monotonic()

        def look(waiting: Waiting) -> None:
            between()
            if waiting.hindrance and time.monotonic() - began > PATIENCE_S:
                raise SpressoError(
                    f"no worker decodes: {waiting.hindrance}",
                    code="no_decode_worker",
                    hint="Start one, or let the bridge decode itself: spresso serve --decode local.",
                    exit_code=ExitCode.FAILED,
                    kind=FaultKind.RETRYABLE,
                    details={"retry_after_s": 10},
                )

        delivery = wait_for_delivery(self._catalog, request, on_waiting=look)
        with soundfile.SoundFile(io.BytesIO(delivery.content)) as sound:
            for block in sound.blocks(BLOCK_FRAMES, dtype="float32", always_2d=True):
                yield block.T
