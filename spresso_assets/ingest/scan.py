"""What lies in a root right now, folder by folder: nothing opened, nothing followed out of the root."""

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
    """One path that looks like a sound and cannot be taken; the scan goes on."""

    rel_path: str
    error: SpressoError


@dataclass
class Listing:
    """What lies directly in one folder.

    Attributes:
        files: relative path -> signature of every sound.
        folders: relative paths of the folders that are not left out.
        problems: paths that look like sounds and are none.
        left_out: reason -> how many files or links were not taken.
        unread: why the folder could not be listed; its content is then unknown, and the rest is empty.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unread: SpressoError | None = None


def list_folder(root: Path, folder: str, rules: Rules) -> Listing:
    """List the sounds and folders in `folder` (relative to the root, '' for the root itself).

    Symbolic links are not followed: what they point to is either in the root anyway or belongs to another root.
    Hard links are ordinary files.
    """
    found = Listing()
    try:
        with os.scandir(root / folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.unread = unreadable(error)
        return found
    for entry in listed:
        rel_path = f"{folder}/{entry.name}" if folder else entry.name
        try:
            seen = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # gone between listing and stat: as if it had never been listed
        except OSError as error:
            found.problems.append(Problem(rel_path, unreadable(error)))
            found.folders.append(rel_path)  # it may be one; then it is reported as unread, and what it held is kept
            continue
        if not stat_bits.S_ISDIR(seen.st_mode):
            take(found, rules, root, rel_path, seen)
            continue
        if rules.excluded_by(rel_path, is_dir=True) is not None:
            found.left_out["in a folder that is left out"] += 1
            continue
        if suffix_of(rel_path) in AUDIO_SUFFIXES:
            found.problems.append(Problem(rel_path, _not_a_file("a folder")))
        found.folders.append(rel_path)
    return found


def take(found: Listing, rules: Rules, root: Path, rel_path: str, seen: os.stat_result) -> None:
    """Put an entry that is no folder where it belongs; its folders are known to be in."""
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


def require_root(root: Path) -> None:
    """Raise `root_offline` when the root itself cannot be listed."""
    try:
        os.scandir(root).close()
    except FileNotFoundError:
        raise offline(root) from None
    except OSError as error:
        raise offline(root, str(error.strerror)) from None


def walk(root: Path, rules: Rules, under: str = "") -> Listing:
    """Everything in `root`, or in its part `under`, in one listing: for folders that no catalog knows.

    Raises:
        SpressoError: `root_offline` when the root itself cannot be listed.
    """
    require_root(root)
    total = Listing()
    start = (root / under).lstat()
    if not stat_bits.S_ISDIR(start.st_mode):
        take(total, rules, root, under, start)
        return total
    visited: set[tuple[int, int]] = set()
    folders = [under]
    while folders:
        folder = folders.pop()
        try:
            seen = (root / folder).lstat()
        except OSError:
            continue
        if (seen.st_dev, seen.st_ino) in visited:
            continue  # mounted twice
        visited.add((seen.st_dev, seen.st_ino))
        listing = list_folder(root, folder, rules)
        if listing.unread is not None:
            total.problems.append(Problem(folder, listing.unread))
        total.files |= listing.files
        total.problems += listing.problems
        total.left_out += listing.left_out
        folders += listing.folders
    return total


def offline(root: Path, reason: str = "") -> SpressoError:
    """The root is not there, or is there and empty where it used to hold sounds."""
    return SpressoError(
        f"{root} is not there" + (f": {reason}" if reason else ""),
        code="root_offline",
        hint="Nothing was changed. Mount it and scan again, or pause the root.",
        exit_code=ExitCode.ROOT_OFFLINE,
        kind=FaultKind.RETRYABLE,
    )


def unreadable(error: OSError) -> SpressoError:
    """A folder or an entry that the system does not let us see."""
    return SpressoError(
        f"cannot be listed: {error.strerror}",
        code="unreadable_file",
        hint="Check its permissions; what was known below it is kept.",
        kind=FaultKind.RETRYABLE,
    )


def _not_a_file(what: str) -> SpressoError:
    return SpressoError(f"is named like a sound but is {what}", code="not_a_file", hint="It was left out.")
