"""Put a client of the bridge where its host program looks for it.

Each folder of `plugin_bridge/clients` that holds an ``install.json`` is a client:

    {
      "title": "REAPER",                            what people call it
      "files": ["spresso_search.lua",               copied under its name
                "icons/",                           a folder with all that is in it
                "../bridge_client.py"],             what clients share, copied without the dots
      "targets": {"linux":  "~/.config/REAPER/Scripts/spresso",
                  "darwin": "~/Library/Application Support/REAPER/Scripts/spresso",
                  "win32":  "%APPDATA%/REAPER/Scripts/spresso"},
      "inside": "addons/spresso",                   optional: where below a DIR that a person names; else the DIR itself
      "build": ["make", "-s", "bundle"],            optional: run in a copy of the folder before files are taken
      "next": "In REAPER: Actions > Show action list > New action > Load ReaScript ..."
    }

``targets`` may leave systems out, and be empty where a DIR must be named (a game's project). A value may be a list, of
which the first whose parent folder exists is taken. ``*`` stands for any folder that is there, such as a version
number, and takes the newest by name; ``~`` and environment variables are expanded.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from spresso_assets.errors import ExitCode, FaultKind, SpressoError

CLIENTS = Path(__file__).parent / "clients"
MANIFEST = "install.json"
LEFT_OUT = {"__pycache__", MANIFEST}


class Manifest(BaseModel):
    """What a client's ``install.json`` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    files: list[str]
    targets: dict[str, str | list[str]] = {}
    inside: str = ""
    build: list[str] = []
    next: str = ""


@dataclass(frozen=True)
class Client:
    """A client that can be installed.

    Attributes:
        name: by which it is asked for.
        folder: where its files lie.
    """

    name: str
    folder: Path
    manifest: Manifest


@dataclass(frozen=True)
class Installed:
    """One file of a client at its place.

    Attributes:
        what: ``new``, ``changed``, or ``same`` if it was there already.
    """

    path: Path
    what: str


def clients(folder: Path = CLIENTS) -> list[Client]:
    """All clients, by name."""
    return [Client(file.parent.name, file.parent, _manifest(file)) for file in sorted(folder.glob(f"*/{MANIFEST}"))]


def client_named(name: str, folder: Path = CLIENTS) -> Client:
    """Look a client up.

    Raises:
        SpressoError: ``unknown_client``.
    """
    known = clients(folder)
    for client in known:
        if client.name == name:
            return client
    raise SpressoError(
        f"there is no client '{name}'",
        code="unknown_client",
        hint=f"Clients: {', '.join(client.name for client in known)}.",
        exit_code=ExitCode.USAGE,
    )


def target_of(client: Client, named: Path | None, system: str = sys.platform) -> Path:
    """The folder that a client goes into.

    Args:
        client: what is to be installed.
        named: the DIR that a person gave.
        system: as `sys.platform` has it.

    Raises:
        SpressoError: ``install_where`` if the place must be named, ``bad_folder`` if the named one is not there.
    """
    if named is not None:
        folder = named.expanduser().absolute()
        if not folder.is_dir():
            raise _where(f"there is no folder {folder}", "Name one that exists.", "bad_folder")
        return folder / client.manifest.inside
    targets = client.manifest.targets.get(system, [])
    places = [_expanded(place) for place in ([targets] if isinstance(targets, str) else targets)]
    found = [place for place in places if place is not None]
    if not found:
        title = client.manifest.title
        why = f"no folder of {title} was found here" if places else f"only you know which folder of {title} is meant"
        raise _where(why, f"Name it: spresso bridge install {client.name} DIR.", "install_where")
    return next((place for place in found if place.parent.is_dir()), found[0])


def install(client: Client, target: Path, *, dry_run: bool = False) -> list[Installed]:
    """Copy a client's files, each in one step; what differs is replaced, what is equal is left alone.

    Raises:
        SpressoError: ``build_failed``, ``cannot_write``.
    """
    with _built(client, dry_run) as folder:
        pairs = [pair for entry in client.manifest.files for pair in _sources(client, folder, entry)]
        return [_copy(source, target / place, dry_run) for source, place in pairs]


