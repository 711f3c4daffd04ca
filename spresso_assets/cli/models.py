"""`spresso models ...`: the weights that latents were made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import SpressoError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The model bundles that sounds were encoded with.")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the models that the catalog knows, and how many sounds each holds. The star marks the one in use here."""
    state = state_of(ctx)
    from sqlalchemy import func
    from sqlmodel import col, select

    from spresso_assets.catalog.columns import iso_utc
    from spresso_assets.catalog.models import CodecModel, EncodeProfile, Rendition

    here = _weights_here(state.bundle_dir())
    counted = (
        select(col(EncodeProfile.model_id).label("model_id"), func.count().label("number"))
        .join(Rendition, col(Rendition.profile_id) == col(EncodeProfile.id))
        .where(Rendition.status == "ready")
        .group_by(col(EncodeProfile.model_id))
        .subquery()
    )
    with state.catalog().read() as session:
        rows = session.exec(
            select(CodecModel, counted.c.number)
            .outerjoin(counted, counted.c.model_id == col(CodecModel.id))
            .order_by(col(CodecModel.id))
        ).all()
    records: list[dict[str, Any]] = [
        {
            "name": model.name,
            "weights_sha256": model.weights_sha256,
            "state": model.state,
            "renditions": number or 0,
            "license": model.license,
            "added": iso_utc(model.created_at),
            "in_use": model.weights_sha256 == here,
        }
        for model, number in rows
    ]

    def text() -> list[str]:
        if not records:
            return ["no models yet; run 'spresso init'"]
        return format.columns(
            ("", "MODEL", "WEIGHTS", "STATE", "RENDITIONS", "ADDED"),
            [
                (
                    "*" if r["in_use"] else "",
                    r["name"],
                    str(r["weights_sha256"])[:12],
                    r["state"],
                    r["renditions"],
                    r["added"],
                )
                for r in records
            ],
            right=(4,),
        )

    state.out.result(records, text)


def _weights_here(bundle: Path) -> str:
    from spresso_assets.codec.bundle import read_config

    try:
        return str(read_config(bundle)[1].get("weights_sha256", ""))
    except SpressoError:
        return ""
