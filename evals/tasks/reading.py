"""How rows of the user's own become questions: which column holds what, and what is asked of a row."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from evals.base.text_files import is_text
from evals.task import Question, TaskError, plain
from evals.tasks.alike import text_key
from evals.tasks.choices import MOST, lettered
from evals.tasks.data import Row
from evals.tasks.rows import Rows

USUAL: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "problem"),
    "answer": ("answer", "gold", "solution", "final_answer", "ground_truth", "target"),
    "id": ("id", "uid", "question_id", "problem_id", "unique_id", "task_id"),
    "options": ("options", "choices"),
    "tests": ("tests", "test_list", "test"),
    "cases": ("cases",),
    "entry_point": ("entry_point",),
    "setup": ("setup", "test_setup_code"),
}
"""What a column may hold, and the names by which one is found where the user names none."""


@dataclass(frozen=True)
class Reading:
    """The column of each thing (``USUAL``'s keys), and the grader that the questions are for."""

    columns: Mapping[str, str]
    grader: str

    def question(self, row: Row, place: str) -> Question:
        """The question of a row; without an id of its own it goes by a digest of text and answer.

        Raises:
            TaskError: the row lacks what a question needs; ``place`` names the row.
        """
        said = cell(row, self.columns["question"])
        text = _asked(said)
        if text is None or not text.strip():
            raise TaskError(
                f"{place}: column {self.columns['question']!r} must hold the question as text (or as one "
                f"message of a user), got {_shown(said)}"
            )
        info: dict[str, Any] = {"row": row}
        if self.grader == "choice" and "options" in self.columns:
            options = self._options(row, place)
            text, info = lettered(text.strip(), options), {**info, "options": options}
        if self.grader == "code":
            info |= self._tests(row, place)
        gold = self._gold(row, place) if "answer" in self.columns else ""
        if not is_text(text) or not is_text(gold):
            raise TaskError(f"{place}: holds half a character (a lone surrogate), which is not text")
        return Question(self._id(row, text, gold, place), text, gold, info)

    def _gold(self, row: Row, place: str) -> str:
        column = self.columns["answer"]
        gold = cell(row, column)
        if isinstance(gold, bool) or not isinstance(gold, str | int | float) or plain(gold) in ("", "nan"):
            if self.grader == "code" or ":" in self.grader:  # tests decide, or a function that may need none
                return ""
            raise TaskError(f"{place}: column {column!r} must hold the right answer, got {_shown(gold)}")
        return plain(gold)

    def _id(self, row: Row, text: str, gold: str, place: str) -> str:
        column = self.columns.get("id")
        if column is None:
            return hashlib.blake2b(f"{text}\0{gold}".encode(), digest_size=8).hexdigest()
        key = cell(row, column)
        if isinstance(key, bool) or not isinstance(key, str | int | float) or not is_text(plain(key)):
            raise TaskError(f"{place}: column {column!r} must hold an id, got {_shown(key)}")
        if not plain(key):
            raise TaskError(f"{place}: column {column!r} must hold an id, and is empty")
        return plain(key)

    def _options(self, row: Row, place: str) -> tuple[str, ...]:
        column = self.columns["options"]
        found = cell(row, column)
        if not isinstance(found, list) or not 2 <= len(found) <= MOST or not all(map(_is_word, found)):
            raise TaskError(
                f"{place}: column {column!r} must hold a list of 2 to {MOST} texts, got {_shown(found)}"
            )
        return tuple(map(str, found))

    def _tests(self, row: Row, place: str) -> dict[str, Any]:
        """What the grader of programs needs (``evals/graders/code.py``)."""
        if "cases" in self.columns:
            cases = cell(row, self.columns["cases"])
            good = isinstance(cases, list) and all(
                isinstance(case, Mapping) and {"input", "output"} <= case.keys() for case in cases
            )
            if not good or not cases:
                raise TaskError(
                    f'{place}: column {self.columns["cases"]!r} must hold a list of {{"input", "output"}}, '
                    f"got {_shown(cases)}"
                )
            return {
                "style": "stdin",
                "cases": [{key: str(case[key]) for key in ("input", "output")} for case in cases],
            }
        found = {
            key: cell(row, self.columns[key])
            for key in ("tests", "entry_point", "setup")
            if key in self.columns
        }
        tests = found["tests"]
        told = "\n".join(map(str, tests)) if isinstance(tests, list) else tests
        for key, value in (("tests", told), ("entry_point", found["entry_point"])):
            if not isinstance(value, str) or not value.strip():
                raise TaskError(f"{place}: column {self.columns[key]!r} must hold {key}, got {_shown(value)}")
        return {
            "style": "function",
            "prompt": "",
            "entry_point": found["entry_point"],
            "setup": str(found.get("setup") or ""),
            "tests": told,
        }


def reading(where: str, rows: Rows, named: Mapping[str, str], grader: str) -> Reading:
    """How the rows are to be read: by the columns that are ``named``, else by those with usual names.

    ``where`` names the data in a message.

    Raises:
        TaskError: no rows, or a column that is needed is not there; the message has those that are.
    """
    first = next(iter(rows), None)
    if first is None:
        raise TaskError(f"{where}: contains no rows")
    there = list(_columns(first))
    for thing, column in named.items():
        if thing not in USUAL:
            raise TaskError(f"{where}: columns.{thing} is not a kind of column; accepted: {', '.join(USUAL)}")
        if column not in there:
            raise TaskError(f"{where}: has no column {column!r} (columns.{thing}); it has {_listed(there)}")
    columns = {thing: found for thing in USUAL if (found := named.get(thing) or _usual(thing, there))}
    missing = [thing for thing in _needed(grader, columns) if thing not in columns]
    if missing:
        said = ", ".join(f'{thing} = "…"' for thing in missing)
        raise TaskError(
            f"{where}: which column holds the {' and which the '.join(missing)}? It has {_listed(there)}; "
            f"say so in your experiment file, in a table [tasks.NAME] with source = {json.dumps(where)} and "
            f"columns = {{ {said} }}"
        )
    return Reading(columns, grader)


def _needed(grader: str, columns: Mapping[str, str]) -> tuple[str, ...]:
    if grader == "code":
        return ("question",) if "cases" in columns else ("question", "tests", "entry_point")
    return ("question",) if ":" in grader else ("question", "answer")  # a function may need no answer


def _usual(thing: str, there: Collection[str]) -> str | None:
    """The column of a usual name, however it is capitalised; the first of them that is there."""
    lower = {column.casefold(): column for column in there}
    return next((lower[name] for name in USUAL[thing] if name in lower), None)


@dataclass(frozen=True)
class Noted:
    """What is kept of every row's question: the key of its text (alike.py), and its bytes in UTF-8."""

    keys: npt.NDArray[np.uint64]
    bytes: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Questions(Sequence[Question]):
    """Questions that are read when they are asked for: only where each is stays in memory, and ``noted``.

    ``places`` are their rows' numbers; ``again`` counts, for a row whose text and answer an earlier row has
    too, which repetition it is, where rows have no ids: their ids are all different so.
    """

    where: str
    rows: Rows
    reading: Reading
    noted: Noted
    places: range
    again: Mapping[int, int] = field(default_factory=dict)
    checked: bool = True
    """Ids and answers were looked at when the rows were read."""

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Question: ...
    @overload
    def __getitem__(self, index: slice) -> Questions: ...
    def __getitem__(self, index: int | slice) -> Question | Questions:
        if isinstance(index, slice):
            return replace(self, places=self.places[index])
        place = self.places[index]
        return self._question(place, self.rows[place])

    def __iter__(self) -> Iterator[Question]:
        if self.places.step != 1:
            for place in self.places:
                yield self._question(place, self.rows[place])
            return
        for place, row in enumerate(self.rows):
            if place >= self.places.stop:
                return
            if place >= self.places.start:
                yield self._question(place, row)

    def _question(self, place: int, row: Row) -> Question:
        found = self.reading.question(row, f"{self.where}, {self.rows.where(place)}")
        number = self.again.get(place)
        return (
            found if number is None else Question(f"{found.id}#{number}", found.text, found.gold, found.info)
        )

    @property
    def text_keys(self) -> npt.NDArray[np.uint64]:
        """The keys of their texts, in their order."""
        return self.noted.keys[np.asarray(self.places, dtype=np.int64)]

    @property
    def text_bytes(self) -> npt.NDArray[np.uint32]:
        """How many bytes their texts take in UTF-8, in their order."""
        return self.noted.bytes[np.asarray(self.places, dtype=np.int64)]


def checked_questions(where: str, rows: Rows, how: Reading) -> Questions:
    """The questions of all rows, each looked at once.

    Raises:
        TaskError: a row is not a question, or has the id of an earlier one; the message names it.
    """
    ids, keys, sizes = array("Q"), array("Q"), array("I")
    for place, row in enumerate(rows):
        question = how.question(row, f"{where}, {rows.where(place)}")
        ids.append(_key(question.id))
        keys.append(text_key(question.text))
        sizes.append(len(question.text.encode()))
    again = _repeated(np.frombuffer(ids, dtype=np.uint64))
    if again and "id" in how.columns:
        later = min(again)
        earlier = ids.index(ids[later])
        raise TaskError(
            f"{where}, {rows.where(later)}: has the id {how.question(rows[later], where).id!r} of "
            f"{rows.where(earlier)}; every question needs an id of its own"
        )
    noted = Noted(np.frombuffer(keys, dtype=np.uint64), np.frombuffer(sizes, dtype=np.uint32))
    return Questions(where, rows, how, noted, range(len(ids)), again)


def _repeated(keys: npt.NDArray[np.uint64]) -> dict[int, int]:
    """By the place of each key that was there before: the how-manieth it is, from 2 on."""
    order = np.argsort(keys, kind="stable")
    again: dict[int, int] = {}
    for at in np.flatnonzero(keys[order[1:]] == keys[order[:-1]]).tolist():
        earlier, place = int(order[at]), int(order[at + 1])
        again[place] = again.get(earlier, 1) + 1
    return again


def _key(id: str) -> int:
    """Eight bytes instead of the id: a million of them shall fit into memory."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest())


def cell(row: Row, column: str) -> Any:
    """What a row holds in a column, None where there is nothing; "reward_model.ground_truth" is a part of
    what is nested in one."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _columns(row: Row, before: str = "") -> Iterator[str]:
    """The columns of a row, and what is nested in them, by the names that ``cell`` takes."""
    for name, value in row.items():
        yield before + name
        if isinstance(value, Mapping):
            yield from _columns(dict(value), f"{before}{name}.")


def _asked(value: object) -> str | None:
    """A question as text, or as the one message of a user that some data sets make of it."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        message = value[0]
        value = message.get("content") if message.get("role", "user") == "user" else None
    return value if isinstance(value, str) else None


def _is_word(value: object) -> bool:
    return isinstance(value, str | int | float) and bool(str(value).strip()) and is_text(str(value))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
