"""Systems that live in packages of their own: SemantiCodec, Stable Audio's autoencoder, Music2Latent.

Each adapter takes the package's own object, so that what surrounds it can be tried without the package. `load` makes
that object from a local folder; nothing is ever fetched. None of the three was run with its released weights here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.rivals.codes import pack_codes, unpack_codes
from spresso_assets.rivals.interface import Audio, Head, Point, as_long, bad_stream, nearest, pack, point_of, unpack


class SemantiCodec:
    """SemantiCodec (Liu et al. 2024, arXiv:2405.00233): a semantic and an acoustic code per step, 16 kHz, one channel.

    Args:
        engines: the package's object for each token rate (codes per second, both kinds together).
    """

    name = "semanticodec"
    system = 8
    sample_rate = 16_000
    channels = (1,)
    VOCABULARY = 16_384
    BITS = 14  # the acoustic codes, of 8,192, take a bit less: one width for both costs 0.5 bit a code

    def __init__(self, engines: dict[int, Any]) -> None:
        self._engines = dict(sorted(engines.items()))

    @classmethod
    def load(cls, folder: Path) -> SemantiCodec:
        """All three rates, from a folder in the form of a Hugging Face cache.

        Raises:
            SpressoError: ``rival_missing``.
        """
        with _from_package(cls.name, "the package of github.com/haoheliu/SemantiCodec-inference", folder):
            from semanticodec import SemantiCodec as Engine  # type: ignore[import-not-found]

            return cls({rate: Engine(rate, cls.VOCABULARY, cache_path=str(folder)) for rate in (25, 50, 100)})

    def points(self) -> list[Point]:
        """One per token rate."""
        return [Point(f"{self.name} {rate * 13.5 / 1000:.2f} kbps", rate * 13.5 / 1000) for rate in self._engines]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`; the package reads a file, so it gets one."""
        import soundfile

        point = nearest(self.points(), kbps)
        engine = list(self._engines.values())[point]
        head = Head(audio_CN.shape[1], audio_CN.shape[0], point)
        if not head.samples:
            return pack(self.system, head, b"")
        with tempfile.TemporaryDirectory(prefix="spresso-") as folder:
            path = os.path.join(folder, "sound.wav")
            soundfile.write(path, audio_CN.T, self.sample_rate, "FLOAT")
            tokens_F2 = np.asarray(engine.encode(path).cpu())[0]
        frames = len(tokens_F2).to_bytes(4, "little")
        return pack(self.system, head, frames + pack_codes(tokens_F2.astype(np.int64), self.BITS))

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        import torch

        head, body = unpack(data, self.system, self.name)
        point_of(self.points(), head, self.name)
        if not head.samples:
            return np.zeros((head.channels, 0), np.float32)
        engine = list(self._engines.values())[head.point]
        if not (frames := int.from_bytes(body[:4], "little")):
            raise bad_stream(self.name, "it has no codes")
        tokens_F2 = unpack_codes(body[4:], (frames, 2), self.BITS, self.name)
        audio_N = np.asarray(engine.decode(torch.from_numpy(tokens_F2)[None]), np.float32)[0, 0]
        return as_long(audio_N[None], head.samples)


