"""Sampling with vLLM in this process, its weights replaced in place whenever the policy has moved on.

vLLM loads the architecture alone; the weights come from the policy by ``sync``, the first time too, so
nothing but the configuration and the tokenizer touches the disk. Where nothing is trained vLLM reads the
weights itself (``VllmSampler``), and no second copy of them is made. ``SamplingParams(n=…)`` prefills a
prompt once, and vLLM gives child ``i`` the seed ``seed + i``: the engine contract as it stands.

One figure is vLLM's own: with top-p or top-k on, its log-probabilities are of the truncated distribution.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

from evals.base.errors import JobError, UsageError, first_line
from evals.engine import Group, Request, Sampling, TokenPair, Underway
from harness.engines import arrived, vllm_start
from harness.engines import tokens as text
from harness.engines.vllm_settings import VllmSettings
from harness.engines.vllm_start import BESIDE_TRAINING, Subject
from harness.engines.vllm_thinking import Drawn, Piece, within_budget
from harness.engines.vllm_watch import told_between_steps
from harness.models import policy as policies
from harness.models.pieces import pieces
from harness.models.policy import Policy


class VllmSampler:
    """Samples what ``vllm.LLM`` was started with. Not for two threads at once."""

    name = "vllm"

    def __init__(
        self,
        subject: Subject,
        device: torch.device,
        settings: VllmSettings,
        *,
        weights_hash: str = "",
        memory_share: float = BESIDE_TRAINING,
    ) -> None:
        """Starts vLLM; ``weights_hash`` is that of the weights that it reads.

        Raises:
            UsageError: vLLM is not installed, or cannot run this model with these settings.
        """
        if importlib.util.find_spec("vllm") is None:
            raise UsageError(
                'the engine "vllm" is not installed: pip install "grpo-harness[vllm]" (without a GPU, '
                'see `make test-vllm`), or use engine "transformers"'
            )
        self._tokenizer = subject.tokenizer
        self._ends = text.end_tokens(subject.config, subject.generation_config, subject.tokenizer)
        share = memory_share if settings.memory_share is None else settings.memory_share
        self._llm = vllm_start.start(subject, device, settings, share)
        self._positions = min(subject.positions, int(self._llm.llm_engine.model_config.max_model_len))
        self._has_weights = subject.folder is not None
        self._weights_hash = weights_hash
        self._tell: Callable[[Underway], None] | None = None

    @property
    def tokenizer(self) -> Any:
        return self._tokenizer

    @property
    def model_hash(self) -> str:
        return policies.joint_hash(self._weights_hash, self._tokenizer)

    @contextmanager
    def watch(self, tell: Callable[[Underway], None]) -> Iterator[None]:
        """``tell`` is called twice a second, and at the end of each call that draws whole completions."""
        self._tell = tell
        try:
            yield
        finally:
            self._tell = None

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """Samples every request, in order.

        Raises:
            UsageError: a prompt and ``max_tokens`` exceed the model's positions, or a prompt is empty.
            JobError: the weights were released and not synced since.
        """
        if not self._has_weights:
            raise JobError("vLLM's weights were released: sync the policy before sampling it")
        prompts = text.encode_prompts(self._tokenizer, requests)
        text.check_lengths(prompts, sampling, self._positions)

        def draw(pieces: Sequence[Piece]) -> list[list[Drawn]]:
            return self._draw(pieces, sampling)

        if sampling.thinking_budget is None:
            once = sampling.temperature == 0  # vLLM refuses to repeat a greedy completion
            drawn = draw(
                [
                    Piece(
                        prompt,
                        1 if once else request.n,
                        request.seed,
                        request.logprobs,
                        sampling.max_tokens,
                        sampling.stop,
                    )
                    for prompt, request in zip(prompts, requests, strict=True)
                ]
            )
            if once:
                drawn = [each * request.n for each, request in zip(drawn, requests, strict=True)]
        else:
            drawn = within_budget(draw, prompts, requests, sampling, self._tokenizer)
        groups = []
        for prompt, each in zip(prompts, drawn, strict=True):
            ids, logprobs = [list(one.ids) for one in each], [list(one.logprobs) for one in each]
            completions = text.finish_completions(self._tokenizer, ids, logprobs, self._ends, sampling)
            groups.append(Group(tuple(prompt), tuple(completions)))
        return groups

    def _draw(self, pieces: Sequence[Piece], sampling: Sampling) -> list[list[Drawn]]:
        whole = sampling.thinking_budget is None  # no pieces of completions
        told = told_between_steps(self._llm.llm_engine, self._tell) if self._tell and whole else nullcontext()
        with told:
            outputs = self._llm.generate(
                [{"prompt_token_ids": list(piece.prompt)} for piece in pieces],
                [self._parameters(piece, sampling) for piece in pieces],
                use_tqdm=False,
            )
        found = []
        for output in outputs:
            drawn = []
            for each in sorted(output.outputs, key=lambda completion: int(completion.index)):
                ids = tuple(each.token_ids)
                steps = each.logprobs or ()  # where they are asked for, one for each token
                logprobs = tuple(step[token].logprob for step, token in zip(steps, ids, strict=bool(steps)))
                at = each.stop_reason if isinstance(each.stop_reason, str) else None
                drawn.append(Drawn(ids, logprobs, each.finish_reason == "stop", at))
            found.append(drawn)
        return found

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
            raise JobError("vLLM's weights were released: sync the policy before scoring with it")
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

    def _parameters(self, piece: Piece, sampling: Sampling) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            n=piece.n,
            seed=piece.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=piece.max_tokens,
            stop=list(piece.stop),
            stop_token_ids=sorted(self._ends),
            logprobs=0 if piece.logprobs else None,  # they cost a fifth of small policies' time
            detokenize=bool(piece.stop),
            skip_special_tokens=False,  # a stop string may be one
            spaces_between_special_tokens=False,
        )


class VllmEngine(VllmSampler):
    """Samples a ``Policy``, whose weights it gets whenever they have changed."""

    takes_pieces = True

    def __init__(
        self,
        policy: Policy,
        settings: VllmSettings | None = None,
        *,
        device: torch.device | None = None,
        memory_share: float = BESIDE_TRAINING,
    ) -> None:
        """Starts vLLM, gives it the policy's weights, and asks it for their log-probabilities.

        ``device``: where vLLM runs, by default where the policy lies. ``memory_share``: of a GPU, what vLLM
        may take where ``settings`` do not say it.

        Raises:
            UsageError: vLLM is not installed, cannot run this architecture, or does not find the
                log-probabilities that the policy's own forward pass finds.
        """
        device = device or policy.device
        settings = settings or VllmSettings()
        super().__init__(vllm_start.subject_of(policy), device, settings, memory_share=memory_share)
        self._on_gpu = device.type == "cuda"
        # Rotary embeddings have no weights, and every sync would say that none were loaded; that what counts
        # was loaded is told by the log-probabilities. (Starting vLLM configures its loggers anew.)
        logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)
        self._name = policy.name
        self._theirs = frozenset(self._llm.apply_model(_last_names)[0])
        self._asleep = False
        self._model: PreTrainedModel | None = None
        self._take(policy.model)
        arrived.check(policy, self._positions, "vLLM here", self._score)
        self._weights_hash = policies.weights_hash(policy.model)  # now, for the policy may be let go

    @property
    def weights_hash(self) -> str:
        """Taken when it is asked for: before the policy moves on, by all processes of the run together."""
        if not self._weights_hash and self._model is not None:
            self._weights_hash = policies.weights_hash(self._model)
        return self._weights_hash

    @property
    def model_hash(self) -> str:
        return policies.joint_hash(self.weights_hash, self._tokenizer)

    def sync(self, model: PreTrainedModel) -> None:
        """Copies the weights in place and forgets the cached prefixes that the old ones computed.

        Raises:
            UsageError: vLLM does not take the weights.
        """
        self._take(model)
        self._model, self._weights_hash = model, ""

    def _take(self, model: PreTrainedModel) -> None:
        try:
            weights = self._in_files(model)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # vLLM's loaders let many classes through
            raise UsageError(
                f"{self._name} cannot be sampled by vLLM, which does not accept its weights: "
                f'{first_line(error)}; use engine "transformers"'
            ) from error
        if not self._llm.reset_prefix_cache():
            raise JobError("vLLM could not drop its prefix cache: a request is still running")
        self._has_weights = True

    def _in_files(self, model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
        """The weights as checkpoint files have them, one after another.

        A tied copy of the embeddings goes with them where vLLM's model has a module for it: without it, the
        head that vLLM packed for CPUs would stay the old one; where it has none it would refuse the name.
        """
        return pieces(model, tied=lambda name: name.rpartition(".")[0].rpartition(".")[2] in self._theirs)

    def _score(self, prompt: Sequence[int], steps: int) -> tuple[list[int], list[float]]:
        """vLLM's log-probabilities of ``prompt`` but for its first token, and of tokens drawn after it."""
        from vllm import SamplingParams

        asked = SamplingParams(
            max_tokens=steps, seed=0, logprobs=0, prompt_logprobs=0, ignore_eos=True, detokenize=False
        )
        (output,) = self._llm.generate([{"prompt_token_ids": list(prompt)}], asked, use_tqdm=False)
        drawn = list(output.outputs[0].token_ids)
        told = [*output.prompt_logprobs[1:], *output.outputs[0].logprobs]
        scores = [step[token].logprob for step, token in zip(told, [*prompt[1:], *drawn], strict=True)]
        return drawn, scores

    def release(self) -> None:
        """On a GPU: gives back cache and weights; ``resume`` and ``sync`` come before the next rollout."""
        if self._on_gpu and not self._asleep:
            self._llm.sleep(level=2)
            self._asleep, self._has_weights = True, False

    def resume(self) -> None:
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False


def _last_names(model: torch.nn.Module) -> set[str]:
    """The last parts of the names of all modules, those that are one object under two names included."""
    return {name.rpartition(".")[2] for name, _ in model.named_modules(remove_duplicate=False)}
