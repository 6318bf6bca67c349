"""A headless Chromium for tests of pages; where there is none, they are skipped and say so."""

import json
import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from helpers.processes import PATIENCE


@contextmanager
def chromium():
    """A driver of Debian's own browser; nothing is downloaded."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no Chromium with chromedriver on the PATH: apt install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    opened.set_script_timeout(PATIENCE)
    try:
        yield opened
    finally:
        opened.quit()


def set_viewport(driver, width, *, dark=False):
    """The page as a window of this width shows it, in the light or the dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def console_messages(driver):
    """What the console says, since it was last asked."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requested_hosts(driver):
    """The hosts of all requests since last asked, however they were made; a file or data in a URL has none."""
    hosts = set()
    for entry in driver.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            hosts.add(urlsplit(event["params"]["request"]["url"]).hostname)
    return hosts - {None}
