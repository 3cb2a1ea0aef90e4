"""The built site: every link leads somewhere, no page asks another machine, search, gallery and models work in a browser.

`make docs` builds it; without it, or without Chromium, these tests are skipped.
"""

from functools import cache
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.site import BROWSER, DRIVER, LAPTOP, PHONE, SITE, Page, asked, browser, complaints, resize, served

pytestmark = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="`make docs` hasn't built site/")
in_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no Chromium and chromedriver on this machine")
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
SHOWN = [page for page in PAGES if page not in ("genindex.html", "search.html", "py-modindex.html")]


@cache
def page(path):
    return Page(path)


@pytest.mark.parametrize("name", PAGES or ["index.html"])  # which is skipped where nothing is built
def test_links_and_files_of_a_page_are_there(name):
    here = SITE / name
    for target in page(here).links + page(here).loads:
        parts = urlsplit(target)
        if parts.scheme in ("http", "https", "mailto", "data"):
            assert target in page(here).links or parts.scheme == "data", f"{name} loads {target} from another machine"
            continue
        path = (here.parent / unquote(parts.path)).resolve() if parts.path else here
        path = path / "index.html" if path.is_dir() else path
        assert path.is_file(), f"{name}: {target}"
        if parts.fragment and path.suffix == ".html":
            assert unquote(parts.fragment) in page(path).places, f"{name}: {target}"
    for words in page(here).pictures if name in SHOWN else ():
        assert words and not words.endswith((".png", ".gif", ".svg")), f"{name}: a picture without words: {words!r}"


def test_every_family_has_a_page_and_a_notebook():
    families = {page.split("/")[-1] for page in PAGES if "families/" in page}
    notebooks = {page.split("/")[-1] for page in PAGES if "notebooks/" in page}
    assert families and families | {"first.html"} == notebooks
    assert {f"{name[:-5]}.ipynb" for name in notebooks} == {path.name for path in (SITE / "notebooks").glob("*.ipynb")}


@pytest.fixture(scope="module")
def driver():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def address():
    with served() as found:
        yield found


@in_browser
@pytest.mark.slow
def test_pages_fit_a_phone_and_complain_of_nothing(driver, address):
    resize(driver, PHONE)
    try:
        for name in SHOWN:
            driver.get(address + name)
            wide = driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 1, f"{name} is {wide} pixels wider than a phone"
            assert complaints(driver) == [], name
        assert all(url.startswith((address, "data:")) for url in asked(driver))
    finally:
        resize(driver, LAPTOP)


@in_browser
def test_search_finds_from_a_disk_without_a_server(driver):
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get((SITE / "search.html").as_uri() + "?q=consistency")
    WebDriverWait(driver, 60).until(lambda d: d.find_elements("css selector", "ul.search li a"))
    found = [link.get_attribute("href") for link in driver.find_elements("css selector", "ul.search li a")]
    assert any("families/diffusion" in link for link in found)
    assert all(url.startswith(("file:", "data:")) for url in asked(driver))


@in_browser
@pytest.mark.skipif(not (SITE / "browser").is_dir(), reason="the site was built without onnxruntime-web")
def test_models_run_in_the_browser(driver, address):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    def says(place, word):
        WebDriverWait(driver, 240).until(lambda d: word in d.find_element("id", place).text)
        return driver.find_element("id", place).text

    asked(driver), complaints(driver)  # of the pages before
    driver.get(address + "browser/index.html")
    says("answer", "Draw a digit on the board")
    driver.execute_script("classify()")
    assert "The board is empty: draw a digit first." in says("answer", "empty")

    board = driver.find_element("id", "board")  # a seven, by the mouse: a bar, then a slanted stroke
    mouse = ActionChains(driver, duration=20).move_to_element_with_offset(board, -60, -70).click_and_hold()
    for _ in range(6):
        mouse = mouse.move_by_offset(20, 0)
    for _ in range(7):
        mouse = mouse.move_by_offset(-10, 22)
    mouse.release().perform()
    assert says("answer", "This is a").startswith("This is a 7")
    assert len(driver.find_elements("css selector", "#bars .bar")) == 10

    for digit in range(10):  # packaged test digits, a class each
        driver.find_element("id", "test").click()
        assert says("answer", f"This is a {digit}")

    driver.find_element("id", "sample").click()
    says("drawing", "Nine digits in")
    ink = "const c = document.getElementById('drawn'); const p = c.getContext('2d').getImageData(0, 0, 90, 90).data;"
    white = driver.execute_script(ink + "return p.filter((v, i) => i % 4 == 0 && v > 128).length / (9 * 28 * 28)")
    assert 0.05 < white < 0.3  # of the pixels; digits have 0.13

    reader, drawer = driver.execute_async_script("verify().then(arguments[0])")
    assert reader < 1e-4 and drawer < 1e-3
    assert complaints(driver) == []
    assert all(url.startswith((address, "data:", "blob:")) for url in asked(driver))
