"""Sampling with vLLM in this process, its weights replaced in place whenever the policy has moved on.

vLLM loads the architecture alone; the weights come from the policy by ``sync``, the first time too, so
nothing but the configuration and the tokenizer touches the disk. ``SamplingParams(n=…)`` prefills a
prompt once, and vLLM gives child ``i`` the seed ``seed + i``: the engine contract as it stands.

One figure is vLLM's own: with top-p or top-k on, its log-probabilities are of the truncated distribution.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from evals.base.errors import JobError, UsageError, first_line
from evals.engine import Group, Request, Sampling, TokenPair
from harness.engines import tokens as text
from harness.engines import vllm_start
from harness.models import lora, trial
from harness.models import policy as policies
from harness.models.policy import Policy

TRIAL_TOKENS, TRIAL_STEPS = 32, 8
"""Of the text that both sides score after a sync: read, and sampled."""


class VllmEngine:
    """Samples a ``Policy`` through ``vllm.LLM``. Not for two threads at once."""

    name = "vllm"

    def __init__(
        self,
        policy: Policy,
        *,
        room: int | None = None,
        device: torch.device | None = None,
        cache_gib: float = 1.0,
        memory_share: float | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Builds the engine, gives it the policy's weights, and asks it for their log-probabilities.

        Args:
            policy: what is sampled.
            room: positions that the longest prompt and its completion will need; by default as many as the
                model has and the memory holds.
            device: where vLLM runs, by default where the policy lies.
            cache_gib: room for keys and values on a CPU.
            memory_share: the share of a GPU's memory that vLLM may take; by default what training leaves.
            batch_size: completions that are sampled at once; by default vLLM's own choice.

        Raises:
            UsageError: vLLM is not installed, cannot run this architecture, or does not find the
                log-probabilities that the policy's own forward pass finds.
        """
        if importlib.util.find_spec("vllm") is None:
            raise UsageError(
                'the engine "vllm" is not installed: pip install "grpo-harness[vllm]" '
                '(on a machine without a GPU: make test-vllm shows how), or take engine "transformers"'
            )
        device = device or policy.device
        self._on_gpu = device.type == "cuda"
        self._tokenizer = policy.tokenizer
        self._ends = text.end_tokens(policy.model.config, policy.model.generation_config, policy.tokenizer)
        share = vllm_start.memory_share(device, alone=False) if memory_share is None else memory_share
        self._llm = vllm_start.start(policy, device, room, cache_gib, share, batch_size)
        self._positions = min(policy.positions, int(self._llm.llm_engine.model_config.max_model_len))
        # Rotary embeddings have no weights, and every sync would say that none were loaded; that what counts
        # was loaded is told by the log-probabilities. (Starting vLLM configures its loggers anew.)
        logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)
        self._name, self._dtype = policy.name, policy.dtype
        self._theirs = frozenset(self._llm.apply_model(_last_names)[0])
        self._asleep = False
        self._has_weights = False
        self._weights_hash = ""
        self.sync(policy.model)

    @property
    def tokenizer(self) -> Any:
        return self._tokenizer

    @property
    def weights_hash(self) -> str:
        return self._weights_hash

    @property
    def model_hash(self) -> str:
        return policies.joint_hash(self._weights_hash, self._tokenizer)

    def sync(self, model: PreTrainedModel) -> None:
        """Copies the weights in place and forgets the cached prefixes that the old ones computed.

        Then vLLM and ``model`` score a fixed text: that vLLM took every name says nothing about the weights
        that it computes with.

        Raises:
            UsageError: vLLM does not take the weights, or finds other log-probabilities with them.
        """
        try:
            weights = self._in_files(model)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # vLLM's loaders let many classes through
            raise UsageError(
                f"{self._name} cannot be sampled by vLLM, which does not take its weights: "
                f'{first_line(error)}; take engine "transformers"'
            ) from error
        if not self._llm.reset_prefix_cache():
            raise JobError("vLLM could not drop its prefix cache: a request is still running")
        self._weights_hash = policies.weights_hash(model)
        self._has_weights = True
        self._try(model)

    def _in_files(self, model: PreTrainedModel) -> list[tuple[str, torch.Tensor]]:
        """The weights under the names, and in the pieces, that checkpoint files have: what vLLM reads.

        A tied copy of the embeddings goes with them where vLLM's model has a module for it: without it, the
        head that vLLM packed for CPUs would stay the old one; where it has none it would refuse the name.
        """
        tied = {
            name
            for name in getattr(model, "all_tied_weights_keys", {})
            if name.split(".")[-2:-1] and name.split(".")[-2] not in self._theirs
        }
        named = lora.merged(model, model.state_dict().items())
        kept = {name: tensor.detach() for name, tensor in named if name not in tied}
        return list(revert_weight_conversion(model, kept).items())

    def _try(self, model: PreTrainedModel) -> None:
        """Compares log-probabilities of a fixed text, and of a few tokens drawn after it.

        Raises:
            UsageError: they are further from the model's own than rounding explains.
        """
        from vllm import SamplingParams

        policy = Policy(model, self._tokenizer, self._name, self._dtype)
        count = min(TRIAL_TOKENS, max(2, self._positions - TRIAL_STEPS))
        prompt = trial.tokens(policy, count)
        asked = SamplingParams(
            max_tokens=max(1, min(TRIAL_STEPS, self._positions - len(prompt))),
            seed=0,
            logprobs=0,
            prompt_logprobs=0,
            ignore_eos=True,
            detokenize=False,
        )
        (output,) = self._llm.generate([{"prompt_token_ids": list(prompt)}], asked, use_tqdm=False)
        drawn = list(output.outputs[0].token_ids)
        steps = [*output.prompt_logprobs[1:], *output.outputs[0].logprobs]
        tokens = [*prompt[1:], *drawn]
        ours = torch.tensor([step[token].logprob for step, token in zip(steps, tokens, strict=True)])
        with trial.evaluating(model):
            plain = trial.plain_logprobs(model, policy, prompt[:1], tokens)
        off = trial.difference([ours], [plain])
        if off > trial.limit(policy):
            raise UsageError(
                f"{self._name} cannot be sampled by vLLM here: after its weights were given to vLLM, "
                f"log-probabilities of a text differ by {off:.2g} nats a token from its forward pass "
                f'(rounding explains {trial.limit(policy):g}); take engine "transformers"'
            )

    def release(self) -> None:
        """On a GPU: gives back cache and weights; ``resume`` and ``sync`` come before the next rollout."""
        if self._on_gpu and not self._asleep:
            self._llm.sleep(level=2)
            self._asleep, self._has_weights = True, False

    def resume(self) -> None:
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """Samples every request, in order.

        Raises:
            UsageError: a prompt and ``max_tokens`` exceed the model's positions, a prompt is empty, or there
                is a thinking budget.
            JobError: the weights were released and not synced since.
        """
        if sampling.thinking_budget is not None:
            raise UsageError(
                "thinking_budget: vLLM forces a closing tag only where it was started with the "
                "model's reasoning parser, which it is not here; use the transformers engine"
            )
        if not self._has_weights:
            raise JobError("vLLM's weights were released: sync the policy before sampling it")
        prompts = text.encode_prompts(self._tokenizer, requests)
        text.check_lengths(prompts, sampling, self._positions)
        outputs = self._llm.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],
            [self._parameters(request, sampling) for request in requests],
            use_tqdm=False,
        )
        groups = []
        for request, prompt, output in zip(requests, prompts, outputs, strict=True):
            drawn = sorted(output.outputs, key=lambda completion: int(completion.index))
            drawn *= request.n // len(drawn)  # greedy completions are one, see _parameters
            token_ids = [list(completion.token_ids) for completion in drawn]
            logprobs = [
                [step[token].logprob for step, token in zip(completion.logprobs, ids, strict=True)]
                if request.logprobs
                else []
                for completion, ids in zip(drawn, token_ids, strict=True)
            ]
            completions = text.finish_completions(self._tokenizer, token_ids, logprobs, self._ends, sampling)
            groups.append(Group(tuple(prompt), tuple(completions)))
        return groups

    @property
    def positions(self) -> int:
        """Less than the model's: one for a token that vLLM insists on, one that scoring reads beyond."""
        return self._positions - 2

    def loglikelihoods(self, pairs: Sequence[TokenPair]) -> list[tuple[float, bool]]:
        """``ScoringEngine.loglikelihoods``, read off the prompt; what is too long is cut at the left.

        Raises:
            JobError: the weights were released and not synced since.
        """
        from vllm import SamplingParams

        if not self._has_weights:
            raise JobError("vLLM's weights were released: sync the policy before asking it")
        wholes = [[*context, *continuation][-(self.positions + 1) :] for context, continuation in pairs]
        outputs = self._llm.generate(
            [{"prompt_token_ids": whole} for whole in wholes],
            SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False),
            use_tqdm=False,
        )
        found = []
        for whole, output, (_, continuation) in zip(wholes, outputs, pairs, strict=True):
            count = min(len(continuation), len(whole) - 1)
            tokens = whole[len(whole) - count :]
            told = output.prompt_logprobs[len(whole) - count :]
            entries = [step[token] for step, token in zip(told, tokens, strict=True)]
            greedy = all(entry.rank == 1 for entry in entries)
            found.append((float(sum(entry.logprob for entry in entries)), greedy))
        return found

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            n=request.n if sampling.temperature > 0 else 1,  # vLLM refuses to repeat a greedy completion
            seed=request.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            stop_token_ids=sorted(self._ends),
            logprobs=0 if request.logprobs else None,  # they cost a fifth of small policies' time
            detokenize=bool(sampling.stop),
            skip_special_tokens=False,  # a stop string may be one
            spaces_between_special_tokens=False,
        )


def _last_names(model: torch.nn.Module) -> set[str]:
    """The last parts of the names of all modules, those that are one object under two names included."""
    return {name.rpartition(".")[2] for name, _ in model.named_modules(remove_duplicate=False)}
