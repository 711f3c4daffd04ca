"""A catalog of any size without a single sound file: what a scan and an encoding of UCS-named files would leave.

Names, descriptions and folders are made of words with a long tail, as in real libraries: some are in a third of all
sounds, most in a handful. Rows go in by the database's own bulk way, and past the rules that keep a catalog true; so
fill fresh catalogs only.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spresso_assets.catalog.asset_text import normalise
from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.renditions import seed_of_hash

if TYPE_CHECKING:
    from numpy.random import Generator
    from sqlalchemy import Connection

    from spresso_assets.catalog.engine import Catalog

WEIGHTS = hashlib.sha256(b"synthetic").hexdigest()
CHUNK = 10_000  # sounds per transaction
ROOTS = ("ambiences", "doors and wood", "field recordings", "vendor libraries")
COPIES = 0.02  # share of sounds with a second file
TAGGED = 0.2  # share of sounds with a tag
MISSING = 0.01  # share of sounds whose files are gone
PEAKS_BYTES = 1024  # the outline of every sound longer than 11 ms
# what a UCS name and an iXML chunk state
FIELDS = {
    **dict.fromkeys(("cat_id", "fx_name", "creator_id", "source_id"), "ucs_filename"),
    **dict.fromkeys(("description", "keywords", "category", "subcategory", "library", "manufacturer"), "ixml"),
}

# category, subcategory, CatID, what it may be, what it may do
KINDS = (
    ("DOORS", "WOOD", "DOORWood", ("oak door", "cabin door", "barn door", "closet door"), ("slam", "creak", "knock")),
    ("DOORS", "METAL", "DOORMetl", ("vault door", "ship hatch", "iron gate", "locker"), ("clang", "slam", "squeak")),
    ("RAIN", "GENERAL", "RAINGen", ("rain", "downpour", "drizzle"), ("on a tin roof", "on leaves", "in a yard")),
    ("WIND", "GENERAL", "WINDGen", ("wind", "gale", "breeze"), ("howling", "in grass", "through a window")),
    ("WATER", "SURF", "WATRSurf", ("waves", "surf", "breakers"), ("on pebbles", "on sand", "on rocks")),
    ("FOOTSTEPS", "HUMAN", "FEETHmn", ("boots", "sneakers", "heels"), ("on gravel", "on wood", "on snow", "running")),
    ("VEHICLES", "CAR", "VEHCar", ("sedan", "old truck", "sports car"), ("passing by", "idling", "starting")),
    ("WEAPONS", "SWORD", "WEAPSwrd", ("sword", "dagger", "katana"), ("clash", "whoosh", "unsheathe")),
    ("CREATURES", "BEAST", "CREABeast", ("beast", "troll", "wolf"), ("growl", "roar", "snarl")),
    ("UI", "CLICK", "UIClick", ("button", "switch", "menu"), ("click", "beep", "confirm")),
    ("WHOOSHES", "AIR", "WHSHAir", ("whoosh", "swish", "flyby"), ("fast", "slow", "deep")),
    ("AMBIENCE", "URBAN", "AMBUrbn", ("street", "station", "market"), ("at night", "in rain", "crowded")),
    ("FIRE", "GENERAL", "FIREGen", ("campfire", "torch", "bonfire"), ("crackle", "ignite", "burst")),
    ("GLASS", "BREAK", "GLASBrk", ("window", "bottle", "mirror"), ("shatter", "break", "crack")),
    ("MAGIC", "SPELL", "MAGSpel", ("spell", "charm", "curse"), ("cast", "impact", "loop")),
    ("TOOLS", "POWER", "TOOLPowr", ("drill", "sander", "circular saw"), ("on wood", "on metal", "spinning up")),
)
ADJECTIVES = ("heavy", "soft", "old", "distant", "close", "wet", "dry", "big", "small", "rusty", "hollow", "bright")
COMMON = ("recording", "stereo", "clean", "loop", "single", "series", "interior", "exterior", "perspective", "texture")
SYLLABLES = ("ka", "lo", "mir", "ten", "ru", "sha", "vel", "do", "pin", "gra", "ost", "em", "ul", "qui", "zar", "ne")
RARE_WORDS = 20_000
MAKERS = tuple(f"{name} Sound" for name in ("Northlight", "Ember", "Quarry", "Tidal", "Lantern", "Basalt", "Fen"))
TAGS = ("favourite", "wet", "dry", "to review", "trailer", "game", "loopable", "do not use")


@dataclass(frozen=True)
class Filled:
    """What was made; row ids are consecutive from ``first_asset_id``."""

    assets: int
    files: int
    renditions: int
    payload_bytes: int
    first_asset_id: int


def fill(
    catalog: Catalog,
    assets: int = 1_000_000,
    payload_bytes: int = 200,
    seed: int = 0,
    *,
    profiles: Sequence[str] = ("2.5kbps",),
    payload: Callable[[int], bytes] | None = None,
    jobs: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Filled:
    """Put synthetic sounds into a catalog: the same ones for the same seed, whatever the database.

    Args:
        assets: how many sounds.
        payload_bytes: size of each payload, of random bytes.
        profiles: every sound is encoded under each of these built-in profiles.
        payload: makes the payload of the n-th sound instead, for work that has to read it.
        jobs: also leave the succeeded jobs that would have made the renditions, each with its time.
        on_progress: told sounds done and sounds in all.
    """
    maker = _Maker(catalog, seed, payload_bytes, tuple(profiles), payload, jobs)
    try:
        for at in range(0, assets, CHUNK):
            on_progress(at, assets)
            maker.chunk(at, min(CHUNK, assets - at))
    finally:
        maker.finish()
    on_progress(assets, assets)
    return Filled(assets, maker.files, assets * len(profiles), maker.payload_total, maker.first_id)


class _Maker:
    """Keeps the row ids and the words between chunks."""

    def __init__(
        self,
        catalog: Catalog,
        seed: int,
        payload_bytes: int,
        profiles: tuple[str, ...],
        payload: Callable[[int], bytes] | None,
        jobs: bool,
    ) -> None:
        self.catalog, self.seed, self.jobs = catalog, seed, jobs
        self.payload, self.payload_bytes = payload, payload_bytes
        self.files = self.payload_total = 0
        self.rare = rare_words(seed)
        # weights of a long tail: the k-th word is used 1/k as often as the first
        shares = np.cumsum(1 / np.arange(1, RARE_WORDS + 1))
        self.rare_share = (shares / shares[-1]).tolist()
        self.now = now_us()
        with catalog.session() as session:
            connection = session.connection()
            self.root_ids = _roots(connection, self.now)
            self.tag_ids = _tags(connection)
            self.profile_ids = _profiles(session, profiles)
            self.first_id = _next_id(connection, "asset")
            self.next_file = _next_id(connection, "source_file")
            self.next_job = _next_id(connection, "job")
            # the text indices are built once at the end: a third of the time of keeping them in step
            self.restore = _stop_indexing(connection)

    def chunk(self, at: int, number: int) -> None:
        """Sounds ``at`` … ``at + number``, in one transaction."""
        rng = np.random.default_rng((self.seed, at))
        uniform, normal = rng.random((number, 18)).tolist(), rng.standard_normal(number).tolist()
        peaks = rng.bytes(number * PEAKS_BYTES)
        sounds = [
            self._sound(at + k, uniform[k], normal[k], peaks[k * PEAKS_BYTES : (k + 1) * PEAKS_BYTES])
            for k in range(number)
        ]
        with self.catalog.session() as session:
            connection = session.connection()
            for table, columns, rows in (
                ("asset", _ASSET, map(_asset_row, sounds)),
                ("source_file", _FILE, (file for sound in sounds for file in self._file_rows(sound))),
                ("asset_field", _FIELD, (field for sound in sounds for field in _field_rows(sound))),
                ("asset_text", _TEXT, map(_text_row, sounds)),
                ("asset_tag", _TAG, ((s["id"], self.tag_ids[s["tag"]], "user") for s in sounds if s["tag"])),
                ("job", _JOB, self._job_rows(sounds) if self.jobs else iter(())),
                ("rendition", _RENDITION, self._rendition_rows(rng, sounds)),
            ):
                _write(connection, table, columns, rows)

    def finish(self) -> None:
        """Leave the database as it would be after growing slowly: sequences ahead of the ids, statistics known."""
        with self.catalog.session() as session:
            if not self.catalog.is_sqlite:
                session.connection().exec_driver_sql("SET LOCAL statement_timeout = 0")
            for statement in self.restore:
                session.connection().exec_driver_sql(statement)
            if self.catalog.is_sqlite:
                for table in ("asset_fts", "asset_tri"):
                    session.connection().exec_driver_sql(f"INSERT INTO {table}({table}) VALUES ('rebuild')")
                return
            for table in ("asset", "source_file", "asset_field", "job", "rendition", "watch_root"):
                session.connection().exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 1)) FROM {table}"
                )
        with self.catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")  # autovacuum's work, which a bench should not wait for

    def _sound(self, n: int, u: Sequence[float], z: float, peaks: bytes) -> dict[str, Any]:
        """The n-th sound, out of uniform numbers ``u`` and a normal one."""
        digest = hashlib.sha256(f"{self.seed}:{n}".encode()).hexdigest()
        category, subcategory, cat_id, things, deeds = _pick(KINDS, u[0])
        adjective, common = _pick(ADJECTIVES, u[1]), _pick(COMMON, u[2])
        thing, deed, maker = _pick(things, u[3]), _pick(deeds, u[4]), _pick(MAKERS, u[5])
        rare = [self.rare[bisect(self.rare_share, share)] for share in u[6:8]]
        name = f"{adjective} {thing} {deed}".capitalize()
        library, creator, source = f"{maker} {rare[0].capitalize()}", maker[:3].upper(), rare[0][:4].upper()
        return {
            "id": self.first_id + n,
            "n": n,
            "digest": digest,
            "duration": round(min(max(math.exp(0.7 + 1.1 * z), 0.05), 600) * 48_000) / 48_000,
            "channels": 1 + (u[8] < 0.6),
            "sample_rate": 96_000 if u[9] < 0.3 else 48_000,
            "flags": '["clipped"]' if u[10] < 0.02 else "[]",
            "loudness": round(-34 + 20 * u[11], 2),
            "fx_name": name,
            "description": f"{name}, {common} from {rare[0]} by the {rare[1]} crew, take {n % 40 + 1}",
            "keywords": f"{thing}, {deed}, {common}",
            "cat_id": cat_id,
            "category": category,
            "subcategory": subcategory,
            "creator_id": creator,
            "source_id": source,
            "library": library,
            "manufacturer": maker,
            "path": f"{category.title()}/{library}/{cat_id}_{name}_{creator}_{source}_{n:07d}",
            "state": "missing" if u[12] < MISSING else "present",
            "at": self.now - int(u[13] * 365 * 86_400) * 1_000_000,
            "peaks": peaks,
            "root": _pick(self.root_ids, u[14]),
            "inode": int(u[15] * 2**40),
            "copies": 2 if u[16] < COPIES else 1,
            "tag": _pick(TAGS, u[17] / TAGGED) if u[17] < TAGGED else "",
        }

    def _file_rows(self, sound: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        size = 44 + round(sound["duration"] * sound["sample_rate"]) * sound["channels"] * 3
        for copy in range(sound["copies"]):
            path = f"{sound['path']}{' copy' if copy else ''}.wav"
            file_id = self.next_file
            self.next_file += 1
            self.files += 1
            if not copy:
                sound["file_id"] = file_id
            at, mtime = sound["at"], sound["at"] * 1000
            missing_since = self.now - 3_600_000_000 if sound["state"] == "missing" else None
            yield (
                *(file_id, sound["root"], path, path.casefold(), size, mtime, mtime, 64_769, sound["inode"] + copy),
                *(sound["digest"][::-1], "wav", sound["state"], at, at, missing_since, size, mtime, sound["id"]),
            )

    def _job_rows(self, sounds: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
        for profile_id, sound in itertools.product(self.profile_ids.values(), sounds):
            sound[f"job {profile_id}"] = self.next_job
            run_s = 0.02 * sound["duration"]
            key = f"encode:pcm-sha256:{sound['digest']}:{profile_id}"
            at = sound["at"]
            yield (
                *(self.next_job, f"{self.next_job:032x}", "encode", key, sound["id"], profile_id, "{}", "succeeded"),
                *("encode", 0, sound["duration"], 1, 4, 0, 1, 0, False, 1.0, "cli", '{"outcome": "encoded"}'),
                *(at, at, at + int(run_s * 1e6), run_s),
            )
            self.next_job += 1

    def _rendition_rows(self, rng: Generator, sounds: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
        for profile_id, sound in itertools.product(self.profile_ids.values(), sounds):
            content = rng.bytes(self.payload_bytes) if self.payload is None else self.payload(sound["n"])
            self.payload_total += len(content)
            uid = hashlib.sha256(f"{sound['digest']}:{profile_id}".encode()).hexdigest()[:32]
            yield (
                *(uid, sound["id"], profile_id, sound.get(f"job {profile_id}"), "ready", "synthetic"),
                *(hashlib.sha256(content).hexdigest(), len(content), 1, len(content) / 125 / sound["duration"]),
                *(seed_of_hash(sound["digest"]), "source", 1, sound["at"], content),
            )


_ASSET = (
    *("id", "uid", "audio_hash", "frames", "duration", "sample_rate", "channels", "bit_depth", "container", "flags"),
    *("loudness", "fx_name", "description", "keywords", "cat_id", "category", "subcategory", "creator_id", "source_id"),
    *("library", "manufacturer", "created_at", "updated_at", "peaks"),
)
_FILE = (
    *("id", "root_id", "rel_path", "path_key", "size", "mtime_ns", "ctime_ns", "dev", "inode", "file_sha256"),
    *("container", "state", "first_seen", "last_seen", "missing_since", "probed_size", "probed_mtime_ns", "asset_id"),
)
_FIELD = ("asset_id", "source_file_id", "field", "source", "value", "at")
_TEXT = ("asset_id", "names", "words", "tags", "paths")
_TAG = ("asset_id", "tag_id", "source")
_JOB = (
    *("id", "uid", "kind", "dedupe_key", "asset_id", "profile_id", "params", "status", "queue", "priority", "cost_s"),
    *("attempt", "max_attempts", "crashes", "fence", "not_before", "cancel_requested", "progress", "trigger"),
    *("result", "created_at", "started_at", "finished_at", "run_s"),
)
_RENDITION = (
    *("uid", "asset_id", "profile_id", "job_id", "status", "encoder_build", "payload_sha256", "payload_bytes"),
    *("channels", "actual_kbps", "decode_seed", "origin", "generation", "created_at", "payload"),
)


def _asset_row(sound: dict[str, Any]) -> tuple[Any, ...]:
    frames = round(sound["duration"] * sound["sample_rate"])
    return (
        *(sound["id"], sound["digest"][:32], f"pcm-sha256:{sound['digest']}", frames, sound["duration"]),
        *(sound["sample_rate"], sound["channels"], 24, "wav", sound["flags"], sound["loudness"]),
        *(sound[name] for name in _ASSET[11:21]),
        *(sound["at"], sound["at"], sound["peaks"]),
    )


def _field_rows(sound: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for field, source in FIELDS.items():
        yield sound["id"], sound["file_id"], field, source, sound[field], sound["at"]


def _text_row(sound: dict[str, Any]) -> tuple[Any, ...]:
    """As `catalog.asset_text` writes it, out of parts that were put in words before."""
    folder, _, stem = sound["path"].rpartition("/")
    stem = " ".join(_words(part) for part in stem.split("_"))
    copy = f"\n{stem} copy" if sound["copies"] == 2 else ""
    # a description is words already; lines that say the same stand once
    lines = dict.fromkeys((sound["description"], *(_words(sound[name]) for name in _ASSET[13:21])))
    names = f"{_words(sound['fx_name'])}\n{stem}{copy}"
    return sound["id"], names, "\n".join(lines), _words(sound["tag"]), " ".join(map(_words, folder.split("/")))


_words = lru_cache(1 << 16)(normalise)


def _pick(items: Sequence[Any], share: float) -> Any:
    return items[int(share * len(items))]


def _write(connection: Connection, table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Rows in the order of the columns, JSON as text, the database's fastest way."""
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        if listed := list(rows):
            marks = ", ".join("?" * len(columns))
            connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", listed)
        return
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _stop_indexing(connection: Connection) -> list[str]:
    """Stop the text indices from following; returns what makes them follow again."""
    if connection.dialect.name == "sqlite":
        query, kind = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'", "TRIGGER"
    else:
        query = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'asset_text' AND indexdef LIKE '%% gin %%'"
        )
        kind = "INDEX"
    found = connection.exec_driver_sql(query).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP {kind} {name}")
    return [statement for _, statement in found]


