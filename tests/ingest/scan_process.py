"""A scan in a process of its own, which waits for ever when it has listed so many folders: somebody kills it there.

Run as ``python -m tests.ingest.scan_process CATALOG ROOT_ID FOLDERS``; prints one line when it has got that far.
"""

from __future__ import annotations

import signal
import sys

from spresso_assets.catalog.engine import open_catalog
from spresso_assets.ingest import looking
from spresso_assets.ingest.reconcile import reconcile


def main() -> None:
    catalog_file, root_id, folders = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    honest, listed = looking.list_folder, 0

    def list_folder(*args):  # type: ignore[no-untyped-def]
        nonlocal listed
        listed += 1
        if listed > folders:
            sys.stdout.write("there\n")
            sys.stdout.flush()
            signal.pause()
        return honest(*args)

    looking.list_folder = list_folder
    looking.FOLDERS = 2
    reconcile(open_catalog(catalog_file), root_id, lambda session, row: None, settle_s=0)


if __name__ == "__main__":
    main()
