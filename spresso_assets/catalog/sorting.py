"""The orders in which search shows sounds, and the indices along which they can be walked."""

from dataclasses import dataclass

from spresso_assets.catalog.fields import FIELDS
from spresso_assets.catalog.grammar import bad_query

# What a sound is called: the first words of its text are its names, then those of its files. An index has this.
NAME = "lower(substr(asset_text.names, 1, 80))"
# Columns that are never empty, and the index that has them in order.
WALKED = {
    "asset.duration": "ix_asset_duration",
    "asset.updated_at": "ix_asset_updated_at",
    "asset.created_at": "ix_asset_created_at",
}


@dataclass(frozen=True)
class Order:
    """``sql`` is what stands behind ORDER BY; ``index`` has the sounds in that order, None if nothing has."""

    sql: str
    index: str | None
    by_name: bool


def order_named(sort: str) -> Order:
    """The order of a field's name or ``name``, descending with ``-`` in front; equals by order of arrival.

    Raises:
        SpressoError: ``bad_query`` (exit 2) for what cannot be sorted by.
    """
    name, direction = (sort[1:], "DESC") if sort.startswith("-") else (sort, "ASC")
    if name == "name":
        return Order(f"{NAME} {direction}, asset.id {direction}", "ix_asset_text_name", True)
    if name not in FIELDS or not FIELDS[name].sortable:
        choices = ["name", *(field.name for field in FIELDS.values() if field.sortable)]
        raise bad_query(f"Results cannot be sorted by '{name}'", f"Choose one of: {', '.join(choices)}")
    field = FIELDS[name]
    if field.sql in WALKED:
        return Order(f"{field.sql} {direction}, asset.id {direction}", WALKED[field.sql], False)
    expression = f"lower({field.sql})" if field.kind == "text" else field.sql
    # those without a value come last either way
    return Order(f"({expression}) IS NULL, {expression} {direction}, asset.id {direction}", None, False)
