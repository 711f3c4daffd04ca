"""A take: one sound, one seed, one form. Everything about it is known before anything is decoded.

How long the file will be follows from the header of the payload in whole numbers, so a client can be told the exact
length at once; the renderer then delivers exactly so many frames or fails.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spresso_assets.audio.resample import resampled_length
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.export.decode import SEEDS, Decoded, check_model, find_stored

if TYPE_CHECKING:
    from sqlmodel import Session

HEADER_BYTES = 4096  # of every WAV file that the bridge gives out
WORD_BYTES = {"16": 2, "24": 3, "32f": 4}
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
FORMATS = ("wav", "flac", "ogg")
MAX_FX_NAME, MAX_STEM = 25, 116  # characters; with the suffix a name stays below 120
LONGEST_S = 4 * 3600 + 60  # no sound is longer, see `codec.bitstream_header`
_KEY_VERSION = b"take 1"
_MODEL_NAMES: dict[str, str] = {}


class TakeParams(BaseModel):
    """How somebody wants to have a sound; the query of every URL that gives audio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str | None = Field(default=None, max_length=100, description="Which encoding; the best one by default.")
    seed: int | None = Field(default=None, ge=0, lt=SEEDS, description="Variation; the sound's own by default.")
    variation: int = Field(default=0, ge=0, lt=SEEDS, description="Added to the seed.")
    q: Literal["preview", "default", "paper"] = Field(default="default", description="Quality of the decode.")
    rate: int | None = Field(default=None, ge=8000, le=192_000, description="Hertz; the sound's own rate by default.")
    bits: Literal["16", "24", "32f"] = Field(default="24", description="Word length; 32f is float.")
    ch: Literal["keep", "1", "2"] = Field(default="keep", description="Channels.")
    start: float = Field(default=0.0, ge=0, le=LONGEST_S, allow_inf_nan=False, description="First second.")
    dur: float | None = Field(default=None, gt=0, le=LONGEST_S, allow_inf_nan=False, description="Seconds.")
    gain_db: float = Field(default=0.0, ge=-60, le=24, allow_inf_nan=False, description="Gain in dB.")


@dataclass(frozen=True)
class Take:
    """One sound as it will come out of the decoder.

    Attributes:
        asset_uid: of the asset.
        name: what the sound is called.
        profile, model, weights_sha256: how it was encoded.
        seed: absolute.
        quality: of the decode: preview, default or paper.
        sample_rate: of the output, in hertz.
        channels: of the output.
        frames: of the output, exactly.
        bits: '16', '24' or '32f'.
        gain_db: applied to what was decoded.
        start, dur: the part that is wanted, in frames of the output; ``dur`` equals ``frames``.
        source_rate, source_channels, source_frames: what the decoder gives before anything is done to it.
        payload: what is decoded.
        original: path of the original, '' where it is not known.
        generation: lossy encodings between the original and this.
        fields: descriptive metadata to carry over.
    """

    asset_uid: str
    name: str
    profile: str
    model: str
    weights_sha256: str
    seed: int
    quality: str
    sample_rate: int
    channels: int
    frames: int
    bits: str
    gain_db: float
    start: int
    source_rate: int
    source_channels: int
    source_frames: int
    payload: bytes = field(repr=False)
    original: str = ""
    generation: int = 1
    fields: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def dur(self) -> int:
        """Frames of the output."""
        return self.frames

    @property
    def cat_id(self) -> str:
        """Category of the Universal Category System, '' without one."""
        return self.fields.get("cat_id", "")

    @property
    def seconds(self) -> float:
        """Length of the output."""
        return self.frames / self.sample_rate

    @cached_property
    def key(self) -> str:
        """Identity of the samples: equal keys, equal samples. The word length is no part of it."""
        parts = (
            *(hashlib.sha256(self.payload).hexdigest(), self.weights_sha256, self.seed, self.quality),
            *(self.sample_rate, self.channels, self.start, self.frames, float(self.gain_db).hex()),
        )
        return hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=16, person=_KEY_VERSION).hexdigest()

    @property
    def is_whole(self) -> bool:
        """Whether this is what the decoder gives, with nothing done to it."""
        return self == self.whole()

    def whole(self) -> Take:
        """The same sound as the decoder gives it; every other form of it can be made from that."""
        return replace(
            self,
            sample_rate=self.source_rate,
            channels=self.source_channels,
            frames=self.source_frames,
            gain_db=0.0,
            start=0,
        )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in a file."""
        return self.channels * WORD_BYTES[self.bits]

    @property
    def data_bytes(self) -> int:
        """Bytes of samples in a WAV file, without the pad byte."""
        return self.frames * self.frame_bytes

    @property
    def pcm_bytes(self) -> int:
        """Bytes of the samples as float32, the form in which they are kept."""
        return 4 * self.frames * self.channels

    @property
    def wav_bytes(self) -> int:
        """Exact size of the WAV file."""
        return HEADER_BYTES + self.data_bytes + self.data_bytes % 2

    def etag(self, format: str) -> str:
        """Quoted entity tag of the take as a file. What a file says about itself belongs to it.

        That of Ogg is weak: an encoder puts a random number into each stream.
        """
        told = (self.key, format, self.bits, self.asset_uid, self.name, self.profile, self.model, self.original)
        text = "\0".join((*told, *(f"{name}={value}" for name, value in sorted(self.fields.items()))))
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).hexdigest()
        return f'{"W/" if format == "ogg" else ""}"{self.key}-{digest}-{format}{self.bits}"'

    def filename(self, style: str = "ucs", suffix: str = ".wav") -> str:
        """What a file of this take is called; another seed gives another name.

        Args:
            style: ``ucs``: blocks of the Universal Category System with `_` between them, ending in the first digits
                of the id and the seed; ``safe``: the same without spaces or anything that a shell, a URL or a patch
                language gives a meaning.
            suffix: with its dot.
        """
        blocks = [self.fields.get(name, "") for name in ("cat_id", "fx_name", "creator_id", "source_id")]
        blocks[1] = _block(blocks[1] or self.name)[:MAX_FX_NAME].strip()
        mark = f"{self.asset_uid[:8]}-s{self.seed}"
        stem = "_".join(kept for block in blocks if (kept := _block(block)))
        stem = stem[: MAX_STEM - len(mark) - 1].rstrip(" ._-")
        whole = f"{stem}_{mark}" if stem else mark
        if style == "safe":
            whole = re.sub(r"[^A-Za-z0-9_.]+", "-", whole)
        return whole + suffix

    def as_decoded(self) -> Decoded:
        """The take as `export.decode` describes a decode, without its samples."""
        return Decoded(
            iter(()),
            self.channels,
            self.frames,
            self.sample_rate,
            self.seed,
            self.profile,
            self.model,
            self.weights_sha256,
            asset=self.asset_uid,
            name=self.name,
            original=self.original,
            generation=self.generation,
            fields=self.fields,
        )


def _block(text: str) -> str:
    """One block of a file name: ASCII, no separator, nothing that a file system refuses."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"\s+", " ", re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*_]+', " ", plain)).strip(" .-")


