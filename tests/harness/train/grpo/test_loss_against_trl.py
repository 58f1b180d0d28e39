"""The loss and its gradient against TRL 1.16's own ``GRPOTrainer._compute_loss``."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.config import GRPO, Epsilon
from harness.train.grpo.entropy import EntropyWeight
from harness.train.grpo.loss import Denominators, TokenTerms, grpo_loss

trl = pytest.importorskip("trl", reason="TRL is a development dependency")

ROWS, TOKENS, MAX_TOKENS = 6, 9, 16


@pytest.fixture(scope="module", autouse=True)
def double_precision() -> Any:
    """In float64, so that 1e-6 tests the formulas and not the order of sums."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Case:
    """Random log-probabilities, ragged completions and advantages of both signs and 0."""

    def __init__(self, seed: int = 0) -> None:
        rng = torch.Generator().manual_seed(seed)

        def normal(scale: float, *shape: int) -> torch.Tensor:
            return scale * torch.randn(*shape, generator=rng)

        self.old = -normal(1.0, ROWS, TOKENS).abs() - 0.1
        self.logprobs = self.old + normal(0.4, ROWS, TOKENS)
        self.reference = self.old + normal(0.5, ROWS, TOKENS)
        self.sampler = self.old + normal(0.3, ROWS, TOKENS)
        self.entropy = normal(1.0, ROWS, TOKENS).abs()
        self.advantages = normal(1.0, ROWS)
        self.advantages[2] = 0.0
        lengths = torch.randint(1, TOKENS + 1, (ROWS,), generator=rng)
        lengths[0] = TOKENS
        self.mask = torch.arange(TOKENS) < lengths[:, None]


def trl_trainer(aggregation: str, **settings: Any) -> Any:
    """TRL's trainer, which skipped ``__init__``, with what its loss looks at."""
    from trl import GRPOConfig, GRPOTrainer
    from trl.experimental.gmpo import GMPOTrainer

    chosen: dict[str, Any] = {
        "beta": 0.0,
        "epsilon_low": 0.2,
        "epsilon_high": 0.28,
        "importance_sampling_level": "token",
        "delta": None,
        "unbiased": False,
        "correction": None,
        "entropy_coef": 0.0,
        "arguments": {},
        **settings,
    }
    trainer = object.__new__(GMPOTrainer if aggregation == "gmpo" else GRPOTrainer)
    trainer.args = GRPOConfig(
        output_dir="unused",
        use_cpu=True,
        bf16=False,
        report_to="none",
        use_bias_correction_kl=chosen["unbiased"],
        delta=chosen["delta"],
        **chosen["arguments"],
    )
    trainer.accelerator = SimpleNamespace(
        num_processes=1,
        gather=lambda x: x,
        reduce=lambda x, reduction: x,
        sync_gradients=True,
        is_main_process=False,
        device=torch.device("cpu"),
    )
    trainer.loss_type = aggregation
    for name in ("beta", "epsilon_low", "epsilon_high", "importance_sampling_level", "entropy_coef"):
        setattr(trainer, name, chosen[name])
    trainer.max_completion_length = MAX_TOKENS
    trainer.top_entropy_quantile = 1.0
    trainer.off_policy_mask_threshold = None
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = chosen["correction"] is not None
    trainer.aux_loss_enabled = False
    trainer._entropy_bonus_enabled = chosen["entropy_coef"] > 0
    trainer.use_adaptive_entropy = False
    trainer.current_gradient_accumulation_steps = 1
    trainer.args.steps_per_generation = 1
    trainer._metrics = {"train": defaultdict(list)}
    trainer.model = SimpleNamespace(training=True)
    return trainer


