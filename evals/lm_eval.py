"""Any task that lm-evaluation-harness knows, asked of an engine that is loaded already: ``lm_eval:NAME``.

lm-eval decides everything: data, prompts, few-shot examples, stop strings, sampling, filters, metrics. Only
what asks the model is ours (``EngineLM``). NAME is a task, group or tag of lm-eval, or the path of a task's
YAML file; ``NAME[:8]`` is the first eight documents of each of its tasks.

    FOLDER/key.json       whose replies these are
    FOLDER/replies.jsonl  as they come, see lm_eval_replies.py
    FOLDER/lm_eval.json   every figure as lm-eval tells it, with its standard error
    FOLDER/samples.jsonl  every document: prompt, responses, metrics, see lm_eval_samples.py
    FOLDER/scores.json    where each document is right or wrong, so that models can be compared on them

The model is asked a request once. Documents are built and graded by every call, so that what was edited
since (data, prompts, a metric) counts: new requests are asked, old replies are graded again, and it is said.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import filelock

from evals.base import io, text_files
from evals.engine import Request, Sampling, ScoringEngine, sample_seed
from evals.lm_eval_chat import Chat
from evals.lm_eval_replies import Replies, Reply, completion_row, digest, likelihood, likelihood_row
from evals.lm_eval_samples import Document, deciding_metrics, documents, documents_hash
from evals.records import numbered_lines, parse_line
from evals.scores import Scores
from evals.task import TaskError, part_of
from evals.templates import CHAT, CHAT_BOXED, PLAIN, Template

if TYPE_CHECKING:
    from lm_eval.api.model import TemplateLM

logger = logging.getLogger(__name__)

PREFIX = "lm_eval:"
DEFAULT_TOKENS = 256  # of a completion, where a task does not say: lm-eval's own default

T = TypeVar("T")
REPLIES = "replies.jsonl"
BLOCK = 512  # requests in a call of the engine

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class LmEvalResult:
    """What lm-eval found.

    ``figures`` maps a task (of a group: the group's own rows first) to its metrics: "acc,none" and its
    "acc_stderr,none". ``scores`` is None where no metric of a document is right or wrong (a perplexity).
    """

    name: str
    figures: Figures
    scores: Scores | None

    def to_json(self) -> dict[str, Any]:
        """The benchmark's entry in ``harness eval --json``."""
        scored = self.scores.to_json() if self.scores is not None else {}
        return {"benchmark": PREFIX + self.name, **scored, "lm_eval": self.figures}


def evaluate(
    engine: object, name: str, folder: Path, seed: int = 0, template: str | Template = PLAIN
) -> LmEvalResult:
    """Runs lm-eval's task ``name`` through ``engine`` and writes what came out into ``folder``.

    What the same model replied before, in this folder, is not asked again, whether that call was killed or
    not. ``seed`` is the base of sampled completions' seeds. A ``template`` of kind "chat" writes lm-eval's
    messages (lm_eval_chat.py), and its filters see what follows the reasoning; any other leaves its text as
    it is.

    Raises:
        TaskError: lm-eval is not installed or does not know the task, the task's data are not there, the
            engine cannot score continuations, the folder holds something else, or another process is at
            work in it.
    """
    if not isinstance(engine, ScoringEngine):
        raise TaskError(f"{PREFIX}{name}: this engine samples only; use --engine transformers or vllm")
    whole, limit = split_part(name)
    manager, task = _find(whole)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            chat = Chat.of(template, engine.tokenizer)
            key = _claim(folder, engine, name, seed, chat)
            before = _before(folder)
            lm = engine_lm(engine, seed, chat)
            found = _run(lm, manager, task, name, folder / REPLIES, limit)
            rows = list(documents(found))
            new = _notes(before.metrics, rows, lm.replies.asked) if before else []
            for note in new:
                logger.warning("%s: %s", folder, note)
            told = part_of(PREFIX + _told(name)) if limit is not None else ()
            notes = list(dict.fromkeys([*told, *(before.notes if before else ()), *new]))
            return _write(folder, name, found, rows, notes, _frame(engine, name, key, lm))
    except filelock.Timeout:
        raise TaskError(f"{folder}: another process is evaluating into this folder") from None


def _frame(engine: ScoringEngine, name: str, key: str, lm: Any) -> Scores:
    """The scores of an evaluation but for its documents."""
    from importlib.metadata import version

    release = version("lm_eval")
    protocol: dict[str, Any] = {"name": f"lm-eval {release}"}
    if lm.chat is not None:
        protocol = {"name": f"lm-eval {release}, template={lm.chat.name}", "template": lm.chat.name}
    if lm.limits:
        told = [f"max_gen_toks={most} for {asked}" for asked, most in sorted(lm.limits.items())]
        protocol["name"] = ", ".join([protocol["name"], *told])
        protocol["max_gen_toks"] = min(lm.limits.values())
    if lm.shortened:
        protocol["prompts_shortened"] = len(lm.shortened)
    return Scores(
        benchmark=PREFIX + _told(name),
        questions=(),
        isolation="none needed",
        votes=False,
        model=engine.model_hash,
        engine=engine.name,
        key=key,
        protocol=protocol,
        source=f"lm-eval {release}",
    )


def _write(
    folder: Path,
    name: str,
    found: Mapping[str, Any],
    rows: Sequence[Document],
    notes: Sequence[str],
    frame: Scores,
) -> LmEvalResult:
    """Writes samples.jsonl, scores.json where documents are right or wrong, and lm_eval.json last."""
    io.write_bytes(folder / "samples.jsonl", (io.json_line(document.row) for document in rows))
    deciding = {task: ",".join(metric) for task, metric in deciding_metrics(found).items()}
    scores = None
    if rows and all(document.correct is not None for document in rows):
        scores = replace(
            frame,
            questions=tuple(document.stats() for document in rows),
            data_hash=documents_hash(found),
            protocol={**(frame.protocol or {}), "metric": ", ".join(sorted(set(deciding.values())))},
            warnings=tuple(notes),
        )
        scores.write(folder)
    else:
        (folder / "scores.json").unlink(missing_ok=True)
    figures = _figures(found)
    record = {
        "benchmark": PREFIX + name,
        "key": frame.key,
        "model": frame.model,
        "protocol": frame.protocol,
        "documents": len(rows),
        "data_hash": documents_hash(found),
        "metric": deciding,
        "results": figures,
        "versions": {task: str(version) for task, version in found["versions"].items()},
        "n-shot": found["n-shot"],
        "notes": list(notes),
    }
    io.write_json(folder / "lm_eval.json", record)
    return LmEvalResult(name, figures, scores)


@dataclass(frozen=True)
class _Before:
    """What the last finished call left: every document's metrics, and what was noted until then."""

    metrics: Mapping[str, Any]
    notes: Sequence[str]


def _before(folder: Path) -> _Before | None:
    path, rows = folder / "lm_eval.json", folder / "samples.jsonl"
    if not path.exists() or not rows.exists():
        return None
    try:
        metrics = {
            row["id"]: row["metrics"] for _, line in numbered_lines(rows) for row in [parse_line(line)]
        }
        return _Before(metrics, list(json.loads(path.read_bytes())["notes"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TaskError(f"{folder}: is not readable; delete the folder or name another one") from None


def _notes(before: Mapping[str, Any], rows: Sequence[Document], asked: int) -> list[str]:
    """What is not as the last finished call left it, a sentence each."""
    changed = sum(before.get(each.row["id"]) != each.row["metrics"] for each in rows)
    gone = len(before.keys() - {each.row["id"] for each in rows})
    notes = []
    if asked:
        notes.append(
            f"The task's data or prompts have changed: {asked} requests were asked that were not before."
        )
    if changed or gone:
        ending = f", {gone} are no longer there." if gone else "."
        notes.append(
            f"Graded again: {changed} of {len(rows)} documents have other metrics than before{ending}"
        )
    return notes


def folder_name(name: str) -> str:
    """The folder of a task's results: "lm_eval-mmlu"."""
    return text_files.folder_name("lm_eval-" + _told(name))


def check(name: str) -> None:
    """Raises ``TaskError`` where lm-eval is not installed or does not know ``name``."""
    _find(split_part(name)[0])


def split_part(name: str) -> tuple[str, int | None]:
    """A task, and how many documents are asked for ("mmlu[:8]"); None: all of them."""
    found = re.fullmatch(r"(.+)\[:([1-9]\d*)\]", name)
    return (found[1], int(found[2])) if found else (name, None)


def part(name: str, limit: int) -> str:
    """The name of the first ``limit`` documents of ``name``, which may be a part already."""
    whole, least = split_part(name)
    return f"{whole}[:{limit if least is None else min(limit, least)}]"


def _told(name: str) -> str:
    """What results are called: a file's task by the file's name."""
    whole, limit = split_part(name)
    stem = Path(whole).stem if _is_file(whole) else whole
    return stem if limit is None else part(stem, limit)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _find(name: str) -> tuple[Any, str]:
    """lm-eval's task manager, and what it calls the task."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise TaskError(
            f"{PREFIX}{name}: lm-eval is not installed; pip install 'grpo-harness[lm-eval]'"
        ) from None
    if not _is_file(name):
        manager = TaskManager()
        if name not in manager.task_index:
            near = sorted(known for known in manager.task_index if name.lower() in known.lower())[:5]
            hint = f"; near it: {', '.join(near)}" if near else "; `lm-eval ls tasks` lists what it knows"
            raise TaskError(f"{PREFIX}{name}: lm-eval knows no such task{hint}")
        return manager, name
    from lm_eval.tasks._yaml_loader import load_yaml

    path = Path(name)
    try:
        task = str(load_yaml(path, resolve_func=False)["task"])
    except FileNotFoundError:
        raise TaskError(f"{PREFIX}{name}: no such file") from None
    except Exception as error:  # a YAML library's own classes
        raise TaskError(f"{PREFIX}{name}: is not a task of lm-eval ({_first_line(error)})") from None
    return TaskManager(include_path=str(path.parent), include_defaults=False), task


def _run(lm: Any, manager: Any, task: str, name: str, replies: Path, limit: int | None) -> dict[str, Any]:
    """What lm-eval finds of ``task``; what ``replies`` holds is not asked again."""
    import lm_eval

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lm.replies = Replies(replies)
    try:
        found: dict[str, Any] | None = lm_eval.simple_evaluate(
            lm, tasks=[task], task_manager=manager, limit=limit, **(lm.chat.settings if lm.chat else {})
        )
    except TaskError:
        raise
    except Exception as error:  # data sets and 200 tasks' own code: every class there is
        raise TaskError(
            f"{PREFIX}{name}: lm-eval failed: {type(error).__name__}: {_first_line(error)}"
        ) from error
    assert found is not None, "lm-eval answers None in the workers of a distributed run alone"
    return found


def engine_lm(engine: ScoringEngine, seed: int = 0, asked_by: Chat | None = None) -> TemplateLM:
    """The engine as a model of lm-eval; ``asked_by`` is the chat template that it is asked through."""
    from lm_eval import utils
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import normalize_gen_kwargs

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
            for block in _blocks([place for place in pairs if self.replies.get(place) is None]):
                values = engine.loglikelihoods([pairs[place] for place in block])
                self.replies.add(
                    likelihood_row(place, *value) for place, value in zip(block, values, strict=True)
                )
            rows = [self.replies.get(place) or {} for place in places]
            return [(likelihood(row), bool(row["greedy"])) for row in rows]

        def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
            totals = []
            for request in requests:
                place = (digest("loglikelihood_rolling", request.args), 0)
                if self.replies.get(place) is None:
                    windows = utils.get_rolling_token_windows(
                        token_list=self.tok_encode(request.args[0]),
                        prefix_token=self.prefix_token_id,
                        max_seq_len=engine.positions,
                        context_len=1,
                    )
                    pairs = [utils.make_disjoint_window(window) for window in windows]
                    total = sum(value for value, _ in engine.loglikelihoods(pairs))
                    self.replies.add([likelihood_row(place, total)])
                totals.append(likelihood(self.replies.get(place) or {}))
            return totals

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
                places = {
                    number: (digest("generate_until", requests[number].args), place)
                    for members in equal.values()
                    for place, number in enumerate(members)
                }
                missing = [
                    prompt
                    for prompt, members in equal.items()
                    if any(self.replies.get(places[number]) is None for number in members)
                ]
                for block in _blocks(missing):
                    groups = engine.generate(
                        [
                            Request(
                                asked[prompt],
                                len(equal[prompt]),
                                sample_seed(seed, asked[prompt]),
                                logprobs=False,
                            )
                            for prompt in block
                        ],
                        sampling,
                    )
                    self.replies.add(
                        completion_row(places[number], completion)
                        for prompt, group in zip(block, groups, strict=True)
                        for number, completion in zip(equal[prompt], group.completions, strict=True)
                        if self.replies.get(places[number]) is None
                    )
                for prompt, members in equal.items():
                    for number in members:
                        row = self.replies.get(places[number]) or {}
                        texts[number] = Reply.of(row, asked[prompt], thinks=self.chat is not None)
            return texts

        def _opened(self, prompt: str) -> str:
            return prompt if self.chat is None else self.chat.opened(prompt)

        def _shortened(self, prompt: str, wanted: int) -> str:
            """The prompt, or its end where the model has no room for all of it.

            As in lm-eval a prompt's beginning makes room for the completion, but never for more than half
            of the model's positions: what a task allows a completion is more than many models have.
            """
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
            longest = max(len(self.tok_encode(prompt)) for prompt in prompts)
            most = engine.positions - longest
            if sampling.max_tokens <= most:
                return sampling
            self.limits[sampling.max_tokens] = min(most, self.limits.get(sampling.max_tokens, most))
            return replace(sampling, max_tokens=most)

    return EngineLM()


def _blocks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items, ``BLOCK`` at a time: what a kill loses at most."""
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]


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


def _claim(folder: Path, engine: ScoringEngine, name: str, seed: int, chat: Chat | None) -> str:
    """Marks the folder as this evaluation's and returns its key; refuses one that is another's.

    What a task asks and how it is graded is in no key: replies are kept by what was asked, and graded anew.
    """
    asked = {
        "benchmark": PREFIX + name,
        "model": engine.model_hash,
        "engine": engine.name,
        "seed": seed,
    }
    if chat is not None:
        asked["template"] = chat.template.model_dump(mode="json")
    key = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=16).hexdigest()
    path = folder / "key.json"
    if not path.exists():
        if (folder / "lm_eval.json").exists():
            raise TaskError(f"{folder}: holds results but no key.json that says of what; name another folder")
        io.write_json(path, {"key": key, **asked})
        return key
    try:
        same = json.loads(path.read_bytes())["key"] == key
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TaskError(f"{path}: is not readable; delete the folder or name another one") from None
    if not same:
        raise TaskError(
            f"{folder}: holds results of another model, task, template or seed; name another folder"
        )
    return key


def _figures(found: Mapping[str, Any]) -> Figures:
    """Every number that lm-eval reports, groups before their tasks."""
    rows = {**found.get("groups", {}), **found["results"]}
    return {
        task: {metric: float(value) for metric, value in row.items() if _is_number(value)}
        for task, row in rows.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
