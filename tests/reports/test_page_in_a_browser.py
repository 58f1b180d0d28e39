"""What a reader does on a report's page: follows links, walks by keys, compares, folds, prints."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from reports.export import export_tables
from reports.page import build_report
from tests.reports.axe import serious
from tests.reports.conftest import resize, write_eval

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def mathematics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one model on one benchmark with formulas."""
    rows = [
        {
            "id": f"q{number}", "sample": sample, "prompt": f"User: what is {number} + 1?",
            "response": f"So $\\frac{{{number}}}{{2}}$ and\n\\[ x^{sample} \\]\nis \\boxed{{7}}.",
            "answer": "7", "status": "correct" if sample else "wrong",
            "correct": bool(sample), "detail": "the last box",
            "finish_reason": "stop", "tokens": 9, "seconds": 0.1,
        }
        for number in range(4)
        for sample in range(2)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("mathematics") / "model"
    write_eval(folder / "own", "own", rows)
    questions = [{"id": f"q{n}", "text": f"What is ${n} + 1$?", "gold": r"\frac{7}{1}"} for n in range(4)]
    (folder / "own/questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    return build_report([folder], folder / "report.html")


def focused(browser: Any) -> Any:
    return browser.switch_to.active_element


def test_a_row_leads_to_its_question_and_a_figure_to_the_responses(opened: Any) -> None:
    row = opened.find_element(By.CSS_SELECTOR, "table[data-key=flips] tbody tr")
    question, before = row.find_elements(By.TAG_NAME, "a")[:2]
    name, href = question.text, question.get_attribute("href")
    select = opened.find_element(By.CSS_SELECTOR, "#sample-filters [name=text]")
    select.send_keys("nothing that anybody wrote")
    opened.execute_script("arguments[0].click()", question)
    target = opened.find_element(By.ID, href.partition("#")[2])
    assert target.is_displayed()  # the filter that hid it has gone
    assert target.find_element(By.CSS_SELECTOR, ".self").text == name
    opened.execute_script("arguments[0].click()", before)
    assert opened.find_element(By.CSS_SELECTOR, ".model:target .sample").get_attribute("open")


def test_a_column_of_the_heat_map_leads_to_its_question(opened: Any) -> None:
    links = opened.find_elements(By.CSS_SELECTOR, "#figure-heat svg a")
    assert len(links) > 60
    assert all(link.get_attribute("aria-label") for link in links[:5])
    opened.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", links[0])
    target = opened.execute_script("return document.querySelector('.question:target .self').textContent")
    assert links[0].get_attribute("aria-label").endswith(f"question {target}")


def test_keys_walk_through_samples(opened: Any) -> None:
    body = opened.find_element(By.TAG_NAME, "body")
    body.send_keys("j")
    first = focused(opened)
    first.send_keys("j")
    second = focused(opened)
    assert second != first
    second.send_keys(Keys.ENTER)
    assert second.find_element(By.XPATH, "..").get_attribute("open")
    second.send_keys("k")
    assert focused(opened) == first
    first.send_keys(Keys.ARROW_RIGHT)
    questions = opened.find_elements(By.CSS_SELECTOR, ".question")
    inside = "return arguments[0].closest('.question')"
    assert opened.execute_script(inside, focused(opened)) == questions[1]
    focused(opened).send_keys(Keys.ARROW_LEFT)
    assert opened.execute_script(inside, focused(opened)) == questions[0]


def test_two_samples_side_by_side_with_what_differs_marked(opened: Any) -> None:
    marks = opened.execute_script(
        "return differing(...arguments)",
        ["so", " ", "7", " ", "it", " ", "is"],
        ["so", " ", "8", "!", " ", "it", " ", "is"],
    )
    assert marks == [
        [False, False, True, False, False, False, False],
        [False, False, True, True, False, False, False, False],
    ]
    boxes = opened.find_elements(By.CSS_SELECTOR, ".question:first-of-type .mark-pair input")[:2]
    for box in boxes:
        opened.execute_script("arguments[0].click()", box)
    dialog = opened.find_element(By.ID, "pair")
    assert dialog.is_displayed()
    assert len(dialog.find_elements(By.CSS_SELECTOR, "section pre")) == 2
    assert dialog.find_elements(By.TAG_NAME, "mark")
    focused(opened).send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert opened.execute_script("return window.hacked") is None


def test_a_table_as_csv_is_what_is_exported(opened: Any, sweep_folder: Path, tmp_path: Path) -> None:
    text = opened.execute_script(
        "return asRows(document.querySelector('table[data-key=results]'))"
        ".map((row) => row.map(csvCell).join(',')).join('\\n')"
    )
    taken = list(csv.reader(io.StringIO(text)))
    export_tables([sweep_folder], ["csv"], tmp_path)
    written = list(csv.reader((tmp_path / "results.csv").open()))
    assert taken[0][:7] == ["Benchmark", "Model", "n", "k", "pass@1", "pass@1 low", "pass@1 high"]
    for mine, theirs in zip(taken[1:], written[1:], strict=True):
        assert mine[:2] == theirs[:2]
        exact = [float(each) for each in theirs[2:7]]
        assert [float(each) for each in mine[2:7]] == pytest.approx(exact, rel=1e-5)  # a page has six digits


def test_nothing_that_matters_is_cut_on_a_laptop_and_on_a_phone(opened: Any) -> None:
    cut = """
        return [...document.querySelectorAll("table.sortable")].filter((table) => {
            const scroll = table.parentElement;
            return scroll.scrollWidth > scroll.clientWidth + 1;
        }).map((table) => table.dataset.key);
    """
    assert opened.execute_script(cut) == []
    resize(opened, 390)
    assert opened.execute_script(cut) == []
    row = opened.find_element(By.CSS_SELECTOR, "table[data-key=results] tbody tr")
    cell = row.find_elements(By.TAG_NAME, "td")[4]
    assert cell.get_attribute("data-label") == "pass@1"
    assert cell.rect["x"] + cell.rect["width"] <= 390
    assert "–" in cell.text


def test_names_of_questions_that_turned_both_ways_fit_a_laptop(
    browser: Any, sweep_folder: Path, tmp_path: Path
) -> None:
    models = [sweep_folder / "evals" / name for name in ("winner-seed-1", "winner-seed-2", "base")]
    browser.get(build_report(models, tmp_path / "report.html").as_uri())
    resize(browser, 1280)
    headings = "return [...document.querySelectorAll('[data-key=turned] th')].map((one) => one.textContent)"
    assert {"Comparison", "Became right", "Became wrong"} <= set(browser.execute_script(headings))
    room = (
        "const at = document.querySelector('#block-turned .scroll'); return at.scrollWidth - at.clientWidth"
    )
    assert browser.execute_script(room) <= 1


def test_on_a_phone_a_name_stays_with_its_number(opened: Any) -> None:
    resize(opened, 390)
    lines = opened.execute_script(
        "for (const one of document.querySelectorAll('.stages details')) one.open = true;"
        "const parts = [...document.querySelectorAll('.amount, .sample .n')];"
        "return parts.map((one) => one.getClientRects().length)"
    )
    assert len(lines) > 50
    assert set(lines) == {1}


def test_where_nobody_votes_the_bar_shows_the_share_of_right_samples(opened: Any) -> None:
    part = opened.find_element(By.CSS_SELECTOR, '.question[data-benchmark="tiny-code"] .model')
    right, samples = map(int, part.find_element(By.CLASS_NAME, "share").text.split("/"))
    [bar] = part.find_elements(By.CSS_SELECTOR, ".votes rect")
    assert right > 0
    assert float(bar.get_attribute("width")) == pytest.approx(200 * right / samples)
    bars = opened.find_elements(
        By.CSS_SELECTOR, "table[data-key=results] tbody td:first-child ~ td .interval"
    )
    assert len(bars) == 9  # drawn from the numbers of pass@1


def test_a_group_of_which_only_counts_are_shown_goes_with_a_search(opened: Any) -> None:
    part = opened.find_element(By.CSS_SELECTOR, ".question .model")
    opened.execute_script("arguments[0].querySelectorAll('.sample').forEach((one) => one.remove())", part)
    try:
        opened.execute_script("narrowSamples()")
        assert part.is_displayed()
        search = opened.find_element(By.CSS_SELECTOR, "#sample-filters [name=text]")
        search.send_keys("nothing has these words")
        assert not part.is_displayed()
    finally:
        opened.get(opened.current_url)


def test_a_wide_table_keeps_its_first_columns_and_shows_that_there_is_more(opened: Any) -> None:
    resize(opened, 760)
    frame = opened.find_element(By.CSS_SELECTOR, "#block-trials .frame")
    opened.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert "more" in frame.get_attribute("class")
    first = frame.find_element(By.CSS_SELECTOR, "tbody td")
    x = first.rect["x"]
    opened.execute_script("arguments[0].querySelector('.scroll').scrollLeft = 120", frame)
    opened.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert first.rect["x"] == pytest.approx(x, abs=1)
    assert "less" in frame.get_attribute("class")


def test_what_every_row_says_is_said_once(opened: Any, mathematics: Path) -> None:
    block = opened.find_element(By.ID, "block-flips")
    assert "The same in every row: Comparison winner − base." in block.text
    assert "Comparison" not in block.find_element(By.TAG_NAME, "thead").text


def test_a_glossary_opens_by_keyboard(opened: Any) -> None:
    folded = opened.find_element(By.CSS_SELECTOR, "#block-results .terms")
    assert not folded.find_element(By.TAG_NAME, "dl").is_displayed()
    folded.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert "majority vote over all k samples" in folded.find_element(By.TAG_NAME, "dl").text


def test_paper_holds_responses_and_explanations(opened: Any) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    seen = """
        const high = (one) => one.getBoundingClientRect().height > 5;
        return [...document.querySelectorAll(arguments[0])].filter(high).length;
    """
    assert opened.execute_script(seen, ".question .reply") >= 9
    assert opened.execute_script(seen, ".howto p") > 10
    assert opened.execute_script(seen, ".terms dd") > 10
    assert opened.execute_script(seen, ".filters, .tools, nav") == 0


def test_formulas_are_drawn_and_can_be_shown_as_written(browser: Any, mathematics: Path) -> None:
    resize(browser, 1280)
    browser.get(mathematics.as_uri())
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    fraction = browser.find_element(By.CSS_SELECTOR, ".reply mfrac")
    assert fraction.rect["height"] > 15
    source = browser.find_element(By.CSS_SELECTOR, ".reply .tex code")
    assert not source.is_displayed()
    browser.find_element(By.CSS_SELECTOR, "#sample-filters [name=source]").click()
    assert source.is_displayed()
    assert not fraction.is_displayed()
    card = browser.find_element(By.CSS_SELECTOR, ".question")
    assert "Prompt, as the model got it" in card.text
    assert "the last box" in card.text
    assert browser.get_log("browser") == []


def test_a_single_card_keeps_its_size(browser: Any, mathematics: Path) -> None:
    resize(browser, 1280)
    browser.get(mathematics.as_uri())
    [card] = browser.find_elements(By.CSS_SELECTOR, ".card")
    assert card.rect["width"] < 400
    axis = card.find_element(By.CSS_SELECTOR, ".dumbbell text")
    assert axis.rect["height"] < card.find_element(By.TAG_NAME, "b").rect["height"] / 2


TRIMMED = """
const more = ".question:nth-of-type(n + 4), .panel:nth-of-type(n + 2), tbody tr:nth-of-type(n + 4)";
document.querySelectorAll(more).forEach((one) => one.remove());
for (const one of document.querySelectorAll("details")) one.open = true;
"""
"""What repeats is left out, and all that is folded is opened."""


def test_axe_finds_nothing_serious(browser: Any, page: Path, axe: str) -> None:
    browser.get(page.as_uri())
    browser.execute_script(TRIMMED)
    found = serious(browser, axe)
    browser.get("about:blank")
    assert found == []
