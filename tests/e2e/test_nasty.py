"""A folder full of broken, lying and odd files: one clear line for each, exit code 3, everything else is taken."""

from __future__ import annotations

import re
from pathlib import Path

from tests.audio.nasty import build
from tests.e2e.conftest import Program

LINKS = {"device.wav", "dangling.wav", "loop.wav"}


def test_nasty_folder(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    folder.mkdir()
    entries = build(folder, long_seconds=120)
    program.run("init")
    done = program.run("ingest", folder)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr

    lines = [line for line in done.stderr.splitlines() if not line.startswith(("warning:", "waiting"))]
    for entry in entries:
        # File names are printed with their control characters escaped.
        shown = entry.path.name.replace("\n", "\\u000a")
        said = [line for line in lines if f"{shown}: " in line]
        if entry.expected == "ok":
            assert said == [], said
        else:
            assert len(said) == 1, (entry, said)
            expected = "not_a_file" if entry.path.name in LINKS else entry.expected
            # what happened, why, and what to do
            assert re.search(rf"{re.escape(shown)}: {expected}: .+\. .+\.$", said[0]), said

    refused = [entry for entry in entries if entry.expected != "ok"]
    assert len(lines) == len(refused)
    stats = program.data("stats")
    taken = [entry for entry in entries if entry.expected == "ok"]
    assert stats["files"] == len(taken)
    assert stats["waiting_jobs"] == {}
    assert stats["encoded"] == stats["assets"]

    again = program.run("ingest", folder, "--json")
    assert '"unchanged": %d' % len(taken) in again.stdout  # noqa: UP031
