"""Sound to tokens: level, channels, windows of long files, latents, codes.

The networks know mono sound at 48 kHz in windows of 5 s; this half makes that out of any file.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from spresso_assets.codec import bitstream
from spresso_assets.codec.config import HOP, POOLS, SAMPLE_RATE, OperatingPoint
from spresso_assets.codec.level import LevelMeter, linear_gain
from spresso_assets.codec.networks import Networks
from spresso_assets.codec.windows import encode_windows
from spresso_assets.errors import SpressoError

BATCH_FRAMES = 6000  # latent frames that go through a network at once
BEAM, CANDIDATES = 8, 8

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """A sound ready for the networks: its header, and one padded 48 kHz signal per coded channel."""

    header: bitstream.SprHeader
    signals: list[Audio]


class SoundEncoder:
    """Audio -> tokens. Keeps no state but ``timings``: seconds spent so far, by activity (``resampling``)."""

    def __init__(self, networks: Networks, model_id: str) -> None:
        self.networks, self.model_id = networks, model_id
        self.timings = {"resampling": 0.0}

    def prepare(self, audio_CN: Audio, sample_rate: int, op: OperatingPoint, channel_mode: str) -> Plan:
        """Check, choose channels, measure the level, resample and pad to whole tokens and patches."""
        config = self.networks.config
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
            dim=None if op.codebooks is not None else config.latent_encoder.code_dim,
            sample_rate=sample_rate,
            samples=samples,
            channels=channels,
            channel_mode="dual" if dual else "mono",
            gain_db=-steps * 0.5,
            silent=meter.silent,
        )
        if meter.silent:
            return Plan(header, [])
        multiple = config.frame_multiple(op.rate)
        frames = -(-header.frames * op.pool // multiple) * multiple
        signals = []
        for channel_N in coded_CN:
            began = time.perf_counter()
            at48_N = _resample(channel_N, sample_rate) * linear_gain(steps)
            self.timings["resampling"] += time.perf_counter() - began
            signals.append(np.pad(at48_N, (0, max(0, frames * HOP - len(at48_N))))[: frames * HOP])
        return Plan(header, signals)

    def codes(self, signals: list[Audio], op: OperatingPoint) -> list[NDArray[np.float32]]:
        """48 kHz signals -> codes [F, M] or z [F, D] each; signals of one length share a batch."""
        results: list[NDArray[np.float32] | None] = [None] * len(signals)
        by_length: dict[int, list[int]] = defaultdict(list)
        for i, signal_N in enumerate(signals):
            by_length[len(signal_N) // HOP].append(i)
        for frames, indices in sorted(by_length.items()):
            step = max(1, BATCH_FRAMES // min(frames, BATCH_FRAMES))
            for at in range(0, len(indices), step):
                group = indices[at : at + step]
                z_BFD = self.latents(np.stack([signals[i] for i in group]), op.rate)
                if op.codebooks is None:
                    out = z_BFD.numpy()
                else:
                    flat_XD = z_BFD.flatten(0, 1)
                    codes_XM = self.networks.quantizers[op.rate].encode(flat_XD, BEAM, CANDIDATES, op.codebooks)
                    out = codes_XM.view(*z_BFD.shape[:2], -1).numpy()
                for row, i in enumerate(group):
                    results[i] = out[row]
        return [r for r in results if r is not None]

    @torch.inference_mode()
    def latents(self, audio_BN: Audio, rate: str) -> Tensor:
        """48 kHz [B, N] -> z [B, F, D] float32 on the CPU, in windows where the sound is long."""
        config = self.networks.config
        frames, pool = audio_BN.shape[1] // HOP, POOLS[rate]
        tokens = []
        for w in encode_windows(frames, config.window_frames, config.frame_multiple(rate)):
            x0_BTC = self.analyse(audio_BN, w.start, w.stop)
            z_BFD = self.networks.encoder(x0_BTC, rate)
            tokens.append(z_BFD[:, (w.keep_start - w.start) // pool : (w.keep_stop - w.start) // pool].float().cpu())
        return torch.cat(tokens, 1)

    def analyse(self, audio_BN: Audio, start: int, stop: int) -> Tensor:
        """x0 [B, stop - start, C] as if the whole sound had been analysed."""
        margin = self.networks.autoencoder.encoder.margin
        low, high = max(0, start - margin), min(audio_BN.shape[1] // HOP, stop + margin)
        audio_Bn = torch.from_numpy(np.ascontiguousarray(audio_BN[:, low * HOP : high * HOP]))
        return self.networks.autoencoder.encode(audio_Bn.to(self.networks.device))[:, start - low : stop - low]


def _resample(audio_N: Audio, source: int) -> Audio:
    if source == SAMPLE_RATE or not len(audio_N):
        return np.asarray(audio_N, np.float32)
    return np.asarray(soxr.resample(audio_N, source, SAMPLE_RATE, quality="HQ"), np.float32)
