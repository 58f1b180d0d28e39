"""A drawing in fewer bytes is the same drawing."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from reports.figures import slim

SVG = f"{{{slim.SVG}}}"


def _points(path: str) -> list[tuple[float, float]]:
    """The points of a path of M, L and l, read by the rules of SVG."""
    points: list[tuple[float, float]] = []
    command, numbers = "", []
    for piece in re.findall(r"[MLlz]|-?(?:\d+\.?\d*|\.\d+)", path):
        if piece in "MLlz":
            command = piece
            continue
        numbers.append(float(piece))
        if len(numbers) == 2:
            x, y = points[-1] if command == "l" else (0.0, 0.0)
            points.append((x + numbers[0], y + numbers[1]))
            numbers = []
    return points


def test_a_long_path_stays_within_a_hundredth_from_end_to_end() -> None:
    places = np.random.default_rng(0).uniform(-300, 300, (5000, 2))
    long = "M " + "  L ".join(f"{x:.6f} {y:.6f}" for x, y in places)
    short = slim.path(long)
    assert len(short) < 0.6 * len(long)
    np.testing.assert_allclose(_points(short), places, atol=0.00501)


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("M 0 0  L .5 1 L 1 .75  z ", "M0 0l.5 1 .5-.25z"),
        ("M 1 2 L 3 4 M 9 9 L 8 8", "M1 2l2 2M9 9l-1-1"),
        ("M 0 1.5  C 0.4 1.5 0.78 1.34 1.06 1.06  z", "M 0 1.5  C 0.4 1.5 0.78 1.34 1.06 1.06  z"),
    ],
)
def test_lines_become_steps_and_curves_stay(long: str, short: str) -> None:
    assert slim.path(long) == short


def _address(pixels: np.ndarray) -> str:
    target = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(target, "PNG")
    return slim.IMAGE + base64.b64encode(target.getvalue()).decode()


@pytest.mark.parametrize(("colours", "alpha"), [(17, 255), (256, 255), (5000, 255), (17, 100)])
def test_an_image_keeps_every_pixel(colours: int, alpha: int) -> None:
    rng = np.random.default_rng(1)
    palette = np.concatenate([rng.integers(0, 256, (colours, 3)), np.full((colours, 1), alpha)], axis=1)
    pixels = palette[rng.integers(0, colours, (40, 60))].astype(np.uint8)
    source = _address(pixels)
    found = slim.image(source)
    assert len(found) <= len(source)
    again = Image.open(io.BytesIO(base64.b64decode(found.removeprefix(slim.IMAGE)))).convert("RGBA")
    np.testing.assert_array_equal(np.asarray(again), pixels)


def test_groups_that_say_nothing_go_and_those_with_axes_stay() -> None:
    text = (
        f'<svg xmlns="{slim.SVG}"><defs/><g><g><path d="M 0 0 L 9 9" fill="none"/></g>'
        '<g><path data-axes="{}" d="M 0 0 L 1 1" fill="none"/><g><g fill="red"><text>a</text></g></g></g>'
        "<g/></g></svg>"
    )
    root = ET.fromstring(text)
    slim.slim(root)
    assert [child.tag for child in root] == [f"{SVG}g"]
    assert [child.tag.removeprefix(SVG) for child in root[0]] == ["path", "g"]
    assert root[0][1][0].text == "a"


def test_json_stands_between_apostrophes_and_reads_the_same() -> None:
    root = ET.Element("g", {"a": '{"x":"<&>"}', "b": 'it\'s "said"', "c": "plain"})
    text = slim.written(root)
    assert """a='{"x":"&lt;&amp;&gt;"}'""" in text
    assert ET.fromstring(text).attrib == root.attrib
