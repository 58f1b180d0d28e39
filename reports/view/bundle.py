"""A static copy of the view: pages that need no server, for a colleague or a web space."""

from __future__ import annotations

from pathlib import Path

from evals.base import io
from evals.base.errors import UsageError
from reports.view import places, samples
from reports.view.links import BundleLinks, samples_file
from reports.view.pages import Pages
from reports.view.places import OutsideError
from reports.view.samples import Filters, Order, Page

SIZE = 200
"""Samples on a page of a copy."""


def write_bundle(root: Path, out: Path) -> int:
    """Writes the copy into ``out`` and returns how many files it has; ``out``/index.html is its first page.

    Raises:
        UsageError: ``root`` is not a folder, ``out`` is inside it or holds something already.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: already exists; choose a new folder for the copy")
    if out.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{out}: lies inside the folder that is copied; name one outside {root}")
    links = BundleLinks()
    pages = Pages(root, links)
    io.write_text(out / links.index(), pages.index())
    written = 1
    for key in _keys(pages.root):
        io.write_text(out / links.folder(key), pages.folder(key))
        written += 1
        try:
            io.write_bytes(out / links.report(key), [pages.report(key)])
            written += 1
        except OutsideError:
            pass
        try:
            io.write_text(out / links.tables(key), pages.tables(key))
            written += 1
        except OutsideError:
            pass
        for training in (False, True):
            written += _write_samples(pages, key, training, out)
    return written


def _keys(root: Path) -> list[str]:
    """Every folder that a page leads to."""
    keys = []
    for place in places.find(root):
        keys.append(place.key)
        inner = [place.folder / "trials", place.folder / "confirm", place.folder / "arms"]
        runs = [path for folder in inner for path in sorted(folder.rglob("attempt-*")) if path.is_dir()]
        inside = places.below(place.folder, place.key) if place.kind == "comparison" else []
        keys += [run.relative_to(root).as_posix() for run in runs]
        keys += [each.key for each in inside]
    return list(dict.fromkeys(key for key in keys if places.kind_of(root / key) is not None))


def _write_samples(pages: Pages, key: str, training: bool, out: Path) -> int:
    of = pages.sources(key, training)
    if not of:
        return 0
    order: Order = "newest" if training else "first"
    number, page = 1, _read(pages, key, training, order, None)
    while True:
        following = _read(pages, key, training, order, page) if page.after else None
        more = following is not None and bool(following.rows)
        html = pages.listing(
            key, training, of, page, filters=Filters(), order=order, kept={},
            after=samples_file(key, training, number + 1) if more else "",
            before=samples_file(key, training, number - 1) if number > 1 else "",
        )  # fmt: skip
        io.write_text(out / samples_file(key, training, number), html)
        if following is None or not more:
            return number
        number, page = number + 1, following


def _read(pages: Pages, key: str, training: bool, order: Order, before: Page | None) -> Page:
    cursor = before.after if before is not None else None
    return samples.read_page(pages.sources(key, training), Filters(), order, cursor, size=SIZE)