class Continuous:
    """An autoencoder of continuous latents, kept as 16-bit floats: its rate is what such a system costs uncoded."""

    name: str
    system: int
    sample_rate = 44_100
    channels: tuple[int, ...]
    kbps: float

    def points(self) -> list[Point]:
        """The only one."""
        return [Point(f"{self.name} {self.kbps:.1f} kbps", self.kbps)]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`."""
        head = Head(audio_CN.shape[1], audio_CN.shape[0], 0)
        if not head.samples:
            return pack(self.system, head, b"")
        z_BDT = self._latents(audio_CN).astype("<f2")
        sizes = b"".join(size.to_bytes(4, "little") for size in z_BDT.shape)
        return pack(self.system, head, sizes + z_BDT.tobytes())

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        head, body = unpack(data, self.system, self.name)
        point_of(self.points(), head, self.name)
        if not head.samples:
            return np.zeros((head.channels, 0), np.float32)
        shape = tuple(int.from_bytes(body[at : at + 4], "little") for at in (0, 4, 8))
        if len(body) < 12 or len(body) - 12 != 2 * shape[0] * shape[1] * shape[2]:
            raise bad_stream(self.name, "it holds another length than it says")
        z_BDT = np.frombuffer(body, "<f2", offset=12).reshape(shape).astype(np.float32)
        if not np.isfinite(z_BDT).all():
            raise bad_stream(self.name, "its latents are not finite")
        return as_long(self._sound(z_BDT), head.samples)

    def _latents(self, audio_CN: Audio) -> Audio:
        raise NotImplementedError

    def _sound(self, z_BDT: Audio) -> Audio:
        raise NotImplementedError


class StableAudio(Continuous):
    """The autoencoder of Stable Audio Open (arXiv:2407.14358), as diffusers has it: 64 numbers 21.5 times a second.

    Args:
        model: `AutoencoderOobleck`.
    """

    name, system, channels, kbps = "stable-audio", 9, (2,), 64 * 16 * 44_100 / 2048 / 1000

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def load(cls, folder: Path) -> StableAudio:
        """From a folder in the form of diffusers.

        Raises:
            SpressoError: ``rival_missing``.
        """
        with _from_package(cls.name, "pip install diffusers", folder):
            from diffusers import AutoencoderOobleck  # type: ignore[import-not-found]

            return cls(AutoencoderOobleck.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval())

    def _latents(self, audio_CN: Audio) -> Audio:
        import torch

        hop = 2048
        padded = np.pad(audio_CN, ((0, 0), (0, -audio_CN.shape[1] % hop)))
        with torch.inference_mode():
            z: Audio = self._model.encode(torch.from_numpy(padded)[None]).latent_dist.mode().numpy()
        return z

    def _sound(self, z_BDT: Audio) -> Audio:
        import torch

        with torch.inference_mode():
            audio: Audio = self._model.decode(torch.from_numpy(z_BDT)).sample[0].numpy()
        return audio


class Music2Latent(Continuous):
    """Music2Latent (Pasini et al. 2024, arXiv:2408.06500): 64 numbers about 11 times a second.

    Args:
        engine: the package's `EncoderDecoder`.
    """

    name, system, channels, kbps = "music2latent", 10, (1, 2), 64 * 16 * 44_100 / 4096 / 1000

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    @classmethod
    def load(cls, folder: Path) -> Music2Latent:
        """From a folder with the released ``music2latent.pt``.

        Raises:
            SpressoError: ``rival_missing``.
        """
        with _from_package(cls.name, "pip install music2latent", folder):
            from music2latent import EncoderDecoder  # type: ignore[import-not-found]

            return cls(EncoderDecoder(load_path_inference=str(folder / "music2latent.pt")))

    def _latents(self, audio_CN: Audio) -> Audio:
        return np.asarray(self._engine.encode(audio_CN).cpu(), np.float32)

    def _sound(self, z_BDT: Audio) -> Audio:
        import torch

        return np.asarray(self._engine.decode(torch.from_numpy(z_BDT)).cpu(), np.float32)


@contextmanager
def _from_package(name: str, install: str, folder: Path) -> Iterator[None]:
    """Load from a package without the network; says what is missing."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        yield
    except ImportError as error:
        raise SpressoError(
            f"'{name}' needs a package that is not installed",
            code="rival_missing",
            hint=f"Install it: {install}.",
            exit_code=ExitCode.MODEL_MISSING,
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise SpressoError(
            f"{folder} does not hold the weights of '{name}': {error}",
            code="rival_missing",
            hint=f"Download them yourself, and name the folder: --weights {name}=FOLDER.",
            exit_code=ExitCode.MODEL_MISSING,
        ) from error
    finally:
        if before is None:
            os.environ.pop("HF_HUB_OFFLINE", None)
        else:
            os.environ["HF_HUB_OFFLINE"] = before
