"""All systems by name: what makes each, and what it needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.rivals.interface import Codec

# Weights of our own rivals, as a checkout has them; an installed package does not.
TRAINED = Path(__file__).parents[1] / "models" / "rivals"


@dataclass(frozen=True)
class System:
    """One that can be asked for.

    Attributes:
        about: one line for people.
        open: makes it, from its folder of weights if it needs one.
        needs_weights: whether it does.
    """

    about: str
    open: Callable[[Path], Codec]
    needs_weights: bool = True


def _classic(name: str) -> Callable[[Path], Codec]:
    def make(folder: Path) -> Codec:
        from spresso_assets.rivals.classic import Classic

        return Classic(name)

    return make


def _lyra(folder: Path) -> Codec:
    from spresso_assets.rivals.lyra import Lyra

    return Lyra(folder)


def _encodec(folder: Path) -> Codec:
    from spresso_assets.rivals.encodec import EnCodec

    return EnCodec.load(folder)


def _dac(folder: Path) -> Codec:
    from spresso_assets.rivals.dac import Dac

    return Dac.load(folder)


def _adapted(name: str) -> Callable[[Path], Codec]:
    def make(folder: Path) -> Codec:
        from spresso_assets.rivals.adapters import Music2Latent, SemantiCodec, StableAudio

        kinds: dict[str, Callable[[Path], Codec]] = {
            kind.name: kind.load for kind in (SemantiCodec, StableAudio, Music2Latent)
        }
        return kinds[name](folder)

    return make


def _spectrogram(folder: Path) -> Codec:
    from spresso_assets.rivals.spectrogram.codec import SpectrogramCodec

    return SpectrogramCodec(folder)


def _soundstream(folder: Path) -> Codec:
    from spresso_assets.rivals.soundstream.codec import SoundStream

    return SoundStream.load(folder)


def _encodec_ours(folder: Path) -> Codec:
    from spresso_assets.rivals.encodec_parts.codec import EncodecOurs

    return EncodecOurs.load(folder)


def _untrained(name: str) -> Callable[[Path], Codec]:
    def make(folder: Path) -> Codec:
        from spresso_assets.rivals import untrained

        return {"encodec": untrained.encodec_48k, "dac": untrained.dac_44k}[name]()

    return make


SYSTEMS: dict[str, System] = {
    "opus": System("Opus from 6 kbit/s, libsndfile's encoder, without its container", _classic("opus"), False),
    "mp3": System("MP3 from 64 kbit/s, libsndfile's encoder", _classic("mp3"), False),
    "vorbis": System("Ogg Vorbis, libsndfile's encoder", _classic("vorbis"), False),
    "flac": System("FLAC of 16 bits: nothing is lost but the bits below", _classic("flac"), False),
    "lyra": System("SoundStream as released with Lyra v2, 3.2 to 9.2 kbit/s, 16 kHz", _lyra),
    "soundstream": System("SoundStream of our own, 3 to 18 kbit/s, 24 kHz", _soundstream),
    "spectrogram": System("spectrogram images with a hyperprior, from 1.5 kbit/s; phase by PGHI", _spectrogram),
    "encodec-ours": System("EnCodec of our own, 1.5 to 12 kbit/s, stereo, codes shortened by a prior", _encodec_ours),
    "encodec": System("EnCodec, of transformers", _encodec),
    "dac": System("Descript Audio Codec, of transformers", _dac),
    "encodec-untrained": System("EnCodec at its size for 48 kHz, to be timed only", _untrained("encodec"), False),
    "dac-untrained": System("DAC at its size for 44.1 kHz, to be timed only", _untrained("dac"), False),
    "semanticodec": System("SemantiCodec, 0.34 to 1.35 kbit/s, 16 kHz", _adapted("semanticodec")),
    "stable-audio": System("autoencoder of Stable Audio Open, continuous", _adapted("stable-audio")),
    "music2latent": System("Music2Latent, continuous", _adapted("music2latent")),
}


def open_systems(names: Sequence[str], weights: Mapping[str, Path]) -> list[Codec]:
    """The systems of some names, in their order.

    Args:
        names: keys of `SYSTEMS`.
        weights: places by name, see `weights_of`.

    Raises:
        SpressoError: ``unknown_system`` (exit 2); ``rival_missing`` (exit 13) for what needs weights or a package.
    """
    for name in [*names, *weights]:
        if name not in SYSTEMS:
            raise SpressoError(
                f"there is no system '{name}'",
                code="unknown_system",
                hint=f"Systems: spresso, {', '.join(SYSTEMS)}.",
                exit_code=ExitCode.USAGE,
            )
    places = {name: weights_of(name, weights) for name in names}
    return [SYSTEMS[name].open(place or Path()) for name, place in places.items()]


def weights_of(name: str, weights: Mapping[str, Path]) -> Path | None:
    """Where the weights of a system lie: where it is said, or where a checkout has those of our own rivals.

    Returns:
        None for a system that needs none.

    Raises:
        SpressoError: ``rival_missing``.
    """
    if not SYSTEMS[name].needs_weights:
        return None
    place = weights.get(name, TRAINED / name)
    if name not in weights and not place.is_dir():
        raise SpressoError(
            f"'{name}' needs a folder of weights",
            code="rival_missing",
            hint=f"Name it: --weights {name}=FOLDER.",
            exit_code=ExitCode.MODEL_MISSING,
        )
    return place


def fingerprint(place: Path) -> str:
    """Twelve digits that say which weights these are: of all files of a folder, by name and content."""
    told = hashlib.sha256()
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        told.update(f"{file.relative_to(place).as_posix()}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
        with file.open("rb") as stream:
            told.update(hashlib.file_digest(stream, "sha256").digest())
    return told.hexdigest()[:12]
