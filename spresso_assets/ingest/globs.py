"""Which names in a root are sounds: gitignore-style patterns, a list of audio suffixes, and the reason for each answer.

A pattern without a slash is compared with every part of the path, one with a slash with the path from the root:
`*` and `?` stay within a part, `**` spans parts, a slash at the end means folders only. Case never matters, because
the same archive is read through case-keeping and case-folding file systems.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

# What libsndfile decodes, by the suffixes that archives use for it.
AUDIO_SUFFIXES = frozenset(
    [
        "wav",
        "wave",
        "bwf",
        "bw64",
        "rf64",
        "w64",
        "aif",
        "aiff",
        "aifc",
        "flac",
        "ogg",
        "oga",
        "opus",
        "mp3",
        "mp2",
        "mpga",
        "caf",
        "au",
        "snd",
        "voc",
        "paf",
        "8svx",
        "svx",
        "iff",
        "nist",
        "sph",
        "sf",
        "ircam",
        "xi",
        "sds",
        "avr",
        "pvf",
        "htk",
        "sd2",
        "wve",
    ]
)
# Sounds that a person would expect to find, and that no installed decoder reads; they are counted and said.
OTHER_AUDIO_SUFFIXES = frozenset(
    [
        "m4a",
        "aac",
        "mp4",
        "wma",
        "ape",
        "wv",
        "mpc",
        "tta",
        "ac3",
        "eac3",
        "dts",
        "dsf",
        "dff",
        "amr",
        "ra",
        "mka",
        "webm",
    ]
)

# Names that tools and systems leave beside sounds: resource forks, thumbnails, unfinished copies, analysis files.
DEFAULT_EXCLUDE = (
    "._*",
    ".*",
    "@eaDir/",
    "#recycle/",
    "$RECYCLE.BIN/",
    "System Volume Information/",
    "lost+found/",
    "__MACOSX/",
    "Audio File Backups/",
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
    "*.download",
    "*.tmp",
    "*.temp",
    "*~",
    "*.asd",
    "*.reapeaks",
    "*.pkf",
)


@dataclass(frozen=True)
class Verdict:
    """Whether a path belongs to the catalog, and why."""

    included: bool
    reason: str


@dataclass(frozen=True)
class Rules:
    """Include and exclude patterns of one root.

    Args:
        include: patterns that a file must match; empty means: any audio suffix.
        exclude: patterns in addition to `DEFAULT_EXCLUDE`. A pattern after `!` lets matching names in again.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def excluded_by(self, rel_path: str, *, is_dir: bool) -> str | None:
        """The pattern that keeps this very path out (its parents are not looked at), or None."""
        if not self._may_exclude(rel_path, is_dir=is_dir):
            return None
        hit = None
        for pattern in (*DEFAULT_EXCLUDE, *self.exclude):
            if pattern.startswith("!"):
                if hit is not None and matches(pattern[1:], rel_path, is_dir=is_dir):
                    hit = None
            elif hit is None and matches(pattern, rel_path, is_dir=is_dir):
                hit = pattern
        return hit

    def _may_exclude(self, rel_path: str, *, is_dir: bool) -> bool:
        """Whether any pattern matches, before anybody asks which: a scan asks this of every name."""
        by_name, by_path = self._folder_patterns if is_dir else self._file_patterns
        name = rel_path.rsplit("/", 1)[-1]
        return by_name.fullmatch(name) is not None or (by_path is not None and by_path.fullmatch(rel_path) is not None)

    @cached_property
    def _file_patterns(self) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
        return self._together(is_dir=False)

    @cached_property
    def _folder_patterns(self) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
        return self._together(is_dir=True)

    def _together(self, *, is_dir: bool) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
        """All patterns for names in one, and all patterns for paths in one, if there are any."""
        every = [pattern for pattern in (*DEFAULT_EXCLUDE, *self.exclude) if not pattern.startswith("!")]
        plain = [pattern.rstrip("/") for pattern in every if is_dir or not pattern.endswith("/")]
        names = [_compiled(pattern).pattern for pattern in plain if "/" not in pattern]
        paths = [_compiled(pattern.lstrip("/")).pattern for pattern in plain if "/" in pattern]
        flags = re.IGNORECASE | re.DOTALL
        return re.compile("|".join(names), flags), re.compile("|".join(paths), flags) if paths else None

    def file_verdict(self, rel_path: str) -> Verdict:
        """Judge a file whose parent folders are already known to be in."""
        if (pattern := self.excluded_by(rel_path, is_dir=False)) is not None:
            return Verdict(False, f"name matches '{pattern}'")
        if self.include:
            for pattern in self.include:
                if matches(pattern, rel_path, is_dir=False):
                    return Verdict(True, f"name matches '{pattern}'")
            return Verdict(False, "name matches no include pattern")
        suffix = suffix_of(rel_path)
        if suffix in AUDIO_SUFFIXES:
            return Verdict(True, f".{suffix} is a sound")
        if suffix in OTHER_AUDIO_SUFFIXES:
            return Verdict(False, f"no decoder for .{suffix}")
        return Verdict(False, f".{suffix} is not a sound" if suffix else "a name without suffix is not a sound")

    def verdict(self, rel_path: str) -> Verdict:
        """Judge a file and all its parent folders; this is what `spresso root test` prints."""
        parts = rel_path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if (pattern := self.excluded_by(folder, is_dir=True)) is not None:
                return Verdict(False, f"folder '{folder}' matches '{pattern}'")
        return self.file_verdict(rel_path)


def suffix_of(name: str) -> str:
    """The lower-case suffix without its dot; '' when there is none."""
    stem, dot, suffix = name.rsplit("/", 1)[-1].rpartition(".")
    return suffix.lower() if dot and stem else ""


def matches(pattern: str, rel_path: str, *, is_dir: bool) -> bool:
    """Whether one pattern matches one path (see the module text for the rules)."""
    if pattern.endswith("/"):
        if not is_dir:
            return False
        pattern = pattern.rstrip("/")
    subject = rel_path if "/" in pattern else rel_path.rsplit("/", 1)[-1]
    return _compiled(pattern.lstrip("/")).fullmatch(subject) is not None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    out = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            out.append(".*")
            at += 2
        elif pattern[at] == "*":
            out.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            out.append("[^/]")
            at += 1
        else:
            out.append(re.escape(pattern[at]))
            at += 1
    return re.compile("".join(out), re.IGNORECASE | re.DOTALL)
