"""Find sounds: words and filters of a client, as one query of the catalog's own language.

Filters are added to the query as terms, not as text: what a client sends as a category is a value, whatever it holds.
"""

import base64
import hashlib
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, PlainTextResponse, Response

from plugin_bridge.bridge import Bridge
from spresso_assets.catalog import grammar
from spresso_assets.catalog import search as catalog_search
from spresso_assets.catalog.grammar import Term, Value
from spresso_assets.catalog.search import AssetHit
from spresso_assets.errors import ExitCode, SpressoError

COUNTED = 1000  # beyond so many nobody wants to know the number
MAX_OFFSET = 1_000_000
TSV = ("id", "name", "duration_s", "channels", "sample_rate", "category", "description", "profiles")
MAX_TEXT = 1_000


class Asked(BaseModel):
    """Parameters of a search; one that is not known is refused, as a filter that is ignored shows wrong sounds."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field("", max_length=MAX_TEXT, description="Words and fields, as in `spresso search`.")
    category: str = Field("", max_length=MAX_TEXT, description="Exactly this category.")
    cat_id: str = Field("", max_length=MAX_TEXT, description="CatIDs that begin so: DOOR, DOORWood.")
    tag: list[Annotated[str, Field(max_length=MAX_TEXT)]] = Field([], max_length=20, description="All of these tags.")
    dur_min: float | None = Field(None, ge=0, le=1e6, allow_inf_nan=False, description="Seconds.")
    dur_max: float | None = Field(None, ge=0, le=1e6, allow_inf_nan=False, description="Seconds.")
    channels: int | None = Field(None, ge=1, le=1024)
    profile: str = Field("", max_length=MAX_TEXT, description="Encoded under this profile.")
    sort: str = Field("", max_length=100, description="`name` or a field, with '-' in front for descending.")
    limit: int = Field(50, ge=1, le=200)
    cursor: str = Field("", max_length=200, description="`next_cursor` of the page before.")
    format: Literal["json", "tsv"] = "json"

    def query(self) -> grammar.Query:
        """Words and filters together.

        Raises:
            SpressoError: ``bad_query``.
        """
        terms = []
        if self.category:
            terms.append(Term((_exactly(self.category),), "category"))
        if self.cat_id:
            start = _exactly(self.cat_id).text
            terms.append(Term((Value(low=start, high=start),), "cat_id"))  # a text range ends behind all that begin so
        terms += [Term((_exactly(tag),), "tag") for tag in self.tag if tag]
        if self.profile:
            terms.append(Term((_exactly(self.profile),), "profile"))
        if self.dur_min is not None or self.dur_max is not None:
            terms.append(Term((Value(low=_plain(self.dur_min), high=_plain(self.dur_max)),), "duration"))
        if self.channels is not None:
            terms.append(Term((Value(str(self.channels)),), "channels"))
        groups = grammar.parse(self.q) or ((),)
        return tuple((*group, *terms) for group in groups if group or terms)

    def identity(self) -> str:
        """Changes with everything that decides which sounds there are in which order."""
        told = self.model_dump_json(exclude={"cursor", "limit", "format"})
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _exactly(text: str) -> Value:
    return Value(text.encode("utf-8", "replace").decode().replace("\0", " "), exact=True)


def _plain(number: float | None) -> str | None:
    return None if number is None else f"{number:f}"


def encode_cursor(offset: int, asked: Asked) -> str:
    """Where the next page begins, bound to this search."""
    return base64.urlsafe_b64encode(json.dumps([offset, asked.identity()]).encode()).decode()


def decode_cursor(asked: Asked) -> int:
    """How many sounds were shown before.

    Raises:
        SpressoError: ``bad_cursor`` for one of another search, or none of ours.
    """
    if not asked.cursor:
        return 0
    try:
        offset, identity = json.loads(base64.urlsafe_b64decode(asked.cursor.encode("ascii")))
        if type(offset) is int and 0 < offset <= MAX_OFFSET and identity == asked.identity():
            return offset
    except (ValueError, TypeError):
        pass
    raise SpressoError(
        "this cursor does not belong to this search",
        code="bad_cursor",
        hint="Begin without a cursor, and send the same words and filters with each page.",
        exit_code=ExitCode.USAGE,
    )


def item(hit: AssetHit) -> dict[str, Any]:
    """One found sound. Addresses are relative to the server, so that they hold under each of its names."""
    base = f"/v1/sounds/{hit.uid}"
    return {
        "id": hit.uid,
        "name": hit.name or hit.uid[:8],
        "filename": hit.path.rpartition("/")[2],
        "cat_id": hit.cat_id,
        "category": hit.category,
        "subcategory": hit.subcategory,
        "description": hit.description,
        "tags": hit.tags,
        "duration_s": hit.duration_s,
        "channels": hit.channels,
        "sample_rate": hit.sample_rate,
        "profiles": hit.profiles,
        "flags": hit.flags,
        "path": hit.full_path,
        "file_state": hit.file_state,
        "peaks_url": f"{base}/peaks",
        "audio_url": f"{base}/audio.wav" if hit.profiles else None,
    }


def tsv(items: list[dict[str, Any]]) -> str:
    """A table for programs without a JSON parser: one line per sound, the first line names the columns."""
    lines = ["\t".join(TSV)]
    for found in items:
        values = {**found, "profiles": ",".join(found["profiles"])}
        lines.append("\t".join(" ".join(_shown(values[name]).split()) for name in TSV))
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return "" if value is None else str(value).replace("\0", " ")


def router(bridge: Bridge) -> APIRouter:
    """GET /v1/search."""
    routes = APIRouter(tags=["search"])

    @routes.get("/v1/search")
    def find(asked: Annotated[Asked, Query()]) -> Response:
        """Sounds that match all words and all filters, the best first, a page at a time."""
        query, offset = asked.query(), decode_cursor(asked)
        with bridge.catalog.read() as session:
            found = catalog_search.find(session, query, asked.limit, offset, asked.sort or None, offset + COUNTED)
        items = [item(hit) for hit in found.hits]
        if asked.format == "tsv":
            return PlainTextResponse(tsv(items), media_type="text/tab-separated-values")
        following = offset + len(items)
        more = len(items) == asked.limit and (found.total > following or not found.exact) and following <= MAX_OFFSET
        return JSONResponse(
            {
                "items": items,
                "total": found.total,
                "total_is_exact": found.exact,
                "next_cursor": encode_cursor(following, asked) if more else None,
            }
        )

    return routes
