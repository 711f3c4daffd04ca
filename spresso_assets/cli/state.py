"""What every verb shares: settings, output, and the doors to the catalog and the codec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spresso_assets.cli.output import Output
from spresso_assets.config import Settings, load_settings
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.codec.codec import SPresso


@dataclass
class State:
    """Lives in `typer.Context.obj` for the time of one command."""

    out: Output = field(default_factory=Output)
    config: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    _catalog: Catalog | None = None

    @cached_property
    def settings(self) -> Settings:
        """Settings of this command, read on first use."""
        return load_settings(file=self.config, overrides=self.overrides)

    def catalog(self, *, create: bool = False) -> Catalog:
        """The catalog, opened on first use.

        Raises:
            SpressoError: `catalog_missing`, `catalog_locked`, `db_needs_upgrade`, ... with their exit codes.
        """
        from spresso_assets.catalog.engine import open_catalog

        if self._catalog is None:
            self._catalog = open_catalog(self.settings.catalog, create=create)
        return self._catalog

    def close(self) -> None:
        """Let go of the catalog; its write-ahead log is then folded into the one file that people copy."""
        if self._catalog is not None:
            self._catalog.close()

    def bundle_dir(self) -> Path:
        """The model bundle that this command uses: the configured one, or the one that ships with the package."""
        from spresso_assets.codec.bundle import default_bundle

        return self.settings.bundle or default_bundle()

    def codec(self) -> SPresso:
        """Load the codec; imports torch, so only for verbs that encode or decode.

        Raises:
            SpressoError: `model_missing`, `weights_mismatch`, `bundle_corrupt` (exit code 13).
        """
        from spresso_assets.codec.bundle import load_bundle

        return load_bundle(self.bundle_dir())

    def register_bundle(self, catalog: Catalog) -> list[str]:
        """Make the bundle and its profiles known to the catalog; returns the profiles' names, [] without a bundle."""
        from spresso_assets.catalog.profiles import ensure_model, ensure_profiles
        from spresso_assets.codec.bundle import read_config

        try:
            config, facts = read_config(self.bundle_dir())
        except SpressoError as error:
            if error.code != "model_missing":
                raise
            self.out.warn(f"{error.message}: sounds can be cataloged and searched, not encoded.")
            return []
        with catalog.session() as session:
            model = ensure_model(
                session,
                config.name,
                str(facts["weights_sha256"]),
                license=str(facts.get("license", "")),
                latent_dim=config.latent_encoder.code_dim,
            )
            return list(ensure_profiles(session, model))

    @contextmanager
    def change(self, dry_run: bool) -> Iterator[Session]:
        """A write transaction of the catalog; `--dry-run` runs the same code and rolls it back."""
        try:
            with self.catalog().session() as session:
                yield session
                session.flush()
                if dry_run:
                    session.expunge_all()  # so that what was made can still be shown
                    raise _Undo
        except _Undo:
            pass


class _Undo(Exception):
    """Rolls a transaction back although nothing went wrong."""


def state_of(ctx: typer.Context) -> State:
    """The state of the running command."""
    state = ctx.obj
    assert isinstance(state, State)
    state.out.command = ctx.command_path.removeprefix("spresso").strip() or "spresso"
    return state
