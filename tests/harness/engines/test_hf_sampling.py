from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from evals.base.errors import JobError
from evals.engine import Sampling
from harness.engines.hf_sampling import BLOCK, Draws, Uniforms, choose

CPU = torch.device("cpu")


def test_a_stream_is_numpys_philox_whatever_runs_beside_it() -> None:
    seeds = [5, 2**62 + 3, 7]
    uniforms = Uniforms(seeds, CPU)
    drawn = [uniforms.next() for _ in range(10)]
    uniforms.keep([0, 2])
    drawn += [uniforms.next() for _ in range(2 * BLOCK)]
    for place, seed in ((0, 5), (-1, 7)):
        expected = np.random.Generator(np.random.Philox(key=seed)).random(10 + 2 * BLOCK)
        assert [float(column[place]) for column in drawn] == pytest.approx(expected.tolist(), abs=1e-11)


@given(
    logits=st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=40),
    uniform=st.floats(0, 1, exclude_max=True),
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
)
def test_choose_inverts_the_distribution_function(
    logits: list[float], uniform: float, temperature: float
) -> None:
    scaled = (torch.tensor(logits) / temperature).double()
    probabilities = scaled.softmax(-1)
    tokens, logprobs = choose(
        torch.tensor([logits]),
        torch.tensor([uniform], dtype=torch.float64),
        Sampling(temperature=temperature),
    )
    token = int(tokens[0])
    below, above = probabilities[:token].sum().item(), probabilities[: token + 1].sum().item()
    assert below - 1e-6 <= uniform <= above + 1e-6
    assert float(logprobs[0]) == pytest.approx(float(scaled.log_softmax(-1)[token]), abs=1e-5)


@given(
    order=st.permutations(range(30)),
    top_k=st.integers(0, 40),
    top_p=st.sampled_from([0.05, 0.3, 0.8, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.2, 0.9, 1.0]),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_truncation_keeps_the_tokens_that_transformers_keeps(
    order: list[int], top_k: int, top_p: float, min_p: float, uniform: float
) -> None:
    logits = 0.37 * torch.tensor([order], dtype=torch.float32)
    kept = logits
    if top_k:
        kept = TopKLogitsWarper(top_k)(torch.empty(0), kept)
    if top_p < 1:
        kept = TopPLogitsWarper(top_p)(torch.empty(0), kept)
    if min_p:
        kept = MinPLogitsWarper(min_p)(torch.empty(0), kept)
    probabilities = kept.double().softmax(-1)[0]
    tokens, logprobs = choose(
        logits,
        torch.tensor([uniform], dtype=torch.float64),
        Sampling(top_k=top_k, top_p=top_p, min_p=min_p),
    )
    token = int(tokens[0])
    assert probabilities[token] > 0
    below, above = probabilities[:token].sum().item(), probabilities[: token + 1].sum().item()
    assert below - 1e-6 <= uniform <= above + 1e-6
    assert float(logprobs[0]) == pytest.approx(float(logits[0].double().log_softmax(-1)[token]), abs=1e-5)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-40])
def test_the_ends_of_the_unit_interval_draw_tokens_of_positive_probability(uniform: float) -> None:
    masked = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]])
    tokens, logprobs = choose(masked, torch.tensor([uniform], dtype=torch.float64), Sampling())
    assert int(tokens[0]) == (1 if uniform == 0 else 3)
    assert torch.isfinite(logprobs).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_logits_are_a_job_error(bad: float, temperature: float) -> None:
    with pytest.raises(JobError, match="not finite"):
        choose(
            torch.tensor([[0.0, bad, 1.0]]),
            torch.tensor([0.5], dtype=torch.float64),
            Sampling(temperature=temperature),
        )


@pytest.mark.parametrize(("top_p", "kept"), [(0.25, 1), (0.5, 2), (0.5000001, 3), (0.75, 3), (0.7500001, 4)])
def test_a_nucleus_that_is_reached_exactly_takes_no_further_token(top_p: float, kept: int) -> None:
    last = torch.tensor([1 - 2.0**-40], dtype=torch.float64)
    tokens, _ = choose(torch.zeros(1, 4), last, Sampling(top_p=top_p))
    assert int(tokens[0]) == kept - 1


@given(
    logits=st.lists(st.floats(-30, 30, width=32), min_size=6, max_size=6),
    held=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    penalty=st.sampled_from([0.5, 1.1, 1.3, 3.0]),
)
def test_repetition_is_penalised_as_transformers_does(
    logits: list[float], held: list[int], penalty: float
) -> None:
    """Tokens of the prompt first, then those that were drawn, too."""
    sampling = Sampling(temperature=0, repetition_penalty=penalty)
    draws = Draws(None, [tuple(held)], [0], sampling, CPU)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)
    ids = torch.tensor([held])
    for _ in range(3):
        expected = theirs(ids, torch.tensor([logits])).log_softmax(-1)
        tokens, logprobs = draws.next(torch.tensor([logits]))
        assert float(logprobs[0]) == pytest.approx(float(expected.max()), abs=1e-5)
        assert float(expected[0, tokens[0]]) == pytest.approx(float(expected.max()), abs=1e-5)
        ids = torch.cat([ids, tokens[:, None]], dim=1)


def test_completions_that_stay_keep_what_they_hold() -> None:
    sampling = Sampling(temperature=0, repetition_penalty=100.0)
    draws = Draws(None, [(0,), (1,), (2,)], [0, 1, 2], sampling, CPU)
    logits = torch.tensor([[3.0, 2.0, 1.0]])
    assert draws.next(logits.expand(3, 3))[0].tolist() == [1, 0, 0]
    draws.keep([0, 2])
    assert draws.next(logits.expand(2, 3))[0].tolist() == [2, 1]
