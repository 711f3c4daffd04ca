"""One sound: all that is known of it, and its waveform, which was drawn when the sound was read."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray

from plugin_bridge.bridge import Bridge
from spresso_assets.catalog.assets import find_asset
from spresso_assets.catalog.details import describe
from spresso_assets.errors import SpressoError
from spresso_assets.export.originals import original_of

MAX_PAIRS = 4096


def outline(stored: bytes, pairs: int) -> NDArray[np.int8]:
    """A stored waveform in another width.

    Args:
        stored: int8 pairs (minimum, maximum) of equal stretches of the sound; 127 is full scale.
        pairs: how many are wanted. Fewer cover several stretches and hold their extremes, more repeat them.

    Returns:
        int8 [pairs, 2]; all zero for a sound whose waveform is not known.
    """
    known = np.frombuffer(stored, np.int8)[: len(stored) // 2 * 2].reshape(-1, 2)
    if not len(known):
        return np.zeros((pairs, 2), np.int8)
    edges = np.arange(pairs + 1) * len(known) / pairs
    first = np.minimum(np.floor(edges[:-1] + 1e-9).astype(int), len(known) - 1)
    last = np.maximum(np.ceil(edges[1:] - 1e-9).astype(int), first + 1)
    # pairs of (first, last) for reduceat, whose every second result is the stretch between two neighbours
    bounds = np.stack([first, last], axis=1).reshape(-1)
    padded = np.concatenate([known, known[-1:]])
    low = np.minimum.reduceat(padded[:, 0], bounds)[::2]
    high = np.maximum.reduceat(padded[:, 1], bounds)[::2]
    return np.stack([low, high], axis=1)


def router(bridge: Bridge) -> APIRouter:
    """GET /v1/sounds/{id}, /v1/sounds/{id}/peaks."""
    routes = APIRouter(tags=["sounds"])

    @routes.get("/v1/sounds/{id}")
    def sound(id: str) -> dict[str, Any]:
        """Everything that the catalog knows of a sound; `id` may be the first digits of one."""
        with bridge.catalog.read() as session:
            asset = find_asset(session, id)
            told = describe(session, asset)
            assert asset.id is not None
            try:
                online = str(original_of(session, asset.id, asset.uid).path)
            except SpressoError:
                online = ""
        del told["peaks"]
        base = f"/v1/sounds/{asset.uid}"
        file = told["files"][0]["path"] if told["files"] else ""
        filename = file.rpartition("/")[2]
        return {
            "id": asset.uid,
            "name": asset.fx_name or asset.title or filename.rpartition(".")[0] or asset.uid[:8],
            "filename": filename,
            **{name: getattr(asset, name) for name in ("cat_id", "category", "subcategory", "description")},
            **told,
            "profiles": list(dict.fromkeys(rendition["profile"] for rendition in told["renditions"])),
            "path": online,
            "peaks_url": f"{base}/peaks",
            "audio_url": f"{base}/audio.wav" if told["renditions"] else None,
            "original_url": f"{base}/original.wav" if online else None,
        }

    @routes.get("/v1/sounds/{id}/peaks")
    def peaks(id: str, n: Annotated[int, Query(ge=1, le=MAX_PAIRS)] = 800) -> dict[str, Any]:
        """The waveform as `n` pairs of minimum and maximum, -127 … 127; nothing is decoded for it."""
        with bridge.catalog.read() as session:
            asset = find_asset(session, id)
        return {"n": n, "peaks": outline(asset.peaks or b"", n).reshape(-1).tolist()}

    return routes
