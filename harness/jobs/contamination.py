"""Probes whether a model has seen benchmarks: completions and bare answers of each, then probe.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals import templates
from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.chat import NoTokenizer, ServerTemplate
from evals.contamination import (
    Probed,
    answer_only,
    completion_figures,
    continued,
    sentence,
    suspicious,
)
from evals.engine import Sampling
from evals.protocols import Protocol
from evals.scores import Scores
from evals.task import Task, folder_of
from evals.templates import Template
from harness import config
from harness.engines.registry import EngineKind
from harness.train.benchmarks import evaluate
from reports.probes import PROBE, Probe

LONGEST = 512
"""Tokens of a completion at most; no more than the longest right one has characters."""
BARE = 32
"""Tokens of a bare answer."""
GO_ON = (
    "Continue this text from exactly where it breaks off. Reply with the continuation alone.\n\n{question}"
)
BLIND = "{question}\nReply with the final answer alone, within \\boxed{}, without any reasoning."


@dataclass(frozen=True)
class Found:
    """The benchmarks, and the task that they are read beside."""

    probed: tuple[Probed, ...]
    against: Probed | None

    def sentences(self) -> list[str]:
        """What was found, a sentence each."""
        return [sentence(each, self.against) for each in self.probed]

    def to_json(self) -> dict[str, Any]:
        """The content of probe.json."""
        rows = [
            {**each.to_json(), "suspicious": suspicious(each, self.against), "sentence": told}
            for each, told in zip(self.probed, self.sentences(), strict=True)
        ]
        return {"tasks": rows, "against": None if self.against is None else self.against.to_json()}


def probe(
    policy: config.Policy,
    tasks: Sequence[Task],
    against: Task | None,
    folder: Path,
    progress: Progress,
    engine: EngineKind = "transformers",
    batch_size: int | None = None,
) -> Found:
    """Asks greedily for the rest of questions, and for bare answers, into ``folder``; resumes what is there.

    Raises:
        UsageError, TaskError: the model or a data set is not there, or no question is long enough.
    """
    every = [*tasks, *([] if against is None else [against])]
    names = [task.name for task in every]
    if len(set(names)) < len(names):
        raise UsageError(f"--benchmarks, --against: a task is named twice: {', '.join(names)}")
    if policy.server is not None:  # templates of text need no tokenizer at a server
        policy = policy.model_copy(update={"template": "plain"})
    tokenizer = _tokenizer(policy)
    asked: list[tuple[Task, Protocol]] = []
    for task in every:
        rest, blind = continued(task), answer_only(task)
        longest = max(len(question.gold) for question in rest.questions(rest.benchmark))
        asked.append((rest, _greedy(completion_template(tokenizer), min(LONGEST, longest))))
        if blind is not None:
            asked.append((blind, _greedy(blind_template(tokenizer), BARE)))
    scores = evaluate(policy, asked, folder, progress, engine, batch_size=batch_size).scores
    by_name = {each.benchmark: each for each in scores}
    probed = [_probed(task, by_name, folder) for task in every]
    found = Found(tuple(probed[: len(tasks)]), None if against is None else probed[-1])
    Probe.model_validate(found.to_json()).write(folder / PROBE)
    return found


def _greedy(template: Template, max_tokens: int) -> Protocol:
    return Protocol("probe", Sampling(temperature=0.0, max_tokens=max_tokens), template, samples=1)


def _tokenizer(policy: config.Policy) -> Any:
    """The tokenizer whose chat template, if any, decides how the model is asked."""
    if policy.server is not None:
        return NoTokenizer() if policy.server.api == "completions" else ServerTemplate()
    from harness.models.policy import load_tokenizer
    from harness.models.sources import config_folder

    return load_tokenizer(config_folder(policy))


def completion_template(tokenizer: Any) -> Template:
    """The text as it stands, to be continued; a server that knows chats alone is told to."""
    if isinstance(tokenizer, ServerTemplate):
        return Template(instruction=GO_ON, opens="")
    return Template(kind="text", instruction="{question}", opens="")


def blind_template(tokenizer: Any) -> Template:
    """The bare answer is asked for; a model that thinks is handed a reasoning that has ended."""
    if not templates.has_chat_template(tokenizer):
        return Template(kind="text", instruction="{question}\nAnswer:", opens="", stop=("\n",))
    if isinstance(tokenizer, ServerTemplate):
        return Template(instruction=BLIND, opens="")
    settings = {"enable_thinking": False} if "enable_thinking" in str(tokenizer.chat_template) else {}
    template = Template(instruction=BLIND, opens="", chat_template_kwargs=settings)
    prompt = templates.chat_text(template, [{"role": "user", "content": ""}], tokenizer, templates.CHAT)
    if templates.opens_thinking(prompt):
        return template.model_copy(update={"opens": f"\n{templates.THINK_CLOSES}\n\n"})
    if templates.thinks(tokenizer) and not settings:
        return template.model_copy(update={"opens": f"{templates.THINK}\n{templates.THINK_CLOSES}\n\n"})
    return template


def _probed(task: Task, scores: dict[str, Scores], folder: Path) -> Probed:
    rest, blind = continued(task), answer_only(task)
    exact, rouge = completion_figures(folder / folder_of(rest.name), rest.questions(rest.benchmark))
    completed = scores[rest.name]
    return Probed(
        task.name,
        completed.model,
        len(completed.questions),
        exact,
        rouge,
        None if blind is None else scores[blind.name].pass_at_1(),
    )
