"""Models and encode profiles: named, immutable settings. The nine built-in ones are the paper's operating points, in
mono; others add a channel mode to one of them.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
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
STEREO_KBPS = 0.144  # what a description of the stereo image costs
CHANNEL_MODES = ("mono", "dual", "parametric")


@dataclass(frozen=True)
class Setting:
    """An operating point and a channel mode.

    The point is a frame rate, and continuous latents or ``codebooks`` codes of ``bits`` bits per frame. The mode is
    ``mono``, ``dual`` (left and right apart) or ``parametric`` (mono, and where its bands stand).
    """

    name: str
    frame_rate: str
    pool: int
    codebooks: int | None = None
    bits: int = 0
    channel_mode: str = "mono"

    @property
    def frame_rate_hz(self) -> float:
        return LATENT_FRAMES_HZ / self.pool

    @property
    def nominal_kbps(self) -> float:
        """Payload of a stereo sound without its container (paper: M log2 K 100/t per coded channel)."""
        bits = LATENT_DIM * BITS_PER_VALUE if self.codebooks is None else self.codebooks * self.bits
        kbps = bits * self.frame_rate_hz / 1000
        return {"mono": kbps, "dual": 2 * kbps, "parametric": kbps + STEREO_KBPS}[self.channel_mode]

    @property
    def params(self) -> dict[str, Any]:
        return {
            "frame_rate": self.frame_rate,
            "pool": self.pool,
            "codebooks": self.codebooks,
            "bits": self.bits,
            "channel_mode": self.channel_mode,
        }


BUILT_IN = {
    profile.name: profile
    for profile in (
        Setting("25hz", "25hz", 4),
        Setting("11hz", "11hz", 9),
        Setting("5hz", "5hz", 20),
        Setting("1hz", "1hz", 100),
        Setting("2.5kbps", "25hz", 4, 10, 10),
        Setting("1.32kbps", "11hz", 9, 12, 10),
        Setting("0.48kbps", "5hz", 20, 8, 12),
        Setting("0.3kbps", "1hz", 100, 25, 12),
        Setting("0.096kbps", "1hz", 100, 8, 12),
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
    """The profiles of a model, made or brought back if need be: the built-in ones, and those that were added.

    Profiles of the same names that belong to other weights retire; what was encoded with them stays decodable.
    """
    assert model.id is not None
    added = [_setting(row) for row in list_profiles(session) if row.name not in BUILT_IN]
    return {wanted.name: _ensure_profile(session, model.id, wanted) for wanted in (*BUILT_IN.values(), *added)}


def add_profile(session: Session, name: str, point: str, channel_mode: str) -> EncodeProfile:
    """A new profile: a built-in one, in a channel mode.

    Raises:
        SpressoError: ``bad_profile_name``, ``unknown_channel_mode``, ``unknown_profile`` (exit 2), ``profile_exists``,
            ``no_profiles`` (exit 13).
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", name):
        raise SpressoError(
            f"'{name}' is no name for a profile",
            code="bad_profile_name",
            hint="Use up to 40 small letters, digits, dots, dashes and underscores.",
            exit_code=ExitCode.USAGE,
        )
    if channel_mode not in CHANNEL_MODES:
        raise SpressoError(
            f"unknown channel mode '{channel_mode}'",
            code="unknown_channel_mode",
            hint=f"Known: {', '.join(CHANNEL_MODES)}.",
            exit_code=ExitCode.USAGE,
        )
    base = get_profile(session, point)
    wanted = replace(_setting(base), name=name, channel_mode=channel_mode)
    for row in list_profiles(session):
        if row.name == name or row.params_hash == params_hash(wanted.params):
            raise SpressoError(
                f"There is a profile '{row.name}' already"
                + ("" if row.name == name else ", and it has these very settings"),
                code="profile_exists",
                hint="A profile never changes: choose another name." if row.name == name else f"Use '{row.name}'.",
            )
    return _ensure_profile(session, base.model_id, wanted)


def operating_point(profile: EncodeProfile) -> str:
    """The codec's name for what a profile asks of it beside the channel mode."""
    setting = replace(_setting(profile), channel_mode="mono")
    return next(point.name for point in BUILT_IN.values() if replace(setting, name=point.name) == point)


def _setting(profile: EncodeProfile) -> Setting:
    return Setting(profile.name, **profile.params)


def _ensure_profile(session: Session, model_id: int, wanted: Setting) -> EncodeProfile:
    namesakes = session.execute(select(EncodeProfile).where(col(EncodeProfile.name) == wanted.name)).scalars().all()
    digest = params_hash(wanted.params)
    profile = next((row for row in namesakes if (row.model_id, row.params_hash) == (model_id, digest)), None)
    for row in namesakes:
        if row is not profile and row.state == "active":
            row.state = "retired"
            session.add(row)
    session.flush()  # before the name is taken again
    if profile is None:
        profile = EncodeProfile(
            name=wanted.name,
            model_id=model_id,
            params=wanted.params,
            params_hash=digest,
            nominal_kbps=wanted.nominal_kbps,
            frame_rate_hz=wanted.frame_rate_hz,
            channel_mode=wanted.channel_mode,
        )
    profile.state = "active"
    session.add(profile)
    session.flush()
    return profile


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
