"""The measured qualities of ready renditions: how good an archive is, and where it falls short."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from spresso_assets.catalog.conditions import compile_query
from spresso_assets.catalog.grammar import parse


@dataclass(frozen=True)
class Measured:
    """One rendition's quality, 0 … 1, and the one that was asked for, if any."""

    asset_uid: str
    name: str
    profile: str
    value: float
    target: float | None


@dataclass
class ProfileQuality:
    """Of one profile: ``values`` are in ascending order."""

    profile: str
    kbps: float
    renditions: int = 0
    values: list[float] = field(default_factory=list)

    def share(self, share: float) -> float | None:
        """The value below which so much of the measured renditions lie, by nearest rank; None without any."""
        return self.values[min(len(self.values) - 1, int(share * len(self.values)))] if self.values else None


@dataclass(frozen=True)
class QualityReport:
    """By profile, highest rate first; the worst renditions; and those that fell short of what was asked for."""

    profiles: Sequence[ProfileQuality]
    worst: Sequence[Measured]
    short: Sequence[Measured]
    short_count: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "metric": "mel",
            "profiles": [
                {
                    "profile": row.profile,
                    "kbps": round(row.kbps, 4),
                    "renditions": row.renditions,
                    "measured": len(row.values),
                    "median": row.share(0.5),
                    "p10": row.share(0.1),
                    "worst": row.share(0.0),
                }
                for row in self.profiles
            ],
            "worst": [vars(item) for item in self.worst],
            "fell_short": {"count": self.short_count, "sounds": [vars(item) for item in self.short]},
        }


def quality_report(session: Session, query: str = "", listed: int = 10) -> QualityReport:
    """Qualities of the ready renditions of sounds that match.

    Args:
        listed: how many of the worst, and of those that fell short.

    Raises:
        SpressoError: ``bad_query``, ``unknown_field``.
    """
    dialect = session.get_bind().dialect.name
    compiled = compile_query(parse(query), dialect)
    value, target = (
        (f"CAST(json_extract(r.quality, '$.{key}') AS FLOAT)" for key in ("value", "target"))
        if dialect == "sqlite"
        else (f"CAST(r.quality->>'{key}' AS FLOAT)" for key in ("value", "target"))
    )
    name = "coalesce(asset.fx_name, asset.title, asset_text.names)"
    where = (
        "FROM asset JOIN asset_text ON asset_text.asset_id = asset.id "
        "JOIN rendition r ON r.asset_id = asset.id AND r.status = 'ready' "
        "JOIN encode_profile p ON p.id = r.profile_id "
        f"WHERE asset.deleted_at IS NULL AND ({compiled.where})"
    )

    def rows(what: str) -> Any:
        return session.connection().execute(text(what), compiled.params)

    profiles = {
        profile_id: ProfileQuality(profile, size * 0.008 / seconds if seconds else 0.0, number)
        for profile_id, profile, number, size, seconds in rows(
            "SELECT p.id, p.name, count(*), sum(r.payload_bytes), sum(asset.duration) "
            f"{where} GROUP BY p.id, p.name, p.nominal_kbps ORDER BY p.nominal_kbps DESC, p.id"
        )
    }
    for profile_id, measured in rows(f"SELECT p.id, {value} AS v {where} AND {value} IS NOT NULL ORDER BY v"):
        profiles[profile_id].values.append(measured)
    columns = f"SELECT asset.uid, {name}, p.name, {value} AS v, {target} AS t {where} AND {value} IS NOT NULL"
    order = f"ORDER BY v, asset.id LIMIT {int(listed)}"
    short = f"{value} < {target}"
    return QualityReport(
        list(profiles.values()),
        [_measured(row) for row in rows(f"{columns} {order}")],
        [_measured(row) for row in rows(f"{columns} AND {short} {order}")],
        rows(f"SELECT count(*) {where} AND {short}").scalar_one(),
    )


def _measured(row: Any) -> Measured:
    uid, name, profile, value, target = row
    return Measured(uid, (name or "").splitlines()[0] if name else "", profile, value, target)
