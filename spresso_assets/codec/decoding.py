"""Tokens to sound: dequantise, sample the latents in blended windows, synthesise, restore level and rate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spresso_assets.codec.bitstream import Payload, SprHeader
from spresso_assets.codec.bitstream_header import stereo_grid
from spresso_assets.codec.blending import solve_in_windows
from spresso_assets.codec.config import HOP, POOLS, RATE_OF_POOL, SAMPLE_RATE
from spresso_assets.codec.diffusion import denoise
from spresso_assets.codec.level import linear_gain
from spresso_assets.codec.networks import Networks
from spresso_assets.codec.noise import LATENT_STREAM, WAVEFORM_STREAM, frame_noise
from spresso_assets.codec.precision import has_fast_bf16
from spresso_assets.codec.resampling import Resampler
from spresso_assets.codec.rolling import Rolling
from spresso_assets.codec.sampling import Solver, dpm_solver_2m, heun, karras_sigmas, one_step
from spresso_assets.codec.stereo import Codes, unpack_codes
from spresso_assets.codec.stereo_filter import Unfolding
from spresso_assets.codec.windows import decode_windows
from spresso_assets.errors import ExitCode, SpressoError

AE_CHUNK_FRAMES = 1000
BATCH_FRAMES = 6000  # latent frames that go through a network at once
# A processor gains nothing from large batches, and whoever listens hears the first window when it is done.
SMALLER_ON_CPU = {"sample": 12, "synthesise": 2}
SILENT_BLOCK = 1 << 16

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """A named way to sample: solver, evaluations, range of noise levels.

    ``start_scale`` shrinks the starting noise: below 1 the result moves from a sample towards the conditional mean.
    """

    solver: Solver
    steps: int
    sigma_min: float
    sigma_max: float
    start_scale: float = 1.0

    def sigmas(self, steps: int | None = None) -> list[float]:
        """Noise levels of so many steps, or of its own number, and 0."""
        return karras_sigmas(steps or self.steps, self.sigma_min, self.sigma_max)


QUALITIES: dict[str, Quality] = {
    # Diffusion only fills in what the sketch leaves open: from sigma = 5 (ten times sigma_data) 8 evaluations do what
    # 16 do from 20. Starting noise at three quarters is the best of both measures on val (docs/codec.md).
    "default": Quality(dpm_solver_2m, 8, 0.02, 5.0, 0.75),
    # Of bundles without a few-step student; with one, that is the preview.
    "preview": Quality(one_step, 1, 20.0, 20.0),
    "paper": Quality(heun, 64, 0.002, 80.0),
}


class SoundDecoder:
    """Tokens -> audio, with the networks of one bundle. Stateless.

    A sound comes out in blocks, and nothing of it is held that is done with: memory does not grow with length.
    """

    def __init__(self, networks: Networks) -> None:
        self.networks = networks

    def stream(
        self, header: SprHeader, tokens: Payload, side: bytes, seed: int, steps: int | None, quality: str
    ) -> Iterator[Audio]:
        """Header, tokens and side section of a stream -> float32 blocks [C, n] at the rate of its source.

        Raises:
            SpressoError: ``no_quantizer``.
        """
        if header.silent or not header.samples:
            for at in range(0, header.samples, SILENT_BLOCK):
                yield np.zeros((header.channels, min(SILENT_BLOCK, header.samples - at)), np.float32)
            return
        rows = tokens if header.channel_mode == "dual" else tokens[None]
        gain = linear_gain(round(header.gain_db * 2))
        length48 = math.ceil(header.samples * SAMPLE_RATE / header.sample_rate)
        signal = self.signal(header, rows, seed, steps, quality)
        if header.channel_mode == "parametric":
            signal = _unfold(signal, unpack_codes(side, *stereo_grid(header.samples, header.sample_rate)))
        resampler = Resampler(1 if header.channel_mode == "mono" else 2, SAMPLE_RATE, header.sample_rate)
        left = header.samples
        for audio_Bn in signal:
            block = resampler.feed(audio_Bn[:, :length48] * gain)[:, :left]
            length48, left = max(0, length48 - audio_Bn.shape[1]), left - block.shape[1]
            if block.shape[1]:
                yield _to_channels(block, header.channels)
        block = resampler.finish()[:, :left]
        if left:  # exactly as many samples as there were: resamplers may round a length either way
            yield _to_channels(np.pad(block, ((0, 0), (0, left - block.shape[1]))), header.channels)

    def signal(
        self, header: SprHeader, rows: Payload, seed: int, steps: int | None = None, quality: str = "default"
    ) -> Iterator[Audio]:
        """Tokens [B, F, X] -> 48 kHz blocks [B, n] at the networks' level."""
        rate = RATE_OF_POOL[header.pool]
        x0 = self.sample(rows, rate, header.codebooks, seed, steps, quality)
        return self.synthesise(x0, self._frames(rows.shape[1], rate), seed)

    def _frames(self, tokens: int, rate: str) -> int:
        return self.networks.config.filled_up(tokens * POOLS[rate], rate)

    def _at_once(self, frames: int, what: str) -> int:
        return max(1, frames // SMALLER_ON_CPU[what]) if self.networks.device.type == "cpu" else frames

    def dequantise(self, tokens_FX: Tensor, rate: str, codebooks: int | None) -> Tensor:
        """Codes [F, M] or z [F, D] -> z [F, D]."""
        if codebooks is None:
            return tokens_FX.float()
        quantizers = self.networks.quantizers
        if rate not in quantizers:
            raise SpressoError(
                f"the bundle '{self.networks.config.name}' has no quantizer for {rate}",
                code="no_quantizer",
                hint="The stream comes from a bundle that has one; name it with --bundle.",
                exit_code=ExitCode.MODEL_MISSING,
            )
        return quantizers[rate].decode(tokens_FX)

    @torch.inference_mode()
    def sample(
        self,
        tokens_BFX: Payload,
        rate: str,
        codebooks: int | None,
        seed: int,
        steps: int | None = None,
        quality: str = "default",
    ) -> Iterator[Audio]:
        """Tokens [B, F, X] -> x0 in pieces [B, n, C].

        All rows start from the same noise, so that the channels of one sound stay together.
        """
        how = QUALITIES[quality]
        config, transformer, device = self.networks.config, self.networks.transformer, self.networks.device
        solver, sigmas, start_scale = how.solver, how.sigmas(steps), how.start_scale
        if quality == "preview" and config.student and steps is None:
            transformer, solver, start_scale = self.networks.student, dpm_solver_2m, config.student.start_scale
            sigmas = [*config.student.sigmas, 0.0]
        batch, pool = len(tokens_BFX), POOLS[rate]
        windows = decode_windows(
            self._frames(tokens_BFX.shape[1], rate), config.window_frames, config.frame_multiple(rate)
        )
        told: dict[int, tuple[Tensor, Tensor]] = {}  # what the code says about the windows on their way: z and sketch

        def tell(i: int) -> tuple[Tensor, Tensor]:
            if i not in told:
                start, stop = windows[i]
                rows = np.ascontiguousarray(tokens_BFX[:, start // pool : stop // pool])
                z_XD = self.dequantise(torch.from_numpy(rows).flatten(0, 1), rate, codebooks)
                z_BFD = z_XD.view(batch, -1, z_XD.shape[1]).to(device)
                told[i] = z_BFD, transformer.sketch(z_BFD, rate, stop - start)
            return told[i]

        def denoiser(indices: range, noisy: list[Tensor], sigma: float) -> list[Tensor]:
            estimates: list[Tensor] = []
            for _, group in itertools.groupby(zip(indices, noisy, strict=True), lambda row: tell(row[0])[0].shape[1]):
                numbers, x = zip(*group, strict=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device)):
                    d_XTC = denoise(
                        transformer,
                        torch.cat(x),
                        torch.full((len(numbers) * batch,), sigma, device=device),
                        config.sigma_data,
                        z_BFD=torch.cat([tell(i)[0] for i in numbers]),
                        rate=rate,
                        sketch_BTC=torch.cat([tell(i)[1] for i in numbers]),
                    )
                estimates += d_XTC.split(batch)
            return estimates

        def noise(start: int, stop: int) -> Tensor:
            noise_TC = frame_noise(seed, LATENT_STREAM, start, stop - start, config.autoencoder.channels)
            start_TC = start_scale * sigmas[0] * torch.from_numpy(noise_TC).to(device)
            return start_TC.expand(batch, -1, -1)

        group = max(1, self._at_once(BATCH_FRAMES, "sample") // ((windows[0][1] - windows[0][0]) * batch))
        scale_C = transformer.residual_std(rate) / config.sigma_data
        pieces = solve_in_windows(solver, denoiser, noise, sigmas, windows, group)
        for i, rest_BTC in enumerate(pieces):
            x0_BTC = tell(i)[1][:, : rest_BTC.shape[1]] + rest_BTC * scale_C
            del told[i]
            yield x0_BTC.cpu().numpy()

    @torch.inference_mode()
    def synthesise(self, x0: Iterable[Audio], frames: int, seed: int) -> Iterator[Audio]:
        """Pieces of x0 [B, n, C], ``frames`` in all -> 48 kHz float32 blocks [B, m], in chunks with context."""
        autoencoder, device = self.networks.autoencoder, self.networks.device
        margin, x0_BTC = autoencoder.margin, Rolling(x0)
        step = self._at_once(AE_CHUNK_FRAMES, "synthesise")
        for start in range(0, frames, step):
            stop = min(frames, start + step)
            low, high = max(0, start - margin), min(frames, stop + margin)
            chunk_BTC = torch.from_numpy(x0_BTC.take(low, high)).to(device)
            noise_N = torch.from_numpy(frame_noise(seed, WAVEFORM_STREAM, low, high - low, HOP)).reshape(1, -1)
            audio_BN = autoencoder.decode(chunk_BTC, noise_N.to(device).expand(len(chunk_BTC), -1))
            yield audio_BN[:, (start - low) * HOP : (stop - low) * HOP].cpu().numpy()


def _unfold(signal: Iterable[Audio], codes_PB: Codes) -> Iterator[Audio]:
    unfolding = Unfolding(codes_PB)
    for block in signal:
        yield unfolding.feed(block)
    yield unfolding.finish()


def _to_channels(audio_BN: Audio, channels: int) -> Audio:
    """Coded channels to those of the source: one is repeated; beyond two, the others get the mean."""
    if len(audio_BN) == 1:
        return np.repeat(audio_BN, channels, 0).astype(np.float32)
    extra = np.broadcast_to(audio_BN.mean(0), (channels - 2, audio_BN.shape[1]))
    return np.concatenate([audio_BN, extra]).astype(np.float32)
