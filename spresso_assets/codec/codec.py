"""SPresso: sound in, a few dozen bytes out, and back. Gain, channels, windows of long files, seeds.

The networks know mono sound at 48 kHz in windows of 5 s; this module is what makes any file out of that.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from spresso_assets.codec import bitstream
from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.config import HOP, OPERATING_POINTS, POOLS, SAMPLE_RATE, ModelConfig, OperatingPoint
from spresso_assets.codec.diffusion import denoise
from spresso_assets.codec.latent_encoder import LatentEncoder
from spresso_assets.codec.level import LevelMeter, linear_gain
from spresso_assets.codec.noise import LATENT_STREAM, WAVEFORM_STREAM, frame_noise
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.codec.sampling import Denoiser, dpm_solver_2m, heun, karras_sigmas, one_step
from spresso_assets.codec.transformer import Transformer
from spresso_assets.codec.windows import blend_weights, decode_windows, encode_windows
from spresso_assets.errors import ExitCode, SpressoError

AE_CHUNK_FRAMES = 1000
BATCH_FRAMES = 6000  # latent frames that go through a network at once
BEAM, CANDIDATES = 8, 8

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """A named way to sample: solver, evaluations, range of noise levels.

    ``start_scale`` shrinks the starting noise: below 1 the result moves from a sample towards the conditional mean.
    """

    solver: Callable[[Denoiser, Tensor, list[float]], Tensor]
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


class SPresso:
    """A loaded codec. Methods keep no state but ``timings``: seconds spent so far, by activity (``resampling``).

    Args:
        config: sizes. autoencoder, transformer, encoder: modules in eval mode with merged adapters.
        quantizers: by frame-rate name; may lack rates that were not trained.
        weights_sha256: identity of the weights; its first six digits go into every stream.
    """

    def __init__(
        self,
        config: ModelConfig,
        autoencoder: AudioAE,
        transformer: Transformer,
        encoder: LatentEncoder,
        quantizers: dict[str, QINCo2],
        weights_sha256: str,
        device: str = "cpu",
    ) -> None:
        self.config, self.name, self.weights_sha256 = config, config.name, weights_sha256
        self.device = torch.device(device)
        self.timings = {"resampling": 0.0}
        self.autoencoder = autoencoder.eval().to(self.device)
        self.transformer = transformer.eval().to(self.device)
        self.encoder = encoder.eval().to(self.device)
        # Quantizers stay on the CPU: codes must not depend on a GPU.
        self.quantizers = {rate: q.eval() for rate, q in quantizers.items()}

    @classmethod
    def load(cls, bundle: Path | str, device: str = "cpu") -> SPresso:
        """Open a model bundle, see `bundle.load_bundle`."""
        from spresso_assets.codec.bundle import load_bundle

        return load_bundle(Path(bundle), device)

    @property
    def model_id(self) -> str:
        return self.weights_sha256[:6]

    # -- encoding ----------------------------------------------------------------------------------------------
    def encode(self, audio_CN: Audio, sample_rate: int, point: str, channel_mode: str = "mono") -> bytes:
        """One sound -> .spr bytes.

        Args:
            audio_CN: float [C, N], any rate and channel count, finite.
            point: operating point, for example ``1.32kbps`` (see `config.OPERATING_POINTS`).
            channel_mode: ``mono`` codes the mean of all channels; ``dual`` codes the first two apart (twice the bits).

        Raises:
            SpressoError: ``unknown_point``, ``no_quantizer``, ``nonfinite_samples``, ``bad_shape``.
        """
        return self.encode_many([(audio_CN, sample_rate)], point, channel_mode)[0]

    def encode_many(self, sounds: Iterable[tuple[Audio, int]], point: str, channel_mode: str = "mono") -> list[bytes]:
        """Several sounds -> .spr bytes each; sounds of one padded length share a batch. See `encode`."""
        op = self.operating_point(point)
        plans = [self._prepare(audio_CN, rate, op, channel_mode) for audio_CN, rate in sounds]
        z_by_signal = self._codes([x for p in plans for x in p.signals], op)
        streams, taken = [], 0
        for plan in plans:
            rows = z_by_signal[taken : taken + len(plan.signals)]
            taken += len(plan.signals)
            if not rows:
                streams.append(bitstream.pack(plan.header))
                continue
            payload = np.stack([r[: plan.header.frames] for r in rows])
            streams.append(bitstream.pack(plan.header, payload if len(rows) > 1 else payload[0]))
        return streams

    def operating_point(self, name: str) -> OperatingPoint:
        """Look up an operating point that this bundle can do."""
        if name not in OPERATING_POINTS:
            raise SpressoError(
                f"unknown operating point '{name}'",
                code="unknown_point",
                hint=f"Known: {', '.join(OPERATING_POINTS)}.",
                exit_code=ExitCode.USAGE,
            )
        op = OPERATING_POINTS[name]
        if op.codebooks is not None and op.rate not in self.quantizers:
            raise SpressoError(
                f"the bundle '{self.name}' has no quantizer for {op.rate}",
                code="no_quantizer",
                hint="Use a continuous profile, or train one with 'spresso train quantizer'.",
                exit_code=ExitCode.MODEL_MISSING,
            )
        return op

    def _prepare(self, audio_CN: Audio, sample_rate: int, op: OperatingPoint, channel_mode: str) -> _Plan:
        audio_CN = np.asarray(audio_CN, np.float32)
        if audio_CN.ndim != 2 or not audio_CN.shape[0]:
            raise SpressoError(f"audio must be [channels, samples], got {audio_CN.shape}", code="bad_shape")
        if not np.isfinite(audio_CN).all():
            raise SpressoError("the sound holds NaN or infinite samples", code="nonfinite_samples")
        channels, samples = audio_CN.shape
        dual = channel_mode == "dual" and channels >= 2
        coded_CN = audio_CN[:2] if dual else audio_CN.mean(0, keepdims=True)
        meter = LevelMeter()
        meter.add(coded_CN)
        steps = meter.gain_steps()
        header = bitstream.SprHeader(
            model_id=self.model_id,
            pool=op.pool,
            codebooks=op.codebooks,
            bits=op.bits if op.codebooks is not None else None,
            dim=None if op.codebooks is not None else self.config.latent_encoder.code_dim,
            sample_rate=sample_rate,
            samples=samples,
            channels=channels,
            channel_mode="dual" if dual else "mono",
            gain_db=-steps * 0.5,
            silent=meter.silent,
        )
        if meter.silent:
            return _Plan(header, [])
        multiple = self.config.frame_multiple(op.rate)
        frames = -(-header.frames * op.pool // multiple) * multiple
        signals = []
        for channel_N in coded_CN:
            began = time.perf_counter()
            at48_N = _resample(channel_N, sample_rate, SAMPLE_RATE) * linear_gain(steps)
            self.timings["resampling"] += time.perf_counter() - began
            signals.append(np.pad(at48_N, (0, max(0, frames * HOP - len(at48_N))))[: frames * HOP])
        return _Plan(header, signals)

    def _codes(self, signals: list[Audio], op: OperatingPoint) -> list[NDArray[np.float32]]:
        """48 kHz signals -> codes [F, M] or z [F, D] each."""
        results: list[NDArray[np.float32] | None] = [None] * len(signals)
        by_length: dict[int, list[int]] = defaultdict(list)
        for i, signal_N in enumerate(signals):
            by_length[len(signal_N) // HOP].append(i)
        for frames, indices in sorted(by_length.items()):
            step = max(1, BATCH_FRAMES // min(frames, BATCH_FRAMES))
            for at in range(0, len(indices), step):
                group = indices[at : at + step]
                z_BFD = self._latents(np.stack([signals[i] for i in group]), op.rate)
                if op.codebooks is None:
                    out = z_BFD.numpy()
                else:
                    flat_XD = z_BFD.flatten(0, 1)
                    codes_XM = self.quantizers[op.rate].encode(flat_XD, BEAM, CANDIDATES, op.codebooks)
                    out = codes_XM.view(*z_BFD.shape[:2], -1).numpy()
                for row, i in enumerate(group):
                    results[i] = out[row]
        return [r for r in results if r is not None]

    @torch.inference_mode()
    def _latents(self, audio_BN: Audio, rate: str) -> Tensor:
        """48 kHz [B, N] -> z [B, F, D] float32 on the CPU, in windows where the sound is long."""
        frames, pool = audio_BN.shape[1] // HOP, POOLS[rate]
        multiple = self.config.frame_multiple(rate)
        tokens = []
        for w in encode_windows(frames, self.config.window_frames, multiple):
            x0_BTC = self._analyse(audio_BN, w.start, w.stop)
            z_BFD = self.encoder(x0_BTC, rate)
            tokens.append(z_BFD[:, (w.keep_start - w.start) // pool : (w.keep_stop - w.start) // pool].float().cpu())
        return torch.cat(tokens, 1)

    def _analyse(self, audio_BN: Audio, start: int, stop: int) -> Tensor:
        """x0 [B, stop - start, C] as if the whole sound had been analysed."""
        margin = self.autoencoder.encoder.margin
        low, high = max(0, start - margin), min(audio_BN.shape[1] // HOP, stop + margin)
        audio_Bn = torch.from_numpy(np.ascontiguousarray(audio_BN[:, low * HOP : high * HOP])).to(self.device)
        return self.autoencoder.encode(audio_Bn)[:, start - low : stop - low]

    # -- decoding ----------------------------------------------------------------------------------------------
    def decode(
        self, payload: bytes, seed: int = 0, steps: int | None = None, quality: str = "default"
    ) -> tuple[Audio, int]:
        """.spr bytes -> (float32 [C, N], sample rate): exactly the length and rate that were encoded.

        Args:
            seed: variation; the same seed, stream and weights give the same sound.
            steps: solver steps, overriding those of ``quality``.
            quality: ``preview`` (1 evaluation), ``default`` (8) or ``paper`` (Heun 64).

        Raises:
            SpressoError: what `bitstream.unpack` raises; ``wrong_model`` if other weights made the stream;
                ``unknown_quality``.
        """
        header, tokens = bitstream.unpack(payload)
        if header.model_id != self.model_id:
            raise SpressoError(
                f"the stream was made by model {header.model_id}, this bundle is {self.model_id}",
                code="wrong_model",
                hint="Decode with the bundle that encoded it: 'spresso models list'.",
                exit_code=ExitCode.MODEL_MISSING,
            )
        if header.silent or not header.samples:
            return np.zeros((header.channels, header.samples), np.float32), header.sample_rate
        rate = next(name for name, pool in POOLS.items() if pool == header.pool)
        rows = tokens if header.channel_mode == "dual" else tokens[None]
        z_BFD = torch.stack([self.dequantise(torch.from_numpy(np.asarray(r)), rate, header.codebooks) for r in rows])
        length48 = math.ceil(header.samples * SAMPLE_RATE / header.sample_rate)
        x0_BTC = self.sample(z_BFD, rate, seed, steps, quality)
        audio_BN = self.synthesise(x0_BTC, seed)[:, :length48]
        audio_BN *= linear_gain(round(header.gain_db * 2))
        decoded = np.stack([_fit(_resample(a_N, SAMPLE_RATE, header.sample_rate), header.samples) for a_N in audio_BN])
        if header.channel_mode == "dual":
            extra = np.broadcast_to(decoded.mean(0), (header.channels - 2, header.samples))
            return np.concatenate([decoded, extra]).astype(np.float32), header.sample_rate
        return np.repeat(decoded, header.channels, 0).astype(np.float32), header.sample_rate

    def dequantise(self, tokens_FX: Tensor, rate: str, codebooks: int | None) -> Tensor:
        """Codes [F, M] or z [F, D] -> z [F, D]."""
        if codebooks is None:
            return tokens_FX.float()
        if rate not in self.quantizers:
            raise SpressoError(
                f"the bundle '{self.name}' has no quantizer for {rate}",
                code="no_quantizer",
                exit_code=ExitCode.MODEL_MISSING,
            )
        return self.quantizers[rate].decode(tokens_FX)

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
        multiple, pool = self.config.frame_multiple(rate), POOLS[rate]
        frames = -(-z_BFD.shape[1] * pool // multiple) * multiple
        windows = decode_windows(frames, self.config.window_frames, multiple)
        weights = {
            (a, b): torch.from_numpy(blend_weights(b - a, a == 0, b == frames))[:, None].to(self.device)
            for a, b in windows
        }
        z_BFD = z_BFD.to(self.device)
        sketch_BTC = self.transformer.sketch(z_BFD, rate, frames)
        batches = self._window_batches(windows, len(z_BFD), z_BFD.shape[1], pool)
        sigma_data = self.config.sigma_data

        def denoiser(x_BTC: Tensor, sigma: float) -> Tensor:
            total_BTC, norm_T1 = torch.zeros_like(x_BTC), x_BTC.new_zeros(frames, 1)
            for group in batches:
                d_XTC = denoise(
                    self.transformer,
                    torch.cat([x_BTC[:, a:b] for a, b in group]),
                    torch.full((len(group) * len(x_BTC),), sigma, device=self.device),
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
        noise_TC = torch.from_numpy(frame_noise(seed, LATENT_STREAM, 0, frames, self.config.autoencoder.channels))
        start_BTC = (how.start_scale * sigmas[0] * noise_TC.to(self.device)).expand(len(z_BFD), -1, -1)
        rest_BTC = how.solver(denoiser, start_BTC, sigmas)
        return sketch_BTC + rest_BTC * (self.transformer.residual_std(rate) / sigma_data)

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
        frames, margin = x0_BTC.shape[1], self.autoencoder.margin
        pieces = []
        for start in range(0, frames, AE_CHUNK_FRAMES):
            stop = min(frames, start + AE_CHUNK_FRAMES)
            low, high = max(0, start - margin), min(frames, stop + margin)
            noise_N = torch.from_numpy(frame_noise(seed, WAVEFORM_STREAM, low, high - low, HOP)).reshape(1, -1)
            noise_BN = noise_N.to(self.device).expand(len(x0_BTC), -1)
            audio_BN = self.autoencoder.decode(x0_BTC[:, low:high], noise_BN)
            pieces.append(audio_BN[:, (start - low) * HOP : (stop - low) * HOP].cpu().numpy())
        return np.concatenate(pieces, 1)


@dataclass(frozen=True)
class _Plan:
    """A sound ready for the networks: its header, and one padded 48 kHz signal per coded channel."""

    header: bitstream.SprHeader
    signals: list[Audio]


def _resample(audio_N: Audio, source: int, target: int) -> Audio:
    if source == target or not len(audio_N):
        return np.asarray(audio_N, np.float32)
    return np.asarray(soxr.resample(audio_N, source, target, quality="HQ"), np.float32)


def _fit(audio_N: Audio, samples: int) -> Audio:
    """Exactly ``samples`` long: resamplers may round a length either way."""
    return np.pad(audio_N[:samples], (0, max(0, samples - len(audio_N))))
