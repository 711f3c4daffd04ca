"""What this bridge is, and what it can do: asked once by every client when it starts."""

import threading
from typing import Any

from fastapi import APIRouter

from plugin_bridge.api.send import send_targets
from plugin_bridge.bridge import Bridge
from spresso_assets import __version__
from spresso_assets.catalog.rows import SessionRows
from spresso_assets.jobs.progress import Pace, record, snapshot

API = 1
RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
QUALITIES = ("preview", "default", "paper")
FORMATS = {"wav": {"bits": ["16", "24", "32f"]}, "flac": {"bits": ["16", "24"]}, "ogg": {"bits": []}}


def router(bridge: Bridge) -> APIRouter:
    """GET /v1/health, /v1/info, /v1/work."""
    routes = APIRouter(tags=["info"])
    pace, lock = Pace(), threading.Lock()

    @routes.head("/v1/health", include_in_schema=False)
    @routes.get("/v1/health")
    async def health() -> dict[str, Any]:
        """Whether the bridge answers; open to all, so it says nothing else."""
        return {"ok": True, "api": API}

    @routes.get("/v1/info")
    def info() -> dict[str, Any]:
        """Version, model, counts, formats, limits, and folders that sounds may be placed into."""
        settings = bridge.settings
        with bridge.catalog.read() as session:
            rows = SessionRows(session)
            sounds = int(rows.rows("SELECT count(*) FROM asset WHERE deleted_at IS NULL", {})[0][0])
            used = rows.rows("SELECT name FROM encode_profile ORDER BY nominal_kbps DESC, name", {})
        counts = bridge.renderer.counts()
        return {
            "version": __version__,
            "api": API,
            "model": {"name": bridge.model_name, "weights_sha256": bridge.weights_sha256},
            "sounds": sounds,
            "profiles": list(dict.fromkeys(name for (name,) in used)),
            "rates": RATES,
            "formats": FORMATS,
            "qualities": QUALITIES,
            "place_folders": [str(folder) for folder in bridge.place_folders()],
            "limits": {"max_seconds": settings.max_seconds, "max_queued": settings.max_queued},
            "capabilities": {"send": send_targets()},
            "decode": {"mode": settings.decode, "queued": counts["queued"], "running": counts["running"]},
            "dav_url": bridge.dav_url,
        }

    @routes.get("/v1/work")
    def work() -> dict[str, Any]:
        """What the catalog's own jobs are doing: reading, encoding, quality."""
        with bridge.catalog.read() as session:
            now = snapshot(session)
        with lock:
            pace.add(now)
            told = record(now, pace)
        etas = [kind["eta_s"] for kind in told["kinds"].values() if kind["eta_s"] is not None]
        return {
            "queued": sum(kind.waiting for kind in now.kinds.values()),
            "running": sum(kind.running for kind in now.kinds.values()),
            "failed": now.failed,
            "eta_s": max(etas) if etas and now.left else None,
            **told,
        }

    return routes
