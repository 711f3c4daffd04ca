"""Models and encode profiles: named, immutable settings. The nine built-in ones are the paper's operating points."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from spresso_assets.catalog.models import CatalogSetting, CodecModel, EncodeProfile
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

DEFAULT_PROFILE = "2.5kbps"
DEFAULT_PROFILE_KEY = "default_profile"
LATENT_FRAMES_HZ = 100  # of the autoencoder; a profile averages `pool` of them into one latent
LATENT_DIM = 64
BITS_PER_VALUE = 16  # of a continuous latent


@dataclass(frozen=True)
class BuiltIn:
    """One operating point: a frame rate, and continuous latents or ``codebooks`` codes of ``bits`` bits per frame."""

    name: str
    frame_rate: str
    pool: int
    codebooks: int | None = None
    bits: int = 0

    @property
    def frame_rate_hz(self) -> float:
        return LATENT_FRAMES_HZ / self.pool

    @property
    def nominal_kbps(self) -> float:
        """Payload without its container (paper: M log2 K 100/t)."""
        bits = LATENT_DIM * BITS_PER_VALUE if self.codebooks is None else self.codebooks * self.bits
        return bits * self.frame_rate_hz / 1000

    @property
    def params(self) -> dict[str, Any]:
        return {
            "frame_rate": self.frame_rate,
            "pool": self.pool,
            "codebooks": self.codebooks,
            "bits": self.bits,
            "channel_mode": "mono",
        }


BUILT_IN = {
    profile.name: profile
    for profile in (
        BuiltIn("25hz", "25hz", 4),
        BuiltIn("11hz", "11hz", 9),
        BuiltIn("5hz", "5hz", 20),
        BuiltIn("1hz", "1hz", 100),
        BuiltIn("2.5kbps", "25hz", 4, 10, 10),
        BuiltIn("1.32kbps", "11hz", 9, 12, 10),
        BuiltIn("0.48kbps", "5hz", 20, 8, 12),
        BuiltIn("0.3kbps", "1hz", 100, 25, 12),
        BuiltIn("0.096kbps", "1hz", 100, 8, 12),
    )
}


def ensure_model(session: Session, name: str, weights_sha256: str, **facts: Any) -> CodecModel:
    """The row of the model with these weights, made if need be; ``facts`` are further columns of a new row."""
    statement = select(CodecModel).where(col(CodecModel.weights_sha256) == weights_sha256)
    model = session.execute(statement).scalar_one_or_none()
    if model is None:
        model = CodecModel(name=name, weights_sha256=weights_sha256, **facts)
        session.add(model)
        session.flush()
    return model


def ensure_profiles(session: Session, model: CodecModel) -> dict[str, EncodeProfile]:
    """The built-in profiles of a model, made or brought back if need be.

    Profiles of the same names that belong to other weights retire; what was encoded with them stays decodable.
    """
    assert model.id is not None
    return {built_in.name: _ensure_profile(session, model.id, built_in) for built_in in BUILT_IN.values()}


def _ensure_profile(session: Session, model_id: int, built_in: BuiltIn) -> EncodeProfile:
    namesakes = session.execute(select(EncodeProfile).where(col(EncodeProfile.name) == built_in.name)).scalars().all()
    digest = params_hash(built_in.params)
    wanted = next((row for row in namesakes if (row.model_id, row.params_hash) == (model_id, digest)), None)
    for row in namesakes:
        if row is not wanted and row.state == "active":
            row.state = "retired"
            session.add(row)
    session.flush()  # before the name is taken again
    if wanted is None:
        wanted = EncodeProfile(
            name=built_in.name,
            model_id=model_id,
            params=built_in.params,
            params_hash=digest,
            nominal_kbps=built_in.nominal_kbps,
            frame_rate_hz=built_in.frame_rate_hz,
        )
    wanted.state = "active"
    session.add(wanted)
    session.flush()
    return wanted


def params_hash(params: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON: the same settings have the same hash, in whatever order they were written."""
    return hashlib.sha256(json.dumps(params, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def list_profiles(session: Session, retired: bool = False) -> list[EncodeProfile]:
    """Profiles from the highest rate to the lowest; the active ones, or all."""
    statement = select(EncodeProfile).order_by(col(EncodeProfile.nominal_kbps).desc(), col(EncodeProfile.id))
    if not retired:
        statement = statement.where(col(EncodeProfile.state) == "active")
    return list(session.execute(statement).scalars())


def get_profile(session: Session, name: str | None = None) -> EncodeProfile:
    """The active profile of a name; the catalog's default for None.

    Raises:
        SpressoError: ``no_profiles`` (exit 13, no model was registered yet), ``unknown_profile`` (exit 2).
    """
    wanted = name or get_default(session)
    profiles = {profile.name: profile for profile in list_profiles(session)}
    if wanted in profiles:
        return profiles[wanted]
    if not profiles:
        raise SpressoError(
            "The catalog knows no model yet, so there is nothing to encode with",
            code="no_profiles",
            hint="Run: spresso init",
            exit_code=ExitCode.MODEL_MISSING,
            kind=FaultKind.ENVIRONMENT,
        )
    raise SpressoError(
        f"There is no profile '{wanted}'",
        code="unknown_profile",
        hint=f"Profiles: {', '.join(profiles)}",
        exit_code=ExitCode.USAGE,
    )


def get_default(session: Session) -> str:
    """Name of the profile that new sounds are encoded under."""
    setting = session.get(CatalogSetting, DEFAULT_PROFILE_KEY)
    return DEFAULT_PROFILE if setting is None else setting.value


def set_default(session: Session, name: str) -> None:
    """Choose the profile for new sounds.

    Raises:
        SpressoError: ``unknown_profile``, ``no_profiles``.
    """
    get_profile(session, name)
    setting = session.get(CatalogSetting, DEFAULT_PROFILE_KEY) or CatalogSetting(key=DEFAULT_PROFILE_KEY, value=name)
    setting.value = name
    session.add(setting)
    session.flush()
