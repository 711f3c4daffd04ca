"""How large a catalog of many sounds is, and how long people wait for it: search, show, stats and planning.

Every question is asked the way a command asks it, in a snapshot of its own, and timed on the wall clock of this
process; starting Python and connecting are not in the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spresso_assets.bench.figures import Figure, Tell
from spresso_assets.bench.synthetic import KINDS, MAKERS, RARE_WORDS, ROOTS, fill, rare_words

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog

PAGE = 50  # what `spresso search` shows
SHOWN = 200
PAYLOAD_BYTES = 200
SEARCH_MS, SHOW_MS, STATS_S = 100.0, 100.0, 5.0


@dataclass(frozen=True)
class Latency:
    """Of one kind of question, in milliseconds; ``slowest`` is the one that took ``max_ms``."""

    kind: str
    number: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    slowest: str


@dataclass(frozen=True)
class Scale:
    """What was measured. Bytes are the database's, write-ahead log folded in; ``tables`` with their indices."""

    database: str
    assets: int
    bytes: int
    tables: dict[str, int] = field(default_factory=dict)
    search: list[Latency] = field(default_factory=list)
    show: Latency | None = None
    stats_s: float = 0.0
    plan_missing_s: float = 0.0
    list_jobs_ms: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def queries(seed: int = 0) -> list[tuple[str, str, str | None]]:
    """About 200 searches of a catalog that `synthetic.fill` made with this seed: (kind, query, sort)."""
    rng = np.random.default_rng((seed, 1))
    rare = rare_words(seed)
    some = [rare[int(k)] for k in np.geomspace(1, RARE_WORDS - 1, 24)]
    nouns = [thing.split()[-1] for *_, things, _ in KINDS for thing in things]
    deeds = [deed.split()[-1] for *_, deeds in KINDS for deed in deeds]

    def pick(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    def pair() -> str:
        """A thing and what it does, as they stand together in names."""
        *_, things, its_deeds = KINDS[int(rng.integers(len(KINDS)))]
        return f"{pick(things).split()[-1]} {pick(its_deeds).split()[-1]}"

    asked: list[tuple[str, str, str | None]] = []

    def ask(kind: str, *texts: str, sort: str | None = None) -> None:
        asked.extend((kind, text, sort) for text in texts)

    ask("everything", "")
    ask("rare word", *some)
    ask("common word", *nouns[::3], "recording", "stereo", "heavy", "crew", "take", "doors", "general", "sound")
    ask("two words", *(pair() for _ in range(18)), f"{pick(nouns)} {pick(deeds)}", "heavy recording", "crew take")
    ask("three words", *(f"{pair()} {pick(['stereo', 'loop', 'clean'])}" for _ in range(12)))
    ask("common and rare word", *(f"recording {word}" for word in some[6:18:2]))
    ask("beginning of a word", "do", "sl", "re", "footst", "katan", *(word[:4] for word in some[::4]))
    ask("inside of a word", "attl", "oor", "ing", "cord", "erpin", *(word[2:7] for word in some[::4] if len(word) > 7))
    ask("phrase", '"tin roof"', '"oak door slam"', '"in a yard"', f'"{MAKERS[0]}"', '"passing by"', '"from the"')
    ask("either word", "door,gate creak", "wolf,troll growl", "rain,downpour", "slam,knock -wood")
    ask("either group", "oak slam , iron clang", "rain roof , wind grass", "beep , click")
    ask("without a word", "door -wood", "rain -roof", "whoosh -fast", "-recording", "sword -clash -whoosh")
    ask("field is", "cat_id:=DOORWood", "category:=RAIN", "creator_id:=EMB", "fx_name:=nothing")
    ask("field contains", "category:door", "fx_name:slam", f"library:{some[3]}", "description:crew", "keywords:loop")
    ask("number", "duration:0.5..2", "duration:300..", "rate:96000", "channels:1", "loudness:-20..-19", "kbps:..1")
    ask("date", "added:2026-03..", "added:2026-10-01", "changed:2026")
    ask("flag, tag", "flag:clipped", "flag:silent", "tag:wet", "tag:dry,trailer", 'tag:"do not use"', "tag:nothing")
    ask("file", "path:Doors/", f"path:{some[2]}", f'root:"{ROOTS[0]}"', "state:missing", "state:present")
    ask("encoding", "profile:=2.5kbps", "-profile:=2.5kbps", "profile:=1hz")
    ask("id", "id:3f2", "id:abcdef", "id:00")
    ask("word and field", "door duration:..1", "rain tag:wet", f"slam path:{some[1]}", "whoosh rate:96000 -fast")
    ask("sorted", "door", "rain roof", "cat_id:=DOORWood", "", sort="-duration")
    ask("sorted by name", "oak slam", f"{some[2]}", "", sort="name")
    return asked


def measure(
    catalog: Catalog, seed: int = 0, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Scale:
    """Ask everything once to warm up the database's cache, then once for the figures."""
    from spresso_assets.catalog.assets import find_asset
    from spresso_assets.catalog.details import describe
    from spresso_assets.catalog.inventory import take_inventory
    from spresso_assets.catalog.profiles import get_profile
    from spresso_assets.catalog.search import find, search
    from spresso_assets.catalog.stats import collect
    from spresso_assets.jobs.control import JobFilter, list_jobs
    from spresso_assets.jobs.plan import plan_missing

    asked = queries(seed)
    taken: dict[str, list[tuple[float, str]]] = {}
    for turn in range(2):
        for number, (kind, query, sort) in enumerate(asked):
            on_progress(turn * len(asked) + number, 2 * len(asked))
            started = time.perf_counter()
            with catalog.read() as session:
                find(session, query, PAGE, sort=sort)
            if turn:
                spent = (time.perf_counter() - started) * 1000
                taken.setdefault(kind, []).append((spent, query if sort is None else f"{query} --sort {sort}"))
    with catalog.read() as session:
        uids = [hit.uid for hit in search(session, "", SHOWN)]
    shown: list[tuple[float, str]] = []
    for uid in uids:
        started = time.perf_counter()
        with catalog.read() as session:
            describe(session, find_asset(session, uid[:8]))
        shown.append(((time.perf_counter() - started) * 1000, uid))

    def seconds(what: Callable[[Any], Any]) -> float:
        started = time.perf_counter()
        with catalog.read() as session:
            what(session)
        return time.perf_counter() - started

    inventory = take_inventory(catalog, sizes=True)
    return Scale(
        database=inventory.database,
        assets=next((table.rows for table in inventory.tables if table.name == "asset"), 0),
        bytes=inventory.bytes,
        tables={table.name: table.bytes for table in inventory.tables if table.bytes},
        search=[latency("all", [one for some in taken.values() for one in some])]
        + [latency(kind, some) for kind, some in taken.items()],
        show=latency("show", shown),
        stats_s=round(seconds(collect), 3),
        plan_missing_s=round(seconds(lambda session: plan_missing(session, get_profile(session, "1hz"))), 3),
        list_jobs_ms=round(1000 * seconds(lambda session: list_jobs(session, JobFilter())), 3),
    )


def latency(kind: str, taken: list[tuple[float, str]]) -> Latency:
    """Percentiles by nearest rank of (milliseconds, what)."""
    ordered = sorted(taken)
    at: Callable[[float], float] = lambda share: round(  # noqa: E731
        ordered[max(0, int(np.ceil(share * len(ordered))) - 1)][0], 2
    )
    return Latency(kind, len(ordered), at(0.5), at(0.95), round(ordered[-1][0], 2), ordered[-1][1])


def measure_catalog(location: str, assets: int, tell: Tell) -> list[Figure]:
    """Fill an empty catalog with so many sounds, ask it, and hold the answers against what people wait for.

    Args:
        location: a file that is not there yet, or the URL of an empty Postgres database.
    """
    from spresso_assets.catalog.engine import open_catalog

    catalog = open_catalog(location, create=True)
    tell(f"filling a catalog with {assets} sounds")
    began = time.perf_counter()
    fill(catalog, assets, PAYLOAD_BYTES)
    filled_s = time.perf_counter() - began
    tell(f"asking a catalog of {assets} sounds")
    scale = measure(catalog)
    catalog.close()
    assert scale.show is not None
    everything, *kinds = scale.search
    slow = {f"p95 {kind.kind}": kind.p95_ms for kind in kinds}
    large = {f"{table} MB": round(size / 1e6, 1) for table, size in scale.tables.items() if size > scale.bytes / 100}
    name = f"{scale.assets} sounds on {scale.database}"
    return [
        Figure(f"search, p95, {name}", everything.p95_ms, "ms", at_most=SEARCH_MS, facts=slow),
        Figure(f"show, p95, {name}", scale.show.p95_ms, "ms", at_most=SHOW_MS),
        Figure(f"stats, {name}", scale.stats_s, "s", at_most=STATS_S),
        Figure(f"size, {name}", scale.bytes / 1e6, "MB", facts={"filled_s": round(filled_s), **large}),
    ]
