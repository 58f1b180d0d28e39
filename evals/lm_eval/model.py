"""An engine as a model of lm-eval: what the harness of others asks, in requests of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from evals.engine import (
    Request,
    Sampling,
    ScoringEngine,
    StreamingEngine,
    StreamingScorer,
    TokenPair,
    sample_seed,
)
from evals.lm_eval.chat import Chat
from evals.lm_eval.replies import Reply, likelihood, likelihood_row
from evals.replies import Place, Replies, Row, completion_row, digest
from evals.task import TaskError
from evals.templates import CHAT, CHAT_BOXED, opens_thinking

if TYPE_CHECKING:
    from lm_eval.api.model import TemplateLM

DEFAULT_TOKENS = 256  # of a completion, where a task does not say: lm-eval's own default
BLOCK = 512  # requests in a call of the engine

T = TypeVar("T")


def engine_lm(engine: ScoringEngine, seed: int = 0, asked_by: Chat | None = None) -> TemplateLM:
    """The engine as a model of lm-eval; ``asked_by`` is the chat template that it is asked through."""
    from lm_eval import utils
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import normalize_gen_kwargs

    has_tokenizer = hasattr(engine.tokenizer, "encode")  # else only the server of the model has one

    class EngineLM(TemplateLM):  # type: ignore[misc]
        """Tokenises as lm-eval's HFLM does; equal prompts become one request of several samples."""

        tokenizer = engine.tokenizer
        chat = asked_by

        def __init__(self) -> None:
            super().__init__()
            self.replies = Replies()
            self.shortened: set[str] = set()
            """Requests whose beginning was cut off because the model has not the positions for it."""
            self.limits: dict[int, int] = {}
            """Tokens that a task allows a completion -> what the model's positions left of them."""

        @property
        def eot_token_id(self) -> int:
            return int(engine.tokenizer.eos_token_id)

        @property
        def prefix_token_id(self) -> int:
            start = engine.tokenizer.bos_token_id
            return self.eot_token_id if start is None else int(start)

        @property
        def tokenizer_name(self) -> str:
            return str(engine.tokenizer.name_or_path)

        def apply_chat_template(
            self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
        ) -> str:
            chat = self.chat or Chat(CHAT, CHAT_BOXED, engine.tokenizer)
            return chat.text(chat_history, add_generation_prompt)

        def tok_encode(
            self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any
        ) -> list[int]:
            if not has_tokenizer:
                raise TaskError(
                    "this task asks how likely given continuations are, and a chat does not tell, nor can "
                    "texts be split without the model's tokenizer: ask its server with --api completions, "
                    "and name the model by its folder or hub id"
                )
            start = engine.tokenizer.bos_token
            special = add_special_tokens
            if special is None:
                special = not (start is not None and string.startswith(start))
            ids: list[int] = engine.tokenizer.encode(string, add_special_tokens=special)
            return ids

        def _loglikelihood_tokens(
            self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_kwargs: Any
        ) -> list[tuple[float, bool]]:
            places = [(digest("loglikelihood", texts), 0) for texts, _, _ in requests]
            pairs = {
                place: (context, continuation)
                for place, (_, context, continuation) in zip(places, requests, strict=True)
            }
            longest = engine.positions + 1  # the last token is predicted, never read
            self.shortened.update(
                p[0] for p, (left, right) in pairs.items() if len(left) + len(right) > longest
            )
            missing = {place: pair for place, pair in pairs.items() if place not in self.replies}
            for block in _scored(engine, missing):
                self.replies.add(
                    likelihood_row(place, *value, read=min(longest, sum(map(len, pairs[place]))))
                    for place, value in block
                )
            rows = [self.replies.get(place) or {} for place in places]
            return [(likelihood(row), bool(row["greedy"])) for row in rows]

        def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
            texts = list(dict.fromkeys(request.args[0] for request in requests))
            windows = {text: self._windows(text) for text in texts if _whole(text) not in self.replies}
            pairs = {
                _window(text, number): pair
                for text, own in windows.items()
                for number, pair in enumerate(own)
            }
            missing = {place: pair for place, pair in pairs.items() if place not in self.replies}
            for block in _scored(engine, missing):
                self.replies.add(
                    likelihood_row(place, value, read=sum(map(len, pairs[place])))
                    for place, (value, _) in block
                )
            return [self._total(request.args[0], windows) for request in requests]

        def _windows(self, text: str) -> list[TokenPair]:
            """The text in pieces that the model has the positions for, each with what it follows."""
            found = utils.get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=engine.positions,
                context_len=1,
            )
            return [utils.make_disjoint_window(window) for window in found]

        def _total(self, text: str, windows: Mapping[str, Sequence[TokenPair]]) -> float:
            if text not in windows:
                return likelihood(self.replies.get(_whole(text)) or {})
            places = [_window(text, number) for number in range(len(windows[text]))]
            return sum(likelihood(self.replies.get(place) or {}) for place in places)

        def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
            texts: list[str] = [""] * len(requests)
            for kwargs, numbers in _alike(requests).items():
                sampling = _sampling(normalize_gen_kwargs(json.loads(kwargs), DEFAULT_TOKENS))
                equal: dict[str, list[int]] = {}
                for number in numbers:
                    equal.setdefault(requests[number].args[0], []).append(number)
                asked = {
                    prompt: self._shortened(self._opened(prompt), sampling.max_tokens) for prompt in equal
                }
                sampling = self._limited(sampling, list(asked.values()))
                until: tuple[str, ...] = ()
                if any(map(opens_thinking, asked.values())):  # they stop the answer, not the reasoning
                    until, sampling = sampling.stop, replace(sampling, stop=())
                places = {
                    number: (digest("generate_until", requests[number].args), place)
                    for members in equal.values()
                    for place, number in enumerate(members)
                }
                wanted = [(asked[prompt], [places[number] for number in equal[prompt]]) for prompt in equal]
                for rows in _drawn(engine, wanted, lambda place: place in self.replies, sampling, seed):
                    self.replies.add(rows)
                for prompt, members in equal.items():
                    for number in members:
                        row = self.replies.get(places[number]) or {}
                        texts[number] = Reply.of(
                            row, asked[prompt], thinks=self.chat is not None, until=until
                        )
            return texts

        def _opened(self, prompt: str) -> str:
            return prompt if self.chat is None else self.chat.opened(prompt)

        def _shortened(self, prompt: str, wanted: int) -> str:
            """The prompt, or its end where the model has no room for all of it.

            As in lm-eval a prompt's beginning makes room for the completion, but never for more than half
            of the model's positions: what a task allows a completion is more than many models have.
            """
            if not has_tokenizer:
                return prompt
            room = engine.positions - min(wanted, engine.positions // 2)
            ids = self.tok_encode(prompt)
            if len(ids) <= room:
                return prompt
            self.shortened.add(digest("generate_until", [prompt]))
            # Encoded again, a text may be longer: a start token is put before it, a character was cut in two.
            for kept in range(room, 0, -1):
                text = str(engine.tokenizer.decode(ids[-kept:]))
                if len(self.tok_encode(text)) <= room:
                    return text
            raise TaskError(f"a prompt cannot be cut to the model's {engine.positions} positions")

        def _limited(self, sampling: Sampling, prompts: Sequence[str]) -> Sampling:
            """The settings, with no more tokens a completion than the longest of the prompts leaves."""
            if not has_tokenizer:
                return sampling
            longest = max(len(self.tok_encode(prompt)) for prompt in prompts)
            most = engine.positions - longest
            if sampling.max_tokens <= most:
                return sampling
            self.limits[sampling.max_tokens] = min(most, self.limits.get(sampling.max_tokens, most))
            return replace(sampling, max_tokens=most)

    return EngineLM()


def _blocks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items, ``BLOCK`` at a time: what a kill loses at most of an engine here."""
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]


def _whole(text: str) -> Place:
    """Where earlier versions kept what a text came to, all of its pieces together."""
    return digest("loglikelihood_rolling", [text]), 0


def _window(text: str, number: int) -> Place:
    """Where what this piece of a text came to is kept."""
    return digest("loglikelihood_window", [text]), number


def _scored(
    engine: ScoringEngine, pairs: Mapping[Place, TokenPair]
) -> Iterator[list[tuple[Place, tuple[float, bool]]]]:
    """What continuations came to, as it comes: answers of a server one by one, elsewhere block by block."""
    places = list(pairs)
    if isinstance(engine, StreamingScorer):
        for arrived in engine.stream_loglikelihoods([pairs[place] for place in places]) if places else ():
            yield [(places[at], value) for at, value in arrived]
        return
    for block in _blocks(places):
        values = engine.loglikelihoods([pairs[place] for place in block])
        yield list(zip(block, values, strict=True))


def _drawn(
    engine: ScoringEngine,
    wanted: Sequence[tuple[str, Sequence[Place]]],
    known: Callable[[Place], bool],
    sampling: Sampling,
    seed: int,
) -> Iterator[list[Row]]:
    """Rows of replies.jsonl that are not ``known``, as they come.

    ``wanted``: prompts, each with the places of its completions. What a server has answered is kept whatever
    becomes of the others; elsewhere a kill loses a block.
    """
    if isinstance(engine, StreamingEngine):
        alone = [
            (place, Request(prompt, 1, sample_seed(seed, prompt) + number, logprobs=False))
            for prompt, places in wanted
            for number, place in enumerate(places)
            if not known(place)
        ]
        for arrived in engine.stream([request for _, request in alone], sampling):
            yield [completion_row(alone[at][0], completion) for at, completion in arrived]
        return
    for block in _blocks([each for each in wanted if not all(map(known, each[1]))]):
        groups = engine.generate(
            [
                Request(prompt, len(places), sample_seed(seed, prompt), logprobs=False)
                for prompt, places in block
            ],
            sampling,
        )
        yield [
            completion_row(place, completion)
            for (_, places), group in zip(block, groups, strict=True)
            for place, completion in zip(places, group.completions, strict=True)
            if not known(place)
        ]


def _alike(requests: Sequence[Any]) -> dict[str, list[int]]:
    """The requests' places by their sampling settings, as JSON."""
    found: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        found.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(number)
    return found


def _sampling(kwargs: Mapping[str, Any]) -> Sampling:
    """lm-eval's generation settings as ours."""
    return Sampling(
        temperature=float(kwargs.get("temperature", 1.0)) if kwargs.get("do_sample") else 0.0,
        top_p=float(kwargs.get("top_p", 1.0)),
        top_k=int(kwargs.get("top_k", 0)),
        max_tokens=int(kwargs["max_gen_toks"]),
        stop=tuple(word for word in kwargs["until"] if word),
    )
