"""Rollouts by vLLM servers, which get the policy's weights after every update.

Prompts and completions travel as token ids, so nothing is tokenised twice. Each process of a run asks for
its share of the completions; the first one gives the servers their orders, and starts them where that is
asked for.

New weights may come while completions are drawn (in-flight updates): the servers pause, take the weights,
forget what they computed with the old ones, and go on. So a token is drawn from exactly the distribution
that the weights of its moment give it, and vLLM tells which those were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from evals.base.errors import JobError, UsageError
from evals.base.fleet import Fleet
from evals.base.http import Client, ServerError
from evals.engine import Group, Request, Sampling
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
    in_flight = True
    version = 0
    """Counts the syncs: the number of the weights that are sampled."""

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
        self._model: PreTrainedModel = model
        self._weights_hash = ""
        nccl = servers.transfer == "nccl" or (servers.transfer == "auto" and policy.device.type == "cuda")
        planned = engine.model_copy(update={"max_model_len": engine.max_model_len or room})
        try:
            self._addresses, self._served = dist.decided(
                lambda: self._reach(settings, planned, "nccl" if nccl else plugin.NAME, folder)
            )
            self._transfer = self._meet(servers, nccl)
            self.sync(model)
            self._check_weights()
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
                    f"policy.servers.count: {settings.model} is an adapter, but servers load whole "
                    "models: merge it into its base model first"
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
    def addresses(self) -> Sequence[str]:
        """Where the servers are."""
        return tuple(self._addresses)

    @property
    def weights_hash(self) -> str:
        """Taken when it is asked for: before the policy moves on, by all processes of the run together."""
        self._weights_hash = self._weights_hash or policies.weights_hash(self._model)
        return self._weights_hash

    @property
    def model_hash(self) -> str:
        return policies.joint_hash(self.weights_hash, self._tokenizer)

    def sync(self, model: PreTrainedModel) -> None:
        """Sends the weights piece by piece.

        Other threads may be in ``generate``: what they wait for goes on with the new weights.

        Raises:
            JobError: a server has ended or does not answer.
        """
        self.version += 1
        try:
            for control in self._controls:
                control.pause()
            self._transfer.send(model)
            for control in self._controls:
                control.resume(self.version)
        except JobError as error:
            raise self._why(error) from None
        self._model, self._weights_hash = model, ""

    def _check_weights(self) -> None:
        """Each server finds the policy's log-probabilities of a text, or is refused."""
        for address in self._addresses:
            arrived.check(
                self._policy,
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
        body = self._body(prompt, 1, 0, Sampling(max_tokens=steps), logprobs=True)
        body["sampling_params"] |= {"ignore_eos": True, "stop_token_ids": [], "prompt_logprobs": 0}
        drawn, before = self._ask(
            [address], [body], lambda answer: (_drawn(answer), answer["prompt_logprobs"])
        )[0]
        told = [step[str(token)]["logprob"] for token, step in zip(prompt[1:], before[1:], strict=True)]
        return list(drawn[0].ids), [*told, *drawn[0].scores]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """Samples every request, in order; which server samples one makes no difference.

        Raises:
            UsageError: as other engines.
            JobError: a request got no answer.
        """
        if sampling.thinking_budget is not None:
            raise UsageError(
                "thinking_budget: servers generate whole responses, so thinking cannot be cut short"
            )
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
            ids, scores = [one.ids for one in drawn], [one.scores for one in drawn]
            finished = text.finish_completions(self._tokenizer, ids, scores, self._ends, sampling)
            pairs = zip(finished, drawn, strict=True)
            completions = tuple(replace(completion, versions=one.versions) for completion, one in pairs)
            groups.append(Group(tuple(prompt), completions))
        return groups

    def _ask(self, addresses: Sequence[str], bodies: Sequence[Any], read: Any) -> list[list[Any]]:
        """What ``read`` makes of the answer to each body."""
        clients = [
            Client(address, seconds=self._servers.timeout, pauses=PAUSES, most=IN_FLIGHT)
            for address in addresses
        ]
        found: dict[int, Any] = {}
        with closing(Fleet(clients)) as fleet:
            for arrived in fleet.stream("/inference/v1/generate", bodies, read):
                for place, answer in arrived:
                    if isinstance(answer, ServerError):
                        raise self._why(
                            JobError(
                                f"policy.servers: {', '.join(addresses)}: {answer}; run the same command "
                                "again to resume from the last checkpoint"
                            )
                        )
                    found[place] = answer
        return [found[place] for place in range(len(bodies))]

    def _body(
        self, prompt: Sequence[int], n: int, seed: int, sampling: Sampling, logprobs: bool
    ) -> dict[str, Any]:
        parameters: dict[str, Any] = {
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
            "detokenize": bool(sampling.stop),
            "skip_special_tokens": False,  # a stop string may be one
            "spaces_between_special_tokens": False,
        }
        if logprobs:
            parameters["logprobs"] = 0
        return {"model": self._served, "token_ids": list(prompt), "sampling_params": parameters}

    def release(self) -> None:
        """The servers have devices of their own."""

    def resume(self) -> None:
        """Nothing to take."""

    def close(self) -> None:
        """Ends the servers that were started here; others go on, whatever happened to this run."""
        for control in self._controls:
            if self._launched is None:
                control.let_go()
            with contextlib.suppress(Exception):
                control.close()
        if self._launched is not None:
            self._launched.close()
            self._launched = None


@dataclass(frozen=True)
class _Drawn:
    """A completion as a server tells it: log-probabilities are empty where nobody asked for them."""

    ids: tuple[int, ...]
    scores: tuple[float, ...]
    versions: tuple[int, ...]


def _drawn(answer: Any) -> list[_Drawn]:
    """The completions of vLLM's answer, in the order of their seeds.

    Raises:
        ValueError: a token lacks its log-probability or the number of its weights.
    """
    found = []
    for choice in sorted(answer["choices"], key=lambda choice: int(choice["index"])):
        ids = tuple(int(token) for token in choice["token_ids"])
        told = choice["logprobs"]
        scores = () if told is None else tuple(float(step["logprob"]) for step in told["content"])
        versions = tuple(
            int(span["version"])
            for span in choice["weight_versions"]
            for _ in range(span["start"], span["end"])
        )
        if len(versions) != len(ids) or (scores and len(scores) != len(ids)):
            raise ValueError("each token needs a log-probability and a version")
        found.append(_Drawn(ids, scores, versions))
    return found
