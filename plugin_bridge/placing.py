"""From takes to real files in somebody's project: named by the server, told apart by content, listed for conforming.

A file appears whole or not at all, and nothing is ever replaced: the same bytes under the same name are the same
file, other bytes get the next number. Every file stands in `spresso-manifest.csv`, from which, as from the folder or
from any file, `spresso conform` finds the way back to the originals.
"""

import asyncio
import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plugin_bridge.bridge import Bridge
from plugin_bridge.render import encode
from plugin_bridge.render.renderer import Priority
from plugin_bridge.render.takes import Take
from plugin_bridge.target_folder import TargetFolder, open_target, resolve_target, writing_fault
from plugin_bridge.wanted import sound_of
from spresso_assets.catalog.engine import Catalog
from spresso_assets.errors import SpressoError
from spresso_assets.export.manifest import Exported
from spresso_assets.export.writer import refuse_inside_root

MANIFEST = "spresso-manifest.csv"
MAX_NAMES = 999
MAX_NAME = 120
COLUMNS = list(Exported.__dataclass_fields__)


@dataclass(frozen=True)
class Placed:
    """A file that is there now.

    Attributes:
        path: absolute.
        id: uid of the sound.
        profile: the encoding that it was decoded from.
        frames: samples per channel.
        skipped: it was there before, with the same bytes.
    """

    path: str
    id: str
    seed: int
    profile: str
    bytes: int
    sha256: str
    frames: int
    skipped: bool


async def place(
    bridge: Bridge,
    takes: Sequence[Take],
    folder: str,
    *,
    style: str = "ucs",
    form: str = "wav",
    on_file: Callable[[Placed], None] = lambda placed: None,
) -> tuple[list[Placed], Path]:
    """Write takes as files into an allowed folder; returns them, and the manifest.

    Where one fails the error is raised, and what was placed before it stays, listed: the same request again skips it.

    Args:
        folder: absolute path of an allowed folder or of one below it, which is made if need be.
        style: 'ucs' or 'safe' (without spaces).
        form: 'wav' or 'flac'.
        on_file: told each file as it is there.

    Raises:
        SpressoError: see `target_folder`; ``target_in_root``, ``manifest_foreign``, ``file_exists``, and what
            decoding raises.
    """
    target = await asyncio.to_thread(_open, bridge, folder)
    with target:
        files = []
        for take in takes:
            samples = await sound_of(bridge.renderer, take, Priority.FILE)
            content = await asyncio.to_thread(encode.file, take, samples, form)
            name = take.filename(style, f".{form}")
            files.append(await asyncio.to_thread(put, target, bridge.catalog, take, name, content))
            on_file(files[-1])
        return files, target.path / MANIFEST


def _open(bridge: Bridge, folder: str) -> TargetFolder:
    allowed = bridge.place_folders()
    real, _ = resolve_target(folder, allowed)
    refuse_inside_root(bridge.catalog, real)
    target = open_target(folder, allowed)
    try:
        with _Manifest.of(target):
            pass  # what would keep the files from being listed is told before anything is decoded
        target.sweep()
    except BaseException:
        target.__exit__(None, None, None)
        raise
    return target


def put(target: TargetFolder, catalog: Catalog, take: Take, name: str, content: bytes) -> Placed:
    """Put one file into a folder under a name, or the next free number of it, and list it.

    Raises:
        SpressoError: ``file_exists``, ``manifest_foreign``, ``disk_full``, ``folder_not_writable``, ``cannot_write``.
    """
    digest = hashlib.sha256(content).hexdigest()
    staged = target.stage(content)
    try:
        with _Manifest.of(target) as manifest:
            name, skipped = _take_name(target, staged, name, digest, len(content))
            manifest.add(listed(catalog, take, name, len(content), digest, skipped))
    finally:
        target.remove(staged)
    path = str(target.path / name)
    return Placed(path, take.asset_uid, take.seed, take.profile, len(content), digest, take.frames, skipped)


def _take_name(target: TargetFolder, staged: str, wanted: str, digest: str, size: int) -> tuple[str, bool]:
    """The name that the content has now, and whether it had it before."""
    taken = target.taken()
    for name in numbered(wanted):
        known = taken.get(name.casefold())
        if known is None and target.publish(staged, name):
            return name, False
        if target.holds(known or name, digest, size):
            return known or name, True
    raise SpressoError(
        f"{target.path} holds {MAX_NAMES} files named {wanted}",
        code="file_exists",
        hint="Choose another folder.",
    )


