"""A headless Chromium, cut off from the network, for tests of pages."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def _lacking() -> list[str]:
    programs = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return programs if find_spec("selenium") else ["selenium", *programs]


needs_browser = pytest.mark.skipif(bool(_lacking()), reason=f"needs {', '.join(_lacking())}")


@contextlib.contextmanager
def open_browser(width: int = 1200, height: int = 800) -> "Iterator[Chrome]":
    """Start Chromium with nothing remembered and a page area of this size; `errors_logged` gives its log."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        try:
            set_page_size(driver, width, height)
            yield driver
        finally:
            driver.quit()


def set_page_size(driver: "Chrome", width: int, height: int, phone: bool = False) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def errors_logged(driver: "Chrome") -> list[str]:
    """Give what went wrong on the pages since the last call: exceptions, refused loads and the like."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
