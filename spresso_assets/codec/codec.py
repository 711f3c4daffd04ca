"""SPresso: sound in, a few dozen bytes out, and back. `encoding` and `decoding` are its halves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from spresso_assets.codec import bitstream
from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.bitstream import SprHeader
from spresso_assets.codec.closeness import MelDistance
from spresso_assets.codec.config import HOP, OPERATING_POINTS, POOLS, RATE_OF_POOL, ModelConfig, OperatingPoint
from spresso_assets.codec.decoding import BATCH_FRAMES, QUALITIES, Quality, SoundDecoder
from spresso_assets.codec.encoding import BEAM, CANDIDATES, Audio, OpenBlocks, SoundEncoder, Tokens
from spresso_assets.codec.entropy import EntropyTables
from spresso_assets.codec.extension import seed_record, stored_seed
from spresso_assets.codec.latent_encoder import LatentEncoder, LatentEncoders
from spresso_assets.codec.networks import Networks
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.codec.rolling import Rolling
from spresso_assets.codec.transformer import Transformer
from spresso_assets.errors import ExitCode, SpressoError

__all__ = ["QUALITIES", "Quality", "SPresso"]

ARRAY_BLOCK = 1 << 18
MAX_STEPS = 1000


class SPresso:
    """A loaded codec.

    Args:
        config: sizes. autoencoder, transformer, encoder: modules in eval mode with merged adapters.
        quantizers: by frame-rate name; may lack rates that were not trained.
        weights_sha256: identity of the weights; its first six digits go into every stream.
        student_updates: low-rank updates of the few-step student, if the bundle has one (see `student`).
        entropy: tables by which codes are entropy-coded, by frame-rate name; streams of other rates stay plain.
    """

    def __init__(
        self,
        config: ModelConfig,
        autoencoder: AudioAE,
        transformer: Transformer,
        encoder: LatentEncoder | LatentEncoders,
        quantizers: dict[str, QINCo2],
        weights_sha256: str,
        device: str = "cpu",
        student_updates: dict[str, torch.Tensor] | None = None,
        entropy: dict[str, EntropyTables] | None = None,
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
            student_updates or {},
        )
        self.entropy: bitstream.EntropyModel = {POOLS[rate]: tables for rate, tables in (entropy or {}).items()}
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

    def encode(
        self, audio_CN: Audio, sample_rate: int, point: str, channel_mode: str = "mono", best_of: int = 1
    ) -> bytes:
        """One sound -> .spr bytes.

        Args:
            audio_CN: float [C, N], any rate and channel count, finite.
            point: operating point, for example ``1.32kbps`` (see `config.OPERATING_POINTS`).
            channel_mode: ``mono`` codes the mean of all channels; ``dual`` codes the first two apart (twice the bits);
                ``parametric`` codes them as one and describes their stereo image (at most 150 bit/s).
            best_of: decode the seeds 0 .. best_of - 1 at default quality and store the one that comes closest to the
                source (`closeness`), for decoding without a seed. Costs as many decodes, and three bytes.

        Raises:
            SpressoError: ``unknown_point``, ``unknown_channel_mode``, ``no_quantizer``, ``nonfinite_samples``,
                ``bad_shape``.
        """
        return self.encode_many([(audio_CN, sample_rate)], point, channel_mode, best_of)[0]

    def encode_many(
        self, sounds: Iterable[tuple[Audio, int]], point: str, channel_mode: str = "mono", best_of: int = 1
    ) -> list[bytes]:
        """Several sounds -> .spr bytes each; short sounds of one padded length share a batch. See `encode`."""
        op = self.operating_point(point)
        streams: dict[int, bytes] = {}
        batches: dict[tuple[int, int], list[tuple[int, _Surveyed]]] = defaultdict(list)
        for i, (audio_CN, sample_rate) in enumerate(sounds):
            blocks = _blocks(audio_CN)
            header, side = self.encoding.survey(blocks, sample_rate, op, channel_mode)
            frames = self.encoding.frames(header, op.rate)
            if header.silent or not self.encoding.fits_one_window(frames, op.rate):
                streams[i] = self._encode(_Surveyed(header, side, blocks), op, best_of)
                continue
            batches[frames, header.coded_channels].append((i, _Surveyed(header, side, blocks)))
        for (frames, channels), batch in batches.items():
            step = max(1, BATCH_FRAMES // (frames * channels))
            for at in range(0, len(batch), step):
                group = batch[at : at + step]
                signals = [Rolling(self.encoding.signal(s.header, s.blocks)).take(0, frames * HOP) for _, s in group]
                tokens_BFX = self.encoding.tokens([np.concatenate(signals)], frames, op)
                for (i, sound), tokens_CFX in zip(group, np.split(tokens_BFX, len(group)), strict=True):
                    streams[i] = self._pack(sound, tokens_CFX, best_of)
        return [streams[i] for i in range(len(streams))]

    def encode_stream(
        self, open_blocks: OpenBlocks, sample_rate: int, point: str, channel_mode: str = "mono", best_of: int = 1
    ) -> bytes:
        """A sound of any length -> .spr bytes, the same that `encode` makes of it; only its codes are held in memory.

        Args:
            open_blocks: opens the sound anew and gives its samples, float [C, n] in blocks of any size. It is called
                twice, since the level of the whole sound must be known before its first code; and once for every
                seed that ``best_of`` tries.

        Raises:
            SpressoError: as `encode`; ``changed_while_reading`` if the readings differ in length.
        """
        op = self.operating_point(point)
        header, side = self.encoding.survey(open_blocks, sample_rate, op, channel_mode)
        return self._encode(_Surveyed(header, side, open_blocks), op, best_of)

    def _encode(self, sound: _Surveyed, op: OperatingPoint, best_of: int) -> bytes:
        if sound.header.silent:
            return bitstream.pack(sound.header)
        frames = self.encoding.frames(sound.header, op.rate)
        return self._pack(
            sound, self.encoding.tokens(self.encoding.signal(sound.header, sound.blocks), frames, op), best_of
        )

    def _pack(self, sound: _Surveyed, tokens_CFX: Tokens, best_of: int) -> bytes:
        header, tokens_CFX = sound.header, tokens_CFX[:, : sound.header.frames]  # what follows stands for padding
        if best_of > 1 and (seed := self._closest_seed(sound, tokens_CFX, best_of)):
            header = replace(header, extension=seed_record(seed))
        tokens = tokens_CFX if header.channel_mode == "dual" else tokens_CFX[0]
        return bitstream.pack(header, tokens, sound.side, self.entropy)

    def _closest_seed(self, sound: _Surveyed, tokens_CFX: Tokens, count: int) -> int:
        """The seed below ``count`` whose decode is closest to the source; the first of equals."""
        distances = []
        for seed in range(count):
            source, distance, at = Rolling(self.encoding.signal(sound.header, sound.blocks)), MelDistance(), 0
            for decoded_CN in self.decoding.signal(sound.header, tokens_CFX, seed):
                distance.add(source.take(at, at + decoded_CN.shape[1]), decoded_CN)
                at += decoded_CN.shape[1]
            distances.append(distance.value)
        return int(np.argmin(distances))

    @torch.inference_mode()
    def requantise(self, payloads: Sequence[bytes], point: str) -> list[bytes]:
        """Continuous streams -> streams of codes at the same frame rate; only the quantizer runs.

        The result is what encoding the source at ``point`` gives, but for the rounding of stored latents to 16 bits,
        which now and then turns a code that was a near tie.

        Args:
            payloads: continuous streams of this model at the frame rate of ``point``, of any lengths: their frames
                are quantised together.
            point: a discrete operating point.

        Raises:
            SpressoError: what `bitstream.unpack` raises; ``wrong_model``; ``not_quantisable`` for a stream that is
                no continuous one of this frame rate, or a point that has no codes; as `operating_point`.
        """
        op = self.operating_point(point)
        opened = [self._continuous(payload, op) for payload in payloads]
        rows = [z.reshape(-1, z.shape[-1]) for _, z in opened if z.size]
        parts: list[Tokens] = []
        if rows:
            z_BD = torch.from_numpy(np.concatenate(rows))
            codes_BM = self.networks.quantizers[op.rate].encode(z_BD, BEAM, CANDIDATES, op.codebooks).numpy()
            parts = np.split(codes_BM, np.cumsum([len(z_BD) for z_BD in rows])[:-1])
        made, streams = iter(parts), []
        for (header, z), payload in zip(opened, payloads, strict=True):
            header = replace(header, codebooks=op.codebooks, bits=op.bits, dim=None)
            codes = next(made).reshape(*z.shape[:-1], -1) if z.size else None
            if codes is None and not header.silent:
                codes = np.zeros((*z.shape[:-1], op.codebooks or 0), np.int32)
            streams.append(bitstream.pack(header, codes, bitstream.read_side(payload), self.entropy))
        return streams

    def _continuous(self, payload: bytes, op: OperatingPoint) -> tuple[SprHeader, Tokens]:
        header, z = bitstream.unpack(payload)
        if header.model_id != self.model_id:
            raise _wrong_model(header, self.model_id)
        if not header.continuous or header.pool != op.pool or op.codebooks is None:
            raise SpressoError(
                f"only a continuous stream of {op.rate} can be quantised to '{op.name}'",
                code="not_quantisable",
                hint="Encode the source again.",
            )
        return header, z

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
        if op.rate not in self.config.rates:
            raise SpressoError(
                f"the bundle '{self.name}' does not do {op.rate}",
                code="no_rate",
                hint=f"It does {', '.join(self.config.rates)}.",
                exit_code=ExitCode.MODEL_MISSING,
            )
        if op.codebooks is not None and op.rate not in self.networks.quantizers:
            raise SpressoError(
                f"the bundle '{self.name}' has no quantizer for {op.rate}",
                code="no_quantizer",
                hint="Use a continuous profile, or train one with 'spresso train quantizer'.",
                exit_code=ExitCode.MODEL_MISSING,
            )
        return op

    def decode(
        self, payload: bytes, seed: int | None = None, steps: int | None = None, quality: str = "default"
    ) -> tuple[Audio, int]:
        """.spr bytes -> (float32 [C, N], sample rate): exactly the length and rate that were encoded.

        Args:
            seed: variation; the same seed, stream and weights give the same sound. None takes the one that the stream
                stores (`encode` with ``best_of``), or 0.
            steps: solver steps, overriding those of ``quality``.
            quality: ``preview`` (the student's few evaluations, or 1), ``default`` (8) or ``paper`` (Heun 64).

        Raises:
            SpressoError: what `bitstream.unpack` raises; ``wrong_model`` if other weights made the stream;
                ``codes_mismatch``; ``unknown_quality``; ``bad_steps``.
        """
        header, blocks = self._opened(payload, seed, steps, quality)
        audio_CN = np.empty((header.channels, header.samples), np.float32)
        at = 0
        for block in blocks:
            audio_CN[:, at : at + block.shape[1]] = block
            at += block.shape[1]
        return audio_CN, header.sample_rate

    def decode_stream(
        self, payload: bytes, seed: int | None = None, steps: int | None = None, quality: str = "default"
    ) -> Iterator[Audio]:
        """`decode` as blocks float32 [C, n], in memory that does not grow with length. Joined they are its result.

        Rate, channels and length stand in the stream's header (`bitstream.read_header`).
        """
        return self._opened(payload, seed, steps, quality)[1]

    def _opened(
        self, payload: bytes, seed: int | None, steps: int | None, quality: str
    ) -> tuple[SprHeader, Iterator[Audio]]:
        if quality not in QUALITIES:
            raise SpressoError(
                f"unknown quality '{quality}'",
                code="unknown_quality",
                hint=f"Known: {', '.join(QUALITIES)}.",
                exit_code=ExitCode.USAGE,
            )
        if steps is not None and not 1 <= steps <= MAX_STEPS:
            raise SpressoError(
                f"a decode takes 1 to {MAX_STEPS} steps, not {steps}",
                code="bad_steps",
                hint="More than 64 are hardly heard.",
                exit_code=ExitCode.USAGE,
            )
        ours = bitstream.read_header(payload).model_id == self.model_id
        header, tokens = bitstream.unpack(payload, self.entropy if ours else None)
        if header.model_id != self.model_id:
            raise _wrong_model(header, self.model_id)
        if (
            header.dim not in (None, self.config.latent_encoder.code_dim)
            or RATE_OF_POOL.get(header.pool) not in self.config.rates
        ):
            raise SpressoError(
                "the stream names this model, but holds latents that it cannot have made",
                code="codes_mismatch",
                hint="Encode the source again.",
            )
        if seed is None:
            seed = stored_seed(header.extension) or 0
        return header, self.decoding.stream(header, tokens, bitstream.read_side(payload), seed, steps, quality)


@dataclass(frozen=True)
class _Surveyed:
    """A sound after its first reading."""

    header: SprHeader
    side: bytes
    blocks: OpenBlocks


def _wrong_model(header: SprHeader, model_id: str) -> SpressoError:
    return SpressoError(
        f"the stream was made by model {header.model_id}, this bundle is {model_id}",
        code="wrong_model",
        hint="Decode with the bundle that encoded it: 'spresso models list'.",
        exit_code=ExitCode.MODEL_MISSING,
    )


def _blocks(audio_CN: Audio) -> OpenBlocks:
    """A whole sound as a source of blocks: what is computed along the way then stays small."""
    if np.ndim(audio_CN) != 2 or np.shape(audio_CN)[1] <= ARRAY_BLOCK:
        return lambda: [audio_CN]
    return lambda: (audio_CN[:, at : at + ARRAY_BLOCK] for at in range(0, audio_CN.shape[1], ARRAY_BLOCK))