def numbered(name: str) -> Iterator[str]:
    """The name, then 'name-2', 'name-3', …, none longer than MAX_NAME."""
    stem, dot, suffix = name.rpartition(".")
    yield name
    for number in range(2, MAX_NAMES + 1):
        tail = f"-{number}{dot}{suffix}"
        yield stem[: MAX_NAME - len(tail)] + tail


def listed(catalog: Catalog, take: Take, name: str, size: int, digest: str, skipped: bool) -> Exported:
    """The line of a manifest for one file."""
    return Exported(
        file=name,
        kind="decoded",
        asset=take.asset_uid,
        name=take.name,
        original=take.original,
        original_state=_state_of_original(catalog, take.asset_uid),
        profile=take.profile,
        seed=take.seed,
        weights_sha256=take.weights_sha256,
        seconds=take.frames / take.sample_rate,
        bytes=size,
        sha256=digest,
        skipped=skipped,
    )


def manifest_text(lines: Sequence[Exported]) -> str:
    """A whole manifest."""
    return _rows(COLUMNS, [COLUMNS]) + _rows(COLUMNS, [asdict(line) for line in lines])


def _state_of_original(catalog: Catalog, uid: str) -> str:
    """Of the best file, as an export says it; '' if there is none."""
    from spresso_assets.catalog.rows import as_rows

    with catalog.read() as session:
        found = as_rows(session).rows(
            "SELECT f.state FROM source_file f JOIN asset a ON a.id = f.asset_id WHERE a.uid = :uid "
            "AND f.state <> 'moved' ORDER BY CASE f.state WHEN 'present' THEN 0 ELSE 1 END, f.id LIMIT 1",
            {"uid": uid},
        )
    return str(found[0][0]) if found else ""


class _Manifest:
    """The list in a folder, open and locked: one writer at a time, and a line is there whole or not at all."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        content = b"".join(iter(lambda: os.read(descriptor, 1 << 20), b""))
        self._size = len(content)
        text = content.decode("utf-8-sig", "surrogateescape")
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except csv.Error:
            rows = [[]] if text.strip() else []
        rows = [row for row in rows if row] or ([[]] if text.strip() else [])
        self._columns = rows[0] if rows else COLUMNS
        if not {"file", "asset"} <= set(self._columns):
            raise SpressoError(
                f"{path} is there and is no list of placed sounds",
                code="manifest_foreign",
                hint="Rename it, or choose another folder.",
            )
        self._front = "" if rows else _rows(COLUMNS, [COLUMNS])
        if text and not text.endswith(("\n", "\r")):
            if len(rows[-1]) < len(self._columns) and len(rows) > 1:
                # a power cut left half a line; the file that it was about tells all the same
                self._cut(content.rfind(b"\n") + 1)
                rows.pop()
            else:
                self._front = "\n"
        place_of_file = self._columns.index("file")
        self._known = {row[place_of_file] for row in rows[1:] if len(row) > place_of_file}

    @classmethod
    @contextmanager
    def of(cls, target: TargetFolder) -> "Iterator[_Manifest]":
        """Open and lock the list of a folder.

        Raises:
            SpressoError: ``manifest_foreign``, ``folder_not_writable``, ``cannot_write``, ``disk_full``.
        """
        path = target.path / MANIFEST
        try:
            descriptor = target.open(MANIFEST, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise writing_fault(path, error) from error
        try:
            with target.locked(descriptor):
                yield cls(path, descriptor)
        finally:
            os.close(descriptor)

    def add(self, line: Exported) -> None:
        """List a file, unless it is listed."""
        if line.file in self._known:
            return
        content = (self._front + _rows(self._columns, [asdict(line)])).encode("utf-8", "surrogateescape")
        try:
            written = os.write(self._descriptor, content)
            if written < len(content):
                written += os.write(self._descriptor, content[written:])  # says why it does not go on
            os.fsync(self._descriptor)
        except OSError as error:
            self._cut(self._size)
            raise writing_fault(self._path, error) from error
        self._known.add(line.file)
        self._size += len(content)
        self._front = ""

    def _cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self._size = size


def _rows(columns: Sequence[str], rows: Sequence[Sequence[Any] | dict[str, Any]]) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    for row in rows:
        writer.writerow([row.get(column, "") for column in columns] if isinstance(row, dict) else row)
    return sheet.getvalue()
