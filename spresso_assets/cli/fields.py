"""`spresso fields`: what a query can ask for."""

from __future__ import annotations

from dataclasses import asdict

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of


def fields(ctx: typer.Context) -> None:
    """List the fields of queries, each with an example. Fields marked with * can be sorted by."""
    state = state_of(ctx)
    from spresso_assets.catalog.fields import FIELDS

    records = [
        {key: asdict(field)[key] for key in ("name", "kind", "example", "about")} | {"sortable": field.sortable}
        for field in FIELDS.values()
    ]
    rows = [(f.name + "*" * f.sortable, f.kind, f.example, f.about) for f in FIELDS.values()]
    state.out.result(records, lambda: format.columns(("FIELD", "KIND", "EXAMPLE", "MEANING"), rows))
