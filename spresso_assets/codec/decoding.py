"""Tokens to sound: dequantise, sample the latents in blended windows, synthesise, restore level and rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from spresso_assets.codec.bitstream import Payload, SprHeader
from spresso_assets.codec.config import HOP, POOLS, SAMPLE_RATE
from spresso_assets.codec.diffusion import denoise
from spresso_assets.codec.level import linear_gain
from spresso_assets.codec.networks import Networks
from spresso_assets.codec.noise import LATENT_STREAM, WAVEFORM_STREAM, frame_noise
from spresso_assets.codec.sampling import Solver, dpm_solver_2m, heun, karras_sigmas, one_step, solve
from spresso_assets.codec.windows import blend_weights, decode_windows
from spresso_assets.errors import ExitCode, SpressoError

AE_CHUNK_FRAMES = 1000
BATCH_FRAMES = 6000  # latent frames that go through a network at once

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


QUALITIES: dict[str, Quality] = {
    # Diffusion only fills in what the sketch leaves open: from sigma = 5 (ten times sigma_data) 8 evaluations do what
    # 16 do from 20. Starting noise at three quarters is the best of both measures on val (docs/results.md).
    "default": Quality(dpm_solver_2m, 8, 0.02, 5.0, 0.75),
    "preview": Quality(one_step, 1, 20.0, 20.0),
    "paper": Quality(heun, 64, 0.002, 80.0),
}


class SoundDecoder:
    """Tokens -> audio, with the networks of one bundle. Stateless."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks

    def decode(self, header: SprHeader, tokens: Payload, seed: int, steps: int | None, quality: str) -> Audio:
        """Header and tokens of a stream -> float32 [C, N] at the rate of its source."""
        if header.silent or not header.samples:
            return np.zeros((header.channels, header.samples), np.float32)
        rate = next(name for name, pool in POOLS.items() if pool == header.pool)
        rows = tokens if header.channel_mode == "dual" else tokens[None]
        z_BFD = torch.stack([self.dequantise(torch.from_numpy(np.asarray(r)), rate, header.codebooks) for r in rows])
        length48 = math.ceil(header.samples * SAMPLE_RATE / header.sample_rate)
        x0_BTC = self.sample(z_BFD, rate, seed, steps, quality)
        audio_BN = self.synthesise(x0_BTC, seed)[:, :length48]
        audio_BN *= linear_gain(round(header.gain_db * 2))
        decoded = np.stack([_fit(_resample(a_N, header.sample_rate), header.samples) for a_N in audio_BN])
        if header.channel_mode == "dual":
            extra = np.broadcast_to(decoded.mean(0), (header.channels - 2, header.samples))
            return np.concatenate([decoded, extra]).astype(np.float32)
        return np.repeat(decoded, header.channels, 0).astype(np.float32)

    def dequantise(self, tokens_FX: Tensor, rate: str, codebooks: int | None) -> Tensor:
        """Codes [F, M] or z [F, D] -> z [F, D]."""
        if codebooks is None:
            return tokens_FX.float()
        quantizers = self.networks.quantizers
        if rate not in quantizers:
            raise SpressoError(
                f"the bundle '{self.networks.config.name}' has no quantizer for {rate}",
                code="no_quantizer",
                exit_code=ExitCode.MODEL_MISSING,
            )
        return quantizers[rate].decode(tokens_FX)

    @torch.inference_mode()
    def sample(self, z_BFD: Tensor, rate: str, seed: int, steps: int | None = None, quality: str = "default") -> Tensor:
        """z [B, F, D] -> x0 [B, T, C]; all rows start from the same noise, so channels of one sound stay together."""
        if quality not in QUALITIES:
            raise SpressoError(
                f"unknown quality '{quality}'",
                code="unknown_quality",
                hint=f"Known: {', '.join(QUALITIES)}.",
                exit_code=ExitCode.USAGE,
            )
        how = QUALITIES[quality]
        config, transformer, device = self.networks.config, self.networks.transformer, self.networks.device
        multiple, pool = config.frame_multiple(rate), POOLS[rate]
        frames = -(-z_BFD.shape[1] * pool // multiple) * multiple
        windows = decode_windows(frames, config.window_frames, multiple)
        weights = {
            (a, b): torch.from_numpy(blend_weights(b - a, a == 0, b == frames))[:, None].to(device) for a, b in windows
        }
        z_BFD = z_BFD.to(device)
        sketch_BTC = transformer.sketch(z_BFD, rate, frames)
        batches = self._window_batches(windows, len(z_BFD), z_BFD.shape[1], pool)
        sigma_data = config.sigma_data

        def denoiser(x_BTC: Tensor, sigma: float) -> Tensor:
            total_BTC, norm_T1 = torch.zeros_like(x_BTC), x_BTC.new_zeros(frames, 1)
            for group in batches:
                d_XTC = denoise(
                    transformer,
                    torch.cat([x_BTC[:, a:b] for a, b in group]),
                    torch.full((len(group) * len(x_BTC),), sigma, device=device),
                    sigma_data,
                    z_BFD=torch.cat([z_BFD[:, a // pool : b // pool] for a, b in group]),
                    rate=rate,
                    sketch_BTC=torch.cat([sketch_BTC[:, a:b] for a, b in group]),
                )
                for (a, b), d_BTC in zip(group, d_XTC.split(len(x_BTC)), strict=True):
                    weight_T1 = weights[a, b]
                    total_BTC[:, a:b] += weight_T1 * d_BTC
                    norm_T1[a:b] += weight_T1
            return total_BTC / norm_T1

        sigmas = karras_sigmas(steps or how.steps, how.sigma_min, how.sigma_max)
        noise_TC = torch.from_numpy(frame_noise(seed, LATENT_STREAM, 0, frames, config.autoencoder.channels))
        start_BTC = (how.start_scale * sigmas[0] * noise_TC.to(device)).expand(len(z_BFD), -1, -1)
        rest_BTC = solve(how.solver, denoiser, start_BTC, sigmas)
        return sketch_BTC + rest_BTC * (transformer.residual_std(rate) / sigma_data)

    @staticmethod
    def _window_batches(
        windows: list[tuple[int, int]], rows: int, tokens: int, pool: int
    ) -> list[list[tuple[int, int]]]:
        """Windows that go through the network together: equal token counts, at most BATCH_FRAMES frames.

        Only the last window can differ: padding up to whole patches adds frames that no token stands for.
        """
        per_call = max(1, BATCH_FRAMES // ((windows[0][1] - windows[0][0]) * rows))
        whole = [w for w in windows if w[1] // pool <= tokens]
        ragged = [[w] for w in windows if w[1] // pool > tokens]
        return [whole[i : i + per_call] for i in range(0, len(whole), per_call)] + ragged

    @torch.inference_mode()
    def synthesise(self, x0_BTC: Tensor, seed: int) -> Audio:
        """x0 [B, T, C] -> 48 kHz float32 [B, 480 T], in chunks with context: memory does not grow with the network."""
        autoencoder = self.networks.autoencoder
        frames, margin = x0_BTC.shape[1], autoencoder.margin
        pieces = []
        for start in range(0, frames, AE_CHUNK_FRAMES):
            stop = min(frames, start + AE_CHUNK_FRAMES)
            low, high = max(0, start - margin), min(frames, stop + margin)
            noise_N = torch.from_numpy(frame_noise(seed, WAVEFORM_STREAM, low, high - low, HOP)).reshape(1, -1)
            noise_BN = noise_N.to(self.networks.device).expand(len(x0_BTC), -1)
            audio_BN = autoencoder.decode(x0_BTC[:, low:high], noise_BN)
            pieces.append(audio_BN[:, (start - low) * HOP : (stop - low) * HOP].cpu().numpy())
        return np.concatenate(pieces, 1)


def _resample(audio_N: Audio, target: int) -> Audio:
    if target == SAMPLE_RATE or not len(audio_N):
        return np.asarray(audio_N, np.float32)
    return np.asarray(soxr.resample(audio_N, SAMPLE_RATE, target, quality="HQ"), np.float32)


def _fit(audio_N: Audio, samples: int) -> Audio:
    """Exactly ``samples`` long: resamplers may round a length either way."""
    return np.pad(audio_N[:samples], (0, max(0, samples - len(audio_N))))
