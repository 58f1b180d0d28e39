"""Measures a policy on benchmarks: a folder per benchmark, each resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals import lm_eval, protocols
from evals.base.errors import UsageError, first_line
from evals.base.progress import Progress, Update
from evals.engine import Request
from evals.graders.registry import check_grader, grader_of
from evals.lm_eval import LmEvalResult
from evals.pace import Advance, Pace
from evals.protocols import Protocol
from evals.runner import sample_benchmark
from evals.scores import Scores
from evals.task import Question, Task, folder_of
from evals.tasks.registry import EVERYONE, Tasks
from evals.templates import AUTO, Template, find, label, render
from harness import config
from harness.train.questions import QuestionSets

if TYPE_CHECKING:
    from harness.engines.registry import EngineKind


@dataclass(frozen=True)
class Measured:
    """Scores of our own benchmarks, and what lm-eval's tasks came to."""

    scores: list[Scores]
    suites: list[LmEvalResult]

    def to_json(self) -> list[Mapping[str, Any]]:
        """What ``harness eval --json`` prints: an entry for each benchmark."""
        return [each.to_json() for each in self.scores] + [each.to_json() for each in self.suites]


def preset(name: str, policy: config.Policy) -> Protocol:
    """The protocol of this name; "model" is read from the policy's generation_config.json.

    Raises:
        TaskError: there is no such protocol.
        UsageError: the model is not there, or has no generation_config.json that can be read.
    """
    if name != protocols.MODEL:
        return protocols.get(name)
    from harness.models.sources import config_folder

    path = config_folder(policy) / "generation_config.json"
    try:
        generation = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f'{path}: the protocol "model" takes its sampling from this file, and it cannot be read '
            f"({first_line(error)}); accepted besides: {', '.join(protocols.PRESETS)}"
        ) from None
    if not isinstance(generation, dict):
        raise UsageError(f"{path}: must hold a JSON object")
    return protocols.get(name, generation)


def protocol_of(settings: config.Eval, policy: config.Policy, task: Task, seed: int) -> Protocol:
    """What an experiment states for one task: a preset, what ``[eval]`` changes, the policy's template."""
    samples = settings.samples.get(task.name) if isinstance(settings.samples, dict) else settings.samples
    usual = preset(settings.protocol, policy)
    given = {key: getattr(settings, key) for key in ("temperature", "top_p", "max_tokens")}
    return usual.changed(
        **{key: value for key, value in given.items() if value is not None},
        **settings.drawing(),
        template=policy.template,
        samples=usual.samples if samples is None else samples,
        seed=seed,
        unclosed_answers=settings.unclosed_answers,
    )


def evaluate(
    policy: config.Policy,
    asked: Sequence[tuple[Task, Protocol]],
    folder: Path,
    progress: Progress,
    engine: EngineKind = "transformers",
    suites: Sequence[str] = (),
    seed: int = 0,
    sets: QuestionSets | None = None,
    batch_size: int | None = None,
    suites_max_tokens: int | None = None,
) -> Measured:
    """Samples and grades every benchmark into ``folder/NAME``; what is already there is not done again.

    ``suites`` are tasks that lm-eval runs through the same engine; ``seed`` is their sampled completions',
    and ``suites_max_tokens`` the longest of them, by default what each task allows.
    ``sets``: the questions that were read already. ``batch_size``: completions that are sampled at once, by
    default as many as the memory holds.

    Raises:
        UsageError, TaskError: the model, a data set or a template that is not there.
    """
    from harness.config.choice import Choice
    from harness.engines.registry import block_size, evaluation_engine
    from harness.engines.served import ServedEngine
    from harness.engines.served_scoring import ServedScoring

    for name in suites:
        lm_eval.check(name)
    _check_served(
        policy, [*(protocol.template for _, protocol in asked), *([policy.template] if suites else [])]
    )
    sets = sets or QuestionSets()
    questions = {task.name: sets.benchmark(task) for task, _ in asked}  # before the model is loaded
    for task, _ in asked:
        check_grader(task)
    plans = Choice.model_validate(engine).kind != "transformers" and policy.server is None
    room = _room(policy, asked, questions) if plans and not suites else None
    loaded = evaluation_engine(engine, policy, room, batch_size)
    scores = []
    for task, protocol in asked:
        wanted = questions[task.name]
        total = len(wanted) * protocol.samples_of(task)
        with (
            grader_of(task) as grader,
            progress.step(f"{folder.name}: {task.name}", total) as update,
        ):
            scores.append(
                sample_benchmark(
                    loaded,
                    task,
                    wanted,
                    protocol,
                    folder / folder_of(task.name),
                    grader,
                    progress=_told(update),
                    block=batch_size or block_size(loaded, protocol.sampling.max_tokens),
                )
            )
    results = []
    for name in suites:
        with progress.step(f"{folder.name}: {lm_eval.PREFIX}{name}", 1) as update:
            target = folder / lm_eval.folder_name(name)
            asked_of = ServedScoring(loaded, policy) if isinstance(loaded, ServedEngine) else loaded
            results.append(lm_eval.evaluate(asked_of, name, target, seed, policy.template, suites_max_tokens))
            update(1)
    return Measured(scores, results)


