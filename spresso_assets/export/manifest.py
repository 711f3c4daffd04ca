"""The list that comes with every export: one line per file, enough to find the way back to the original."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.export.files import write_bytes

FORMS = ("csv", "json")


@dataclass(frozen=True)
class Exported:
    """One line: a file, and everything needed to conform back to the original."""

    file: str
    kind: str
    asset: str
    name: str
    original: str
    original_state: str
    profile: str
    seed: int | None
    weights_sha256: str
    seconds: float
    bytes: int
    sha256: str
    skipped: bool


def check_form(form: str) -> None:
    """Raise `bad_format` before anything is written."""
    if form not in FORMS:
        raise SpressoError(
            f"no manifest form '{form}'",
            code="bad_format",
            hint=f"Choose one of {', '.join(FORMS)}.",
            exit_code=ExitCode.USAGE,
        )


def write_manifest(folder: Path, exported: Sequence[Exported], form: str) -> Path:
    """Write `manifest.csv` or `manifest.json` into the export folder; returns its path."""
    check_form(form)
    rows: list[dict[str, Any]] = [asdict(item) for item in exported]
    if form == "json":
        text = json.dumps(rows, indent=2)
    else:
        sheet = io.StringIO()
        writer = csv.DictWriter(sheet, list(Exported.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = sheet.getvalue()
    target = folder / f"manifest.{form}"
    write_bytes(target, text.encode("utf-8", "surrogateescape"))
    return target


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Lines of a manifest; each has at least ``file`` and ``asset``.

    Raises:
        SpressoError: `bad_list` (exit 2) for a file that is no manifest.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        rows = json.loads(text) if path.suffix.lower() == ".json" else list(csv.DictReader(io.StringIO(text)))
    except (OSError, ValueError, csv.Error) as error:
        raise bad_list(path, str(error)) from error
    whole = isinstance(rows, list) and all(isinstance(row, dict) and row.get("file") and "asset" in row for row in rows)
    if not whole:
        raise bad_list(path, "it needs the columns file and asset")
    return rows


def bad_list(path: Path, why: str) -> SpressoError:
    return SpressoError(
        f"{path} is no manifest: {why}",
        code="bad_list",
        hint="Name the manifest of an export, a folder of decoded files, or a text file with one path per line.",
        exit_code=ExitCode.USAGE,
    )
