"""The command that prints prompts token by token: prompts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.base.errors import UsageError
from evals.base.text import printable
from harness.cli.app import MEASURE, Json, app, print_json

if TYPE_CHECKING:
    from evals.tasks.registry import Tasks
    from evals.templates import Template


RESPONSE = "⟦the response begins here⟧"


@dataclass(frozen=True)
class Shown:
    """One prompt."""

    id: str
    """The question's."""
    template: str
    prompt: str
    """The text handed to an engine; the tokenizer may put a start token in front of it."""
    token_ids: list[int]
    tokens: list[str]
    """The text of each token; joined, they are what the model sees."""
    stop: list[str]
    """Strings that end a response, besides the model's end tokens."""


@app.command(rich_help_panel=MEASURE)
def prompts(
    model: Annotated[
        str,
        typer.Argument(
            help='A Hugging Face model (OWNER/NAME), a folder, "tiny", or an experiment file (TOML), for its '
            "policy."
        ),
    ],
    benchmark: Annotated[
        str, typer.Option(help="A task, optionally with a split and a slice: gsm8k:train[:100].")
    ],
    template: Annotated[
        str | None,
        typer.Option(
            help='Prompt template: r1-zero, chat-boxed, plain, tags or "file.py:name". By default, the one '
            "that `harness eval` chooses."
        ),
    ] = None,
    system_prompt: Annotated[str | None, typer.Option(help="Replace the template's system message.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of questions.")] = 1,
    ids: Annotated[bool, typer.Option("--ids", help="Also print the id and text of every token.")] = False,
    as_json: Json = False,
) -> None:
    """Prints exactly what a model sees for the questions of a task, special tokens included. Samples nothing.

    Example: harness prompts tiny --benchmark tiny-math --ids
    """
    shown = _prompts(model, benchmark, template, system_prompt, count)
    if as_json:
        print_json([asdict(each) for each in shown])
        return
    for each in shown:
        stops = f", stops at {', '.join(map(repr, each.stop))}" if each.stop else ""
        typer.echo(f"--- {benchmark}, question {each.id}: template {each.template}, ", nl=False)
        typer.echo(f"{len(each.token_ids)} tokens{stops}")
        typer.echo(printable("".join(each.tokens)) + RESPONSE)
        if ids:
            width = len(str(max(each.token_ids)))
            for number, piece in zip(each.token_ids, each.tokens, strict=True):
                typer.echo(f"{number:>{width}}  {printable(repr(piece))}")


def template_of(model: str, template: str | None, system: str | None) -> str | Template:
    """The template that the options choose. The tiny model's default is the one it was pretrained on.

    Raises:
        UsageError: no such template, or a system message for a template that is a function.
    """
    from evals import templates
    from harness.models.tiny.build import SIZES

    chosen = template or ("tags" if model in SIZES else templates.AUTO)
    templates.check(chosen)
    return chosen if system is None else with_system(chosen, system)


def with_system(template: str | Template, system: str) -> Template:
    """The template with another system message. "auto" stands for the chat template."""
    from evals import templates

    found = templates.find(templates.CHAT if template == templates.AUTO else template)
    if not isinstance(found, templates.Template):
        raise UsageError(
            f"--system-prompt does not apply to {template!r}, a function that builds the whole prompt"
        )
    return found.model_copy(update={"system": system})


def _prompts(model: str, benchmark: str, template: str | None, system: str | None, count: int) -> list[Shown]:
    from evals import templates
    from evals.engine import Request
    from harness.engines.tokens import encode_prompts
    from harness.models.policy import load_tokenizer
    from harness.models.sources import config_folder

    settings = _policy(model, template, system)
    task, questions = _tasks(model).load_spec(benchmark)
    tokenizer = load_tokenizer(config_folder(settings))
    chosen = templates.resolved(settings.template, tokenizer)
    stop = list(templates.stops(chosen, tokenizer))
    found = []
    for question in questions[:count]:
        prompt = templates.render(question, task, chosen, tokenizer)
        (token_ids,) = encode_prompts(tokenizer, [Request(prompt, 1, 0)])
        pieces = _pieces(tokenizer, token_ids)
        found.append(Shown(question.id, templates.label(chosen), prompt, token_ids, pieces, stop))
    return found


def _policy(model: str, template: str | None, system: str | None) -> Any:
    """The policy of an experiment file, or the model with the template that the options choose."""
    from pathlib import Path

    from harness import config

    if not model.endswith(".toml"):
        return config.Policy(model=model, template=template_of(model, template, system))
    policy = config.read_experiment([Path(model)]).policy
    chosen = policy.template if template is None else template_of(policy.model, template, None)
    return policy.model_copy(update={"template": chosen if system is None else with_system(chosen, system)})


def _tasks(model: str) -> Tasks:
    """The tasks that can be named, including those of an experiment file or a run's folder."""
    from pathlib import Path

    from harness import config

    if model.endswith(".toml"):
        return config.tasks_of(config.read_experiment([Path(model)]).tasks)
    return config.read_tasks(None, model)


def _pieces(tokenizer: Any, token_ids: list[int]) -> list[str]:
    """The text that each token adds. Joined, they are the prompt, start token included.

    A character made up of several tokens is attributed to the last of them.
    """
    pieces: list[str] = []
    first, told = 0, ""  # told: the text of the tokens from ``first`` on that have pieces
    for end in range(1, len(token_ids) + 1):
        text = tokenizer.decode(
            token_ids[first:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if text.endswith("\ufffd") and end < len(token_ids):
            pieces.append("")
            continue
        pieces.append(text[len(told) :])
        first, told = end - 1, ""
        told = tokenizer.decode(
            token_ids[first:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
    return pieces