def theirs(case: Case, aggregation: str, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """TRL's loss and gradient: the real method."""
    return loss_of_theirs(trl_trainer(aggregation, **settings), case, settings.get("correction"))


def loss_of_theirs(
    trainer: Any, case: Case, correction: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    logprobs = case.logprobs.clone().requires_grad_()
    entropy = case.entropy.clone()
    trainer._get_per_token_logps_and_entropies = lambda *a, **k: (logprobs, entropy, None)
    mask = case.mask.double()
    inputs = {
        "prompt_ids": torch.zeros(ROWS, 2, dtype=torch.long),
        "prompt_mask": torch.ones(ROWS, 2, dtype=torch.long),
        "completion_ids": torch.zeros(ROWS, TOKENS, dtype=torch.long),
        "completion_mask": mask,
        "advantages": case.advantages,
        "old_per_token_logps": case.old,
        "ref_per_token_logps": case.reference,
        "num_items_in_batch": mask.sum(),
    }
    if correction is not None:
        inputs["importance_sampling_ratio"] = (case.old - case.sampler).exp().clamp(max=correction)
        inputs["importance_sampling_ratio"] = torch.where(case.mask, inputs["importance_sampling_ratio"], 1.0)
    loss = trainer._compute_loss(None, inputs)
    loss.backward()
    assert logprobs.grad is not None
    return loss.detach(), logprobs.grad


def ours(case: Case, stage: GRPO, entropy_weight: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    logprobs = case.logprobs.clone().requires_grad_()
    tokens = int(case.mask.sum())
    loss = grpo_loss(
        TokenTerms(
            logprobs, case.mask, case.advantages, case.old, case.reference, case.sampler, case.entropy
        ),
        stage,
        Denominators(ROWS, tokens, tokens),
        entropy_weight=entropy_weight,
    )
    loss.value.backward()
    assert logprobs.grad is not None
    return loss.value.detach(), logprobs.grad


def stage(**settings: Any) -> GRPO:
    return GRPO(**{"epsilon": Epsilon(low=0.2, high=0.28), "max_tokens": MAX_TOKENS, **settings})


def assert_equal(case: Case, mine: GRPO, their_type: str, **their_settings: Any) -> None:
    value, gradient = ours(case, mine)
    their_value, their_gradient = theirs(case, their_type, **their_settings)
    assert their_gradient.abs().max() > 1e-3
    torch.testing.assert_close(value, their_value, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient, their_gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("aggregation", "beta", "ratio", "delta"),
    list(product(["grpo", "bnpo", "dr_grpo", "dapo"], [0.0, 0.04], ["token", "sequence"], [None, 1.35])),
)
def test_aggregations_levels_and_dual_clip(
    aggregation: Any, beta: float, ratio: Any, delta: float | None
) -> None:
    mine = stage(aggregation=aggregation, beta=beta, ratio=ratio, delta=delta)
    assert_equal(Case(), mine, aggregation, beta=beta, importance_sampling_level=ratio, delta=delta)


@pytest.mark.parametrize(("beta", "ratio"), list(product([0.0, 0.04], ["token", "sequence"])))
def test_cispo_whose_bound_is_stated_absolutely_in_trl(beta: float, ratio: Any) -> None:
    mine = stage(surrogate="cispo", aggregation="dapo", beta=beta, ratio=ratio)
    theirs_ = {"beta": beta, "importance_sampling_level": ratio, "epsilon_high": 1.28}
    assert_equal(Case(), mine, "cispo", **theirs_)


@pytest.mark.parametrize(("beta", "ratio"), list(product([0.0, 0.04], ["token", "sequence"])))
def test_sapo(beta: float, ratio: Any) -> None:
    mine = stage(loss="sapo", beta=beta, ratio=ratio)
    assert_equal(Case(), mine, "sapo", beta=beta, importance_sampling_level=ratio)


@pytest.mark.parametrize(("beta", "correction"), list(product([0.0, 0.04], [None, 1.2])))
def test_vespo(beta: float, correction: float | None) -> None:
    mine = stage(loss="vespo", aggregation="dapo", beta=beta, sampler_correction=correction)
    assert_equal(Case(), mine, "vespo", beta=beta, correction=correction)


@pytest.mark.parametrize(("delta", "correction"), list(product([None, 1.35], [None, 1.2])))
def test_luspo(delta: float | None, correction: float | None) -> None:
    mine = stage(loss="luspo", delta=delta, sampler_correction=correction)
    their = {"importance_sampling_level": "sequence", "delta": delta, "correction": correction}
    assert_equal(Case(), mine, "luspo", **their)


@pytest.mark.parametrize("beta", [0.0, 0.04])
def test_gmpo(beta: float) -> None:
    mine = stage(loss={"kind": "gmpo", "low": 0.3, "high": 0.2}, beta=beta)
    assert_equal(Case(), mine, "gmpo", beta=beta, epsilon_low=0.3, epsilon_high=0.2)


def test_own_settings_of_a_loss_are_trl_s_arguments() -> None:
    own = {"k_positive": 1.5, "lambda_positive": 2.5, "k_negative": 2.0, "lambda_negative": 1.0}
    names = ("vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg")
    mine = stage(loss={"kind": "vespo", **own}, aggregation="dapo")
    assert_equal(Case(), mine, "vespo", arguments=dict(zip(names, own.values(), strict=True)))
    mine = stage(loss={"kind": "sapo", "temperature_positive": 2.0, "temperature_negative": 3.0})
    given = {"sapo_temperature_pos": 2.0, "sapo_temperature_neg": 3.0}
    assert_equal(Case(), mine, "sapo", arguments=given)


@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_unbiased_kl(ratio: Any) -> None:
    mine = stage(beta=0.1, ratio=ratio, kl_unbiased=True)
    assert_equal(Case(), mine, "grpo", beta=0.1, importance_sampling_level=ratio, unbiased=True)


@pytest.mark.parametrize("aggregation", ["grpo", "dapo"])
def test_truncated_importance_sampling(aggregation: Any) -> None:
    mine = stage(beta=0.02, aggregation=aggregation, sampler_correction=1.2)
    assert_equal(Case(), mine, aggregation, beta=0.02, correction=1.2)


def test_entropy_bonus() -> None:
    assert_equal(Case(), stage(entropy_bonus=0.3), "grpo", entropy_coef=0.3)
    with_bonus, _ = ours(Case(), stage(entropy_bonus=0.3))
    without, _ = ours(Case(), stage())
    assert abs(float(with_bonus - without)) > 0.01


def test_the_weight_of_the_entropy_bonus_follows_a_target() -> None:
    """Step after step, entropies on both sides of the target, down to 0 and up to the bound."""
    adaptive = {"entropy_coef_delta": 0.1, "entropy_coef_max": 0.25, "entropy_target": 0.5}
    trainer = trl_trainer("grpo", entropy_coef=0.1, arguments=adaptive)
    trainer.use_adaptive_entropy, trainer._last_world_entropy = True, math.inf
    trainer._entropy_window_stats = None
    mine = stage(entropy_bonus={"weight": 0.1, "target": 0.5, "step": 0.1, "high": 0.25})
    weight, seen = EntropyWeight(mine.entropy_bonus), []
    for scale in (0.1, 0.2, 0.3, 1.0, 1.0, 1.0, 1.0, 0.2, 0.1, 1.0, 0.1, 0.1):
        case = Case()
        case.entropy = case.entropy * scale
        seen.append(weight.value)
        value, gradient = ours(case, mine, weight.value)
        their_value, their_gradient = loss_of_theirs(trainer, case)
        torch.testing.assert_close(value, their_value, rtol=0, atol=1e-6)
        torch.testing.assert_close(gradient, their_gradient, rtol=0, atol=1e-6)
        weight.follow(float(case.entropy[case.mask].mean()))
    assert seen == pytest.approx([0.0, 0.2, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0, 0.1, 0.2, 0.0, 0.2], abs=1e-12)


def test_without_old_logprobs_the_ratio_is_one_and_the_gradient_is_there() -> None:
    case = Case()
    case.old = case.logprobs.clone()
    value, gradient = ours(case, stage())
    terms = TokenTerms(logprobs := case.logprobs.clone().requires_grad_(), case.mask, case.advantages)
    loss = grpo_loss(terms, stage(), Denominators(ROWS, int(case.mask.sum()), 1.0))
    loss.value.backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(loss.value.detach(), value)
    torch.testing.assert_close(logprobs.grad, gradient)
    assert float(loss.ratio.min()) == float(loss.ratio.max()) == 1.0