def _roots(connection: Connection, now: int) -> list[int]:
    """Folders that are not there, so nothing is ever read: paused, and on no machine."""
    found = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT name, id FROM watch_root")}
    wanted = [name for name in ROOTS if name not in found]
    first = _next_id(connection, "watch_root")
    columns = (
        *("id", "name", "path", "mode", "state", "settle_s", "poll_s", "include", "exclude", "tags_from_dirs"),
        *("removal_cap", "abort_cap", "created_at"),
    )
    rows = (
        (first + n, name, f"/synthetic/{name}", "scan", "paused", 2.0, 60.0, "[]", "[]", False, 0.05, 0.5, now)
        for n, name in enumerate(wanted)
    )
    _write(connection, "watch_root", columns, rows)
    return [found[name] for name in ROOTS if name in found] + [first + n for n in range(len(wanted))]


def _tags(connection: Connection) -> dict[str, int]:
    from sqlalchemy import select

    from spresso_assets.catalog.models import Tag

    table = Tag.__table__  # type: ignore[attr-defined]
    have = set(connection.execute(select(table.c.name_key)).scalars())
    if new := [{"name": name, "name_key": name} for name in TAGS if name not in have]:
        connection.execute(table.insert(), new)
    return {name: tag_id for name, tag_id in connection.execute(select(table.c.name, table.c.id))}


def _profiles(session: Any, names: Sequence[str]) -> dict[str, int]:
    """Profiles of the catalog's model, or of a model that never was."""
    from spresso_assets.catalog.profiles import ensure_model, ensure_profiles, get_profile, list_profiles

    if not list_profiles(session):
        ensure_profiles(session, ensure_model(session, "synthetic", WEIGHTS))
    found = {}
    for name in names:
        profile = get_profile(session, name)
        assert profile.id is not None
        found[name] = profile.id
    return found


def _next_id(connection: Connection, table: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) + 1 FROM {table}").scalar_one())


def rare_words(seed: int) -> list[str]:
    """Words that sound like names of places; each is unique."""
    rng = np.random.default_rng((seed, RARE_WORDS))
    words: dict[str, None] = {}
    while len(words) < RARE_WORDS:
        parts = [SYLLABLES[int(k)] for k in rng.integers(len(SYLLABLES), size=int(rng.integers(3, 6)))]
        words["".join(parts)] = None
    return list(words)
