"""The options for a model behind a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from evals.base.errors import UsageError

if TYPE_CHECKING:
    from evals.templates import Template
    from harness.config import Policy, Server

PANEL = "Served models"

Addresses = Annotated[
    str | None,
    typer.Option(
        "--server",
        rich_help_panel=PANEL,
        help="Base URL of an OpenAI-compatible server that serves the model, up to and including /v1. "
        "Several, comma-separated, share the load.",
    ),
]
Api = Annotated[
    Literal["chat", "completions"] | None,
    typer.Option(
        rich_help_panel=PANEL,
        help="chat (the default) uses the server's chat template; completions sends rendered prompts.",
    ),
]
KeyEnv = Annotated[
    str | None,
    typer.Option(rich_help_panel=PANEL, help="Name of the environment variable that holds the API key."),
]
ServedModel = Annotated[
    str | None,
    typer.Option(rich_help_panel=PANEL, help="The model's name on the server. By default, MODEL."),
]
ChatTemplateKwargs = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=PANEL,
        metavar="JSON",
        help="""Extra variables for the chat template: '{"enable_thinking": false}'.""",
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, rich_help_panel=PANEL, help="Maximum number of concurrent requests per server. Default: 256."
    ),
]
Price = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=PANEL,
        metavar="IN,OUT",
        help="Price of a million prompt tokens and of a million response tokens: 0.5,1.5",
    ),
]


def server_of(
    addresses: str | None,
    api: str | None,
    key_env: str | None,
    model: str | None,
    concurrency: int | None,
    price: str | None,
    known: Server | None = None,
) -> Server | None:
    """The `[policy.server]` table that the options describe; None without an address.

    ``known`` is an experiment file's, which options without --server change. With --server nothing of it
    stays: its key is not for another address.

    Raises:
        UsageError: an option is invalid, or has no effect without --server.
    """
    from harness.config import Server

    given = {"api": api, "key_env": key_env, "model": model, "concurrency": concurrency, "price": price}
    asked: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if addresses is None:
        if known is None and asked:
            option = {"model": "served-model"}.get(first := next(iter(asked)), first).replace("_", "-")
            raise UsageError(f"--{option} has no effect without --server")
        if not asked:
            return known
    if price is not None:
        del asked["price"]
        asked |= _prices(price)
    table: dict[str, Any] = (
        {"addresses": addresses} if addresses is not None or known is None else known.model_dump()
    )
    try:
        return Server(**{**table, **asked})
    except ValidationError as error:
        first_error = error.errors()[0]
        key = str(first_error["loc"][0]) if first_error["loc"] else "addresses"
        option = {"addresses": "server", "price_in": "price", "price_out": "price"}.get(key, key)
        said = first_error["msg"].removeprefix("Value error, ")
        raise UsageError(f"--{option.replace('_', '-')}: {said}") from None


def policy_in(model: str) -> Policy | None:
    """The policy of MODEL where that is an experiment file.

    Raises:
        UsageError: no such file, or an invalid experiment.
    """
    from harness import config

    return config.read_experiment([Path(model)]).policy if model.endswith(".toml") else None


def policy_of(model: str, written: Policy | None, given: Mapping[str, Any]) -> Policy:
    """The policy that MODEL and the options describe; ``given`` overrides what is ``written`` in its file."""
    from harness import config

    fields = config.Policy.model_fields
    asked = {key: value for key, value in given.items() if value != fields[key].default}
    return config.Policy(model=model, **asked) if written is None else written.model_copy(update=asked)


def check_unused(policy: Policy, **options: tuple[object, object]) -> None:
    """Refuses options that only apply to a local model. ``options``: the value given, and the default.

    Raises:
        UsageError: the policy is behind a server, and one of the options is not at its default.
    """
    if policy.server is None:
        return
    for key in ("dtype", "device", "vllm_memory", "trust_remote_code"):
        options[key] = getattr(policy, key), type(policy).model_fields[key].default
    for name, (given, usual) in options.items():
        if given != usual:
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect with --server: it is decided where the server "
                "is started"
            )


def with_chat_settings(template: str | Template, text: str | None) -> str | Template:
    """The template with extra variables for the tokenizer's chat template.

    Raises:
        UsageError: the text is not a JSON object, or the template is not of kind "chat".
    """
    from evals import templates

    if text is None:
        return template
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise UsageError(
            f'--chat-template-kwargs: {text!r} is not a JSON object, such as {{"enable_thinking": false}}'
        )
    found = templates.find(templates.CHAT if template == templates.AUTO else template)
    if not isinstance(found, templates.Template) or found.kind != "chat":
        raise UsageError("--chat-template-kwargs needs a template of kind chat")
    return found.model_copy(update={"chat_template_kwargs": settings})


def _prices(text: str) -> dict[str, float]:
    try:
        price_in, price_out = (float(each) for each in text.split(","))
    except ValueError:
        raise UsageError(f"--price: {text!r} is not two comma-separated numbers, such as 0.5,1.5") from None
    return {"price_in": price_in, "price_out": price_out}
