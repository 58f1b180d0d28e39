"""Parts of benchmarks have names, folders and scores of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.comparison.compare import compare
from evals.recorded import score_file
from evals.task import TaskError, folder_of
from evals.tasks import registry


@pytest.mark.parametrize(
    ("spec", "limit", "name", "first", "count"),
    [
        ("tiny-aime", None, "tiny-aime", "test/0", 30),
        ("tiny-aime:test", None, "tiny-aime", "test/0", 30),
        ("tiny-aime[:]", None, "tiny-aime", "test/0", 30),
        ("tiny-aime:dev", None, "tiny-aime:dev", "dev/0", 200),
        ("tiny-aime:test[:8]", None, "tiny-aime[:8]", "test/0", 8),
        ("tiny-aime[0:8:1]", None, "tiny-aime[:8]", "test/0", 8),
        ("tiny-aime", 8, "tiny-aime[:8]", "test/0", 8),
        ("tiny-aime", 30, "tiny-aime", "test/0", 30),
        ("tiny-aime:dev[-5:]", 2, "tiny-aime:dev[195:197]", "dev/195", 2),
        ("tiny-aime[::-1]", 2, "tiny-aime[29:27:-1]", "test/29", 2),
    ],
)
def test_a_part_is_named_by_what_it_holds(
    spec: str, limit: int | None, name: str, first: str, count: int
) -> None:
    task = registry.EVERYONE.get(spec, limit)
    found = task.questions(task.benchmark)
    assert (task.name, found[0].id, len(found)) == (name, first, count)
    assert task.part == (count not in (30, 200))
    again = registry.get(task.name)
    assert (again.name, again.questions(again.benchmark)) == (name, found)


def test_folders_of_parts_are_valid_and_apart() -> None:
    names = [
        "gsm8k",
        "gsm8k[:8]",
        "gsm8k[8:]",
        "gsm8k[-8:]",
        "a/b.jsonl",
        "a_b.jsonl",
        "../x.jsonl",
        "hf:a/b@c:d",
    ]
    folders = [folder_of(name) for name in names]
    assert folders[0] == "gsm8k"
    assert folder_of("livecodebench@2024-08..2025-01") == "livecodebench@2024-08..2025-01"
    assert len({folder.lower() for folder in folders}) == len(names)
    assert not any(set(folder) & set('/\\:[]"*') or folder.startswith(".") for folder in folders)


def test_a_part_is_told_in_scores_and_not_compared_with_the_whole(tmp_path: Path) -> None:
    task = registry.get("tiny-aime")
    answers = tmp_path / "answers.jsonl"
    rows = [{"id": q.id, "response": f"\\boxed{{{q.gold}}}"} for q in task.questions("test")]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score_file(answers, "tiny-aime", tmp_path / "whole")
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows[:8]))
    [part] = score_file(answers, "tiny-aime:test[:8]", tmp_path / "part")
    assert part.benchmark == "tiny-aime[:8]"
    assert "is a part of a benchmark" in part.cautions[0]
    written = tmp_path / "part" / folder_of("tiny-aime[:8]")
    assert json.loads((written / "questions.jsonl").read_text().splitlines()[0])["id"] == "test/0"
    with pytest.raises(TaskError, match="share a benchmark"):
        compare([tmp_path / "whole", tmp_path / "part"])
