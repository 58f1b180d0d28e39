"""What a reader does with a report's figures: points at them, walks by keys, switches, smooths, brushes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.browser

POINT = """
const svg = document.querySelector(arguments[0]);
svg.scrollIntoView({block: "center"});
const box = JSON.parse(svg.querySelector("[data-axes]").dataset.axes);
const path = svg.querySelector(`[data-curve="${arguments[1]}"] > path`);
const [x, y] = vertices(path).at(arguments[2]);
const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
svg.dispatchEvent(new PointerEvent("pointermove", {clientX: at.x, clientY: at.y, bubbles: true}));
return document.querySelector(".tip.shown")?.textContent;
"""
DRAG = """
const svg = document.querySelector("[id^=figure-parallel] svg.plot");
const frame = readFrame(svg.querySelector("[data-axes]"));
svg.setPointerCapture = () => {};  // a made-up pointer cannot be captured
const x = frame.placeX(frame.brush.length - 1);
const [low, high] = frame.y;
const height = (share) => frame.box.y + frame.box.height * (1 - (share - low) / (high - low));
const end = arguments[0];
for (const [kind, share] of [["pointerdown", 1.02], ["pointermove", end], ["pointerup", end]]) {
  const at = new DOMPoint(x, height(share)).matrixTransform(svg.getScreenCTM());
  svg.dispatchEvent(new PointerEvent(kind, {clientX: at.x, clientY: at.y, bubbles: true, pointerId: 1}));
}
"""
SMOOTHED = """
const slider = document.querySelector(arguments[0] + " .smoothing");
const rises = (points) => points.slice(1).map(([, y], i) => Math.abs(y - points[i][1]));
const panel = document.querySelector("[aria-labelledby^='learning-quick-sweep-reward-t']");
const group = panel.querySelector("[data-curve='trial 1']");
const roughness = (kind) => rises(vertices(group.querySelector(kind))).reduce((sum, each) => sum + each, 0);
const turn = (to) => {
  slider.value = to;
  slider.dispatchEvent(new Event("input"));
};
turn(0.9);
const found = [roughness(".raw"), roughness(".smoothed")];
turn(0);
return [...found, document.querySelectorAll(".raw, path.smoothed").length];
"""
LEARNING = "#figure-learning-quick-sweep"


def lit(browser: Any, selector: str) -> list[str]:
    found = browser.find_elements(By.CSS_SELECTOR, f"{selector} .lit, {selector}.lit")
    return [each.get_attribute("data-of") for each in found]


def test_a_point_of_a_curve_tells_what_was_logged(opened: Any, sweep_folder: Path) -> None:
    metrics = pd.read_json(sweep_folder / "trials/1/attempt-1/metrics.jsonl", lines=True)
    for curve, scale, row in (("reward", 1, 30), ("kl", 1, 45), ("clip_fraction", 100, 12)):
        panel = f"{LEARNING} svg[aria-labelledby^='learning-quick-sweep-{curve}-t']"
        told = opened.execute_script(POINT, panel, "trial 1", row)
        name, _, value = told.rpartition(": ")
        assert name == f"trial 1 · training step {metrics['step'][row]}"
        assert float(value) == pytest.approx(scale * metrics[curve][row], rel=0.01)


def test_a_trial_that_is_pointed_at_stands_out_everywhere(opened: Any) -> None:
    opened.execute_script(POINT, f"{LEARNING} svg.plot", "trial 1", 2)
    for place in (LEARNING, "[id^=figure-slices]", "[id^=figure-parallel]", "table[data-key=trials] tr"):
        assert set(lit(opened, place)) == {"quick-sweep/1"}
    row = opened.find_element(By.CSS_SELECTOR, 'tr[data-of="quick-sweep/4"]')
    opened.execute_script("arguments[0].click()", row)
    opened.execute_script("arguments[0].dispatchEvent(new PointerEvent('pointerleave'))", row)
    assert set(lit(opened, "[id^=figure-timeline]")) == {"quick-sweep/4"}  # kept without the pointer
    opened.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert lit(opened, "[id^=figure-timeline]") == []


def test_the_arrow_keys_tell_the_values(opened: Any) -> None:
    panel = opened.find_element(By.CSS_SELECTOR, "[id^=figure-importances] .panel")
    opened.execute_script("arguments[0].focus()", panel)
    panel.send_keys(Keys.ARROW_RIGHT)
    first = opened.find_element(By.CSS_SELECTOR, ".tip.shown").text
    panel.send_keys(Keys.ARROW_RIGHT)
    second = opened.find_element(By.CSS_SELECTOR, ".tip.shown").text
    assert first != second
    assert all(text.endswith("of the explained variance") for text in (first, second))


def test_an_entry_of_the_key_is_a_switch(opened: Any) -> None:
    button = opened.find_element(By.CSS_SELECTOR, f"{LEARNING} .key li button")
    curves = opened.find_elements(By.CSS_SELECTOR, f'{LEARNING} svg [data-entry="other trials"]')
    shown = "return arguments[0].filter((curve) => getComputedStyle(curve).display !== 'none')"
    opened.execute_script("arguments[0].click()", button)
    assert button.get_attribute("aria-pressed") == "false"
    assert len(curves) > 20
    assert opened.execute_script(shown, curves) == []
    opened.execute_script("arguments[0].click()", button)
    assert len(opened.execute_script(shown, curves)) == len(curves)


def test_smoothing_draws_a_calmer_curve_around_the_same_mean(opened: Any) -> None:
    spread, smoothed, drawn = opened.execute_script(SMOOTHED, LEARNING)
    assert smoothed < spread / 3
    assert drawn == 0  # off again


def test_a_forecast_is_nothing_to_smooth(opened: Any) -> None:
    """Its line has many vertices, but no noise."""
    made = opened.execute_script(
        "const figure = document.querySelector(arguments[0]).cloneNode(true);"
        "figure.querySelectorAll('.block-head label').forEach((one) => one.remove());"
        "const curves = [...figure.querySelectorAll('[data-curve]')];"
        "const ahead = curves.filter((one) => one.dataset.curve === 'forecast');"
        "curves.filter((one) => !ahead.includes(one)).forEach((one) => one.remove());"
        "makeSmooth(figure);"
        "return [ahead.length, figure.querySelectorAll('.smoothing').length]",
        LEARNING,
    )
    assert made[0] >= 1
    assert made[1] == 0


def test_smoothing_leaves_a_straight_line_where_it_is(opened: Any) -> None:
    """A mean of what came before would lag behind it."""
    away = opened.execute_script(
        "const line = Array.from({length: 200}, (_, i) => [i, 3 * i]);"
        "return smooth(line, 0.9, (x) => x).slice(80, 120).map(([x, y]) => Math.abs(y - 3 * x))"
    )
    assert max(away) < 0.05


def test_a_brush_keeps_the_trials_that_pass_through_it(opened: Any) -> None:
    opened.execute_script(DRAG, 0.5)
    rows = opened.find_elements(By.CSS_SELECTOR, "table[data-key=trials] tbody tr")
    values = [float(row.find_elements(By.CSS_SELECTOR, "td[data-ci]")[0].get_attribute("data-v"))
              if row.find_elements(By.CSS_SELECTOR, "td[data-ci]") else -1.0 for row in rows]  # fmt: skip
    known = [value for value in values if value >= 0]
    middle = (max(known) + min(known)) / 2
    kept = ["out" not in (row.get_attribute("class") or "") for row in rows]
    assert kept == [value >= middle for value in values]
    assert opened.find_element(By.CSS_SELECTOR, ".brushed").text == f"{sum(kept)} of {len(known)} trials"
    opened.execute_script("document.querySelector('.block-head > .tool').click()")
    assert not opened.find_elements(By.CSS_SELECTOR, ".out")


def test_a_brush_is_set_by_keys_too(opened: Any) -> None:
    figure = opened.find_element(By.CSS_SELECTOR, "[id^=figure-parallel]")
    summary = figure.find_element(By.CSS_SELECTOR, ".ranges summary")
    opened.execute_script("arguments[0].focus()", summary)
    summary.send_keys(Keys.ENTER)
    slider = figure.find_element(By.CSS_SELECTOR, "input[aria-label='group_size, most']")
    slider.send_keys(Keys.HOME)
    assert slider.get_attribute("aria-valuetext") == "4"
    column = "thead th[data-key='grpo.group_size']"
    values = opened.execute_script(
        "const table = document.querySelector('table[data-key=trials]');"
        f'const at = table.querySelector("{column}").cellIndex;'
        "return [...table.tBodies[0].rows].filter((row) => !row.classList.contains('out'))"
        ".map((row) => row.cells[at].textContent.trim())"
    )
    assert values
    assert set(values) == {"4"}
    slider.send_keys(Keys.END)
    assert not opened.find_elements(By.CSS_SELECTOR, ".out")
    summary.send_keys(Keys.ENTER)


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        ("forest", r"tiny-\w+( · \w+)?(, one seed)?: [+−-]\d+\.\d points.*"),
        ("at-k", r"(base|winner).* · (pass|cons)@k · samples per question k \d+: [\d.]+"),
        ("heat", r"base · made-up/\d+: \d+% of samples correct"),
        ("cost", r"(base|winner).*: [\d.]+% \[[\d.]+, [\d.]+\] at \d+ tokens"),
    ],
)
def test_figures_of_evaluations_tell_their_values(opened: Any, figure: str, told: str) -> None:
    panel = opened.find_element(By.CSS_SELECTOR, f"#figure-{figure} .panel")
    opened.execute_script("arguments[0].focus()", panel)
    panel.send_keys(Keys.ARROW_RIGHT)
    first = opened.find_element(By.CSS_SELECTOR, ".tip.shown").text
    assert re.fullmatch(told, first), first
    panel.send_keys(Keys.ARROW_RIGHT)
    assert opened.find_element(By.CSS_SELECTOR, ".tip.shown").text != first
