"""What can be wrong with a stream: one error per kind of damage."""

from __future__ import annotations

from spresso_assets.errors import ExitCode, SpressoError


def corrupt(reason: str) -> SpressoError:
    """`spr_corrupt`: a value in the stream is wrong."""
    return SpressoError(f"the .spr stream is damaged: {reason}", code="spr_corrupt", hint="Encode the source again")


def truncated(reason: str) -> SpressoError:
    """`spr_truncated`: the stream ends too early."""
    return SpressoError(
        f"the .spr stream is cut short: {reason}", code="spr_truncated", hint="Copy it again or encode the source again"
    )


def unpackable(reason: str) -> SpressoError:
    """`spr_unpackable`: what was to be written has no place in the format."""
    return SpressoError(reason, code="spr_unpackable", hint="This is a fault of the caller", exit_code=ExitCode.FAILED)
