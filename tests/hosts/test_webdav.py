"""The read-only folder in real WebDAV clients: each lists every sound and reads the bytes that the interface gives."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import soundfile

from tests.hosts.programs import needs, needs_file
from tests.plugin_bridge.running import FilledCatalog, Running

PATIENCE_S = 120
SLAM = "DOORS/W/Wooden door slams__{}.wav"


@pytest.fixture
def digests(client: httpx2.Client, bridge_catalog: FilledCatalog) -> dict[str, str]:
    """SHA-256 of every sound as the interface gives it, by the digits in the file names."""
    return {
        uid[:8]: hashlib.sha256(client.get(f"/v1/sounds/{uid}/audio.wav").content).hexdigest()
        for uid in bridge_catalog.ids.values()
    }


def run(*command: str | Path, **options: object) -> str:
    """Run a program that has to succeed; returns what it says."""
    given: dict[str, object] = {"stdin": subprocess.DEVNULL, "timeout": PATIENCE_S, **options}
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False, **given)  # type: ignore[call-overload]
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return str(done.stdout.decode())


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def id_of(name: str) -> str:
    return name[-12:-4]


# --- davfs2 -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mounted(running_bridge: Running, tmp_path: Path) -> Iterator[Path]:
    """The folder as a file system."""
    needs("mount.davfs")
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("mounting needs root and /dev/fuse")
    cache = Path(tempfile.mkdtemp())  # not below tmp_path, which the group of davfs2 may not enter
    shutil.chown(cache, "root", "davfs2")
    cache.chmod(0o775)
    settings = tmp_path / "davfs2.conf"
    # buf_size: with the default of 16 KiB, listings fail with "Invalid argument" on Linux 6.16 and later
    settings.write_text(f"ask_auth 0\nuse_locks 0\nbuf_size 128\ncache_dir {cache}\n")
    folder = tmp_path / "mounted"
    folder.mkdir()
    try:
        run("mount", "-t", "davfs", "-o", f"ro,conf={settings}", running_bridge.dav_url, folder)
        try:
            yield folder
        finally:
            run("umount", folder)
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def test_davfs2(mounted: Path, digests: dict[str, str]) -> None:
    files = [path for path in mounted.rglob("*.wav") if path.is_file()]
    assert {id_of(path.name): path.stat().st_size for path in files}.keys() == digests.keys()
    for path in files:
        size = path.stat().st_size
        assert digest_of(path) == digests[id_of(path.name)] and size == len(path.read_bytes())
        assert soundfile.info(str(path)).samplerate == 48_000
    with pytest.raises(OSError):
        (mounted / "new.wav").write_bytes(b"x")
    with pytest.raises(OSError):
        files[0].unlink()


# --- rclone -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(running_bridge: Running, tmp_path: Path) -> dict[str, str]:
    """What rclone is told; not on its command line, which is open to all: the address holds a token."""
    needs("rclone")
    told = {"WEBDAV_URL": running_bridge.dav_url, "WEBDAV_VENDOR": "other", "CONFIG": str(tmp_path / "none.conf")}
    return {**os.environ, **{f"RCLONE_{name}": value for name, value in told.items()}}


def test_rclone_mounted(environment: dict[str, str], digests: dict[str, str], tmp_path: Path) -> None:
    needs_file("/usr/bin/fusermount3", "fuse3")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("mounting needs /dev/fuse")
    folder = tmp_path / "mounted"
    folder.mkdir()
    options = ("--read-only", "--vfs-cache-mode", "full", "--cache-dir", str(tmp_path / "cache"))
    rclone = subprocess.Popen(["rclone", "mount", ":webdav:", folder, *options], env=environment)
    try:
        end = time.monotonic() + PATIENCE_S
        while not os.path.ismount(folder):
            assert rclone.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        files = [path for path in folder.rglob("*.wav") if path.is_file()]
        assert {id_of(path.name): digest_of(path) for path in files} == digests
        with pytest.raises(OSError):
            (folder / "new.wav").write_bytes(b"x")
    finally:
        subprocess.run(["fusermount3", "-u", folder], check=False)
        rclone.terminate()
        rclone.wait(PATIENCE_S)


def test_rclone(environment: dict[str, str], digests: dict[str, str], tmp_path: Path) -> None:
    listed = run("rclone", "lsf", "-R", "--files-only", "--format", "sp", ":webdav:", env=environment).splitlines()
    sizes = {name: int(size) for size, _, name in (line.partition(";") for line in listed)}
    assert sorted(map(id_of, sizes)) == sorted(digests)
    for name, size in sizes.items():
        done = subprocess.run(
            ["rclone", "cat", f":webdav:{name}"], env=environment, capture_output=True, check=True, timeout=PATIENCE_S
        )
        assert len(done.stdout) == size and hashlib.sha256(done.stdout).hexdigest() == digests[id_of(name)]
    run("rclone", "copy", ":webdav:FEET", tmp_path / "feet", env=environment)
    assert len(list((tmp_path / "feet").rglob("*.wav"))) == 3


# --- cadaver ----------------------------------------------------------------------------------------------------------


def test_cadaver(
    running_bridge: Running, bridge_catalog: FilledCatalog, digests: dict[str, str], tmp_path: Path
) -> None:
    needs("cadaver")
    uid = bridge_catalog.id_of("Wooden")
    target = tmp_path / "slam.wav"
    get = f'get "Wooden door slams__{uid[:8]}.wav" {target}'
    commands = ["ls", "cd DOORS/W", "ls", get, f"put {__file__} new.wav", "quit", ""]
    told = run(
        *("cadaver", running_bridge.dav_url),
        stdin=None,
        input="\n".join(commands).encode(),
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "Coll:   DOORS" in told and f"Wooden door slams__{uid[:8]}.wav" in told and "405" in told
    assert digest_of(target) == digests[uid[:8]]


# --- curl -------------------------------------------------------------------------------------------------------------


def test_curl(running_bridge: Running, bridge_catalog: FilledCatalog, digests: dict[str, str], tmp_path: Path) -> None:
    needs("curl")
    uid = bridge_catalog.id_of("Wooden")
    settings = tmp_path / "curl.conf"  # as above: no token on a command line
    address = running_bridge.dav_url + SLAM.format(uid[:8]).replace(" ", "%20")
    target = tmp_path / "slam.wav"
    settings.write_text(f'url = "{address}"\nsilent\nfail\n')
    head = run("curl", "-K", settings, "-I")
    run("curl", "-K", settings, "-r", "0-9999", "-o", target)
    assert target.stat().st_size == 10_000
    run("curl", "-K", settings, "-C", "-", "-o", target)
    assert digest_of(target) == digests[uid[:8]] and f"content-length: {target.stat().st_size}" in head.lower()
    settings.write_text(f'url = "{running_bridge.dav_url}"\nsilent\nfail\n')
    listing = run("curl", "-K", settings, "-X", "PROPFIND", "-H", "Depth: 1")
    assert "<D:multistatus" in listing and "DOORS/" in listing
    assert run("curl", "-K", settings).splitlines() == ["AMB/", "DOORS/", "FEET/", "RAIN/"]
