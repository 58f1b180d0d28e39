"""The page in headless Chromium: silent console, no request, and everything that can be clicked works."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from evals.base.progress import Progress
from evals.comparison.compare import compare
from evals.scores import Scores
from evals.stats.metrics import QuestionStats, Vote
from harness.jobs.reproduce import from_recordings
from reports.compare_page import write_page
from tests.reports.conftest import resize

pytestmark = pytest.mark.browser


OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


@pytest.fixture(scope="module", autouse=True)
def offline(browser: Any) -> Iterator[None]:
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
    yield
    online = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", online)


@pytest.fixture(scope="module")
def every_page(page: Path, sweep_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report, the page of a comparison and that of a paper's table with a few cells measured."""
    folder = tmp_path_factory.mktemp("pages")
    evals = sweep_folder / "evals"
    compared = compare([evals / "base", evals / "winner-seed-1", evals / "winner-seed-2"])
    questions = tuple(QuestionStats(f"q{i}", 64, 20 + i % 5, (Vote("1", 64, True),)) for i in range(30))
    model = folder / "recorded" / "DeepSeek-R1-Distill-Qwen-1.5B"
    Scores("aime24", questions, "none needed", protocol={"name": "r1"}).write(model / "aime24")
    from_recordings("table5", [folder / "recorded"], folder / "table", Progress(quiet=True))
    return {
        "report": page,
        "compare": write_page(compared, folder / "compare.html"),
        "reproduce": folder / "table" / "table5.html",
    }


def _texts(browser: Any, table: str, column: int) -> list[str]:
    """The visible texts of a table's column."""
    script = """
        const rows = [...document.querySelector(`table[data-key="${arguments[0]}"]`).tBodies[0].rows];
        return rows.filter((row) => !row.hidden).map((row) => row.cells[arguments[1]].textContent.trim());
    """
    texts: list[str] = browser.execute_script(script, table, column)
    return texts


def _visible_samples(browser: Any) -> list[dict[str, str]]:
    script = """
        return [...document.querySelectorAll("#samples .sample")].filter((sample) => sample.checkVisibility())
            .map((sample) => ({verdict: sample.dataset.verdict, text: sample.textContent}));
    """
    samples: list[dict[str, str]] = browser.execute_script(script)
    return samples


def _open_everything(browser: Any) -> None:
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")


PAGES = pytest.mark.parametrize("name", ["report", "compare", "reproduce"])


@PAGES
def test_console_is_silent_and_nothing_is_requested(
    browser: Any, every_page: dict[str, Path], name: str
) -> None:
    page = every_page[name]
    for kind in ("performance", "browser"):
        browser.get_log(kind)  # what went before
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("data:", page.as_uri()))] == []


def test_no_response_ran(opened: Any) -> None:
    _open_everything(opened)
    assert opened.execute_script("return window.hacked") is None
    assert opened.get_log("browser") == []


