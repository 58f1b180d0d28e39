"""Paging, filters and the budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reports.view.samples import Cursor, Filters, Page, Source, read_page, read_sample, sources


def row(number: int, **more: Any) -> dict[str, Any]:
    correct = number % 3 == 0
    return {
        "id": f"q{number // 4}", "sample": number % 4, "response": f"the answer is {number}",
        "answer": str(number), "correct": correct, "status": "correct" if correct else "wrong", "detail": "",
        "finish_reason": "length" if number % 5 == 0 else "stop", "tokens": 3, "seconds": 0.1, **more,
    }  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


@pytest.fixture
def two(tmp_path: Path) -> list[Source]:
    """30 samples of one benchmark and 20 of another, the second still being written."""
    write(tmp_path / "evals/base/aime/samples.jsonl", [row(n) for n in range(30)])
    second = write(tmp_path / "evals/base/math/samples.jsonl", [row(n) for n in range(30, 50)])
    with second.open("a") as handle:
        handle.write('damaged\n{"id": "q99", "sample": 0, "respo')
    return sources(tmp_path, tmp_path)


def numbers(page: Page) -> list[int]:
    return [int(found.row["answer"]) for found in page.rows]


def test_the_files_of_a_folder_by_model_and_benchmark(two: list[Source]) -> None:
    assert [(source.model, source.benchmark) for source in two] == [("base", "aime"), ("base", "math")]
    assert two[1].key == "evals/base/math/samples.jsonl"


@pytest.mark.parametrize("order", ["first", "newest"])
def test_pages_cover_everything_forth_and_back(two: list[Source], order: Any) -> None:
    expected = list(range(50)) if order == "first" else list(range(49, -1, -1))
    pages = [read_page(two, Filters(), order, size=8)]
    while pages[-1].after is not None:
        pages.append(read_page(two, Filters(), order, Cursor.parse(str(pages[-1].after)), size=8))
    assert [number for page in pages for number in numbers(page)] == expected
    back = read_page(two, Filters(), order, pages[3].before, previous=True, size=8)
    assert numbers(back) == numbers(pages[2])
    assert back.after is not None
    assert numbers(read_page(two, Filters(), order, back.after, size=8)) == numbers(pages[3])
    assert pages[0].before is None


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(verdict="correct"), [n for n in range(50) if n % 3 == 0]),
        (Filters(verdict="wrong"), [n for n in range(50) if n % 3]),
        (Filters(verdict="truncated"), list(range(0, 50, 5))),
        (Filters(id="q3"), [12, 13, 14, 15]),
        (Filters(text="ANSWER IS 4"), [4, *range(40, 50)]),
        (Filters(benchmark="math", verdict="correct"), [n for n in range(30, 50) if n % 3 == 0]),
        (Filters(model="another"), []),
    ],
)
def test_filters(two: list[Source], filters: Filters, expected: list[int]) -> None:
    assert numbers(read_page(two, filters)) == expected
    assert Filters.parse(filters.query()) == filters


def test_a_search_ends_with_its_budget_and_goes_on(two: list[Source]) -> None:
    found: list[int] = []
    page = read_page(two, Filters(text="answer is 44"), budget=1000)
    assert page.cut
    assert not page.rows
    steps = 1
    while page.after is not None:
        page = read_page(two, Filters(text="answer is 44"), cursor=page.after, budget=1000)
        found += numbers(page)
        steps += 1
    assert found == [44]
    assert steps > 5


def test_a_page_reads_no_more_than_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "aime/samples.jsonl", [row(n) for n in range(2000)])
    read: list[bytes] = []

    def parse(line: bytes) -> Any:
        read.append(line)
        return json.loads(line)

    monkeypatch.setattr("reports.view.samples.parse", parse)
    page = read_page(sources(tmp_path, tmp_path), Filters(), size=10)
    assert (len(page.rows), len(read)) == (10, 10)
    assert page.after == Cursor("aime/samples.jsonl", sum(map(len, read)))
    assert path.stat().st_size > 100 * sum(map(len, read))


def test_completions_of_training_by_reward(tmp_path: Path) -> None:
    rewards = [0.5, None, -1.0, 2.0, 0.0]
    rows = [
        {
            "step": n,
            "id": f"t{n}",
            "response": "",
            "answer": str(n),
            "reward": reward,
            "rewards": {"accuracy": 1},
        }
        for n, reward in enumerate(rewards)
    ]
    write(tmp_path / "run/samples.jsonl", rows)
    (tmp_path / "run/metrics.jsonl").write_text("")
    assert sources(tmp_path, tmp_path / "run") == []
    kept = sources(tmp_path, tmp_path / "run", training=True)
    assert numbers(read_page(kept, Filters(), "best", size=3)) == [3, 0, 4]
    assert numbers(read_page(kept, Filters(), "worst", size=2)) == [2, 4]
    assert numbers(read_page(kept, Filters(), "newest", size=2)) == [4, 3]


def test_a_sample_by_its_address(two: list[Source]) -> None:
    page = read_page(two, Filters(text="answer is 7"))
    found = read_sample(two[0], page.rows[0].start)
    assert found == page.rows[0]
    assert read_sample(two[0], page.rows[0].start + 1) is None


@pytest.mark.parametrize("text", ["", "x", "-1:a", "1", "٣:a", "1.5:a"])
def test_an_odd_cursor_is_the_beginning(text: str) -> None:
    assert Cursor.parse(text) is None
