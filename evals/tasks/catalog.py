"""Question-answer data sets as rows of a table: where the rows are, and which columns hold what.

A data set whose questions have to be put together (options shuffled, tests unpacked) has a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from evals.graders.boxes import last_box
from evals.task import Question, Task, TaskError, plain
from evals.tasks.choices import lettered
from evals.tasks.data import DataFile, Row, read


@dataclass(frozen=True)
class Entry:
    """One data set. ``files`` are its splits by the task's own names for them; the first is the benchmark.

    ``question``, ``id`` and ``options`` name columns; without an ``id`` a question goes by its row's number,
    from 0. ``gold(row)`` is the right answer, and ``where`` names the row in what it raises. ``shown`` are
    columns that a report may tell.
    """

    name: str
    title: str
    grader: str
    files: dict[str, DataFile]
    gold: Callable[[Row, str], str]
    question: str = "problem"
    id: str = ""
    options: str = ""
    shown: tuple[str, ...] = ()
    samples: int = 1

    def task(self) -> Task:
        """The task that the row describes."""
        benchmark = next(iter(self.files))
        return Task(
            name=self.name,
            title=self.title,
            grader=self.grader,
            splits=tuple(self.files),
            benchmark=benchmark,
            load=self._load,
            source=self.files[benchmark].source,
            samples=self.samples,
        )

    def _load(self, split: str) -> list[Question]:
        file = self.files[split]
        return [self._question(row, number, file.name) for number, row in enumerate(read(file))]

    def _question(self, row: Row, number: int, file: str) -> Question:
        text, info = str(row[self.question]), {column: row.get(column, "") for column in self.shown}
        if self.options:
            options = tuple(str(option) for option in row[self.options])
            text, info = lettered(text.strip(), options), {**info, "options": options}
        key = plain(row[self.id]) if self.id else str(number)
        return Question(key, text, self.gold(row, f"{file}, row {number}"), info)


def column(name: str, row: Row, _where: str) -> str:
    """The gold is the column. The hub's number may be a float (27.0), or its text."""
    text = plain(row[name])
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def after_hashes(row: Row, where: str) -> str:
    """The gold follows the last ``####`` of the solution, as in GSM8K."""
    _, mark, gold = str(row["answer"]).rpartition("####")
    if not mark:
        raise TaskError(f"{where}: column 'answer' has no #### before the final answer")
    return gold.strip()


def boxed(row: Row, where: str) -> str:
    r"""The gold is in the last ``\boxed{}`` of the solution, as in MATH."""
    found = last_box(str(row["solution"]), truncated=False)
    if found is None:
        raise TaskError(f"{where}: column 'solution' has no \\boxed{{}} with the final answer")
    return found.content


def listed(row: Row, _where: str) -> str:
    """The gold is a list of answers, all of which are asked for, as in OlympiadBench."""
    found = row["final_answer"]
    return ", ".join(map(plain, found)) if isinstance(found, list) else plain(found)


def verbatim(row: Row, _where: str) -> str:
    """The gold is what FRAMES calls "Answer", for a judge to read."""
    return str(row["Answer"])


ANSWER = partial(column, "answer")
MATH_ARENA = ("problem_idx", "problem", "answer")


def _math_arena(name: str, title: str, repo: str, revision: str, count: int, grader: str) -> Entry:
    """A competition of MathArena: they all have the same columns."""
    file = DataFile(name, f"MathArena/{repo}", revision, "train", MATH_ARENA, count)
    return Entry(name, title, grader, {"test": file}, ANSWER, id="problem_idx", samples=64)


