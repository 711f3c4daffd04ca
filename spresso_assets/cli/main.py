"""Entry point of `spresso`: global options, the list of verbs, and where an error becomes an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from spresso_assets import __version__
from spresso_assets.cli import (
    bench,
    bridge,
    codec,
    conform,
    db,
    decode,
    demo,
    doctor,
    encode,
    evaluate,
    export,
    fields,
    gc,
    ingest,
    init,
    jobs,
    metrics,
    models,
    profile,
    quality,
    reencode,
    root,
    scan,
    search,
    serve,
    shelf,
    show,
    stats,
    train,
    verify,
    watch,
    worker,
    workers,
)
from spresso_assets.cli.arguments import arrange
from spresso_assets.cli.output import Mode, Output, stop_on_broken_pipe
from spresso_assets.cli.state import State
from spresso_assets.errors import ExitCode, SpressoError

EPILOG = (
    "Global options (--json, --jsonl, --quiet, --catalog, --config, --bundle) may stand before or after the verb. "
    "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 some items failed, 4 nothing found, 5 problems found, "
    "10 no catalog, 11 catalog locked or of another version, 12 no broker, 13 model missing, 14 root offline, "
    "130 interrupted."
)

app = typer.Typer(
    name="spresso",
    help="Keep a sound-effects archive as searchable latents of 0.1 to 3 kbps, and get every sound back on request.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo.demo)
app.command("init")(init.init)
app.add_typer(root.app, name="root")
app.command("scan")(scan.scan)
app.command("ingest")(ingest.ingest)
app.command("watch")(watch.watch)
app.command("encode")(encode.encode)
app.command("reencode")(reencode.reencode)
app.command("quality")(quality.quality)
app.command("search")(search.search)
app.command("fields")(fields.fields)
app.command("show")(show.show)
app.command("decode")(decode.decode)
app.command("export")(export.export)
app.command("conform")(conform.conform)
app.command("serve")(serve.serve)
app.command("shelf")(shelf.shelf)
app.add_typer(bridge.app, name="bridge")
app.command("stats")(stats.stats)
app.add_typer(profile.app, name="profile")
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.command("worker")(worker.worker)
app.add_typer(workers.app, name="workers")
app.command("metrics")(metrics.metrics)
app.command("doctor")(doctor.doctor)
app.command("verify")(verify.verify)
app.add_typer(db.app, name="db")
app.command("gc")(gc.gc)
app.add_typer(codec.app, name="codec")
app.command("evaluate")(evaluate.evaluate)
app.add_typer(bench.app, name="bench")
app.add_typer(train.app, name="train")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spresso {__version__}")
        raise typer.Exit()


@app.callback()
def _global_options(
    ctx: typer.Context,
    catalog: Annotated[
        str | None, typer.Option("--catalog", metavar="PATH|URL", help="Catalog to use instead of the configured one.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Model bundle folder instead of the shipped one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON document per item and line.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress bar.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Typer reads the options here; `as_json`, `as_jsonl` and `quiet` were already seen by `main`."""
    state: State = ctx.obj
    state.config = config
    state.overrides = {"catalog": catalog, "bundle": bundle}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `spresso_assets.errors.ExitCode`)."""
    args = arrange(sys.argv[1:] if argv is None else argv, app)
    mode = Mode.JSONL if "--jsonl" in args else Mode.JSON if "--json" in args else Mode.TEXT
    out = Output(mode, quiet=bool({"--quiet", "-q"} & set(args)))
    state = State(out)
    try:
        code = app(args=args, prog_name="spresso", standalone_mode=False, obj=state)
        return int(code or 0)
    except SpressoError as error:
        return out.error(error)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        stop_on_broken_pipe()
        return int(ExitCode.FAILED)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # A usage error of the command-line parser; its class lives in a private module of Typer.
        usage = SpressoError(str(error.format_message()), code="usage", hint="Try --help.", exit_code=ExitCode.USAGE)
        return out.error(usage)
    finally:
        state.close()


if __name__ == "__main__":
    sys.exit(main())
