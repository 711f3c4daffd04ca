"""`spresso profile ...`: the named encoding settings of the catalog."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Named encoding settings: how many bits per second a sound may cost. A profile never changes once it exists.",
)


@app.command("list")
def list_(
    ctx: typer.Context,
    retired: Annotated[bool, typer.Option("--retired", help="Also those of former models.")] = False,
) -> None:
    """List the profiles; the star marks the one that new sounds get."""
    state = state_of(ctx)
    from spresso_assets.catalog.profiles import get_default, list_profiles

    with state.catalog().read() as session:
        default = get_default(session)
        records = [
            {
                "name": profile.name,
                "kbps": profile.nominal_kbps,
                "frame_rate_hz": profile.frame_rate_hz,
                "codebooks": profile.params["codebooks"],
                "bits": profile.params["bits"],
                "channel_mode": profile.channel_mode,
                "state": profile.state,
                "default": profile.name == default and profile.state == "active",
            }
            for profile in list_profiles(session, retired=retired)
        ]

    def text() -> list[str]:
        if not records:
            return ["no profiles: the catalog knows no model yet; run 'spresso init'"]
        return format.columns(
            ("", "PROFILE", "NOMINAL", "FRAMES", "CODES", "CHANNELS", "STATE"),
            [("*" if r["default"] else "", r["name"], format.kbps(r["kbps"]), *_shape(r), r["state"]) for r in records],
            right=(2, 3),
        )

    state.out.result(records, text)


@app.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new profile, for example 2.5kbps-stereo.")],
    like: Annotated[str, typer.Option(help="The profile whose frame rate and codes it takes.")] = "2.5kbps",
    channels: Annotated[
        str, typer.Option(help="mono, parametric (mono and its stereo image) or dual (left and right apart).")
    ] = "parametric",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, add nothing.")] = False,
) -> None:
    """Add a profile that treats the channels of a sound in another way."""
    state = state_of(ctx)
    from spresso_assets.catalog.profiles import add_profile

    with state.change(dry_run) as session:
        profile = add_profile(session, name, like, channels)
        kbps = profile.nominal_kbps
    state.out.result(
        {"name": name, "like": like, "kbps": kbps, "channel_mode": channels, "dry_run": dry_run},
        lambda: [
            f"{name}: {format.kbps(kbps)}, like {like}, {channels}" + (" (not added: dry run)" if dry_run else "")
        ],
    )


@app.command("default")
def default(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Profile for new sounds.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the name, change nothing.")] = False,
) -> None:
    """Choose the profile that new sounds are encoded under. Sounds that are encoded already stay as they are."""
    state = state_of(ctx)
    from spresso_assets.catalog.profiles import get_default, set_default

    with state.change(dry_run) as session:
        before = get_default(session)
        set_default(session, name)
    state.out.result(
        {"before": before, "default": name, "dry_run": dry_run},
        lambda: [f"default profile: {before} -> {name}" + (" (not done: dry run)" if dry_run else "")],
    )


def _shape(record: dict[str, Any]) -> tuple[str, str, str]:
    codes = f"{record['codebooks']} x {record['bits']} bit" if record["codebooks"] else "continuous"
    return f"{record['frame_rate_hz']:.3g} Hz", codes, str(record["channel_mode"])