def test_a_click_on_a_heading_sorts_and_another_turns_it(opened: Any) -> None:
    headings = opened.find_elements(By.CSS_SELECTOR, "table[data-key='trials'] thead th")
    rate = [heading.text for heading in headings].index("learning_rate")
    heading = headings[rate]
    heading.find_element(By.TAG_NAME, "button").click()
    falling = [float(text) for text in _texts(opened, "trials", rate)]
    assert falling == sorted(falling, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.find_element(By.TAG_NAME, "button").click()
    assert [float(text) for text in _texts(opened, "trials", rate)] == sorted(falling)
    assert heading.get_attribute("aria-sort") == "ascending"


def _scope(browser: Any, name: str, value: str) -> None:
    """The page's own filter; "" for all."""
    Select(browser.find_element(By.CSS_SELECTOR, f"#scope [name={name}]")).select_by_value(value)


def test_one_filter_narrows_tables_figures_and_samples(opened: Any) -> None:
    _scope(opened, "benchmark", "tiny-aime")
    assert _texts(opened, "results", 0) == ["tiny-aime"] * 3
    assert set(_texts(opened, "flips", 0)) == {"tiny-aime"}
    panels = opened.find_elements(By.CSS_SELECTOR, "#figure-at-k .panel")
    assert [panel.is_displayed() for panel in panels] == [True, False, False]
    assert [card.is_displayed() for card in opened.find_elements(By.CSS_SELECTOR, ".card")].count(True) == 1
    _scope(opened, "model", "base")
    assert _texts(opened, "results", 1) == ["base"]
    assert len(_texts(opened, "differences", 0)) == 1  # it is one side of the pair
    shown = opened.find_elements(By.CSS_SELECTOR, ".question .model:not([hidden])")
    visible = {part.get_attribute("data-model") for part in shown if part.is_displayed()}
    assert visible == {"base"}
    _scope(opened, "benchmark", "")
    assert len(_texts(opened, "results", 0)) == 3


def test_samples_filter_by_benchmark_verdict_model_and_text(opened: Any) -> None:
    def choose(name: str, value: str) -> None:
        Select(opened.find_element(By.CSS_SELECTOR, f"#sample-filters [name={name}]")).select_by_value(value)

    everything = len(_visible_samples(opened))
    _scope(opened, "benchmark", "tiny-code")
    choose("verdict", "wrong")
    _scope(opened, "model", "base")
    some = _visible_samples(opened)
    assert 0 < len(some) < everything
    assert {sample["verdict"] for sample in some} == {"wrong"}
    assert opened.find_element(By.ID, "sample-count").text == f"{len(some)} samples"
    choose("verdict", "")
    for name in ("benchmark", "model"):
        _scope(opened, name, "")
    choose("kind", "wrong → right")
    turned = opened.find_elements(By.CSS_SELECTOR, ".question:not([hidden])")
    assert {question.get_attribute("data-turn") for question in turned} == {"wrong → right"}
    choose("kind", "")
    search = opened.find_element(By.CSS_SELECTOR, "#sample-filters [name=text]")
    search.send_keys("window.HACKED = 1")
    found = _visible_samples(opened)
    assert 0 < len(found) < everything
    assert all("window.hacked = 1" in sample["text"] for sample in found)
    search.clear()
    search.send_keys("made-up/15")  # a question by its id, with all of its samples
    names = opened.find_elements(By.CSS_SELECTOR, ".question:not([hidden]) .self")
    assert {name.text for name in names} == {"made-up/15"}


def test_a_sample_opens_with_its_reasoning_folded(opened: Any) -> None:
    sample = opened.find_element(By.CSS_SELECTOR, "#samples .sample:has(.think)")
    reasoning = sample.find_element(By.CSS_SELECTOR, ".think pre")
    reply = sample.find_element(By.CSS_SELECTOR, ".reply")
    assert not reply.is_displayed()
    sample.find_element(By.TAG_NAME, "summary").click()
    assert reply.is_displayed()
    assert not reasoning.is_displayed()
    sample.find_element(By.CSS_SELECTOR, ".think summary").click()
    assert reasoning.is_displayed()


def _prefer(browser: Any, scheme: str) -> None:
    """What the reader's system prefers: "light", "dark", or "" for nothing."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )


def _ground(browser: Any) -> tuple[str, str]:
    return tuple(
        browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        )
    )


def test_both_themes_by_preference_and_by_button(opened: Any) -> None:
    _prefer(opened, "light")
    light = _ground(opened)
    _prefer(opened, "dark")
    dark = _ground(opened)
    assert light != dark
    line = opened.find_element(By.CSS_SELECTOR, '.plot [stroke="#0072b2"]')
    in_dark = line.value_of_css_property("stroke")
    opened.find_element(By.ID, "theme").click()
    assert _ground(opened) == light
    assert line.value_of_css_property("stroke") != in_dark
    opened.refresh()
    assert _ground(opened) == light  # what was chosen is remembered
    _prefer(opened, "light")
    opened.find_element(By.ID, "theme").click()
    assert _ground(opened) == dark
    opened.execute_script("localStorage.clear()")
    _prefer(opened, "")


@PAGES
def test_no_sideways_scrolling(browser: Any, every_page: dict[str, Path], name: str) -> None:
    browser.get(every_page[name].as_uri())
    browser.execute_script(
        "document.querySelectorAll('.question:nth-of-type(n + 25)').forEach((one) => one.remove())"
    )  # the rest are no wider
    _open_everything(browser)
    for width in (390, 768, 1100, 1400):
        resize(browser, width)
        inside, page = browser.execute_script(
            "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"
        )
        assert width - 20 <= inside <= width  # a scroll bar may take some
        assert page <= inside
    browser.get("about:blank")


@PAGES
def test_pictures_for_people(browser: Any, every_page: dict[str, Path], name: str) -> None:
    """Desktop, dark and phone, kept where CI keeps its output (else in build/)."""
    folder = Path(os.environ.get("CI_OUTPUT") or "build") / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    taken = set()
    browser.get(every_page[name].as_uri())
    for look, width, scheme in (
        ("desktop", 1280, "light"),
        ("dark", 1280, "dark"),
        ("phone", 390, "light"),
    ):
        resize(browser, width)
        _prefer(browser, scheme)
        picture = base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"])
        (folder / f"{name}-{look}.png").write_bytes(picture)
        taken.add(picture)
    assert len(taken) == 3
    _prefer(browser, "")


def test_every_command_can_be_copied_and_every_control_has_a_name(opened: Any) -> None:
    nameless = [
        control.get_attribute("outerHTML")
        for control in opened.find_elements(By.CSS_SELECTOR, "#scope select, .filters *, nav button, .take")
        if control.tag_name in ("select", "input", "button") and not control.accessible_name
    ]
    assert nameless == []
    opened.find_element(By.CSS_SELECTOR, "button.copy").click()
    opened.implicitly_wait(1)
    assert opened.find_element(By.XPATH, "//button[text()='Copied']")
    opened.implicitly_wait(0)


def test_it_prints(opened: Any) -> None:
    pdf = opened.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(pdf["data"]) > 50_000
