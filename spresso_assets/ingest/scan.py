"""What lies in a root right now: one walk, nothing opened, nothing followed out of the root."""

from __future__ import annotations

import os
import stat as stat_bits
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.ingest.globs import AUDIO_SUFFIXES, OTHER_AUDIO_SUFFIXES, Rules, suffix_of
from spresso_assets.ingest.settle import Signature


@dataclass(frozen=True)
class Problem:
    """One path that looks like a sound and cannot be taken; the walk goes on."""

    rel_path: str
    error: SpressoError


@dataclass
class Walk:
    """The result of `walk`.

    Attributes:
        files: relative path -> signature of every sound found.
        problems: paths that look like sounds and are none, and folders that could not be read.
        unread_folders: folders whose content is unknown; what was known below them is left alone.
        left_out: reason -> how many files or links were not taken.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread_folders: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def unknown(self, rel_path: str) -> bool:
        """Whether `rel_path` lies in a folder that could not be read, so that its absence means nothing."""
        return any(folder == "" or rel_path.startswith(folder + "/") for folder in self.unread_folders)


def walk(root: Path, rules: Rules, under: str = "") -> Walk:
    """List the sounds in `root`, or only in its part `under` (a folder or a single file, relative, '' for all).

    Symbolic links are not followed: what they point to is either in the root anyway or belongs to another root.
    Hard links are ordinary files. A folder that is mounted twice (bind mounts) is walked once.

    Raises:
        SpressoError: `root_offline` when the root itself cannot be listed.
    """
    found = Walk()
    start = root / under
    try:
        first = start.lstat()
        if stat_bits.S_ISDIR(first.st_mode):
            os.scandir(start).close()
    except FileNotFoundError:
        if under and root.is_dir():
            return found
        raise offline(root) from None
    except OSError as error:
        if under:
            found.problems.append(Problem(under, _unreadable(error)))
            found.unread_folders.append(under)
            return found
        raise offline(root, str(error.strerror)) from None
    if not stat_bits.S_ISDIR(first.st_mode):
        _take(found, rules, root, under, first)
        return found
    visited = {(first.st_dev, first.st_ino)}
    folders = [under]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.problems.append(Problem(folder, _unreadable(error)))
            found.unread_folders.append(folder)
            continue
        for entry in listed:
            rel_path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                seen = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone between listing and stat: as if it had never been listed
            except OSError as error:
                found.problems.append(Problem(rel_path, _unreadable(error)))
                found.unread_folders.append(rel_path)
                continue
            if not stat_bits.S_ISDIR(seen.st_mode):
                _take(found, rules, root, rel_path, seen)
                continue
            if rules.excluded_by(rel_path, is_dir=True) is not None:
                found.left_out["in a folder that is left out"] += 1
                continue
            if suffix_of(rel_path) in AUDIO_SUFFIXES:
                found.problems.append(Problem(rel_path, _not_a_file("a folder")))
            if (seen.st_dev, seen.st_ino) not in visited:
                visited.add((seen.st_dev, seen.st_ino))
                folders.append(rel_path)
    return found


def _take(found: Walk, rules: Rules, root: Path, rel_path: str, seen: os.stat_result) -> None:
    verdict = rules.file_verdict(rel_path)
    if not verdict.included:
        suffix = suffix_of(rel_path)
        found.left_out[verdict.reason if suffix in OTHER_AUDIO_SUFFIXES else "not a sound by its name"] += 1
    elif stat_bits.S_ISREG(seen.st_mode):
        found.files[rel_path] = Signature.of(seen)
    elif stat_bits.S_ISLNK(seen.st_mode):
        if (root / rel_path).is_file():
            found.left_out["symbolic link"] += 1
        else:
            found.problems.append(Problem(rel_path, _not_a_file("a link that leads to no file")))
    else:
        # Opening a pipe or a device would block or never end; libraries do not check.
        found.problems.append(Problem(rel_path, _not_a_file("a pipe, socket or device")))


def offline(root: Path, reason: str = "") -> SpressoError:
    """The root is not there, or is there and empty where it used to hold sounds."""
    return SpressoError(
        f"{root} is not there" + (f": {reason}" if reason else ""),
        code="root_offline",
        hint="Nothing was changed. Mount it and scan again, or pause the root.",
        exit_code=ExitCode.ROOT_OFFLINE,
        kind=FaultKind.RETRYABLE,
    )


def _unreadable(error: OSError) -> SpressoError:
    return SpressoError(
        f"cannot be listed: {error.strerror}",
        code="unreadable_file",
        hint="Check its permissions; what was known below it is kept.",
        kind=FaultKind.RETRYABLE,
    )


def _not_a_file(what: str) -> SpressoError:
    return SpressoError(f"is named like a sound but is {what}", code="not_a_file", hint="It was left out.")
