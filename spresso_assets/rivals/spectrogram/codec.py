"""The spectrogram-image codec: sound -> image of log-magnitudes -> bytes, and back with a phase made up by `phase`.

Images are at most ten seconds long, so memory does not grow with the sound. The quality of a sound is the best one
that keeps to the bit rate asked for: found by bisection, since costs are known without coding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spresso_assets.codec.entropy import Decoder, Encoder
from spresso_assets.codec.level import gain_steps, linear_gain
from spresso_assets.rivals.interface import Audio, Head, Point, bad_stream, nearest, pack, point_of, unpack
from spresso_assets.rivals.spectrogram.config import (
    FINENESS,
    HYPER_SHRINK,
    NAME,
    PRESETS,
    RANGE_DB,
    SAMPLE_RATE,
    SYSTEM,
    Z_LIMIT,
    SpectrogramConfig,
)
from spresso_assets.rivals.spectrogram.entropy_model import Coded, EntropyModel, build_tables
from spresso_assets.rivals.spectrogram.gabor import Gabor, Real
from spresso_assets.rivals.spectrogram.network import ImageCodec
from spresso_assets.rivals.spectrogram.phase import integrate
from spresso_assets.rivals.weights import fill, load_weights, save_weights

IMAGE_FRAMES = 3776  # a multiple of 64; ten seconds of the preset small
SPARE = 64  # bytes of zeros that a coder may have left out at its end: far more than ever happen
FRONT = 2  # bytes before the coded ones: gain and quality


def magnitudes_to_image(magnitude_TF: Real, gabor: Gabor) -> Real:
    """Magnitudes [T, F + 1] -> pixels [T, F]: 0 is -100 dB, 1 a sine of full scale. The Nyquist bin is left out."""
    full = gabor.taper_W.sum() / 2
    level_TF = 20 * np.log10(np.maximum(magnitude_TF[:, :-1] / full, 1e-9))
    return np.clip(1 + level_TF / RANGE_DB, 0.0, 1.0)


def image_to_magnitudes(image_TF: Real, gabor: Gabor) -> Real:
    """Inverse of `magnitudes_to_image`; black is silence."""
    full = gabor.taper_W.sum() / 2
    level_TF = np.clip(image_TF, 0.0, 1.1)
    magnitude_TF = np.where(level_TF > 0, full * 10 ** ((level_TF - 1) * RANGE_DB / 20), 0.0)
    return np.pad(magnitude_TF, ((0, 0), (0, 1)))


class SpectrogramCodec:
    """Our spectrogram-image codec, from a folder of weights.

    Raises:
        SpressoError: ``rival_missing``.
    """

    name = NAME
    sample_rate = SAMPLE_RATE
    channels = (1,)

    def __init__(self, folder: Path) -> None:
        self.config, tensors = load_weights(folder, NAME, SpectrogramConfig)
        self.network = ImageCodec(self.config)
        unused = {f"network.{k}": t for k, t in self.network.state_dict().items() if _decides_bits(k)}
        fill(self.network, unused | tensors, "network.", folder, NAME)
        self.network.eval()
        self.model = EntropyModel(self.config, tensors)

    def points(self) -> list[Point]:
        """Rates that sounds are made to keep to."""
        return [Point(f"{NAME} {kbps:g} kbps", kbps) for kbps in self.config.kbps]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`; several channels are coded one after the other."""
        point = nearest(self.points(), kbps)
        channels, samples = audio_CN.shape
        head = Head(samples, channels, point)
        if not samples:
            return pack(SYSTEM, head, b"")
        steps = gain_steps(audio_CN)
        latents = [y for signal_N in audio_CN * linear_gain(steps) for y in self._latents(signal_N)]
        budget = 1000 * self.config.kbps[point] * samples / SAMPLE_RATE - 8 * len(pack(SYSTEM, head, bytes(FRONT)))
        low, high = 0, (len(self.config.rates) - 1) * FINENESS
        chosen = self._coded(latents, low)
        while low < high:
            middle = (low + high + 1) // 2
            tried = self._coded(latents, middle)
            if sum(self.model.bits(image) for image in tried) <= budget:
                low, chosen = middle, tried
            else:
                high = middle - 1
        coder = Encoder()
        for image in chosen:
            self.model.encode(coder, image)
        return pack(SYSTEM, head, bytes([steps & 0xFF, low]) + coder.finish())

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        head, body = unpack(data, SYSTEM, NAME)
        point_of(self.points(), head, NAME)
        if not head.samples:
            return np.zeros((head.channels, 0), np.float32)
        if len(body) < FRONT or body[1] > (len(self.config.rates) - 1) * FINENESS:
            raise bad_stream(NAME, "it names a quality that there is not")
        gain = 1 / linear_gain(int.from_bytes(body[:1], "little", signed=True))
        coder, gabor = Decoder(body[FRONT:]), self.config.gabor
        frames = gabor.frames(head.samples)
        signals = []
        for channel in range(head.channels):
            pieces = []
            for start in range(0, frames, IMAGE_FRAMES):
                latents_MTF = self.model.decode(coder, _filled(min(IMAGE_FRAMES, frames - start)))
                if coder.position > len(coder.data) + SPARE:
                    raise bad_stream(NAME, "it holds less than it says")
                pieces.append(self._image(latents_MTF, body[1]))
            magnitude_TF = image_to_magnitudes(np.concatenate(pieces)[:frames], gabor)
            phase_TF = integrate(magnitude_TF, gabor, seed=channel)
            signals.append(gabor.synthesise(magnitude_TF * np.exp(1j * phase_TF), head.samples))
        if not coder.finished():
            raise bad_stream(NAME, "it holds another length than it says")
        return (np.stack(signals) * gain).astype(np.float32)

    @torch.inference_mode()
    def _latents(self, signal_N: Audio) -> list[Tensor]:
        """Latents [M, T, F] of each image of a sound, before any gain."""
        gabor = self.config.gabor
        image_TF = magnitudes_to_image(np.abs(gabor.analyse(signal_N)), gabor)
        found = []
        for start in range(0, len(image_TF), IMAGE_FRAMES):
            piece_TF = image_TF[start : start + IMAGE_FRAMES]
            padded_TF = np.pad(piece_TF, ((0, _filled(len(piece_TF)) - len(piece_TF)), (0, 0)))
            found.append(self.network.analysis(torch.from_numpy(padded_TF).float()[None, None])[0])
        return found

    @torch.inference_mode()
    def _coded(self, latents: list[Tensor], quality: int) -> list[Coded]:
        """Each image at a quality."""
        before, _ = self.network.gains(quality / FINENESS)
        images = []
        for latents_MTF in latents:
            y_MTF = latents_MTF * before
            z_HTF = self.network.hyper_encoder(y_MTF[None])[0].round().clamp(-Z_LIMIT, Z_LIMIT).int().numpy()
            images.append(self.model.coded(y_MTF.double().numpy(), z_HTF))
        return images

    @torch.inference_mode()
    def _image(self, y_MTF: Real, quality: int) -> Real:
        _, after = self.network.gains(quality / FINENESS)
        made: Tensor = self.network.synthesis((torch.from_numpy(y_MTF).float() * after)[None])[0, 0]
        image_TF: Real = made.double().numpy()
        return image_TF


def write_bundle(folder: Path, network: ImageCodec) -> None:
    """A folder of weights that `SpectrogramCodec` opens; what decides bits is fixed here, as whole numbers."""
    state = {f"network.{k}": t for k, t in network.state_dict().items() if not _decides_bits(k)}
    save_weights(folder, NAME, network.cfg, state | build_tables(network))


def write_random_bundle(folder: Path, preset: str = "tiny", seed: int = 0) -> None:
    """Untrained weights: every code path, no quality."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_bundle(folder, ImageCodec(PRESETS[preset]))


def _decides_bits(name: str) -> bool:
    """Parameters of the float network that live on as whole numbers alone."""
    return name.startswith(("hyper_decoder.", "z_"))


def _filled(frames: int) -> int:
    return -(-frames // HYPER_SHRINK) * HYPER_SHRINK
