"""AlpacaEval 2.0's duel: which of two answers would a person prefer (Dubois et al. 2024, arXiv:2404.04475)?

The judge is shown the instruction and both answers under the names m and M with the alpaca_eval package's own
prompt, and says one of the names; what it gives the probability of, among the two, is the verdict. Which
answer comes first is drawn from the answer's own text, so the same answer is judged alike at any time. A
server that tells no probabilities gives a plain win or loss. A judge that reasons before it answers cannot
say a name as its first token: it is asked again with room to reason, and the name it ends on is a plain win
or loss.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from functools import cached_property
from math import exp
from pathlib import Path

from evals.duel import Duel
from evals.graders.base import Response, Verdict
from evals.graders.judge.base import JudgedGrader, spoken
from evals.graders.judge.client import Message, NoVerdictError, Reply
from evals.graders.judge.kept import Ask
from evals.task import Question, TaskError

PROMPT = "evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
"""The prompt of the annotator weighted_alpaca_eval_gpt4_turbo, in the package's folder."""
NAMES = ("m", "M")
LIKELIEST = 5  # tokens whose probabilities are asked for
REASONING = 16_384  # tokens that a judge which reasons has for it
SHOWN = 200  # characters of its answer that are kept, its end

_MESSAGE = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)


class AlpacaEvalGrader(JudgedGrader):
    """Is the answer preferred to the baseline's?"""

    judges_cut = True
    nothing = Verdict("unparsed", None, "no answer: the baseline's is preferred", Duel(0.0, 1.0, 0))

    @cached_property
    def prompt(self) -> str:
        return (package_folder() / PROMPT).read_text("utf-8")

    def _judged(self, question: Question, text: str) -> Verdict:
        digest = hashlib.blake2b(json.dumps([question.id, text]).encode(), digest_size=1).digest()
        place = digest[0] % 2
        answers = (text, question.gold) if place == 0 else (question.gold, text)
        messages = self._messages(question.text, answers)
        first, reply = self._replies.settled(lambda ask: _first_named(ask, messages))
        share = first if place == 0 else 1 - first
        said = f"{spoken(Response(reply.text))[-SHOWN:]!r}; the response was {NAMES[place]!r}"
        return Verdict(
            "correct" if share > 0.5 else "wrong",
            f"{share:.3f}",
            f"preferred with probability {share:.6f}: the judge said {said}",
            Duel(share, 1.0, len(text)),
        )

    def _messages(self, instruction: str, answers: tuple[str, str]) -> list[Message]:
        values = {"instruction": instruction, "output_1": answers[0], "output_2": answers[1]}
        # One pass, so that a brace in an answer is text.
        return [
            {
                "role": role,
                "content": re.sub(r"\{(instruction|output_[12])\}", lambda m: values[m[1]], content.strip()),
            }
            for role, content in _MESSAGE.findall(self.prompt)
        ]


def _first_named(ask: Ask, messages: Sequence[Message]) -> tuple[float, Reply]:
    """The probability of the first answer's name, and the reply that says it."""
    reply = ask(messages, max_tokens=1, logprobs=True, top_logprobs=LIKELIEST)
    share = _share_of_first(reply)
    if share is not None:
        return share, reply
    reply = ask(messages, max_tokens=REASONING)  # it reasons first, or the server takes the reasoning out
    return _named_last(reply.text), reply


def _share_of_first(reply: Reply) -> float | None:
    """The probability of "m" among "m" and "M"; None where the judge named neither."""
    try:
        found = [(token.strip(), exp(logprob)) for token, logprob in reply.likeliest]
    except OverflowError:
        found = []
    found = found or [(reply.text.strip(), 1.0)]
    first, second = (sum(share for token, share in found if token == name) for name in NAMES)
    return first / (first + second) if 0 < first + second < 2 else None


def _named_last(text: str) -> float:
    """1.0 where the answer after the reasoning ends on "m", 0.0 on "M"; else raises ``NoVerdictError``."""
    names = re.findall(r"\w+", spoken(Response(text)))
    if not names or names[-1] not in NAMES:
        raise NoVerdictError(f"named neither answer: {text[-SHOWN:]!r}")
    return 1.0 if names[-1] == NAMES[0] else 0.0


def package_folder() -> Path:
    """Where the alpaca_eval package is, without importing it.

    Raises:
        TaskError: it is not installed.
    """
    found = importlib.util.find_spec("alpaca_eval")
    if found is None or found.origin is None:
        raise TaskError("alpaca_eval needs the package of that name: pip install 'grpo-harness[judge]'")
    return Path(found.origin).parent
