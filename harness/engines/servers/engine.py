"""Rollouts by vLLM servers, which get the policy's weights after every update.

Prompts and completions travel as token ids, so nothing is tokenised twice. Each process of a run asks for
its share of the completions; the first one gives the servers their orders, and starts them where that is
asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from evals.base.errors import JobError, UsageError
from evals.base.fleet import Fleet
from evals.base.http import Client, ServerError
from evals.engine import Completion, Group, Request, Sampling
from harness import config
from harness.config.servers import Servers
from harness.engines import arrived
from harness.engines import tokens as text
from harness.engines.servers import plugin
from harness.engines.servers.control import Control
from harness.engines.servers.launch import Launched, split_devices
from harness.engines.servers.transfer import GlooTransfer, NcclTransfer, Transfer, address_towards
from harness.engines.vllm_settings import VllmSettings
from harness.engines.vllm_start import subject_in
from harness.models import dist, sources
from harness.models import policy as policies
from harness.models.devices import visible_devices
from harness.models.policy import Policy

PAUSES = (1.0, 2.0, 4.0)
"""Seconds between tries: a server that has gone does not come back, and the run should say so."""
IN_FLIGHT = 1024
"""Requests at one server at once: it holds the others back itself."""


class ServersEngine:
    """Samples a policy that servers hold a copy of."""

    name = "vllm"
    takes_pieces = True

    def __init__(
        self,
        policy: Policy,
        settings: config.Policy,
        engine: VllmSettings,
        room: int | None = None,
        folder: Path | None = None,
    ) -> None:
        """Starts the servers where they are to be started, and gives them the policy's weights.

        ``engine``: the settings of servers that are started. ``folder``: where those write what they say.

        Raises:
            UsageError: there are not as many GPUs, or a server takes no weights, or finds other
                log-probabilities than the policy's own forward pass.
            JobError: a server does not start or does not answer.
        """
        assert settings.servers is not None
        self._servers = servers = settings.servers
        self._policy = policy
        self._tokenizer = policy.tokenizer
        model = policy.model
        self._ends = text.end_tokens(model.config, model.generation_config, policy.tokenizer)
        self._positions = min(policy.positions, engine.max_model_len or room or policy.positions)
        self._launched: Launched | None = None
        self._controls: list[Control] = []
        self._weights_hash = ""
        nccl = servers.transfer == "nccl" or (servers.transfer == "auto" and policy.device.type == "cuda")
        planned = engine.model_copy(update={"max_model_len": engine.max_model_len or room})
        try:
            self._addresses, self._served = dist.decided(
                lambda: self._reach(settings, planned, "nccl" if nccl else plugin.NAME, folder)
            )
            self._transfer = self._meet(servers, nccl)
            self.sync(model)
        except BaseException:
            self.close()
            raise

    def _reach(
        self, settings: config.Policy, engine: VllmSettings, backend: str, folder: Path | None
    ) -> tuple[list[str], str]:
        """The addresses of servers that answer, and the name that they serve the model by."""
        servers = self._servers
        addresses = servers.addresses
        if servers.count:
            source = sources.find(settings)
            if source.adapter is not None:
                raise UsageError(
                    f"policy.servers.count: {settings.model} is an adapter, and servers load whole models: "
                    "merge it into its base first"
                )
            devices: list[list[str]] = [[] for _ in range(servers.count)]
            if self._policy.device.type == "cuda":
                each = engine.tensor_parallel * engine.data_parallel
                devices = split_devices(visible_devices(), dist.local_world(), servers.count, each)
            subject = subject_in(source.folder, settings)
            place = folder or Path("servers")
            self._launched = Launched(subject, self._policy.device, engine, backend, place, devices)
            self._launched.wait(servers.starts_within)
            addresses = self._launched.addresses
        self._controls = [Control(address, servers.timeout) for address in addresses]
        for control in self._controls:
            control.wait(servers.starts_within)
        return addresses, self._controls[0].served()

    def _meet(self, servers: Servers, nccl: bool) -> Transfer:
        dtype = self._policy.dtype
        host = servers.hosts[0] if servers.addresses else "127.0.0.1"
        address = servers.meet or address_towards(host)
        if nccl:
            return NcclTransfer(self._controls, address, dtype, self._policy.model)
        return GlooTransfer(self._controls, address, dtype, servers.timeout)

    @property
    def tokenizer(self) -> Any:
        return self._tokenizer

    @property
    def positions(self) -> int:
        """Of a prompt and its completion together."""
        return self._positions

    @property
    def weights_hash(self) -> str:
        return self._weights_hash

    @property
    def model_hash(self) -> str:
        return policies.joint_hash(self._weights_hash, self._tokenizer)

    def sync(self, model: PreTrainedModel) -> None:
        """Sends the weights piece by piece, and asks each server for log-probabilities of a text.

        Raises:
            JobError: a server has ended or does not answer.
            UsageError: a server finds other log-probabilities than ``model``.
        """
        try:
            self._transfer.send(model)
            for control in self._controls:
                control.order("/reset_prefix_cache")
        except JobError as error:
            raise self._why(error) from None
        self._weights_hash = policies.weights_hash(model)
        policy = Policy(model, self._tokenizer, self._policy.name, self._policy.dtype)
        for address in self._addresses:
            arrived.check(
                policy,
                self._positions,
                f"the server at {address}",
                lambda prompt, steps, address=address: dist.decided(  # type: ignore[misc]
                    lambda: self._score(address, prompt, steps)
                ),
            )

    def _why(self, error: JobError) -> JobError:
        """Where a server that was started here has ended, that is the reason."""
        ended = self._launched.ended() if self._launched else None
        return JobError(ended) if ended else error

    def _score(self, address: str, prompt: Sequence[int], steps: int) -> tuple[list[int], list[float]]:
        """A server's log-probabilities of ``prompt`` but for its first token, and of what it draws then."""
        body = {
            **self._body(prompt, 1, 0, Sampling(max_tokens=steps), logprobs=True),
            "ignore_eos": True,
            "stop_token_ids": [],
            "prompt_logprobs": 0,
        }
        [(ids, scores, before)] = self._ask([address], [body], _drawn_and_read)[0]
        told = [step[str(token)]["logprob"] for token, step in zip(prompt[1:], before[1:], strict=True)]
        return ids, [*told, *scores]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """Samples every request, in order; which server samples one makes no difference.

        Raises:
            UsageError: as other engines.
            JobError: a request got no answer.
        """
        if sampling.thinking_budget is not None:
            raise UsageError("thinking_budget: servers are asked for whole responses")
        prompts = text.encode_prompts(self._tokenizer, requests)
        text.check_lengths(prompts, sampling, self._positions)
        bodies = [
            self._body(
                prompt, request.n if sampling.temperature > 0 else 1, request.seed, sampling, request.logprobs
            )
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        groups = []
        for request, prompt, drawn in zip(
            requests, prompts, self._ask(self._addresses, bodies, _drawn), strict=True
        ):
            drawn *= request.n // len(drawn)  # a greedy completion is asked for once
            ids, scores = [list(one[0]) for one in drawn], [one[1] for one in drawn]
            completions: list[Completion] = text.finish_completions(
                self._tokenizer, ids, scores, self._ends, sampling
            )
            groups.append(Group(tuple(prompt), tuple(completions)))
        return groups

    def _ask(self, addresses: Sequence[str], bodies: Sequence[Any], read: Any) -> list[list[Any]]:
        """What ``read`` makes of the answer to each body."""
        clients = [
            Client(address, seconds=self._servers.timeout, pauses=PAUSES, most=IN_FLIGHT)
            for address in addresses
        ]
        found: dict[int, Any] = {}
        with closing(Fleet(clients)) as fleet:
            for arrived in fleet.stream("/v1/completions", bodies, read):
                for place, answer in arrived:
                    if isinstance(answer, ServerError):
                        raise self._why(
                            JobError(
                                f"policy.servers: {', '.join(addresses)}: {answer}; the same command resumes "
                                "from the last checkpoint"
                            )
                        )
                    found[place] = answer
        return [found[place] for place in range(len(bodies))]

    def _body(
        self, prompt: Sequence[int], n: int, seed: int, sampling: Sampling, logprobs: bool
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._served,
            "prompt": list(prompt),
            "n": n,
            "seed": seed,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
            "stop": list(sampling.stop),
            "stop_token_ids": sorted(self._ends),
            "return_token_ids": True,
            "skip_special_tokens": False,  # a stop string may be one
            "spaces_between_special_tokens": False,
        }
        return body | {"logprobs": 0} if logprobs else body

    def release(self) -> None:
        """The servers have devices of their own."""

    def resume(self) -> None:
        """Nothing to take."""

    def close(self) -> None:
        """Ends the servers that were started here."""
        for control in self._controls:
            with contextlib.suppress(Exception):
                control.close()
        if self._launched is not None:
            self._launched.close()
            self._launched = None


def _drawn(answer: Any) -> list[tuple[list[int], list[float]]]:
    """Token ids and log-probabilities of each completion, in the order of their seeds."""
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    found = []
    for choice in choices:
        ids = [int(token) for token in choice["token_ids"]]
        told = choice.get("logprobs")
        scores = [] if told is None else [float(score) for score in told["token_logprobs"]]
        if scores and len(scores) != len(ids):
            raise ValueError("as many log-probabilities as tokens are needed")
        found.append((ids, scores))
    return found


def _drawn_and_read(answer: Any) -> list[tuple[list[int], list[float], list[Any]]]:
    """As ``_drawn``, with what the server tells of the prompt's tokens."""
    [(ids, scores)] = _drawn(answer)
    return [(ids, scores, answer["choices"][0]["prompt_logprobs"])]
