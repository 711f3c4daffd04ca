"""The model bundle: its weights are those of its description, and those that the catalog's profiles belong to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spresso_assets.cli.checks.finding import Finding, Level

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.cli.state import State


def check(state: State, catalog: Catalog | None) -> Iterator[Finding]:
    from spresso_assets.codec.bundle import read_config, weights_hash

    folder = state.bundle_dir()
    config, facts = read_config(folder)
    digest = weights_hash(folder)
    if digest != facts.get("weights_sha256"):
        message = f"the weights in {folder} are not those that its config names"
        yield Finding(Level.PROBLEM, "model", message, "Install the bundle again.", "weights_mismatch")
        return
    yield Finding(Level.OK, "model", f"{config.name}, weights {digest[:12]}")
    active = _active_weights(catalog) if catalog is not None else set()
    if active and digest not in active:
        others = ", ".join(sorted(weights[:12] for weights in active))
        message = f"the catalog's profiles belong to the weights {others}"
        hint = "Name that bundle with --bundle, or register this one: spresso init."
        yield Finding(Level.PROBLEM, "profiles", message, hint, "weights_mismatch")


def _active_weights(catalog: Catalog) -> set[str]:
    from sqlmodel import select

    from spresso_assets.catalog.models import CodecModel, EncodeProfile

    with catalog.read() as session:
        active = select(CodecModel.weights_sha256).join(EncodeProfile).where(EncodeProfile.state == "active")
        return set(session.exec(active).all())
