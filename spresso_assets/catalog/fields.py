"""The fields that a query can name, one line each: kind, SQL, example, meaning."""

import difflib
from dataclasses import dataclass

from spresso_assets.catalog.measured import is_measured
from spresso_assets.catalog.precedence import RESOLVED_FIELDS
from spresso_assets.errors import ExitCode, SpressoError


@dataclass(frozen=True)
class QueryField:
    """``sql`` is an expression over `asset`, or over the tables of ``inside``, an EXISTS with {} for the condition.

    ``choices`` are all the texts that there can be, if they are few. Values in JSON are written ``column->>'key'``.
    """

    name: str
    kind: str  # text, number, integer, date, flag, prefix
    sql: str
    example: str
    about: str
    inside: str = "{}"
    choices: tuple[str, ...] = ()

    @property
    def sortable(self) -> bool:
        return self.inside == "{}" and self.kind != "flag"


# `moved` is a path whose sound was found again under another path: kept for history, never counted as missing.
FILE_STATES = ("settling", "present", "missing", "moved", "offline", "unreadable", "ignored")
IN_TAGS = "EXISTS (SELECT 1 FROM asset_tag x JOIN tag t ON t.id = x.tag_id WHERE x.asset_id = asset.id AND {})"
IN_FILES = (
    "EXISTS (SELECT 1 FROM source_file f JOIN watch_root w ON w.id = f.root_id "
    "WHERE f.asset_id = asset.id AND f.state <> 'moved' AND {})"
)
IN_RENDITIONS = (
    "EXISTS (SELECT 1 FROM rendition r JOIN encode_profile p ON p.id = r.profile_id "
    "WHERE r.asset_id = asset.id AND r.status = 'ready' AND {})"
)
MEASURED = is_measured("r")
# As `quality.above`: as many frames and more bits, so that nothing is heard less well.
BETTER = (
    "EXISTS (SELECT 1 FROM rendition b JOIN encode_profile q ON q.id = b.profile_id "
    "WHERE b.asset_id = r.asset_id AND b.status = 'ready' AND q.state = 'active' AND q.channel_mode = p.channel_mode "
    "AND q.frame_rate_hz >= p.frame_rate_hz AND q.nominal_kbps > p.nominal_kbps)"
)
LOW = f"{MEASURED} AND r.quality->>'verdict' = 'low' AND NOT {BETTER}"
IN_LOW = IN_RENDITIONS.replace("{}", f"{LOW} AND {{}}")

EXAMPLES = {
    "fx_name": "fx_name:slam",
    "cat_id": "cat_id:DOORWood",
    "category": "category:doors",
    "keywords": "keywords:metal",
    "library": 'library:"City Ambiences"',
    "track_year": "track_year:2015..2020",
    "rating": "rating:4..",
}

FIELDS = {
    field.name: field
    for field in (
        QueryField("id", "prefix", "asset.uid", "id:3f2a", "public id, or its first digits"),
        QueryField("duration", "number", "asset.duration", "duration:0.5..2", "length in seconds"),
        QueryField("rate", "integer", "asset.sample_rate", "rate:96000", "sample rate in Hz"),
        QueryField("channels", "integer", "asset.channels", "channels:2", "number of channels"),
        QueryField("bits", "integer", "asset.bit_depth", "bits:24", "bit depth of the file"),
        QueryField("format", "text", "asset.container", "format:wav", "container of the file"),
        QueryField("loudness", "number", "asset.loudness", "loudness:-30..-10", "level in dB"),
        QueryField("flag", "flag", "asset.flags", "flag:clipped", "what the probe noticed, such as silent"),
        QueryField("added", "date", "asset.created_at", "added:2026-03..", "first seen by the catalog (UTC)"),
        QueryField("changed", "date", "asset.updated_at", "changed:2026-03-01", "metadata last changed (UTC)"),
        QueryField("tag", "text", "t.name", "tag:wet", "a tag", IN_TAGS),
        QueryField("path", "text", "f.rel_path", "path:Doors/", "path inside its root", IN_FILES),
        QueryField("root", "text", "w.name", "root:sfx", "watch root", IN_FILES),
        QueryField(
            "state",
            "text",
            "f.state",
            "state:missing",
            "present, missing, offline or unreadable",
            IN_FILES,
            FILE_STATES,
        ),
        QueryField("profile", "text", "p.name", "-profile:=2.5kbps", "encoded under a profile", IN_RENDITIONS),
        QueryField("kbps", "number", "r.actual_kbps", "kbps:..1", "bit rate of a rendition", IN_RENDITIONS),
        QueryField(
            "quality_low",
            "text",
            "p.name",
            "quality_low:=2.5kbps",
            "verify found it to stand out under a profile, and none better is there",
            IN_LOW,
        ),
        *(
            QueryField(name, "text", f"asset.{name}", EXAMPLES.get(name, f"{name}:word"), name.replace("_", " "))
            for name in RESOLVED_FIELDS
        ),
    )
}


def field_named(name: str) -> QueryField:
    """Look a field up.

    Raises:
        SpressoError: ``unknown_field`` (exit 2), with the nearest names.
    """
    if name in FIELDS:
        return FIELDS[name]
    near = difflib.get_close_matches(name, FIELDS, n=3)
    raise SpressoError(
        f"There is no field '{name}'",
        code="unknown_field",
        hint=(f"Did you mean {', '.join(near)}? " if near else "")
        + f"'spresso fields' lists them all; to look for the text itself, quote it: \"{name}:…\"",
        exit_code=ExitCode.USAGE,
    )
