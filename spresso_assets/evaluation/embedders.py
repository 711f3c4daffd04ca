"""Embeddings by which sets of sounds are compared: one made by hand, and learned ones from files on this machine.

Nothing is downloaded. Figures of different embedders, or of one embedder with other weights, do not compare.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.resample import resample
from spresso_assets.codec.config import SAMPLE_RATE
from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.evaluation.embedding import DIMENSIONS, Embedding, Whitening, embed

Mono = NDArray[np.float32]


class Embedder(Protocol):
    """What turns a sound into vectors.

    Attributes:
        name: in records and tables.
        width: entries of a vector.
        whitened: entries have units of their own, so that distances need `Whitening` by the reference set first.
    """

    name: str
    width: int
    whitened: bool

    def __call__(self, x_N: Mono) -> Embedding:
        """Mono at 48 kHz -> [W, width], W >= 1 windows."""
        ...


class HandMade:
    """`embedding.embed`: needs nothing."""

    name = "hand-made"
    width = DIMENSIONS
    whitened = True

    def __call__(self, x_N: Mono) -> Embedding:
        """As `Embedder`."""
        return embed(x_N)


class YamNet:
    """YAMNet's 1024 values before its last layer, 0.975 s every half of that, mono 16 kHz (0.125 to 7.5 kHz).

    Reads the TFLite file of the classifier (one waveform of 15,600 samples in, 521 scores out).
    """

    name = "yamnet"
    width = 1024
    whitened = False
    RATE, WINDOW, HOP = 16_000, 15_600, 7_800

    def __init__(self, file: Path) -> None:
        """Open the network.

        Raises:
            SpressoError: ``embedder_missing`` without the file or the interpreter, ``embedder_bad`` for another file.
        """
        if not file.is_file():
            raise missing("yamnet", f"{file} is no file", "Name YAMNet's classifier as a .tflite file.")
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise missing(
                "yamnet",
                "the interpreter is not installed",
                "pip install 'spresso-assets[rivals]', or take 'hand-made'.",
            ) from error
        try:
            with warnings.catch_warnings():
                # The embedding is no output of the file; keeping all tensors of one window costs a few megabytes.
                warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")
                self._net = Interpreter(model_path=str(file), experimental_preserve_all_tensors=True, num_threads=1)
            self._net.allocate_tensors()
            self._input = self._net.get_input_details()[0]["index"]
            self._pooled = next(
                t["index"]
                for t in self._net.get_tensor_details()
                if "average_pool" in t["name"] and t["shape"].tolist() == [1, self.width]
            )
            self._net.resize_tensor_input(self._input, [1, self.WINDOW], strict=True)
        except (ValueError, RuntimeError, StopIteration) as error:
            raise bad("yamnet", file, error) from error

    def __call__(self, x_N: Mono) -> Embedding:
        """As `Embedder`."""
        return np.stack([self.look(w_n)[0] for w_n in windows(x_N, self.RATE, self.WINDOW, self.HOP)])

    def look(self, window_n: Mono) -> tuple[Embedding, Embedding]:
        """15,600 samples at 16 kHz -> (embedding [1024], scores of the classes [521])."""
        self._net.set_tensor(self._input, window_n[None])
        self._net.invoke()
        scores = self._net.get_tensor(self._net.get_output_details()[0]["index"])
        return self._net.get_tensor(self._pooled)[0].astype(np.float64), scores[0].astype(np.float64)


class Clap:
    """CLAP's audio embedding of 512 entries through transformers: 10 s windows every second, mono 48 kHz.

    Reads a local folder in the form of transformers' ``ClapModel``, weights as safetensors.
    """

    name = "clap"
    width = 512
    whitened = False
    WINDOW, HOP = 480_000, 48_000

    def __init__(self, folder: Path) -> None:
        """Load the model.

        Raises:
            SpressoError: ``embedder_missing`` without the folder or transformers, ``embedder_bad`` for another folder.
        """
        if not (folder / "config.json").is_file():
            raise missing("clap", f"{folder} holds no config.json", "Name a folder with a ClapModel of transformers.")
        try:
            from transformers import ClapFeatureExtractor, ClapModel
        except ImportError as error:
            raise missing(
                "clap", "transformers is not installed", "pip install 'spresso-assets[rivals]', or take 'hand-made'."
            ) from error
        try:
            self._features = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
            self._model = ClapModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
            self.width = int(self._model.config.projection_dim)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise bad("clap", folder, error) from error

    def __call__(self, x_N: Mono) -> Embedding:
        """As `Embedder`."""
        import torch

        rows = []
        for window_n in windows(x_N, SAMPLE_RATE, self.WINDOW, self.HOP):
            given: Any = self._features(window_n, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            with torch.inference_mode():
                found = self._model.get_audio_features(**given)
            # Releases of transformers differ in whether the projection comes alone.
            rows.append(getattr(found, "pooler_output", found)[0].double().numpy())
        return np.stack(rows)


EMBEDDERS = ("hand-made", "yamnet", "vggish", "clap")


def open_embedder(name: str, path: Path | None = None) -> Embedder:
    """An embedder by name.

    Args:
        path: file or folder of its weights; not for ``hand-made``.

    Raises:
        SpressoError: ``unknown_embedder``, ``embedder_missing``, ``embedder_bad``.
    """
    if name == "hand-made":
        return HandMade()
    if name not in EMBEDDERS:
        raise SpressoError(
            f"unknown embedder '{name}'",
            code="unknown_embedder",
            hint=f"Known: {', '.join(EMBEDDERS)}.",
            exit_code=ExitCode.USAGE,
        )
    if path is None:
        raise missing(name, "no weights were named", f"Write --embedder {name}=PATH.")
    if name == "vggish":
        from spresso_assets.evaluation.vggish import VGGish

        return VGGish(path)
    return YamNet(path) if name == "yamnet" else Clap(path)


def windows(x_N: Mono, rate: int, window: int, hop: int) -> NDArray[np.float32]:
    """48 kHz mono -> [W, window] at ``rate``; the first window always, others while they are full; zeros at the end."""
    y_N = resample(x_N[None], SAMPLE_RATE, rate)[0]
    count = max(1, 1 + math.floor((len(y_N) - window) / hop))
    y_N = np.pad(y_N, (0, max(0, (count - 1) * hop + window - len(y_N))))
    return np.lib.stride_tricks.sliding_window_view(y_N, window)[::hop][:count].astype(np.float32)


def whitened(embedder: Embedder, decoded_WE: Embedding, reference_WE: Embedding) -> tuple[Embedding, Embedding]:
    """Both sets in the space in which distances of distributions are taken."""
    if not embedder.whitened:
        return decoded_WE, reference_WE
    whiten = Whitening.of(reference_WE)
    return whiten(decoded_WE), whiten(reference_WE)


def standardised(embedder: Embedder, decoded_WE: Embedding, reference_WE: Embedding) -> tuple[Embedding, Embedding]:
    """Both sets in the space in which single sounds are held against each other."""
    if not embedder.whitened:
        return decoded_WE, reference_WE
    scale = Whitening.entrywise(reference_WE)
    return scale(decoded_WE), scale(reference_WE)


def missing(name: str, why: str, hint: str) -> SpressoError:
    """The error for an embedder that lacks its weights or its package."""
    return SpressoError(
        f"the embedder '{name}' cannot be used: {why}",
        code="embedder_missing",
        hint=hint,
        kind=FaultKind.ENVIRONMENT,
    )


def bad(name: str, path: Path, error: Exception) -> SpressoError:
    """The error for weights that are those of something else, or damaged."""
    return SpressoError(
        f"{path} holds no weights of '{name}': {str(error).splitlines()[0] if str(error) else type(error).__name__}",
        code="embedder_bad",
        hint="Name the file or folder that 'spresso evaluate --help' describes.",
        kind=FaultKind.ENVIRONMENT,
    )
