"""`spresso models ...`: the weights that latents were made with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.codec.config import ModelConfig

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


@app.command()
def describe(
    ctx: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="[BUNDLE|PRESET]", help="Folder of a model bundle, or a preset: full, small, tiny.")
    ] = "",
) -> None:
    """Say what a model weighs and what it computes, part by part. Without a name, that of the bundle in use here.

    Weights are counted as stored, with their size as 16-bit floats. Operations are twice the multiply-adds of a clip
    of 5 seconds, per second of audio; the search for codes while encoding comes on top.
    """
    state = state_of(ctx)
    config, bundle = _model(what, state.bundle_dir())
    from spresso_assets.codec import cost

    modules = cost.meta_modules(config)
    found = cost.parts(cost.bundle_shapes(bundle) if bundle else cost.module_shapes(modules))
    work = cost.arithmetic(config, modules)
    evaluations = cost.evaluations(config)
    total = sum(part.weights for part in found)
    record: dict[str, Any] = {
        "name": config.name,
        "bundle": str(bundle) if bundle else None,
        "adapters": config.transformer.adapters,
        "parts": [{"part": p.name, "rate": p.rate, "weights": p.weights, "fp16_bytes": p.fp16_bytes} for p in found],
        "total": {"weights": total, "fp16_bytes": 2 * total},
        "one_rate": {rate: cost.one_rate(found, rate) for rate in config.rates},
        "flop_per_second": {
            rate: {
                "encode": round(one.encode),
                "evaluation": round(one.evaluation),
                "synthesis": round(one.synthesis),
                "decode": {name: round(one.decode(n)) for name, n in evaluations.items()},
            }
            for rate, one in work.items()
        },
        "evaluations": evaluations,
    }

    def text() -> list[str]:
        per_rate = dict.fromkeys(p.name for p in found)
        cells = {(p.name, p.rate): p.weights for p in found}
        rows = [
            (
                name,
                *(_millions(cells.get((name, rate), 0)) for rate in (None, *config.rates)),
                format.size(2 * sum(p.weights for p in found if p.name == name)),
            )
            for name in per_rate
        ]
        alone = [_millions(n) for n in record["one_rate"].values()]
        lines = [
            f"{format.printable(config.name)}: {_millions(total)} weights, {format.size(2 * total)} as 16-bit floats",
            "",
            *format.columns(
                ("WEIGHTS", "ALL RATES", *config.rates, "SIZE"),
                [*rows, ("one rate alone", "", *alone, "")],
                right=range(1, len(config.rates) + 3),
            ),
            "",
        ]
        steps: list[tuple[str, list[float]]] = [
            ("encode", [one.encode for one in work.values()]),
            ("one evaluation", [one.evaluation for one in work.values()]),
        ]
        for quality, n in evaluations.items():
            steps.append((f"decode --quality {quality} ({_times(n)})", [one.decode(n) for one in work.values()]))
        return lines + format.columns(
            ("OPERATIONS PER SECOND OF AUDIO", *config.rates),
            [(name, *map(_operations, numbers)) for name, numbers in steps],
            right=range(1, len(config.rates) + 1),
        )

    state.out.result(record, text)


def _model(what: str, in_use: Path) -> tuple[ModelConfig, Path | None]:
    """Sizes of a bundle, and its folder; or sizes of a preset, and None.

    Raises:
        SpressoError: ``unknown_preset``, ``model_missing`` or ``bundle_corrupt``.
    """
    from spresso_assets.codec.bundle import read_config
    from spresso_assets.codec.config import PRESETS

    bundle = Path(what) if what else in_use
    if what in PRESETS and not bundle.is_dir():
        return PRESETS[what], None
    if what and not bundle.is_dir():
        raise SpressoError(
            f"there is neither a folder nor a preset '{format.printable(what)}'",
            code="unknown_preset",
            hint=f"Presets: {', '.join(PRESETS)}.",
            exit_code=ExitCode.USAGE,
        )
    return read_config(bundle)[0], bundle


def _millions(weights: int) -> str:
    """'85.0 M', '0.0499 M'; nothing for none."""
    return f"{_three_digits(weights / 1e6)} M" if weights else ""


def _operations(number: float) -> str:
    """'22.3 G', '2.83 T'."""
    return f"{_three_digits(number / 1e12)} T" if number >= 9.995e11 else f"{_three_digits(number / 1e9)} G"


def _three_digits(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _times(evaluations: int) -> str:
    return "1 evaluation" if evaluations == 1 else f"{evaluations} evaluations"
