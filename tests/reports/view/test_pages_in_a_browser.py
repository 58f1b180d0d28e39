"""The view in headless Chromium: silent console, filters in the address, keys, and a run that goes on."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from reports.view import dress
from reports.view.server import Server, start
from tests.reports.axe import serious
from tests.reports.conftest import resize

pytestmark = pytest.mark.browser
PATIENCE = 120
SAMPLE = "sample/sweep/evals/base/tiny-aime/samples.jsonl?start=0"


@pytest.fixture(scope="module")
def served(sweep_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A finished sweep, and a run that somebody may let go on."""
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(sweep_folder, root / "sweep")
    run = root / "run"
    run.mkdir()
    shutil.copy(sweep_folder / "trials/0/attempt-1/experiment.toml", run)
    (run / "metrics.jsonl").write_text("".join(map(logged, range(1, 5))))
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(dress, "REFRESH", 1)
    server = start(root, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    monkeypatch.undo()


def logged(step: int) -> str:
    row = {"step": step, "stage": "grpo", "time": time.time(), "reward": 0.1 * step, "length": 20}
    return json.dumps(row) + "\n"


def text(browser: Any) -> str:
    return str(browser.execute_script("return document.querySelector('main').innerText"))


def rows(browser: Any) -> list[Any]:
    return list(browser.find_elements(By.CSS_SELECTOR, "ol.samples .row"))


def test_the_console_is_silent_and_nobody_else_is_asked(browser: Any, served: Server) -> None:
    browser.get(served.url)
    for kind in ("performance", "browser"):
        browser.get_log(kind)
    for path in ("", "at/sweep", "at/run", "samples/sweep", SAMPLE, "training/run", "at/nowhere"):
        browser.get(served.url + path)
        assert browser.execute_script("return window.hacked") is None
    found = [each for each in browser.get_log("browser") if "404" not in each["message"]]
    assert found == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("data:", served.url))] == []
    assert len(asked) >= 7


def test_filters_are_in_the_address(browser: Any, served: Server) -> None:
    browser.get(f"{served.url}samples/sweep")
    Select(browser.find_element(By.NAME, "verdict")).select_by_visible_text("wrong")
    Select(browser.find_element(By.NAME, "benchmark")).select_by_visible_text("tiny-math")
    browser.find_element(By.CSS_SELECTOR, ".filters button").click()
    WebDriverWait(browser, PATIENCE).until(lambda one: "verdict=wrong" in one.current_url)
    assert "benchmark=tiny-math" in browser.current_url
    tags = [tag.text for tag in browser.find_elements(By.CSS_SELECTOR, ".row .tag")]
    assert tags.count("wrong") == 50
    browser.get(browser.current_url)  # an address that is sent to somebody
    assert Select(browser.find_element(By.NAME, "verdict")).first_selected_option.text == "wrong"


def test_keys_walk_from_sample_to_sample(browser: Any, served: Server) -> None:
    browser.get(f"{served.url}samples/sweep?verdict=wrong")
    first = [row.get_attribute("href") for row in rows(browser)[:2]]
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys("j")
    browser.switch_to.active_element.send_keys("j")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    WebDriverWait(browser, PATIENCE).until(lambda one: one.current_url == first[1])
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_LEFT)
    WebDriverWait(browser, PATIENCE).until(lambda one: one.current_url == first[0])


def test_two_samples_of_a_list_side_by_side(browser: Any, served: Server) -> None:
    browser.get(f"{served.url}samples/sweep?id=made-up/3&benchmark=tiny-math")
    found = rows(browser)
    assert {row.find_elements(By.CSS_SELECTOR, ".who small")[-1].text for row in found} > {"base"}
    boxes = browser.find_elements(By.CSS_SELECTOR, "ol.samples .mark-pair input")
    assert len(boxes) == len(found)
    for box in (boxes[0], boxes[-1]):
        browser.execute_script("arguments[0].click()", box)
    WebDriverWait(browser, PATIENCE).until(lambda one: one.find_elements(By.CSS_SELECTOR, "#pair[open] pre"))
    columns = browser.find_elements(By.CSS_SELECTOR, "#pair section")
    titles = [column.find_element(By.TAG_NAME, "h4").text for column in columns]
    assert titles[0].startswith("made-up/3 · sample ")
    assert " · base" in titles[0]
    assert " · winner" in titles[1]
    assert all("Start with the first number." in column.text for column in columns)
    assert browser.find_elements(By.CSS_SELECTOR, "#pair mark")


def test_headings_go_down_one_level_at_a_time(browser: Any, served: Server) -> None:
    for path in ("", "at/sweep", "at/run", "samples/sweep"):
        browser.get(served.url + path)
        levels = browser.execute_script(
            "return [...document.querySelectorAll('main :is(h1, h2, h3, h4)')]"
            ".filter((one) => !one.closest('dialog')).map((one) => +one.tagName[1])"
        )
        assert levels[0] == 1, path
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), (path, levels)


def test_a_sweep_shows_what_it_makes_of_the_machine(browser: Any, served: Server) -> None:
    browser.get(f"{served.url}at/sweep")
    figure = browser.find_element(By.CSS_SELECTOR, "[id^=figure-resources]")
    assert "Throughput" in [
        p.get_attribute("data-panel") for p in figure.find_elements(By.CLASS_NAME, "panel")
    ]


def test_a_run_that_goes_on_is_seen_without_loading_the_page_again(browser: Any, served: Server) -> None:
    run = served.pages.root / "run"
    (run / "metrics.jsonl").write_text("".join(map(logged, range(1, 5))))  # a sign of life
    browser.get(f"{served.url}at/run")
    assert "step 4 of 60" in text(browser)
    browser.execute_script("window.stayed = true; document.querySelector('#experiment details').open = true")
    with (run / "metrics.jsonl").open("a") as handle:
        handle.write(logged(5) + logged(6)[:20])  # and a line that is still being written
    WebDriverWait(browser, PATIENCE).until(lambda one: "step 5 of 60" in text(one))
    assert browser.execute_script("return document.querySelector('#experiment details').open")
    (run / "status.json").write_text('{"state": "done", "reason": "", "time": 0}')
    WebDriverWait(browser, PATIENCE).until(lambda one: not one.find_elements(By.ID, "live"))
    assert browser.execute_script("return window.stayed")


@pytest.mark.parametrize(
    "path",
    ["", "at/sweep", "at/run", "samples/sweep?verdict=wrong", "training/sweep/trials/0/attempt-1", SAMPLE],
)
def test_axe_finds_nothing_serious(browser: Any, served: Server, axe: str, path: str) -> None:
    browser.get(served.url + path)
    assert browser.find_element(By.TAG_NAME, "h1").text
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert serious(browser, axe) == []


def test_no_page_is_wider_than_the_window(browser: Any, served: Server) -> None:
    for path in ("", "at/sweep", "at/run", "samples/sweep", SAMPLE):
        browser.get(served.url + path)
        for width in (390, 1280):
            resize(browser, width)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path
