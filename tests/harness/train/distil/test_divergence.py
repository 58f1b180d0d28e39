"""Divergences and their gradients against TRL 1.16's own, on fixed batches in float64."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from harness.train.distil.divergence import Likeliest, Whole, compare, generalised_jsd, log_softmax

BETAS = [0.0, 0.1, 0.5, 0.9, 1.0]
ROWS, TOKENS, VOCABULARY, WIDTH, WIDER = 5, 7, 23, 6, 9


class Case:
    """Hidden states and heads of a student and a wider teacher; ragged completions."""

    def __init__(self, seed: int = 0) -> None:
        rng = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        self.student = normal(ROWS, TOKENS, WIDTH).requires_grad_()
        self.head = normal(VOCABULARY, WIDTH).requires_grad_()
        self.teacher, self.teacher_head = normal(ROWS, TOKENS, WIDER), normal(VOCABULARY, WIDER)
        lengths = torch.randint(1, TOKENS + 1, (ROWS,), generator=rng)
        self.mask = torch.arange(TOKENS) < lengths[:, None]
        self.targets = torch.randint(VOCABULARY, (ROWS, TOKENS), generator=rng)

    def gradients(self, loss: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(loss, (self.student, self.head))

    def ours(self, beta: float, temperature: float, piece: int, top_k: int = 0) -> torch.Tensor:
        whole = Whole(self.teacher[self.mask], self.teacher_head, temperature)
        teacher = whole.likeliest(top_k, VOCABULARY, piece) if top_k else whole
        found = compare(
            self.student[self.mask], self.head, self.targets[self.mask], teacher, beta, temperature, piece
        )
        assert found.divergence is not None
        return found.divergence.mean()


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """TRL works in float32 inside."""
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6, check_dtype=False)


@pytest.mark.parametrize(
    ("beta", "temperature", "piece"), list(product(BETAS, [1.0, 0.7], [2**20, 3 * VOCABULARY]))
)
def test_the_whole_vocabulary_is_as_trl_has_it(beta: float, temperature: float, piece: int) -> None:
    pytest.importorskip("trl", reason="TRL is a development dependency")
    from trl.trainer.distillation_trainer import _chunked_divergence_loss

    case = Case()
    theirs, _, _ = _chunked_divergence_loss(
        case.student, case.teacher, case.head, case.teacher_head, case.mask, beta, temperature=temperature
    )
    ours = case.ours(beta, temperature, piece)
    close(ours, theirs)
    for mine, other in zip(case.gradients(ours), case.gradients(theirs), strict=True):
        close(mine, other)


@pytest.mark.parametrize("beta", BETAS)
def test_the_formula_is_gkds(beta: float) -> None:
    pytest.importorskip("trl", reason="TRL is a development dependency")
    from trl.experimental.gkd import GKDTrainer

    case = Case(1)
    student, teacher = case.student @ case.head.T, case.teacher @ case.teacher_head.T
    labels = torch.where(case.mask, case.targets, -100)
    wanted = GKDTrainer.generalized_jsd_loss(student, teacher, labels=labels, beta=beta)
    logs = [torch.log_softmax(logits[case.mask], 1) for logits in (student, teacher)]
    close(generalised_jsd(*logs, beta).mean(), wanted)


@pytest.mark.parametrize("top_k", [1, 4])
def test_the_likeliest_tokens_and_the_rest_are_as_trl_has_them(top_k: int) -> None:
    pytest.importorskip("trl", reason="TRL is a development dependency")
    from trl.experimental.server_distillation import ServerDistillationTrainer

    case = Case(2)
    student = torch.log_softmax(case.student @ case.head.T, 2)
    teacher = torch.log_softmax(case.teacher @ case.teacher_head.T, 2).topk(top_k, dim=2)
    trainer: Any = object.__new__(ServerDistillationTrainer)
    trainer.loss_add_tail = True
    theirs = trainer._compute_server_forward_kl_loss(
        {"topk_logprobs": teacher.values, "topk_token_ids": teacher.indices},
        student,
        torch.where(case.mask, case.targets, -100),
    )
    ours = case.ours(0.0, 1.0, 2**20, top_k)
    close(ours, theirs)
    for mine, other in zip(case.gradients(ours), case.gradients(theirs), strict=True):
        close(mine, other)


@pytest.mark.parametrize("beta", BETAS)
def test_all_tokens_as_the_likeliest_are_the_whole_vocabulary(beta: float) -> None:
    """The tail has then a probability of 1e-7, where it cannot be 0."""
    case = Case(3)
    found, wanted = case.ours(beta, 1.0, 2**20, VOCABULARY), case.ours(beta, 1.0, 2**20)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)


@pytest.mark.parametrize("beta", BETAS)
def test_it_is_0_for_the_same_distribution_and_never_negative(beta: float) -> None:
    logs = torch.log_softmax(3 * torch.randn(50, 11, dtype=torch.float64), 1)
    others = torch.log_softmax(3 * torch.randn(50, 11, dtype=torch.float64), 1)
    close(generalised_jsd(logs, logs, beta), torch.zeros(50, dtype=torch.float64))
    assert bool((generalised_jsd(logs, others, beta) > 0).all())


def test_rows_that_only_one_model_has_are_left_out() -> None:
    case = Case(4)
    hidden, targets = case.student[case.mask], case.targets[case.mask]
    padded = torch.cat([case.teacher_head, torch.full((3, WIDER), 0.0, dtype=torch.float64)])
    padded[-3:] = -case.teacher[case.mask].mean(0) * 50  # all but impossible tokens
    found = compare(hidden, case.head, targets, Whole(case.teacher[case.mask], padded), 0.5).divergence
    assert found is not None
    assert bool(torch.isfinite(found).all())
    ids = Whole(case.teacher[case.mask], padded).likeliest(2, VOCABULARY).ids
    assert int(ids.max()) < VOCABULARY


def test_log_probabilities_and_entropy_come_with_it() -> None:
    case = Case(5)
    hidden, targets = case.student[case.mask], case.targets[case.mask]
    found = compare(hidden, case.head, targets, Whole(case.teacher[case.mask], case.teacher_head), 0.5, 0.8)
    logs = log_softmax(hidden, case.head, 0.8)
    close(found.logprobs, logs.gather(1, targets[:, None])[:, 0])
    close(found.entropy, torch.distributions.Categorical(logits=logs.detach()).entropy())


def test_likeliest_of_a_server_count_the_rest_as_one() -> None:
    told = Likeliest(torch.tensor([[2, 0]]), torch.tensor([[0.6, 0.3]], dtype=torch.float64).log())
    student = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).log()
    wanted = 0.6 * torch.tensor(0.6 / 0.5).log() + 0.3 * torch.tensor(0.3 / 0.2).log()
    wanted = wanted + 0.1 * torch.tensor(0.1 / 0.3).log()
    assert float(told.divergence(slice(0, 1), student, 0.0)) == pytest.approx(float(wanted), abs=1e-6)
