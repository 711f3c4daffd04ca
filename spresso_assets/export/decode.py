"""From a payload to a sound file that says what it is.

A decode at a few hundred bits per second is a faithful re-synthesis, not a copy. Every decoded file carries that in
its broadcast extension and iXML: the asset, its original's path, profile, model weights and seed. The same seed gives
the same samples on the same machine and library versions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.renditions import Payload

SEEDS = 1 << 31
SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}


class Decoder(Protocol):
    """The part of `codec.SPresso` that is needed here."""

    name: str
    weights_sha256: str

    def decode_stream(
        self, payload: bytes, seed: int = 0, steps: int | None = None, quality: str = "default"
    ) -> Iterator[NDArray[np.float32]]:
        """.spr bytes -> float32 blocks [C, n]."""
        ...


@dataclass
class Decoded:
    """A sound that is being decoded, and how it comes about.

    Attributes:
        blocks: float32 [C, n], decoded as they are asked for, once.
        channels: C.
        frames: N, in all.
        sample_rate: hertz.
        seed: the variation.
        profile: name of the profile that it was encoded under.
        model: name of the model.
        weights_sha256: identity of the model's weights.
        asset: uid of the asset, '' for a file without a catalog.
        name: what the sound is called.
        original: where the original lies.
        generation: lossy encodings between the original and this; 2 after a transcoding.
        fields: descriptive metadata to carry over.
        seconds_spent: wall time of decoding, so far.
    """

    blocks: Iterator[NDArray[np.float32]]
    channels: int
    frames: int
    sample_rate: int
    seed: int
    profile: str
    model: str
    weights_sha256: str
    asset: str = ""
    name: str = ""
    original: str = ""
    generation: int = 1
    fields: dict[str, str] = field(default_factory=dict)
    seconds_spent: float = 0.0

    def __post_init__(self) -> None:
        self.blocks = self._timed(self.blocks)

    def _timed(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        while True:
            started = time.perf_counter()
            block = next(blocks, None)
            self.seconds_spent += time.perf_counter() - started
            if block is None:
                return
            yield block

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.frames / self.sample_rate

    @property
    def speed(self) -> float:
        """How many times faster than real time it was decoded."""
        return self.seconds / self.seconds_spent if self.seconds_spent > 0 else 0.0

    def record(self) -> dict[str, Any]:
        """JSON form, without the samples."""
        return {
            "asset": self.asset,
            "name": self.name,
            "profile": self.profile,
            "seed": self.seed,
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "speed": round(self.speed, 2),
        }

    def summary(self) -> str:
        """One clause for people."""
        times = f"{self.speed:.1f} times real time"
        return f"{self.seconds:.2f} s at {self.sample_rate} Hz, {self.profile}, seed {self.seed}, {times}"


def decode_payload(
    codec: Decoder,
    payload: bytes,
    *,
    seed: int | None = None,
    profile: str,
    quality: str = "default",
    steps: int | None = None,
    **about: Any,
) -> Decoded:
    """Begin to decode a payload.

    Args:
        seed: variation; None takes the one that the payload stores, or 0.
        about: further fields of `Decoded`.
    """
    from spresso_assets.codec.bitstream import read_header
    from spresso_assets.codec.extension import stored_seed

    header = read_header(payload)
    seed = (stored_seed(header.extension) or 0 if seed is None else seed) % SEEDS
    blocks = codec.decode_stream(payload, seed=seed, steps=steps, quality=quality)
    return Decoded(
        blocks,
        header.channels,
        header.samples,
        header.sample_rate,
        seed,
        profile,
        codec.name,
        codec.weights_sha256,
        **about,
    )


def decode_asset(
    catalog: Catalog,
    codec: Decoder,
    id_prefix: str,
    *,
    profile: str | None = None,
    seed: int | None = None,
    variation: int = 0,
    quality: str = "default",
    steps: int | None = None,
) -> Decoded:
    """Begin to decode one asset of the catalog.

    Args:
        catalog: the open catalog.
        codec: the loaded model; must be the one that the payload was made with.
        id_prefix: uid or its first digits.
        profile: a profile's name; None takes the best that there is.
        seed: variation; None takes the rendition's own, so that everybody hears the same sound first.
        variation: added to the seed.
        quality: preview, default or paper.
        steps: solver steps instead of the quality's own.

    Raises:
        SpressoError: `asset_not_found`, `ambiguous_id`, `not_encoded`, `payload_corrupt`, `wrong_model`.
    """
    with catalog.read() as session:
        stored, about = find_stored(session, id_prefix, profile)
    check_model(about["asset"], stored, codec.weights_sha256)
    return decode_payload(
        codec,
        stored.payload,
        seed=(stored.decode_seed if seed is None else seed) + variation,
        profile=stored.profile,
        quality=quality,
        steps=steps,
        **about,
    )


def find_stored(session: Session, id_prefix: str, profile: str | None = None) -> tuple[Payload, dict[str, Any]]:
    """The payload of an asset, and what `Decoded` says about it: asset, name, original, generation and fields.

    Raises:
        SpressoError: `asset_not_found`, `ambiguous_id`, `not_encoded`, `payload_corrupt`.
    """
    from spresso_assets.catalog.assets import find_asset
    from spresso_assets.catalog.renditions import get_payload

    asset = find_asset(session, id_prefix)
    stored = get_payload(session, asset, profile)
    where = session.connection().execute(_original_path(), {"asset": asset.id}).first()
    rel_path = where[1] if where else ""
    return stored, {
        "asset": asset.uid,
        "name": asset.fx_name or asset.title or Path(rel_path).stem or asset.uid[:8],
        "original": f"{where[0]}/{rel_path}" if where else "",
        "generation": stored.generation,
        "fields": {name: value for name in CARRIED if (value := getattr(asset, name))},
    }


@cache
def _original_path() -> Any:
    """The statement, made once: that takes longer than running it."""
    from sqlalchemy import bindparam
    from sqlmodel import col, select

    from spresso_assets.catalog.models import SourceFile, WatchRoot

    path = select(WatchRoot.path, SourceFile.rel_path).join(SourceFile)
    return path.where(col(SourceFile.asset_id) == bindparam("asset"), SourceFile.state != "moved").limit(1)


def check_model(uid: str, stored: Payload, weights_sha256: str) -> None:
    """Raise `wrong_model` unless these weights made the payload."""
    if stored.weights_sha256 != weights_sha256:
        raise SpressoError(
            f"{uid[:8]} was encoded by weights {stored.weights_sha256[:12]}, the loaded model is {weights_sha256[:12]}",
            code="wrong_model",
            hint="Name the bundle that made it with --bundle; 'spresso models list' shows all.",
            exit_code=ExitCode.MODEL_MISSING,
        )


def resampled(decoded: Decoded, rate: int) -> Decoded:
    """The same sound at another sample rate, converted as it is decoded.

    Raises:
        SpressoError: `bad_sample_rate`.
    """
    from spresso_assets.audio.resample import resample_blocks, resampled_length

    decoded.blocks = resample_blocks(decoded.blocks, decoded.channels, decoded.sample_rate, rate)
    decoded.frames = resampled_length(decoded.frames, decoded.sample_rate, rate)
    decoded.sample_rate = rate
    return decoded


# Descriptive fields that people want to see in a decoded file; what describes the original recording stays behind.
CARRIED = (
    *("fx_name", "title", "description", "keywords", "cat_id", "category", "subcategory", "user_category"),
    *("creator_id", "source_id", "library", "manufacturer", "notes"),
)


def write_decoded(decoded: Decoded, target: Path, *, bit_depth: int = 24, metadata: bool = True) -> None:
    """Write a .wav or .flac file with its provenance, block by block as it is decoded.

    Args:
        decoded: what to write; its blocks are used up.
        target: .wav or .flac; replaced in one step.
        bit_depth: 16, 24, or 32 (float, .wav only).
        metadata: False leaves the descriptive fields out; what it is and how it was made is always said.

    Raises:
        SpressoError: `bad_format`, and what `audio.write.write_blocks` and decoding raise.
    """
    from spresso_assets.audio.broadcast import build_ixml
    from spresso_assets.audio.write import write_blocks

    if target.suffix.lower() not in (".wav", ".flac"):
        raise _bad_format(f"cannot write '{target.suffix}' files", "Use .wav or .flac.")
    if bit_depth not in SUBTYPES:
        depths = ", ".join(map(str, SUBTYPES))
        raise _bad_format(f"no bit depth {bit_depth}", f"Use one of {depths}.")
    bext, ixml = chunk_texts(decoded, metadata=metadata)
    write_blocks(
        target,
        decoded.blocks,
        decoded.channels,
        decoded.frames,
        decoded.sample_rate,
        SUBTYPES[bit_depth],
        bext=bext,
        ixml=build_ixml(ixml),
    )


def chunk_texts(decoded: Decoded, *, metadata: bool = True) -> tuple[dict[str, str], dict[str, str]]:
    """What a decoded file says about itself: fields of `audio.broadcast.Bext`, and of its iXML.

    Args:
        metadata: False leaves the descriptive fields out.
    """
    told = provenance(decoded)
    fields = decoded.fields if metadata else {}
    description = fields.get("description") or fields.get("fx_name") or decoded.name
    mode = {1: "mono", 2: "stereo"}.get(decoded.channels, f"{decoded.channels} channels")
    text = ";".join(f"{key}={value}" for key, value in told.items() if key != "ORIGINAL")
    bext = {
        "description": f"S-PRESSO re-synthesis: {description}" if description else "S-PRESSO re-synthesis",
        "originator": "spresso-assets",
        "originator_reference": decoded.asset[:32],
        "coding_history": f"A=S-PRESSO,F={decoded.sample_rate},M={mode},T={text.replace(',', ' ')}",
    }
    note = "Re-synthesised from an S-PRESSO latent; not the original recording."
    ixml = {"NOTE": note, **{f"SPRESSO/{key}": value for key, value in told.items()}}
    return bext, ixml | {f"USER/{name.upper()}": value for name, value in fields.items()}


def provenance(decoded: Decoded) -> dict[str, str]:
    """What a decoded file says about where it comes from."""
    told = {
        "PROFILE": decoded.profile,
        "SEED": str(decoded.seed),
        "MODEL": decoded.model,
        "WEIGHTS_SHA256": decoded.weights_sha256,
    }
    if decoded.asset:
        told = {"ASSET": decoded.asset, **told}
    if decoded.generation > 1:
        told["GENERATION"] = str(decoded.generation)
    if decoded.original:
        told["ORIGINAL"] = decoded.original
    return told


def _bad_format(message: str, hint: str) -> SpressoError:
    return SpressoError(message, code="bad_format", hint=hint, exit_code=ExitCode.USAGE)
