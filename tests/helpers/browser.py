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


def open_page(driver, url):
    """Go to a page and wait for its scripts: on a busy machine ``driver.get`` may return before they have run."""
    driver.get("about:blank")  # a fragment of the page that is shown would not be a new page
    _navigate(driver, lambda: driver.get(url))


def reload_page(driver):
    """Load the page again and wait for its scripts."""
    _navigate(driver, driver.refresh)


def _navigate(driver, go):
    from selenium.common.exceptions import JavascriptException

    driver.execute_script("window.isPreviousPage = true")
    go()
    loaded = "return !window.isPreviousPage && document.readyState === 'complete'"
    wait_until(driver, loaded, ignored=[JavascriptException])


def wait_until(driver, script, *arguments, ignored=()):
    """The script's value, as soon as it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(driver, PATIENCE, poll_frequency=0.05, ignored_exceptions=ignored)
    return wait.until(lambda d: d.execute_script(script, *arguments))


def wait_for(driver, selector):
    """The first element of this kind, as soon as there is one."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, PATIENCE).until(lambda d: d.find_elements("css selector", selector))[0]


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
