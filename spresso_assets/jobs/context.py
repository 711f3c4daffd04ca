"""What tasks share: the codec, loaded once and only when needed; the probing children; where the time went."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spresso_assets.codec.bitstream import EntropyModel
from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.jobs.faults import about_the_model
from spresso_assets.jobs.queue import LEASE_S
from spresso_assets.jobs.sandbox import ProbePool, ProbeResult

Audio = NDArray[np.float32]
BATCH_S = 120.0


class Codec(Protocol):
    """The part of `codec.codec.SPresso` that jobs use."""

    weights_sha256: str

    def encode_many(
        self, sounds: Sequence[tuple[Audio, int]], point: str, channel_mode: str = "mono"
    ) -> list[bytes]: ...


class Prober(Protocol):
    """Looks at files; one result or error per path, in order."""

    def probe_many(self, paths: Sequence[Path]) -> list[ProbeResult | SpressoError]: ...

    def close(self) -> None: ...


class Timings:
    """Seconds by activity, added up over all tasks of a run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float) -> None:
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)


class TaskContext:
    """Made once per worker process.

    Args:
        load_codec: makes the codec on first use, for example ``lambda: SPresso.load(bundle)``.
        prober: what probes files; None starts limited child processes on first use.
        probe_workers: number of such children.
        batch_s: most seconds of sound that go through the network at once, padding included.
        lease_s: time after which others may take a job over if this process hangs.
        load_entropy: reads weights hash and entropy tables of the codec without the codec, see `bundle.read_entropy`.
    """

    def __init__(
        self,
        load_codec: Callable[[], Codec] | None = None,
        prober: Prober | None = None,
        probe_workers: int = 1,
        batch_s: float = BATCH_S,
        lease_s: float = LEASE_S,
        load_entropy: Callable[[], tuple[str, EntropyModel]] | None = None,
    ) -> None:
        self.timings = Timings()
        self.batch_s, self.lease_s = batch_s, lease_s
        self._load_codec, self._load_entropy = load_codec, load_entropy
        self._entropy: tuple[str, EntropyModel] | None = None
        self._codec: Codec | None = None
        self._prober = prober
        self._probe_workers = probe_workers
        self._lock = threading.Lock()

    @property
    def can_encode(self) -> bool:
        return self._load_codec is not None

    @property
    def loaded(self) -> Codec | None:
        """The codec if it is there already."""
        return self._codec

    def codec(self) -> Codec:
        """The codec; the first call loads it.

        Raises:
            SpressoError: whatever loading raises, for example ``model_missing``.
        """
        with self._lock:
            if self._codec is None:
                assert self._load_codec is not None, "this worker was made without a codec"
                try:
                    with self.timings.measure("load_model"):
                        self._codec = self._load_codec()
                except SpressoError as error:
                    raise about_the_model(error) from error
            return self._codec

    def entropy(self) -> tuple[str, EntropyModel]:
        """Weights hash and entropy tables: what cutting and checking streams needs. Loads no network if it can.

        Raises:
            SpressoError: as `codec`; ``no_codec`` if this worker was made without any.
        """
        if self._entropy is None:
            if self._codec is None and self._load_entropy is not None:
                try:
                    self._entropy = self._load_entropy()
                except SpressoError as error:
                    raise about_the_model(error) from error
            elif self._load_codec is not None:
                codec = self.codec()
                self._entropy = codec.weights_sha256, getattr(codec, "entropy", {})
            else:
                raise SpressoError(
                    "This worker knows no model bundle, so it cannot read streams",
                    code="no_codec",
                    hint="Name one with --bundle",
                    exit_code=ExitCode.MODEL_MISSING,
                    kind=FaultKind.ENVIRONMENT,
                )
        return self._entropy

    def prober(self) -> Prober:
        with self._lock:
            if self._prober is None:
                self._prober = ProbePool(self._probe_workers)
            return self._prober

    def close(self) -> None:
        """Stop the probing children."""
        with self._lock:
            if self._prober is not None:
                self._prober.close()
                self._prober = None

    def __enter__(self) -> "TaskContext":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