def make_take(session: Session, id_prefix: str, params: TakeParams, *, weights_sha256: str = "") -> Take:
    """Look a take up; the catalog is read, nothing is decoded.

    Args:
        id_prefix: uid or its first digits.
        weights_sha256: of the model that will decode; '' where that is not known yet.

    Raises:
        SpressoError: ``asset_not_found``, ``ambiguous_id``, ``not_encoded``, ``payload_corrupt``, ``wrong_model``,
            ``bad_range``.
    """
    from spresso_assets.codec.bitstream import read_header

    stored, about = find_stored(session, id_prefix, params.profile)
    uid = about.pop("asset")
    if weights_sha256:
        check_model(uid, stored, weights_sha256)
    header = read_header(stored.payload)
    return Take(
        asset_uid=uid,
        profile=stored.profile,
        model=_model_name(session, stored.weights_sha256),
        weights_sha256=stored.weights_sha256,
        seed=((stored.decode_seed if params.seed is None else params.seed) + params.variation) % SEEDS,
        quality=params.q,
        payload=stored.payload,
        **form_of(params, header.sample_rate, header.channels, header.samples),
        **about,
    )


def form_of(params: TakeParams, source_rate: int, source_channels: int, source_frames: int) -> dict[str, Any]:
    """The fields of a take that follow from what the decoder gives and what is asked for.

    Raises:
        SpressoError: ``bad_range``.
    """
    rate = params.rate or source_rate
    start, frames = _part(params, resampled_length(source_frames, source_rate, rate), rate)
    return {
        "sample_rate": rate,
        "channels": source_channels if params.ch == "keep" else int(params.ch),
        "frames": frames,
        "bits": params.bits,
        "gain_db": params.gain_db,
        "start": start,
        "source_rate": source_rate,
        "source_channels": source_channels,
        "source_frames": source_frames,
    }


def _part(params: TakeParams, total: int, rate: int) -> tuple[int, int]:
    """First frame and number of frames; a part that reaches beyond the end stops there."""
    start = _frames(params.start, rate)
    if start >= total and start:
        raise SpressoError(
            f"the part begins at {params.start:g} s, the sound ends at {total / rate:.3f} s",
            code="bad_range",
            hint="Choose a smaller start.",
            exit_code=ExitCode.USAGE,
        )
    wanted = total - start if params.dur is None else max(1, _frames(params.dur, rate))
    return start, min(wanted, total - start)


def _frames(seconds: float, rate: int) -> int:
    return int(seconds * rate + 0.5)


def _model_name(session: Session, weights_sha256: str) -> str:
    """Name of the model with these weights, which is never another one."""
    if weights_sha256 not in _MODEL_NAMES:
        from sqlmodel import select

        from spresso_assets.catalog.models import CodecModel

        names = select(CodecModel.name).where(CodecModel.weights_sha256 == weights_sha256)
        _MODEL_NAMES[weights_sha256] = session.exec(names).first() or ""
    return _MODEL_NAMES[weights_sha256]


def described(take: Take) -> dict[str, Any]:
    """The facts of a take that lists of variations and slots show."""
    return {"id": take.asset_uid, "seed": take.seed, "filename": take.filename(), "bytes": take.wav_bytes}
