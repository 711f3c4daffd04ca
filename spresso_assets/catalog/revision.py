"""Which schema this code speaks. Plain constants, so that a search need not import the migration machinery."""

from pathlib import Path

HEAD = "0006"  # a test compares it with the newest file under migrations/versions
MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> set[str]:
    """Revision ids of the migrations that came with this code: the part of the file names before the first ``_``."""
    return {path.name.split("_", 1)[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")}
