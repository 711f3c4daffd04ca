"""Catalogs with stored streams, real in every byte but for what they sound like."""

import numpy as np
from sqlmodel import Session, select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, EncodeProfile, Rendition, SourceFile
from spresso_assets.catalog.profiles import ensure_model, ensure_profiles, get_profile
from spresso_assets.catalog.renditions import store_rendition
from spresso_assets.codec.bitstream import SprHeader, pack
from spresso_assets.jobs.context import TaskContext
from tests.catalog.sounds import add_sound

WEIGHTS = "ab" * 32


def register(session: Session) -> dict[str, EncodeProfile]:
    return ensure_profiles(session, ensure_model(session, "fake", WEIGHTS))


def stream(asset: Asset, profile: EncodeProfile, seed: int = 0) -> bytes:
    """Random codes or latents for a sound under a profile."""
    params = profile.params
    books = params["codebooks"]
    header = SprHeader(
        WEIGHTS[:6],
        params["pool"],
        books,
        params["bits"] if books else None,
        asset.sample_rate,
        asset.frames,
        asset.channels,
        dim=None if books else 64,
    )
    random = np.random.default_rng((seed, asset.id or 0))
    if books:
        return pack(header, random.integers(0, 1 << params["bits"], (header.frames, books), dtype=np.int32))
    return pack(header, random.normal(size=(header.frames, 64)).astype(np.float32))


def keep(session: Session, asset: Asset, profile: EncodeProfile, seed: int = 0, generation: int = 1) -> Rendition:
    """A ready rendition."""
    origin = "source" if generation == 1 else "transcoded"
    return store_rendition(session, asset, profile, stream(asset, profile, seed), origin=origin, generation=generation)


def fill(catalog: Catalog, sounds: int, profile: str = "0.3kbps", seconds: float = 2.0) -> None:
    """Sounds with renditions under one profile, and no file that is there."""
    with catalog.session() as session:
        profiles = register(session)
        for n in range(sounds):
            asset = add_sound(session, f"{n}.wav", duration_s=seconds)
            keep(session, asset, profiles[profile], seed=n)
        for file in session.exec(select(SourceFile)):
            file.state = "missing"
            session.add(file)


def ready(catalog: Catalog, profile: str) -> list[Rendition]:
    """Ready renditions under the active profile of a name, in the order of their sounds."""
    with catalog.read() as session:
        wanted = get_profile(session, profile).id
        return list(
            session.exec(
                select(Rendition)
                .where(Rendition.profile_id == wanted, Rendition.status == "ready")
                .order_by(Rendition.asset_id)  # type: ignore[arg-type]
            )
        )


def cutting_context() -> TaskContext:
    """A worker that knows no tables: its streams are plain ones."""
    return TaskContext(load_entropy=lambda: (WEIGHTS, {}))