# Where nobody has looked a commit up the revision is "": the hub's newest rows.
ENTRIES = (
    Entry(
        "aime24",
        "AIME 2024",
        "integer",
        {
            "test": DataFile(
                name="aime24",
                repo="HuggingFaceH4/aime_2024",
                revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
                split="train",
                columns=("id", "problem", "answer"),
                count=30,
                digest="248ae7943b088077a3a6a8c3bba852df",
            )
        },
        ANSWER,
        id="id",
        shown=("url",),
        samples=64,
    ),
    Entry(
        "aime25",
        "AIME 2025",
        "integer",
        {
            "test": DataFile(
                name="aime25",
                repo="math-ai/aime25",
                revision="563bb8404243c5f09de6ec262f2db674fe5bce9b",
                split="test",
                columns=("id", "problem", "answer"),
                count=30,
            )
        },
        ANSWER,
        id="id",
        samples=64,
    ),
    _math_arena("aime26", "AIME 2026", "aime_2026", "", 30, "integer"),
    Entry(  # A and B, reworded upstream so that each answer is an integer
        "amc",
        "AMC 12 2023",
        "integer",
        {
            "test": DataFile(
                name="amc",
                repo="math-ai/amc23",
                revision="80815d37005feb82cd7f8fbc6901d5d3eff43057",
                split="test",
                columns=("id", "question", "answer"),
                count=40,
            )
        },
        ANSWER,
        question="question",
        id="id",
        shown=("url",),
        samples=64,
    ),
    _math_arena(
        "hmmt25",
        "HMMT February 2025",
        "hmmt_feb_2025",
        "6fdc4277120810ff75aa22d2d5489b91f7a262a1",
        30,
        "math",
    ),
    _math_arena(
        "brumo25", "BRUMO 2025", "brumo_2025", "6de9bc0987f5710c6376ee980e1483dbeb55cfda", 30, "math"
    ),
    _math_arena(
        "cmimc25", "CMIMC 2025", "cmimc_2025", "8f27517ce4ad1d05e023c0e7eca4344754ba2a04", 40, "math"
    ),
    Entry(  # the problems of MATH (Hendrycks et al., 2021) that Lightman et al. (2023) held out
        "math500",
        "MATH-500",
        "math",
        {
            "test": DataFile(
                name="math500",
                repo="HuggingFaceH4/MATH-500",
                revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
                split="test",
                columns=("unique_id", "problem", "answer"),
                count=500,
                digest="9f30fcd378169581dbbab91cafb2f16b",
            )
        },
        ANSWER,
        id="unique_id",
        shown=("subject", "level"),
        samples=4,
    ),
    Entry(  # of its test problems 500 are MATH-500
        "math",
        "MATH",
        "math",
        {
            split: DataFile(
                name=f"math_{split}",
                repo="DigitalLearningGmbH/MATH-lighteval",
                revision="0530c78699ea5e8eb5530600900e1f328b48acad",
                split=split,
                columns=("problem", "solution"),
                count=count,
            )
            for split, count in (("test", 5000), ("train", 7500))
        },
        boxed,
        shown=("type", "level"),
    ),
    Entry(  # MIT course problems of Lewkowycz et al. (2022)
        "minerva",
        "Minerva Math",
        "math",
        {"test": DataFile("minerva", "math-ai/minervamath", "", "test", ("question", "answer"), 272)},
        ANSWER,
        question="question",
        samples=4,
    ),
    Entry(  # open-ended, text alone, English: of He et al. (2024)
        "olympiadbench",
        "OlympiadBench (mathematics)",
        "math",
        {
            "test": DataFile(
                name="olympiadbench",
                repo="Hothan/OlympiadBench",
                config="OE_TO_maths_en_COMP",
                revision="91184b52131e7fc9455fef848035173aea8cc01a",
                split="train",
                columns=("id", "question", "final_answer"),
                count=674,
            )
        },
        listed,
        question="question",
        id="id",
        shown=("subfield",),
        samples=4,
    ),
    Entry(  # Cobbe et al. (2021): every gold is an integer; the rows have no ids upstream
        "gsm8k",
        "GSM8K",
        "integer",
        {
            split: DataFile(
                name=f"gsm8k_{split}",
                repo="openai/gsm8k",
                config="main",
                revision="740312add88f781978c0658806c59bc2815b9866",
                split=split,
                columns=("question", "answer"),
                count=count,
                digest=digest,
            )
            for split, count, digest in (
                ("test", 1319, "34d392e57eb4429df41f5ad2ba4b51dc"),
                ("train", 7473, "8ea66327fdc2aa774d9ac4d7312f5ada"),
            )
        },
        after_hashes,
        question="question",
    ),
    Entry(  # Wang et al. (2024); upstream's order of the options, of which there are up to ten
        "mmlu-pro",
        "MMLU-Pro",
        "choice",
        {
            split: DataFile(
                name=f"mmlu_pro_{split}",
                repo="TIGER-Lab/MMLU-Pro",
                revision="b189ec765aa7ed75c8acfea42df31fdae71f97be",
                split=split,
                columns=("question_id", "question", "options", "answer"),
                count=count,
            )
            for split, count in (("test", 12032), ("validation", 70))
        },
        ANSWER,
        question="question",
        id="question_id",
        options="options",
        shown=("category",),
    ),
    Entry(  # Krishna et al. (2024), asked without the articles that the answers combine
        "frames",
        "FRAMES",
        "judge",
        {
            "test": DataFile(
                name="frames",
                repo="google/frames-benchmark",
                revision="58d9fb6330f3ab1316d1eca12e5e8ef23dcc22ef",
                split="test",
                columns=("Prompt", "Answer"),
                count=824,
                paths=("test.tsv",),
            )
        },
        verbatim,
        question="Prompt",
    ),
)
BY_NAME = {entry.name: entry for entry in ENTRIES}


def files(name: str) -> tuple[DataFile, ...]:
    """The data files of a row; none where there is no such row."""
    return tuple(BY_NAME[name].files.values()) if name in BY_NAME else ()


def __getattr__(name: str) -> Task:
    """``catalog.aime24`` is that row's task, so that the registry can name it."""
    if name not in BY_NAME:
        raise AttributeError(name)
    return BY_NAME[name].task()
