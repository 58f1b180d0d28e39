"""Which learner each kind of stage has, and its training from first to last step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.config import GRPO, SFT, OnPolicyDistill
from harness.train.distil.stage import DistilLearner
from harness.train.grpo.stage import GrpoLearner
from harness.train.loop import Learner, Outcome, StageRun, run_stage
from harness.train.rollouts import Graders
from harness.train.sft.stage import SftLearner


def train_stage(stage: GRPO | SFT | OnPolicyDistill, given: StageRun) -> Outcome:
    """Trains ``given.policy`` in place as ``stage`` says; see ``run_stage`` for how it resumes and ends.

    Raises:
        UsageError: an unknown reward, data that cannot be used, a prompt too long for the model, a model that
            cannot be trained, a teacher with another tokenizer.
        TaskError: the prompt template does not exist or does not fit.
        JobError: training diverged, memory or disk ran out, the engine does not follow the policy, or a
            served teacher gave no answer.
    """
    return run_stage(stage, given, _learner_of(stage))


def _learner_of(stage: GRPO | SFT | OnPolicyDistill) -> Callable[[StageRun, Graders], Learner]:
    if isinstance(stage, SFT):
        return partial(SftLearner, stage)
    if isinstance(stage, OnPolicyDistill):
        return partial(DistilLearner, stage)
    return partial(GrpoLearner, stage)
