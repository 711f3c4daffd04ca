"""Shares that are mounted, unmounted and mounted again: real ones, in a mount namespace of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spresso_assets.ingest.mounts import mounts_inside, reason_for, silent_parts

REPO = Path(__file__).parents[2]
TABLE = (
    "/dev/sda1 / ext4 rw 0 0\n"
    "nas:/sfx /archive/NAS\\040one nfs4 rw 0 0\n"
    "nas:/deep /archive/NAS\\040one/deep cifs rw 0 0\n"
    "/dev/sdb1 /archive/disk xfs rw 0 0\n"
    "me@host: /archive/disk/ssh fuse.sshfs rw 0 0\n"
    "nas:/other /archive2 nfs4 rw 0 0\n"
)


def test_each_mount_point_in_a_root_has_its_own_backend() -> None:
    mounts = mounts_inside(Path("/archive"), "auto", TABLE)
    assert [(mount.path, mount.file_system, mount.backend) for mount in mounts] == [
        ("NAS one", "nfs4", "poll"),
        ("NAS one/deep", "cifs", "poll"),
        ("disk", "xfs", "native"),
        ("disk/ssh", "fuse.sshfs", "poll"),
    ]
    assert silent_parts(mounts) == ["NAS one", "disk/ssh"]
    assert {mount.backend for mount in mounts_inside(Path("/archive"), "native", TABLE)} == {"native"}


def test_people_are_told_why() -> None:
    assert reason_for(Path("/archive"), "auto", TABLE) == "ext4: sends file events"
    assert reason_for(Path("/archive2/x"), "auto", TABLE) == "nfs4: changes raise no file events"
    assert reason_for(Path("/archive2/x"), "scan", TABLE) == "set to 'scan'"


# Runs as root of a namespace: a file system is mounted below a root, goes away and comes back.
STORY = """
import json, subprocess, sys
from pathlib import Path
from tests.ingest.conftest import Library
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.catalog.models import Asset, WatchRoot
from spresso_assets.errors import SpressoError
from sqlmodel import select

def mount(path, source):
    subprocess.run(["mount", "--bind", str(source), str(path)], check=True)

def umount(path):
    subprocess.run(["umount", str(path)], check=True)

def told(report):
    return {"problems": [p.error.code for p in report.problems], "missing": report.counts["missing"],
            "new": report.counts["new"], "ready": report.ready}

catalog, folder, disk = open_catalog(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
whole = sys.argv[4] == "whole"
disk.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "none", str(disk)], check=True)
library = Library(catalog, folder)
there = folder if whole else folder / "NAS"
there.mkdir(exist_ok=True)
mount(there, disk)
for n in range(4):
    library.put(("" if whole else "NAS/") + f"in/{n}.wav")
if not whole:
    for n in range(400):
        library.put(f"local/{n}.wav")
    assert there.stat().st_dev != folder.stat().st_dev
out = {"first": told(library.scan())}
before = library.assets()
with catalog.read() as session:
    assets = [row.model_dump() for row in session.exec(select(Asset))]
umount(there)
out["away"] = []
for quick in (False, True):
    try:
        out["away"].append(told(library.scan(quick=quick)))
    except SpressoError as error:
        out["away"].append(error.code)
out["frozen"] = sorted({state for path, state in library.states().items() if whole or path.startswith("NAS")})
out["local"] = sorted({state for path, state in library.states().items() if path.startswith("local")})
if not whole:
    out["inside"] = told(library.scan(under="NAS/in"))
mount(there, disk)
out["back"] = told(library.scan(quick=True))
out["states"] = sorted(set(library.states().values()))
with catalog.read() as session:
    out["same"] = assets == [row.model_dump() for row in session.exec(select(Asset))]
    out["root"] = session.exec(select(WatchRoot)).one().state
out["same"] = out["same"] and before == library.assets() and len(library.read) == len(before)
print(json.dumps(out))
"""


def tell(tmp_path: Path, catalog_file: Path, kind: str) -> dict[str, Any]:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("mounting needs root and mount namespaces")
    arguments = [str(catalog_file), str(tmp_path / "sfx"), str(tmp_path / "disk"), kind]
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", STORY, *arguments],
        capture_output=True,
        text=True,
        cwd=REPO,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_share_below_a_root_that_is_unmounted_freezes_its_files_however_few(
    tmp_path: Path, catalog_file: Path
) -> None:
    told = tell(tmp_path, catalog_file, "part")
    assert told["first"]["new"] == told["first"]["ready"] == 404
    away = {"problems": ["part_offline"], "missing": 0, "new": 0, "ready": 0}
    assert told["away"] == [away, away], "4 of 404 files are below every cap, and still nobody removed them"
    assert told["frozen"] == ["offline"] and told["local"] == ["present"]
    assert told["inside"] == away
    assert told["back"] == {"problems": [], "missing": 0, "new": 0, "ready": 0}
    assert told["states"] == ["present"] and told["same"]


def test_a_root_that_is_unmounted_freezes_and_comes_back_as_it_was(tmp_path: Path, catalog_file: Path) -> None:
    told = tell(tmp_path, catalog_file, "whole")
    assert told["away"] == ["root_offline", "root_offline"]
    assert told["frozen"] == ["offline"]
    assert told["back"] == {"problems": [], "missing": 0, "new": 0, "ready": 0}
    assert told["states"] == ["present"] and told["same"] and told["root"] == "active"
