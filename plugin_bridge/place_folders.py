"""Folders that clients may have sounds written into: nothing is writable until a person names it."""

import json
from pathlib import Path

from plugin_bridge.paths import write_private
from spresso_assets.errors import ExitCode, SpressoError

FILE = "place-folders.json"


class PlaceFolders:
    """The list, read anew each time it is asked for: a folder that is allowed now counts now.

    Args:
        given: folders of the command line, which are not kept.
        state: folder of the state, where the others are.
    """

    def __init__(self, given: list[Path], state: Path) -> None:
        self._given = given
        self._file = state / FILE

    def all(self) -> list[Path]:
        """All of them, absolute, without symbolic links; whether they exist is for the user of the list."""
        return list(dict.fromkeys(folder.expanduser().resolve() for folder in (*self._given, *self._kept())))

    def check(self, folder: Path) -> Path:
        """The folder as it would be kept.

        Raises:
            SpressoError: ``bad_place_folder`` if it is no folder, or the whole disk or home.
        """
        folder = folder.expanduser().resolve()
        if not folder.is_dir():
            raise _bad_place_folder(f"there is no folder {folder}", "Make it first.")
        if folder in (Path(folder.anchor), Path.home().resolve()):
            raise _bad_place_folder(f"{folder} holds too much to be written into", "Name a folder for sounds in it.")
        return folder

    def allow(self, folder: Path) -> bool:
        """Keep a folder; returns False if it was kept already.

        Raises:
            SpressoError: as `check`; ``state_not_writable``.
        """
        folder, kept = self.check(folder), self._kept()
        if folder in kept:
            return False
        self._write([*kept, folder])
        return True

    def forget(self, folder: Path) -> bool:
        """Keep a folder no longer; returns False if it was not kept. What was placed there stays.

        Raises:
            SpressoError: ``state_not_writable``.
        """
        folder = folder.expanduser().resolve()
        kept = self._kept()
        if folder not in kept:
            return False
        self._write([item for item in kept if item != folder])
        return True

    def _write(self, folders: list[Path]) -> None:
        write_private(self._file, json.dumps({"folders": [str(folder) for folder in folders]}, indent=2) + "\n")

    def _kept(self) -> list[Path]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))["folders"]
            return [Path(item) for item in found if isinstance(item, str)]
        except (OSError, ValueError, KeyError, TypeError):
            return []  # what cannot be read allows nothing


def _bad_place_folder(message: str, hint: str) -> SpressoError:
    return SpressoError(message, code="bad_place_folder", hint=hint, exit_code=ExitCode.USAGE)
