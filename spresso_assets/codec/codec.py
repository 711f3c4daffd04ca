"""SPresso: sound in, a few dozen bytes out, and back. `encoding` and `decoding` are its halves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from spresso_assets.codec import bitstream
from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.config import OPERATING_POINTS, ModelConfig, OperatingPoint
from spresso_assets.codec.decoding import QUALITIES, Quality, SoundDecoder
from spresso_assets.codec.encoding import Audio, SoundEncoder
from spresso_assets.codec.latent_encoder import LatentEncoder
from spresso_assets.codec.networks import Networks
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.codec.transformer import Transformer
from spresso_assets.errors import ExitCode, SpressoError

__all__ = ["QUALITIES", "Quality", "SPresso"]


class SPresso:
    """A loaded codec.

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
        on = torch.device(device)
        self.networks = Networks(
            config,
            autoencoder.eval().to(on),
            transformer.eval().to(on),
            encoder.eval().to(on),
            {rate: q.eval() for rate, q in quantizers.items()},
            on,
        )
        self.encoding = SoundEncoder(self.networks, self.model_id)
        self.decoding = SoundDecoder(self.networks)

    @classmethod
    def load(cls, bundle: Path | str, device: str = "cpu") -> SPresso:
        """Open a model bundle, see `bundle.load_bundle`."""
        from spresso_assets.codec.bundle import load_bundle

        return load_bundle(Path(bundle), device)

    @property
    def model_id(self) -> str:
        return self.weights_sha256[:6]

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent so far, by activity (``resampling``)."""
        return self.encoding.timings

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
        plans = [self.encoding.prepare(audio_CN, rate, op, channel_mode) for audio_CN, rate in sounds]
        tokens_by_signal = self.encoding.codes([x for p in plans for x in p.signals], op)
        streams, taken = [], 0
        for plan in plans:
            rows = tokens_by_signal[taken : taken + len(plan.signals)]
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
        if op.codebooks is not None and op.rate not in self.networks.quantizers:
            raise SpressoError(
                f"the bundle '{self.name}' has no quantizer for {op.rate}",
                code="no_quantizer",
                hint="Use a continuous profile, or train one with 'spresso train quantizer'.",
                exit_code=ExitCode.MODEL_MISSING,
            )
        return op

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
        return self.decoding.decode(header, tokens, seed, steps, quality), header.sample_rate