def _manifest(file: Path) -> Manifest:
    try:
        return Manifest.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise SpressoError(
            f"{file} cannot be read: {error}", code="bad_client", hint="Install spresso again."
        ) from error


def _where(message: str, hint: str, code: str) -> SpressoError:
    return SpressoError(message, code=code, hint=hint, exit_code=ExitCode.USAGE)


def _expanded(place: str) -> Path | None:
    """A target on this machine; None if a variable is not set, or nothing is where a ``*`` stands."""
    # as Windows writes variables, on every system, so that manifests can be tested on all
    text = re.sub(r"%(\w+)%", lambda found: os.environ.get(found[1], found[0]), os.path.expandvars(place))
    if re.search(r"%\w+%|\$", text):
        return None
    path = Path(text).expanduser()
    parts = path.parts
    stars = [number for number, part in enumerate(parts) if "*" in part]
    if not stars:
        return path
    last = stars[-1] + 1
    there = sorted((Path(found) for found in glob.glob(str(Path(*parts[:last])))), key=_version)
    folders = [folder for folder in there if folder.is_dir()]
    return folders[-1].joinpath(*parts[last:]) if folders else None


def _version(folder: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts 4.10 behind 4.9."""
    parts = re.findall(r"\d+|\D+", str(folder))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts], str(folder)


@contextmanager
def _built(client: Client, dry_run: bool) -> Iterator[Path]:
    command = client.manifest.build
    if not command or dry_run:
        yield client.folder
        return
    with tempfile.TemporaryDirectory(prefix="spresso-build-") as scratch:
        folder = Path(scratch) / client.name
        shutil.copytree(client.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=600)
            fault = "" if done.returncode == 0 else (done.stderr or done.stdout).strip()[-400:] or "it failed"
        except (OSError, subprocess.TimeoutExpired) as error:
            fault = str(error)
        if fault:
            raise SpressoError(
                f"{client.manifest.title} cannot be built with '{' '.join(command)}': {fault}",
                code="build_failed",
                hint=f"docs/how-to/bridge-{client.name}.md says what it needs.",
                kind=FaultKind.ENVIRONMENT,
            )
        yield folder


def _sources(client: Client, folder: Path, entry: str) -> list[tuple[Path, Path]]:
    """Files that an entry means, with their place below the target."""
    shared = entry.startswith("../")
    base = client.folder.parent if shared else folder
    name = entry.removeprefix("../")
    source = base / name
    if not name.endswith("/"):
        return [(source, Path(name))]
    inside = sorted(path for path in source.rglob("*") if path.is_file() and not LEFT_OUT & set(path.parts))
    return [(path, path.relative_to(base)) for path in inside]


def _copy(source: Path, place: Path, dry_run: bool) -> Installed:
    temporary = place.parent / f".spresso-{uuid.uuid4().hex}.part"
    try:
        before = place.read_bytes() if place.is_file() else None
        if dry_run and not source.is_file():  # it would be built
            return Installed(place, "new" if before is None else "changed")
        content = source.read_bytes()
        what = "new" if before is None else "same" if before == content else "changed"
        if what == "same" or dry_run:
            return Installed(place, what)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.chmod(source.stat().st_mode & 0o777)
        temporary.replace(place)
        return Installed(place, what)
    except OSError as error:
        raise SpressoError(
            f"cannot write {place}: {error.strerror}",
            code="cannot_write",
            hint="Name another folder.",
            kind=FaultKind.ENVIRONMENT,
        ) from error
    finally:
        with suppress(OSError):  # where there is no folder there is nothing to remove
            temporary.unlink()


def record(client: Client) -> dict[str, Any]:
    """JSON form of a client."""
    return {"client": client.name, "title": client.manifest.title, "next": client.manifest.next}
