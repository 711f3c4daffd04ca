"""Chromium without a window, as it is installed on this machine; nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.hosts.programs import needs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page


def needs_chromium() -> None:
    """Skip the file, with the reason, where the browser or its driver is missing."""
    needs("chromium")
    pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install 'spresso-assets[hosts]'"
    )


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """A browser with a fresh profile; ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Containers have no user namespaces, which Chromium's sandbox needs.
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", *arguments]
        )
        try:
            yield browser
        finally:
            browser.close()


def complaints(page: Page) -> list[str]:
    """Collects what the page's console reports as an error, and uncaught exceptions, as they come.

    Answers that are errors are left out: what the page makes of them is for tests to say.
    """
    found: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            found.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found
