"""Sound to tokens: level, channels, windows of long files, latents, codes.

The networks know mono sound at 48 kHz in windows of 5 s; this half makes that out of any file. Sounds are read twice,
block by block: once for their length and level, once for their codes. What is held of a long sound is its codes and one
number for the level of every 10 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spresso_assets.codec import stereo
from spresso_assets.codec.bitstream import SprHeader
from spresso_assets.codec.bitstream_header import (
    CHANNEL_MODES,
    MAX_CHANNELS,
    MAX_RATE,
    MAX_SECONDS,
    MIN_RATE,
    ChannelMode,
    stereo_grid,
)
from spresso_assets.codec.config import HOP, SAMPLE_RATE, OperatingPoint
from spresso_assets.codec.level import LevelMeter, linear_gain
from spresso_assets.codec.networks import Networks
from spresso_assets.codec.resampling import Resampler
from spresso_assets.codec.rolling import Rolling
from spresso_assets.codec.stereo_filter import Folding
from spresso_assets.codec.windows import encode_windows, window_length
from spresso_assets.errors import ExitCode, SpressoError

BEAM, CANDIDATES = 8, 8
LOUDEST = 10 ** (63.4 / 20)  # what the gain of a stream, 63.5 dB at most, brings back

Audio = NDArray[np.float32]
OpenBlocks = Callable[[], Iterable[Audio]]  # opens the sound anew: blocks [C, n]
Tokens = NDArray[Any]  # int codes [C, F, M] or float32 z [C, F, D]


class SoundEncoder:
    """Audio -> tokens. Keeps no state but ``timings``: seconds spent so far, by activity (``resampling``)."""

    def __init__(self, networks: Networks, model_id: str) -> None:
        self.networks, self.model_id = networks, model_id
        self.timings = {"resampling": 0.0}

    def survey(
        self, open_blocks: OpenBlocks, sample_rate: int, op: OperatingPoint, channel_mode: str
    ) -> tuple[SprHeader, bytes]:
        """First pass: check the samples, count them, measure their level and, in parametric mode, their stereo image.

        Returns:
            (header, side section). One channel is coded as mono in any mode, and so is an image in the centre.

        Raises:
            SpressoError: ``unknown_channel_mode``, ``bad_sample_rate``, ``bad_shape``, ``bad_samples``,
                ``nonfinite_samples``, ``too_loud``, ``too_long``, ``too_many_channels``.
        """
        check_channel_mode(channel_mode)
        if int(sample_rate) != sample_rate or not MIN_RATE <= sample_rate <= MAX_RATE:
            raise SpressoError(f"{sample_rate} Hz is no sample rate that a sound has", code="bad_sample_rate")
        meter, channels, samples = LevelMeter(), 0, 0
        image = _Image(sample_rate) if channel_mode == "parametric" else None
        for block in open_blocks():
            audio_Cn = _checked(block, channels)
            channels, samples = audio_Cn.shape[0], samples + audio_Cn.shape[1]
            if samples > MAX_SECONDS * sample_rate:
                raise SpressoError("the sound is longer than four hours", code="too_long", hint="Split it.")
            meter.add(_coded(audio_Cn, channel_mode == "dual" and channels >= 2))
            if image and channels >= 2:
                image.add(audio_Cn)
        if not channels:
            raise SpressoError("the sound has no blocks, so its channels are unknown", code="bad_shape")
        mode: ChannelMode = "dual" if channel_mode == "dual" and channels >= 2 else "mono"
        side = image.finish(samples) if image else b""
        if image and side:
            mode, meter = "parametric", image.meter
        header = SprHeader(
            model_id=self.model_id,
            pool=op.pool,
            codebooks=op.codebooks,
            bits=op.bits if op.codebooks is not None else None,
            dim=None if op.codebooks is not None else self.networks.config.latent_encoder.code_dim,
            sample_rate=sample_rate,
            samples=samples,
            channels=channels,
            channel_mode=mode,
            gain_db=-meter.gain_steps() * 0.5,
            silent=meter.silent,
        )
        return header, side

    def signal(self, header: SprHeader, open_blocks: OpenBlocks) -> Iterator[Audio]:
        """Second pass: what the networks hear, [coded channels, n] at 48 kHz and the common level.

        Raises:
            SpressoError: ``changed_while_reading`` if the sound is not as long as it was.
        """
        stereo_in = header.channel_mode != "mono"
        folding = Folding() if header.channel_mode == "parametric" else None
        gain = linear_gain(-round(header.gain_db * 2))
        resampler = Resampler(2 if stereo_in else 1, header.sample_rate, SAMPLE_RATE)
        samples = 0
        for block in open_blocks():
            coded_Cn = _coded(np.asarray(block, np.float32), stereo_in)
            samples += coded_Cn.shape[1]
            began = time.perf_counter()
            at48_Cn = resampler.feed(coded_Cn)
            self.timings["resampling"] += time.perf_counter() - began
            yield (folding.feed(at48_Cn) if folding else at48_Cn) * gain
        if samples != header.samples:
            raise SpressoError(
                f"the sound had {header.samples} samples when it was measured and {samples} when it was encoded",
                code="changed_while_reading",
                hint="Let its writer finish, then encode it again.",
            )
        rest_Cn = resampler.finish()
        yield (np.concatenate([folding.feed(rest_Cn), folding.finish()], 1) if folding else rest_Cn) * gain

    def frames(self, header: SprHeader, rate: str) -> int:
        """Latent frames that the networks see: the sound's, filled up to whole tokens and patches."""
        return self.networks.config.filled_up(header.frames * header.pool, rate)

    def fits_one_window(self, frames: int, rate: str) -> bool:
        config = self.networks.config
        return frames <= window_length(config.window_frames, config.frame_multiple(rate))

    @torch.inference_mode()
    def tokens(self, signal: Iterable[Audio], frames: int, op: OperatingPoint) -> Tokens:
        """48 kHz blocks [B, n] -> codes [B, F, M] or z [B, F, D], window by window."""
        signal_BN, parts = Rolling(signal), []
        config = self.networks.config
        for w in encode_windows(frames, config.window_frames, config.frame_multiple(op.rate)):
            z_BFD = self.networks.encoder(self.analyse(signal_BN, frames, w.start, w.stop), op.rate).float().cpu()
            z_BFD = z_BFD[:, (w.keep_start - w.start) // op.pool : (w.keep_stop - w.start) // op.pool]
            if op.codebooks is None:
                parts.append(z_BFD.numpy())
            else:
                quantizer = self.networks.quantizers[op.rate]
                codes_XM = quantizer.encode(z_BFD.flatten(0, 1), BEAM, CANDIDATES, op.codebooks)
                parts.append(codes_XM.view(*z_BFD.shape[:2], -1).numpy())
        return np.concatenate(parts, 1)

    def analyse(self, signal_BN: Rolling, frames: int, start: int, stop: int) -> Tensor:
        """x0 [B, stop - start, C] as if the whole sound of so many frames had been analysed."""
        margin = self.networks.autoencoder.encoder.margin
        low, high = max(0, start - margin), min(frames, stop + margin)
        audio_Bn = torch.from_numpy(np.ascontiguousarray(signal_BN.take(low * HOP, high * HOP)))
        return self.networks.autoencoder.encode(audio_Bn.to(self.networks.device))[:, start - low : stop - low]


def _checked(block: Audio, channels: int) -> Audio:
    """A block as float32 [C, n], with as many channels as those before it (0: it is the first)."""
    audio_Cn = np.asarray(block)
    if audio_Cn.ndim != 2 or not audio_Cn.shape[0] or channels not in (0, audio_Cn.shape[0]):
        raise SpressoError(f"audio must be [channels, samples], got {audio_Cn.shape}", code="bad_shape")
    if audio_Cn.shape[0] > MAX_CHANNELS:
        raise SpressoError(
            f"the sound has {audio_Cn.shape[0]} channels, more than {MAX_CHANNELS}",
            code="too_many_channels",
            hint="Split it into stems.",
        )
    if audio_Cn.dtype.kind != "f":
        raise SpressoError(
            f"samples must be floating point, not {audio_Cn.dtype}",
            code="bad_samples",
            hint="Divide them by the full scale of their format, for example by 32768.0.",
        )
    peak = float(np.abs(audio_Cn).max(initial=0))  # NaN if one sample is
    if not np.isfinite(peak):
        raise SpressoError("the sound holds NaN or infinite samples", code="nonfinite_samples")
    if peak > LOUDEST:
        raise SpressoError(
            f"a sample reaches {peak:.3g}, {20 * np.log10(peak):.0f} dB above full scale",
            code="too_loud",
            hint="Scale the sound to -1..1.",
        )
    return audio_Cn.astype(np.float32, copy=False)


class _Image:
    """Measures the stereo image of a sound, and the level of what it is folded into."""

    def __init__(self, sample_rate: int) -> None:
        self.meter = LevelMeter()
        self._sample_rate = sample_rate
        self._resampler, self._folding = Resampler(2, sample_rate, SAMPLE_RATE), Folding()

    def add(self, audio_CN: Audio) -> None:
        self.meter.add(self._folding.feed(self._resampler.feed(audio_CN[:2])))

    def finish(self, samples: int) -> bytes:
        """The side section; empty if the sound is silent or stands in the centre."""
        self.meter.add(self._folding.feed(self._resampler.finish()))
        self.meter.add(self._folding.finish())
        if self.meter.silent:
            return b""
        codes_PB = self._folding.description(*stereo_grid(samples, self._sample_rate))
        return stereo.pack_codes(codes_PB) if codes_PB.any() else b""


def check_channel_mode(channel_mode: str) -> None:
    """Raises SpressoError ``unknown_channel_mode`` (exit 2)."""
    if channel_mode not in CHANNEL_MODES:
        raise SpressoError(
            f"unknown channel mode '{channel_mode}'",
            code="unknown_channel_mode",
            hint=f"Known: {', '.join(CHANNEL_MODES)}.",
            exit_code=ExitCode.USAGE,
        )


def _coded(audio_CN: Audio, stereo_in: bool) -> Audio:
    """The channels that are coded: the first two, or the mean of all."""
    return audio_CN[:2] if stereo_in else np.ascontiguousarray(audio_CN).mean(0, keepdims=True)
