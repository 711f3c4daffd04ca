"""`python -m plugin_bridge.clients.audacity [FILE...]`: is Audacity's pipe alive; put files into the open project.

For setting up mod-script-pipe, and for scripts that have files already; takes of the catalog go through the bridge.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plugin_bridge.clients.audacity.pipe import AudacityPipe, send
from spresso_assets.errors import ExitCode, SpressoError


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m plugin_bridge.clients.audacity", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--at", type=float, default=0.0, metavar="S", help="where they begin, in seconds")
    parser.add_argument("--track", metavar="NAME", help="name of the new tracks")
    given = parser.parse_args(arguments)
    try:
        if not given.files:
            with AudacityPipe() as audacity:
                print(f"Audacity answers; its project has {len(audacity.info('Tracks'))} tracks")
        for placed in send([file.absolute() for file in given.files], given.at, given.track) if given.files else ():
            print(f"{placed['path']}\ttrack {placed['track']}\t{placed['start_s']:.3f} s to {placed['end_s']:.3f} s")
    except SpressoError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
