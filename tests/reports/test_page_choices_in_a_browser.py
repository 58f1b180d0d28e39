"""What a reader chooses on a report's page: what it is about, words to look for, a theme, what to copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

pytestmark = pytest.mark.browser
SHOWN = "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility())"
KEEP_COPIED = """
Object.defineProperty(navigator, "clipboard", {configurable: true, value: {
  writeText: async (text) => { window.copied = text; },
}});
"""


def texts(browser: Any, selector: str, of: str = "one.textContent.trim()") -> list[str]:
    """What the visible elements say."""
    return list(browser.execute_script(f"{SHOWN}.map((one) => {of})", selector))


def test_one_choice_of_benchmark_and_model_narrows_the_whole_page(opened: Any) -> None:
    everything = len(texts(opened, ".question"))
    Select(opened.find_element(By.CSS_SELECTOR, "#scope [name=benchmark]")).select_by_value("tiny-math")
    first = "td:first-child"
    for table in ("results", "differences", "flips"):
        assert set(texts(opened, f"table[data-key={table}] tbody tr {first}")) == {"tiny-math"}, table
    assert texts(opened, ".card h3") == ["tiny-math"]
    assert set(texts(opened, "#figure-at-k .panel", "one.dataset.panel")) == {"tiny-math"}
    assert set(texts(opened, ".question", "one.dataset.benchmark")) == {"tiny-math"}
    assert 0 < len(texts(opened, ".question")) < everything
    Select(opened.find_element(By.CSS_SELECTOR, "#scope [name=model]")).select_by_visible_text("base")
    assert texts(opened, "table[data-key=results] tbody tr td:nth-child(2)") == ["base"]
    assert set(texts(opened, ".question .model", "one.dataset.model")) == {"base"}


def test_a_search_finds_questions_by_their_id_and_samples_by_what_they_say(opened: Any) -> None:
    field = opened.find_element(By.CSS_SELECTOR, "#sample-filters [name=text]")
    field.send_keys("made-up/17")
    assert set(texts(opened, ".question .self")) == {"made-up/17"}
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("RIGHT-TO-LEFT")  # what is named so is in no response
    assert texts(opened, ".question") == []
    assert opened.find_element(By.ID, "sample-count").text == "0 samples"
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("null ")
    found = texts(opened, ".question details.sample")
    assert found
    assert all("null " in text for text in found)


def test_the_theme_that_was_chosen_is_there_the_next_time(opened: Any) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = opened.execute_script(ground)
    opened.find_element(By.ID, "theme").click()
    dark = opened.execute_script(ground)
    assert dark != light
    opened.refresh()
    assert opened.execute_script(ground) == dark
    opened.find_element(By.ID, "theme").click()
    assert opened.execute_script(ground) == light


def test_tables_and_commands_are_copied(opened: Any, sweep_folder: Path) -> None:
    opened.execute_script(KEEP_COPIED)
    opened.execute_script("document.querySelector('#block-results [data-take=copy]').click()")
    rows = [line.split("\t") for line in opened.execute_script("return window.copied").splitlines()]
    assert rows[0][:6] == ["Benchmark", "Model", "n", "k", "pass@1", "pass@1 low"]
    assert len(rows) == 1 + 9
    assert len({len(row) for row in rows}) == 1
    button = opened.find_element(By.CSS_SELECTOR, ".stamp .diff ~ .command .copy")
    opened.execute_script("arguments[0].click()", button)
    settings = opened.execute_script("return window.copied")
    assert "-s grpo.learning_rate=" in settings
    assert button.text == "Copied"


def test_the_heading_of_a_long_table_stays(opened: Any) -> None:
    places = opened.execute_script(
        "const scroll = document.querySelector('#block-trials .scroll');"
        "scroll.classList.add('long');"  # as a table of more than 16 rows is
        "scroll.style.maxHeight = '240px';"
        "scroll.scrollTop = 200;"
        "const top = (one) => one.getBoundingClientRect().top;"
        "return [scroll.scrollTop, top(scroll.querySelector('th')) - top(scroll)]"
    )
    assert places[0] > 50
    assert places[1] == pytest.approx(0, abs=3)
    shown = (
        "const scroll = document.querySelector('#block-trials .scroll');"
        "scroll.scrollTop = arguments[0] * scroll.scrollHeight;"
        "requestAnimationFrame(() => requestAnimationFrame("
        "() => arguments[1](scroll.parentElement.classList.contains('below'))))"
    )
    assert opened.execute_async_script(shown, 0.1)  # a shadow says that there are more rows
    assert not opened.execute_async_script(shown, 1)


def test_every_part_says_how_to_read_it(opened: Any) -> None:
    parts = texts(opened, "main > section", "one.id")
    told = texts(opened, "main > section > .howto", "one.parentElement.id")
    assert set(parts) - set(told) == {"warnings", "glossary"}
