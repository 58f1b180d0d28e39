"""A drawing in fewer bytes: what matplotlib writes out at length, written shortly, and looking the same."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

from PIL import Image

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
IMAGE = "data:image/png;base64,"
COLOURS = 256
"""Colours of an image up to which it has a palette."""
DEFAULTS = ("stroke-linecap", "stroke-linejoin")
"""The page's style sheet says these of every figure."""
SCALE = 100
"""Places are rounded to a hundredth of 1/72 inch."""
_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?"
_STRAIGHT = re.compile(rf"(?:(?:[ML]\s*{_NUMBER}[\s,]+{_NUMBER}|z)\s*)+")
_PIECE = re.compile(rf"([MLz])(?:\s*({_NUMBER})[\s,]+({_NUMBER}))?")


def slim(root: ET.Element) -> None:
    """Rewrites a drawing in place: its paths, its images, groups and attributes that say nothing."""
    for element in root.iter():
        for key in DEFAULTS:
            element.attrib.pop(key, None)
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        if "d" in element.attrib:
            element.attrib["d"] = path(element.attrib["d"])
        if (source := element.get(f"{{{XLINK}}}href", "")).startswith(IMAGE):
            element.attrib[f"{{{XLINK}}}href"] = image(source)
    _unwrap(root)


def path(d: str) -> str:
    """A path in steps from point to point: "M1 2l.5-3 1 0"; one with curves stays as it is.

    Every step is one between rounded places, so that nothing adds up over a long curve.
    """
    if not _STRAIGHT.fullmatch(d.lstrip()):
        return d
    parts: list[str] = []
    x = y = 0
    before = ""
    for kind, along, down in _PIECE.findall(d):
        if kind == "z":
            parts.append("z")
        else:
            to_x, to_y = round(SCALE * float(along)), round(SCALE * float(down))
            if kind == "M":
                parts.append(f"M{_short(to_x)}{_next(to_y)}")
            else:
                parts.append(("" if before == "L" else "l") + _pair(to_x - x, to_y - y, before == "L"))
            x, y = to_x, to_y
        before = kind
    return "".join(parts)


def _pair(across: int, down: int, follows: bool) -> str:
    first = _next(across) if follows else _short(across)
    return first + _next(down)


def _short(hundredths: int) -> str:
    """12.5, .25, -3: a number without what it can do without."""
    sign, size = ("-" if hundredths < 0 else ""), abs(hundredths)
    text = f"{size // SCALE or ''}.{size % SCALE:02}".rstrip("0").rstrip(".")
    return f"{sign}{text}" if text else "0"


def _next(hundredths: int) -> str:
    """The same after another number: a minus sign says by itself where that one ends."""
    text = _short(hundredths)
    return text if text.startswith("-") else f" {text}"


def image(source: str) -> str:
    """A PNG as a data address, with a palette where it has few colours."""
    data = base64.b64decode(source.removeprefix(IMAGE))
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    colours = picture.getcolors(COLOURS)
    if colours is None:
        return source
    target = io.BytesIO()
    if all(colour[3] == 255 for _, colour in colours):  # type: ignore[index]
        picture = picture.convert("RGB").quantize(len(colours), dither=Image.Dither.NONE)
    picture.save(target, "PNG", optimize=True)
    smaller = min(data, target.getvalue(), key=len)
    return IMAGE + base64.b64encode(smaller).decode()


def _unwrap(parent: ET.Element) -> None:
    """Puts what is in a group that says nothing in the group's place; empty ones go.

    A group with axes stays: the page's script looks in it for what is drawn on them.
    """
    children: list[ET.Element] = []
    for child in parent:
        _unwrap(child)
        plain = child.tag in (f"{{{SVG}}}g", f"{{{SVG}}}defs") and not child.attrib
        if plain and len(child) == 0:
            continue
        if plain and child.tag == f"{{{SVG}}}g" and not any("data-axes" in each.attrib for each in child):
            children += list(child)
        elif not (child.tag == f"{{{SVG}}}path" and _unseen(parent, child)):
            children.append(child)
    parent[:] = children


def _unseen(parent: ET.Element, child: ET.Element) -> bool:
    """Whether it is a surface that nothing shows and nobody asks for: the canvas of a figure."""
    return set(child.attrib) <= {"d", "fill"} and child.get("fill") == "none" and not parent.attrib


def written(root: ET.Element) -> str:
    """The drawing as text; JSON in an attribute stands between apostrophes."""
    text = re.sub(r">\s+<", "><", ET.tostring(root, encoding="unicode")).replace(" />", "/>")
    return re.sub(r'="([^"\']*&quot;[^"\']*)"', _between_apostrophes, text)


def _between_apostrophes(found: re.Match[str]) -> str:
    return "='" + found[1].replace("&quot;", '"') + "'"
