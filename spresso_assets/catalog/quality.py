"""The measured qualities of ready renditions: how good an archive is, where it falls short, and what stands out.

`Rendition.quality` holds the figure. Where verifying compared it with others of its profile and found it to stand out,
``verdict`` is ``low``; the search field ``quality_low`` finds these.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text, update
from sqlmodel import Session, col

from spresso_assets.catalog.conditions import compile_query, json_in
from spresso_assets.catalog.fields import BETTER, LOW, MEASURED
from spresso_assets.catalog.grammar import parse
from spresso_assets.catalog.measured import METRIC
from spresso_assets.catalog.models import EncodeProfile, Rendition
from spresso_assets.catalog.profiles import list_profiles

CHUNK = 500


@dataclass(frozen=True)
class Measured:
    """One rendition's quality, 0 … 1, and the one that was asked for, if any."""

    asset_uid: str
    name: str
    profile: str
    value: float
    target: float | None


@dataclass(frozen=True)
class Low:
    """How many sounds stand out below the others of a profile, and the next one that carries more, if there is one."""

    profile: str
    sounds: int
    higher: str | None


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
            "metric": METRIC,
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
        json_in(dialect, f"CASE WHEN {MEASURED} THEN CAST(r.quality->>'{key}' AS FLOAT) END")
        for key in ("value", "target")
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


def above(profile: EncodeProfile, profiles: Iterable[EncodeProfile]) -> list[EncodeProfile]:
    """Active profiles under which nothing is heard less well, lowest rate first: as many frames, and more bits.

    A higher rate alone is not better: continuous latents of one frame a second take more than codes of five.
    """
    found = [
        other
        for other in profiles
        if other.state == "active"
        and other.channel_mode == profile.channel_mode
        and other.frame_rate_hz >= profile.frame_rate_hz
        and other.nominal_kbps > profile.nominal_kbps
    ]
    return sorted(found, key=lambda other: other.nominal_kbps)


def low_sounds(session: Session, query: str = "") -> list[Low]:
    """By profile, highest rate first, how many of the sounds that match a query ``quality_low`` finds.

    Raises:
        SpressoError: ``bad_query``, ``unknown_field``.
    """
    dialect = session.get_bind().dialect.name
    compiled = compile_query(parse(query), dialect)
    statement = (
        "SELECT max(p.id), p.name, count(DISTINCT asset.id) FROM asset "
        "JOIN asset_text ON asset_text.asset_id = asset.id "
        "JOIN rendition r ON r.asset_id = asset.id AND r.status = 'ready' "
        "JOIN encode_profile p ON p.id = r.profile_id "
        f"WHERE asset.deleted_at IS NULL AND ({compiled.where}) AND {json_in(dialect, LOW)} GROUP BY p.name"
    )
    by_id = {row.id: row for row in list_profiles(session, retired=True)}
    found = []
    for profile_id, name, number in session.connection().execute(text(statement), compiled.params):
        higher = above(by_id[profile_id], by_id.values())
        found.append((by_id[profile_id].nominal_kbps, Low(name, number, higher[0].name if higher else None)))
    return [low for _, low in sorted(found, key=lambda pair: -pair[0])]


def keep_verdicts(session: Session, low: Mapping[int, bool]) -> None:
    """Note of renditions, by row id, whether they stand out below the others of their profile.

    Few rows are written: a verdict is kept only where it is low, and most are what they were.
    """
    ids = list(low)
    for at in range(0, len(ids), CHUNK):
        statement = select(col(Rendition.id), col(Rendition.quality)).where(col(Rendition.id).in_(ids[at : at + CHUNK]))
        statement = statement.with_for_update()
        for rendition_id, stored in session.connection().execute(statement).all():
            if low[rendition_id] == ((stored or {}).get("verdict") == "low"):
                continue
            kept = {key: value for key, value in (stored or {}).items() if key != "verdict"}
            kept |= {"verdict": "low"} if low[rendition_id] else {}
            session.connection().execute(
                update(Rendition).where(col(Rendition.id) == rendition_id).values(quality=kept)
            )


def with_a_better(session: Session, rendition_ids: Sequence[int]) -> set[int]:
    """Those of some renditions whose sounds are there under a profile above theirs, too."""
    found: set[int] = set()
    for at in range(0, len(rendition_ids), CHUNK):
        listed = ", ".join(str(int(rendition_id)) for rendition_id in rendition_ids[at : at + CHUNK])
        statement = (
            "SELECT r.id FROM rendition r JOIN encode_profile p ON p.id = r.profile_id "
            f"WHERE r.id IN ({listed}) AND {BETTER}"
        )
        found.update(session.connection().execute(text(statement)).scalars())
    return found
