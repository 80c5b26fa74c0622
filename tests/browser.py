"""A page in headless Chromium, for tests of what people look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}
"""Options of :func:`open_page` for the width of a phone."""


@contextmanager
def open_page(**options: Any) -> Iterator[Page]:
    """Yield a new page of a fresh browser, 1280 x 900 unless said otherwise.

    The test is skipped where playwright or a Chromium is missing. A script's error fails the test when the
    block ends.

    Args:
        **options: of playwright's ``new_page``, such as ``viewport`` or ``color_scheme``.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        # a container's root user cannot have Chromium's sandbox
        browser = playwright.chromium.launch(
            executable_path=_executable(playwright), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
            page.set_default_timeout(30_000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
            assert not errors, errors
        finally:
            browser.close()


@pytest.fixture
def page() -> Iterator[Page]:
    """A desktop page; import it into the test's module to use it."""
    with open_page() as opened:
        yield opened


def requests_of(page: Page) -> list[str]:
    """A list that every address ``page`` asks for from now on is added to."""
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    return addresses


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window: 0 where nothing scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def _executable(playwright: Any) -> str:
    bundled = playwright.chromium.executable_path
    installed = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if installed is None and not os.path.exists(bundled):
        pytest.skip("there is no Chromium: install Debian's chromium or run `playwright install chromium`")
    return installed or bundled
