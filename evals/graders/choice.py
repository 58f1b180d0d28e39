"""Grades multiple choice: the letter of the option, or the option's own text.

A response is read as for any grader (``reading.py``). Then the first rule that names an option wins, and one
that names several ("B or C") chooses none:

1. what the common rules find: a box (or what corrects it), ``<answer>``, the last announcement
   (``extract.py``); whatever of them names no option is passed over;
2. the last sentence that says of an option that it is the one: "the correct option is C", "I'd go with C",
   "C is right", in the usual languages; and of the common announcements whichever comes later;
3. the last line that holds nothing but a letter, an option, or a letter with its text;
4. the last option that is pointed at: "(C)", "option C", "must be C";
5. the one option whose text or value stands in the last sentence.

Letters that are denied ("not (B)", "(D) is wrong") drop out; so do letters that are no option's. A
response that the length limit cut has rules 1 and 2 only, as far as it finished them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.graders import sentences
from evals.graders.base import OneByOne, Response, Verdict, numbered
from evals.graders.boxes import last_box
from evals.graders.extract import as_shown, candidates
from evals.graders.letters import SEVERAL, Options, named, options_of
from evals.graders.reading import Reading, read
from evals.task import Question


class ChoiceGrader(OneByOne):
    """Questions whose gold is a letter; ``info["options"]`` holds the options' texts where they are known.

    An answer is then the text of the option chosen: letters mean nothing where samples see the options in
    different orders.
    """

    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response."""
        return _grade(question, response)

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """One class per option."""
        options = options_of(question)
        return numbered(None if answer is None else _class(answer, options) for answer in answers)


def _grade(question: Question, response: Response) -> Verdict:
    options = options_of(question)
    reading = read(response.text, response.truncated, response.unclosed_answers)
    chosen, rule = choose(reading, options, response.truncated)
    if chosen is None:
        return Verdict("unparsed", None, rule)
    if reading.unclosed_answer:
        rule += " inside an unclosed <think>"
    answer = options.text(chosen)
    gold = _gold(question.gold, options)
    if gold is None:
        return Verdict("grader_error", answer, "the gold answer is no option")
    return Verdict("correct" if chosen == gold else "wrong", answer, rule)


def choose(reading: Reading, options: Options, truncated: bool) -> tuple[str | None, str]:
    """The letter chosen and the rule that found it, or None and the reason."""
    if reading.said is None:
        return None, "cut inside <think>"
    said = as_shown(reading.said)
    cut = truncated and not reading.ended
    for letter, rule in _named(said, reading, options, cut):
        if letter == SEVERAL:
            return None, f"{rule}; several options named"
        return letter, rule
    return None, "cut before a final answer" if cut else "no option named"


def _named(said: str, reading: Reading, options: Options, cut: bool) -> Iterator[tuple[str, str]]:
    """What each rule in turn names: a letter, or ``SEVERAL``."""
    for candidate in candidates(said, cut):
        if candidate.rule in ("box", "<answer>", "correction"):
            letter = named(candidate.answer or "", options)
            if letter:
                yield letter, candidate.rule
    yield from sentences.stated(said, options, cut)
    if cut:
        return
    if not said.strip():
        box = last_box(reading.reasoning, cut)
        letter = named(box.content, options) if box else None
        if letter:
            yield letter, "box inside the reasoning"
        return
    for rule, find in sentences.FALLBACKS:
        letter = find(said, options)
        if letter:
            yield letter, rule


def _gold(gold: str, options: Options) -> str | None:
    """The letter of the gold: a letter, a letter with its text, or an option's text."""
    letter = named(gold, options)
    return None if letter == SEVERAL else letter


def _class(answer: str, options: Options) -> str:
    letter = named(answer, options)
    return answer if letter in (None, SEVERAL) else str(letter)