def _check_served(policy: config.Policy, templates: Sequence[str | Template]) -> None:
    """A chat server makes the prompt: a template of text would do nothing there.

    Raises:
        UsageError: names the template and what is accepted.
    """
    if policy.server is None or policy.server.api == "completions":
        return
    for template in templates:
        found = None if template == AUTO else find(template)
        if found is not None and not (isinstance(found, Template) and found.kind == "chat"):
            raise UsageError(
                f"template {label(template)!r} makes a text to be continued, and a chat is asked by "
                'messages; take chat-boxed or another of kind "chat", or --api completions '
                '(policy.server.api = "completions")'
            )


def _room(
    policy: config.Policy,
    asked: Sequence[tuple[Task, Protocol]],
    questions: Mapping[str, Sequence[Question]],
) -> int | None:
    """Positions that the longest prompt of all benchmarks and its completion take."""
    from harness.engines import tokens as text
    from harness.models.policy import load_tokenizer
    from harness.models.sources import config_folder

    tokenizer = load_tokenizer(config_folder(policy))
    found = []
    for task, protocol in asked:
        prompts = [render(question, task, protocol.template, tokenizer) for question in questions[task.name]]
        encoded = text.encode_prompts(tokenizer, [Request(prompt, 1, 0) for prompt in prompts])
        found.append(max(map(len, encoded), default=0) + protocol.sampling.max_tokens)
    return max(found, default=None)


def _told(update: Update) -> Callable[[Advance], None]:
    """Reports how far sampling has come, with the tokens so far and how many there were a second."""
    pace = Pace()

    def report(now: Advance) -> None:
        words, left = pace(now)
        update(now.worth, words, left)

    return report


def protocol_for(
    policy: config.Policy,
    named: str,
    protocol: str,
    samples: int | None,
    seed: int,
    asked: Mapping[str, Any],
    unclosed_answers: bool = True,
) -> Protocol:
    """The preset ``protocol`` with what was ``asked`` for in place of its own; None in it asks for nothing.

    The template is by default the usual one for the policy's tokenizer. An embedded policy, by what it began
    as ("tiny"), was pretrained on one template, and has few positions: that is its default.

    Raises:
        TaskError: there is no such preset, or fewer than one sample.
        UsageError: the policy has no sampling settings of its own, which were asked for.
    """
    from harness.models.tiny.build import SIZES

    changes = {key: value for key, value in asked.items() if value is not None}
    usual = {"template": "tags", "max_tokens": 256} if named in SIZES else {"template": AUTO}
    chosen = (
        preset(protocol, policy)
        .changed(**(usual | changes))
        .changed(unclosed_answers=unclosed_answers, seed=seed)
    )
    return chosen if samples is None else chosen.changed(samples=samples)


def known_tasks(names: Sequence[str], tasks: Tasks = EVERYONE, limit: int | None = None) -> list[Task]:
    """The tasks of these names; with ``limit`` the first so many questions of each.

    Raises:
        TaskError: a task that is not known; the message lists what there is.
    """
    return [tasks.get(name.strip(), limit) for name in names]


def split_names(
    names: Sequence[str], tasks: Tasks = EVERYONE, limit: int | None = None
) -> tuple[list[Task], list[str]]:
    """Our own tasks among ``names``, and what ``lm_eval:NAME`` leaves to lm-eval, with ``limit`` in its name.

    Raises:
        TaskError: a task of ours that is not known.
    """
    stripped = [name.strip() for name in names]
    suites = [name.removeprefix(lm_eval.PREFIX) for name in stripped if name.startswith(lm_eval.PREFIX)]
    if limit is not None:
        suites = [lm_eval.part(name, limit) for name in suites]
    ours = [name for name in stripped if not name.startswith(lm_eval.PREFIX)]
    return known_tasks(ours, tasks, limit), suites
