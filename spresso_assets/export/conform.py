"""From the decodes that were used back to the originals: same names, the real recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.export.files import make_folder
from spresso_assets.export.manifest import bad_list, read_manifest
from spresso_assets.export.originals import copy_original, original_of
from spresso_assets.export.provenance import provenance_of

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog

SOUNDS = (".wav", ".flac")


@dataclass(frozen=True)
class Used:
    """A decoded file that somebody used.

    Attributes:
        name: path below the list's folder: what the original will be called, but for the suffix.
        path: where it is said to be.
        asset: id of its sound; '' if only the file itself knows it.
    """

    name: str
    path: Path
    asset: str = ""


@dataclass(frozen=True)
class Conformed:
    """What became of one."""

    used: str
    asset: str
    original: str
    file: str
    sha256: str
    skipped: bool


def used_files(listed: Path) -> list[Used]:
    """The files of a manifest, of a folder of decodes, of a text file with one path per line, or one file.

    Raises:
        SpressoError: `bad_list`, `file_missing`.
    """
    if listed.is_dir():
        files = sorted(path for path in listed.rglob("*") if path.suffix.lower() in SOUNDS and path.is_file())
        return [Used(path.relative_to(listed).as_posix(), path) for path in files]
    if not listed.is_file():
        raise SpressoError(
            f"there is no {listed}", code="file_missing", hint="Check the name.", exit_code=ExitCode.NOT_FOUND
        )
    suffix = listed.suffix.lower()
    if suffix in SOUNDS:
        return [Used(listed.name, listed)]
    if suffix in (".csv", ".json"):
        rows = (row for row in read_manifest(listed) if row.get("kind", "decoded") == "decoded")
        return [Used(_inside(listed, row["file"]), listed.parent / row["file"], row["asset"] or "") for row in rows]
    if suffix not in (".txt", ".lst", ""):
        raise bad_list(listed, f"nothing is known of '{suffix}' files")
    lines = listed.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    paths = [listed.parent / line.strip() for line in lines if line.strip()]
    return [Used(path.name, path) for path in paths]


def conform(
    catalog: Catalog,
    used: list[Used],
    folder: Path,
    *,
    on_failure: Callable[[str, SpressoError], None],
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> list[Conformed]:
    """Copy the original of each into a folder, under the name of the decode with the original's own suffix.

    What is there already is left, unless ``overwrite``. One that cannot be had is reported and the rest goes on.
    """
    done: list[Conformed] = []
    for number, one in enumerate(used):
        on_progress(number, len(used), one.name)
        try:
            done += _conform_one(catalog, one, folder, overwrite, dry_run)
        except SpressoError as error:
            on_failure(one.name, error)
    on_progress(len(used), len(used), "")
    return done


def _conform_one(catalog: Catalog, used: Used, folder: Path, overwrite: bool, dry_run: bool) -> Iterator[Conformed]:
    from spresso_assets.catalog.assets import find_asset

    uid = used.asset or provenance_of(used.path).get("ASSET", "")
    if not uid:
        raise SpressoError(
            f"{used.path} does not say that it was decoded from this archive",
            code="not_a_decode",
            hint="It may be an original already, or its metadata was stripped; the export's manifest knows it.",
        )
    with catalog.read() as session:
        asset = find_asset(session, uid)
        assert asset.id is not None
        original = original_of(session, asset.id, asset.uid)
    target = (folder / used.name).with_suffix(original.path.suffix)
    skipped = target.exists() and not overwrite
    digest = original.sha256 or ""
    if not (skipped or dry_run):
        make_folder(target.parent)
        digest = copy_original(original, target)
    file = target.relative_to(folder).as_posix()
    yield Conformed(used.name, asset.uid, str(original.path), file, digest, skipped)


def _inside(listed: Path, name: str) -> str:
    """A manifest may come from anybody: what it names stays below the folder that is written to."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise bad_list(listed, f"'{name}' leads out of its folder")
    return path.as_posix()
