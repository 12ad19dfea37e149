"""Chromium, driven by selenium, for the tests of pages."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextlib.contextmanager
def chromium(width: int = 1000, height: int = 900, dark: bool = False) -> Iterator["WebDriver"]:
    """Start a browser with nothing stored; it keeps a log of its console. Skip the test where
    Chromium or selenium is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
    if BROWSER is None or DRIVER is None:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for argument in (*ARGUMENTS, f"--user-data-dir={folder}"):
            options.add_argument(argument)
        options.add_argument(f"--window-size={width},{height}")
        service = webdriver.ChromeService(executable_path=DRIVER)
        driver = webdriver.Chrome(options=options, service=service)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        # Windows of a real browser have a smallest width; pages on phones are narrower.
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield driver
        finally:
            driver.quit()


def complaints(driver: "WebDriver") -> list[str]:
    """Return what the console has been told: errors of scripts, what a policy has forbidden."""
    return [entry["message"] for entry in driver.get_log("browser")]
