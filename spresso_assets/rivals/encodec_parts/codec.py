"""Our EnCodec: stereo in chunks of a second, and codes that a prior in whole numbers makes shorter.

The body of a stream: one byte that says whether the prior was used, the level of each chunk (a byte), the codes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from spresso_assets.codec.entropy import Decoder, Encoder
from spresso_assets.rivals.codes import pack_codes, unpack_codes
from spresso_assets.rivals.encodec_parts.chunks import join, level_of, level_steps, spans
from spresso_assets.rivals.encodec_parts.config import NAME, SYSTEM
from spresso_assets.rivals.encodec_parts.exact_prior import PREFIX, ExactPrior
from spresso_assets.rivals.interface import Audio, Head, Point, bad_stream, nearest, pack, point_of, unpack
from spresso_assets.rivals.soundstream.config import SeanetConfig
from spresso_assets.rivals.soundstream.model import ConvCodec
from spresso_assets.rivals.weights import fill, load_weights

PLAIN, FORETOLD = 0, 1
Codes = npt.NDArray[np.int64]


class EncodecOurs:
    """Our EnCodec.

    Args:
        model: of two channels.
        prior: that knows at least as many codebooks; without one, codes are stored plainly.
    """

    name = NAME
    channels = (1, 2)

    def __init__(self, model: ConvCodec, prior: ExactPrior | None = None) -> None:
        self.model, self.prior = model, prior
        self.sample_rate = model.cfg.sample_rate

    @classmethod
    def load(cls, folder: Path) -> EncodecOurs:
        """From a folder of weights.

        Raises:
            SpressoError: ``rival_missing``.
        """
        cfg, tensors = load_weights(folder, NAME, SeanetConfig)
        model = ConvCodec(cfg)
        fill(model, tensors, "model.", folder, NAME)
        return cls(model.eval(), ExactPrior(tensors) if f"{PREFIX}sizes" in tensors else None)

    def points(self) -> list[Point]:
        """One per number of codebooks on offer; what the prior saves is not counted."""
        cfg = self.model.cfg
        return [Point(f"{NAME} {cfg.kbps(count):g} kbps", cfg.kbps(count)) for count in cfg.offered]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`; mono goes through as two equal channels."""
        point, cfg = nearest(self.points(), kbps), self.model.cfg
        channels, samples = audio_CN.shape
        levels, chunks = bytearray(), []
        for start, stop in spans(samples, self.sample_rate):
            chunk_CN = audio_CN[:, start:stop]
            levels.append(level_steps(chunk_CN))
            whole = np.zeros((1, cfg.channels, -(-(stop - start) // cfg.hop) * cfg.hop), np.float32)
            whole[0, :, : stop - start] = chunk_CN / level_of(levels[-1])
            chunks.append(self.model.encode(torch.from_numpy(whole), cfg.offered[point])[0].numpy())
        body = bytes([PLAIN]) + levels
        if chunks:
            plain = pack_codes(np.concatenate(chunks), cfg.bits)
            short = self._foretold(chunks)
            if short is not None and len(short) < len(plain):
                body = bytes([FORETOLD]) + levels + short
            else:
                body += plain
        return pack(SYSTEM, Head(samples, channels, point), bytes(body))

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`.

        Raises:
            SpressoError: ``rival_stream_bad``, also if the stream needs a prior that these weights lack.
        """
        head, body = unpack(data, SYSTEM, NAME)
        point_of(self.points(), head, NAME)
        cfg = self.model.cfg
        if head.samples > len(body) * self.sample_rate:  # every chunk of a second has its byte
            raise bad_stream(NAME, "it holds another length than it says")
        places = spans(head.samples, self.sample_rate)
        frames = [-(-(stop - start) // cfg.hop) for start, stop in places]
        if len(body) < 1 + len(places) or head.channels > cfg.channels:
            raise bad_stream(NAME, "it holds another length than it says")
        levels, rest = body[1 : 1 + len(places)], body[1 + len(places) :]
        codes = self._codes(body[0], rest, frames, cfg.offered[head.point])
        made = (
            self.model.decode(torch.from_numpy(codes_TM)[None])[0].numpy() * np.float32(level_of(steps))
            for codes_TM, steps in zip(codes, levels, strict=True)
        )
        audio_CN = join(made, head.samples, cfg.channels, self.sample_rate)
        return audio_CN if head.channels > 1 else audio_CN.mean(0, keepdims=True)

    def _foretold(self, chunks: list[Codes]) -> bytes | None:
        if self.prior is None:
            return None
        coder = Encoder()
        for codes_TM in chunks:
            self.prior.encode(coder, codes_TM)
        return coder.finish()

    def _codes(self, mode: int, rest: bytes, frames: list[int], codebooks: int) -> list[Codes]:
        if mode == PLAIN:
            codes_TM = unpack_codes(rest, (sum(frames), codebooks), self.model.cfg.bits, NAME)
            return np.split(codes_TM, np.cumsum(frames)[:-1]) if frames else []
        if mode != FORETOLD or self.prior is None:
            raise bad_stream(NAME, "its codes were shortened by a prior that these weights lack")
        coder = Decoder(rest)
        found = [self.prior.decode(coder, count, codebooks) for count in frames]
        if not coder.finished():
            raise bad_stream(NAME, "it holds another length than it says")
        return found
