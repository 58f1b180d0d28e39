"""Inline figures: no style attribute, colours that the style sheet knows, unique ids, words for everyone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Canvas

from reports import comparisons, sections
from reports.collect import collect
from reports.figures import svg
from reports.figures.svg import Figure, Panel


@pytest.fixture(scope="module")
def drawn(sweep_folder: Path) -> dict[str, ET.Element]:
    study = collect([sweep_folder])
    return {
        panel.key: ET.fromstring(svg.inline(panel))
        for part in sections.parts(study, comparisons.compare(study))
        for figure in part.items
        if isinstance(figure, Figure)
        for panel in figure.panels
    }


def test_every_figure_can_be_read_without_seeing_it(drawn: dict[str, ET.Element]) -> None:
    for key, root in drawn.items():
        assert root.attrib["role"] == "img"
        names = root.attrib["aria-labelledby"].split()
        texts = [next(e.text for e in root if e.attrib.get("id") == name) for name in names]
        assert all(texts), key
        assert len(texts[1] or "") > 20, key


def test_no_style_attribute_and_no_style_element(drawn: dict[str, ET.Element]) -> None:
    for root in drawn.values():
        for element in root.iter():
            assert "style" not in element.attrib
            assert not element.tag.endswith("}style")
            assert not any(name.startswith("on") for name in element.attrib)


def test_ids_are_unique_on_the_page_and_references_resolve(drawn: dict[str, ET.Element]) -> None:
    ids = [e.attrib["id"] for root in drawn.values() for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    for root in drawn.values():
        for element in root.iter():
            for value in element.attrib.values():
                for name in re.findall(r"^url\(#(.+)\)$|^#([A-Za-z].*-\d+)$", value):
                    assert next(filter(None, name)) in ids


def test_every_colour_follows_the_theme(drawn: dict[str, ET.Element]) -> None:
    sheet = resources.files("reports").joinpath("templates", "page.css").read_text()
    used = {
        (name, value)
        for key, root in drawn.items()
        if not key.startswith("heat-")  # a colour scale is the same on any ground
        for element in root.iter()
        for name in ("fill", "stroke")
        if (value := element.attrib.get(name, "none")).startswith("#")
    }
    assert len(used) > 8
    for name, value in used:
        assert f'[{name}="{value}"]' in sheet, (name, value)


def test_axes_are_labelled(drawn: dict[str, ET.Element]) -> None:
    texts = {
        key: [e.text or "" for e in root.iter() if e.tag.endswith("}text")] for key, root in drawn.items()
    }
    assert "training step" in texts["learning-quick-sweep-kl"]
    assert "KL (nats per token)" in texts["learning-quick-sweep-kl"]
    assert any("log scale" in text for text in texts["slice-quick-sweep-learning_rate"])
    assert "difference in pass@1 from base (percentage points)" in texts["forest"]


def test_the_same_data_gives_the_same_bytes() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.add_subplot().plot([1, 2, 3], [1, 4, 9], color=svg.BLUE)

    panel = Panel("p", "title", "a curve that rises", draw)
    assert svg.inline(panel) == svg.inline(panel)


def test_hostile_labels_stay_text() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.add_subplot().set_title("</text><script>alert(1)</script>$")

    text = svg.inline(Panel("p", "<b>", "</desc><script>", draw))
    assert "<script" not in text
    assert ET.fromstring(text) is not None


def test_an_exported_figure_has_nothing_of_the_pages_tags(sweep_folder: Path, tmp_path: Path) -> None:
    study = collect([sweep_folder])
    figure = next(
        item
        for part in sections.parts(study, comparisons.compare(study))
        for item in part.items
        if isinstance(item, Figure) and item.key == "parallel-quick-sweep"
    )
    assert "data-of=" in svg.inline(figure.panels[0])
    svg.save(figure.panels[0], tmp_path / "parallel.svg")
    text = (tmp_path / "parallel.svg").read_text(encoding="utf-8")
    assert "data-of" not in text
    assert "quick-sweep/" not in text
