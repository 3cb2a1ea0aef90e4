"""The built site, served on the loopback, and a headless Chromium that looks at it."""

import functools
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

SITE = ROOT / "site"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
PHONE, LAPTOP = (390, 844), (1366, 768)  # CSS pixels


class Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path = SITE) -> Iterator[str]:
    """The address of a folder that is served on the loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def browser(size: tuple[int, int] = LAPTOP) -> Iterator[Any]:
    """A driven Chromium with a window of so many CSS pixels, which keeps its console and what it asks the network for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(120)
    driver.set_script_timeout(240)
    resize(driver, size)
    try:
        yield driver
    finally:
        driver.quit()


def resize(driver: Any, size: tuple[int, int]) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def asked(driver: Any) -> set[str]:
    """The addresses that pages asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}


def complaints(driver: Any) -> list[str]:
    """Errors of the console since the last call."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


TAG = re.compile(r"<(a|img|script|source|audio|video|iframe|link)\b([^>]*)>")
PLACE = re.compile(r"\s(?:id|name)=\"([^\"]+)\"")


class Page:
    """What a page links to, what it loads, the places that can be linked to, and the words for its pictures."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.places = {unescape(place) for place in PLACE.findall(text)}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.pictures: list[str] = []
        for tag, rest in TAG.findall(text):
            found = {key: unescape(value) for key, value in re.findall(r'([\w-]+)="([^"]*)"', rest)}
            if tag == "a" and found.get("href"):
                self.links.append(found["href"])
            elif tag == "link" and found.get("rel") not in ("canonical", "next", "prev") and found.get("href"):
                self.loads.append(found["href"])
            elif found.get("src"):
                self.loads.append(found["src"])
            if tag == "img":
                self.pictures.append(found.get("alt", ""))
