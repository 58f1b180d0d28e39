"""Every page of the view, by its address: what the server answers and what a copy is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evals.base.text import printable
from reports.cells import Table
from reports.collect import collect
from reports.comparisons import compare
from reports.sections import parts
from reports.view import places, samples, tables
from reports.view.dress import Link, Section, crumbs, facts, render
from reports.view.folder_pages import TABULATED, View, page_of
from reports.view.links import Links
from reports.view.pictures import Pictures
from reports.view.places import OutsideError, Place, within
from reports.view.sample_pages import facts as facts_of
from reports.view.sample_pages import in_full, listed
from reports.view.samples import ORDERS, VERDICTS, Cursor, Filters, Order, Page, Source
from reports.view.standing import Standing, standing


class Pages:
    """The pages about what lies below ``root``.

    Every method raises OutsideError for what is not there.
    """

    def __init__(self, root: Path, links: Links) -> None:
        self.root = root.resolve()
        self._links = links
        self._view = View(self.root, links, Pictures())

    def index(self) -> str:
        """What lies below the root; of a root that is a run, a sweep or an evaluation itself, its page."""
        found = [(place, standing(place)) for place in places.find(self.root)]
        if [place.key for place, _ in found] == [""]:
            return self.folder("")
        found.sort(key=lambda each: (not each[1].live, -(each[1].seen or 0.0)))
        live = any(stands.state == "running" for _, stands in found)
        states = [stands.state for _, stands in found]
        counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
        empty = "Nothing is here yet: no sweep, run or evaluation."
        table = (tables.index(found, self._links),) if found else ()
        section = Section("folders", "", table, () if found else (empty,))
        return render(
            "view.html", self._links, self.root.name, [], live=live or not found,
            eyebrow="harness view", lead=", ".join(counts), facts=[], sections=[section],
        )  # fmt: skip

    def folder(self, key: str) -> str:
        """The page of a sweep, a comparison, a run or an evaluation."""
        place = self.place(key)
        stands, sections = page_of(self._view, place)
        return render(
            "view.html", self._links, places.title(place.folder), self._crumbs(key)[:-1] if key else [],
            live=stands.state == "running", eyebrow=f"{place.kind} · {stands.state}", lead="",
            facts=facts(stands), sections=sections,
        )  # fmt: skip

    def place(self, key: str) -> Place:
        """The place at ``key``."""
        folder = within(self.root, key)
        kind = places.kind_of(folder)
        if kind is None:
            raise OutsideError(key)
        return Place(key, folder, kind)

    def samples(self, key: str, training: bool, query: Mapping[str, str]) -> str:
        """A page of a folder's samples: filters, order and place as the query says."""
        of = self.sources(key, training)
        filters = Filters.parse(query)
        asked = query.get("order", "newest" if training else "first")
        order: Order = next((each for each in ORDERS if each == asked), "first")
        cursor, previous = Cursor.parse(query.get("from", "")), query.get("to") == "previous"
        page = samples.read_page(of, filters, order, cursor, previous=previous)
        kept = {**filters.query(), **({"order": order} if "order" in query else {})}

        def turned(cursor: Cursor | None, **more: str) -> str:
            query = {**kept, "from": str(cursor), **more}
            return "" if cursor is None else self._links.samples(key, training, query)

        return self.listing(
            key, training, of, page, filters=filters, order=order, kept=kept,
            after=turned(page.after), before=turned(page.before, to="previous"),
        )  # fmt: skip

    def listing(
        self, key: str, training: bool, of: Sequence[Source], page: Page, *, filters: Filters, order: Order,
        kept: Mapping[str, str], after: str, before: str,
    ) -> str:  # fmt: skip
        """The list of a page's samples with addresses of its neighbours."""
        place = within(self.root, key)
        live = self._stands(key).state == "running" and not before
        title = f"{places.title(place)}: {'completions' if training else 'samples'}"
        return render(
            "view_samples.html", self._links, title, self._crumbs(key), live=live,
            rows=[listed(found, self._links, kept) for found in page.rows],
            models=list(dict.fromkeys(source.model for source in of)),
            benchmarks=list(dict.fromkeys(source.benchmark for source in of)),
            verdicts=VERDICTS, orders=ORDERS[1:] if training else (), filters=filters, order=order,
            training=training, cut=page.cut, after=after, before=before, position=_position(of, page, order),
            action=self._links.samples(key, training, {}), first=self._links.samples(key, training, kept),
        )  # fmt: skip

    def sources(self, key: str, training: bool) -> list[Source]:
        """The files of samples of the place at ``key``."""
        return samples.sources(self.root, self.place(key).folder, training)

    def sample(self, key: str, query: Mapping[str, str]) -> str:
        """The page of the sample whose line begins at ``start`` of the samples.jsonl at ``key``."""
        path = within(self.root, key)
        start = query.get("start", "")
        if path.name != "samples.jsonl" or not (start.isascii() and start.isdecimal()):
            raise OutsideError(key)
        training = places.is_run(path.parent)
        owner = path.parent if training else self._owner(path.parent)
        source = next((each for each in self._of(owner, training) if each.path == path), None)
        found = None if source is None else samples.read_sample(source, int(start))
        if source is None or found is None:
            raise OutsideError(key)
        filters, asked = Filters.parse(query), query.get("order", "")
        order: Order = "first" if not training and asked != "newest" else "newest"
        kept = {**filters.query(), **({"order": asked} if asked in ORDERS else {})}
        owner_key = self._view.key(owner)
        of = self._of(owner, training)
        neighbours = []
        for previous in (True, False):
            edge = found.start if (order == "first") == previous else found.end
            page = samples.read_page(of, filters, order, Cursor(source.key, edge), previous=previous, size=1)
            one = page.rows[0] if page.rows else None
            neighbours.append("" if one is None else self._links.sample(one.source.key, one.start, kept))
        back = Link("samples", self._links.samples(owner_key, training, kept))
        return render(
            "view_sample.html", self._links, printable(str(found.row["id"])),
            [*self._crumbs(owner_key), back], live=False,
            sample=in_full(found), facts=facts_of(found), training=training,
            before=neighbours[0], after=neighbours[1],
            same=self._links.samples(owner_key, training, {"id": str(found.row["id"])}),
        )  # fmt: skip

    def tables(self, key: str) -> str:
        """Every table that a report of a sweep's or a comparison's folder has, with all of its rows."""
        place = self.place(key)
        if place.kind not in TABULATED:
            raise OutsideError(key)
        title, study = places.title(place.folder), collect([place.folder])
        study.evaluations = [e for e in study.evaluations if self._inside(e.folder)]
        study.runs = [run for run in study.runs if self._inside(run.folder)]
        found = parts(study, compare(study))
        sections = [
            Section(part.id, part.title, tuple(item for item in part.items if isinstance(item, Table)))
            for part in found
        ]
        return render(
            "view.html", self._links, f"{title}: tables in full", self._crumbs(key), live=False,
            eyebrow=place.kind, lead="", facts=[],
            sections=[section for section in sections if not section.empty],
        )  # fmt: skip

    def _inside(self, folder: Path) -> bool:
        """Whether a folder that a file names or a link leads to lies below the root."""
        return folder.resolve().is_relative_to(self.root)

    def report(self, key: str) -> bytes:
        """The report of the folder at ``key``, as it was written."""
        path = within(self.root, f"{key}/report.html" if key else "report.html")
        if not path.is_file():
            raise OutsideError(key)
        return path.read_bytes()

    def _of(self, owner: Path, training: bool) -> list[Source]:
        return samples.sources(self.root, owner, training)

    def _owner(self, folder: Path) -> Path:
        """The outermost place below the root that a benchmark's folder is part of."""
        parents = [folder, *folder.parents]
        inside = [each for each in parents if each == self.root or each.is_relative_to(self.root)]
        return next((each for each in reversed(inside) if places.kind_of(each) is not None), folder)

    def _stands(self, key: str) -> Standing:
        return standing(self.place(key))

    def _crumbs(self, key: str) -> list[Link]:
        parts = key.split("/") if key else []
        above = ["/".join(parts[: number + 1]) for number in range(len(parts))]
        known = {each for each in above if places.kind_of(self.root / each) is not None}
        return crumbs(self._links, self.root.name, key, known)


def _position(of: Sequence[Source], page: Page, order: Order) -> str:
    """How far into the files a page is, in reading order; empty if everything fits on one page."""
    total = sum(source.path.stat().st_size for source in of)
    if not page.rows or not total or (page.after is None and page.before is None):
        return ""
    place, before = page.rows[-1], 0
    for source in of:
        if source.key == place.source.key:
            break
        before += source.path.stat().st_size
    read = before + place.end if order == "first" else total - before - place.start
    return f"{100 * read / total:.3g}% of {_size(total)}"


def _size(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
