"""An experiment's stages in order, into one run folder: what is checked first, and where it is run.

Importing this costs little: the libraries that train are loaded when there is something to train.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from evals import templates
from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.graders.registry import check_grader
from evals.task import TaskError
from evals.templates import Template
from harness import config
from harness.config import GRPO, SFT, Evaluate, Experiment, OnPolicyDistill, Pretrain, Reject, Training, parts
from harness.config.kinds import ENGINES, LOSSES, TRACKERS
from harness.config.names import TINY_TRACES
from harness.engines.vllm_settings import check_copies
from harness.rewards import check_names
from harness.rewards.registry import JUDGE, single_reward
from harness.train.mistakes import Mistakes
from harness.train.overlap import Named, Texts, overlaps
from harness.train.questions import Asked, QuestionSets
from harness.train.sft.rows import is_source

if TYPE_CHECKING:
    from evals.scores import Scores
    from harness.models.flops import Shape

log = logging.getLogger(__name__)

EVALUATION_SEED = 7_000_000
"""Benchmarks are sampled with seeds that neither training nor dev evaluations use."""


def check_experiment(experiment: Experiment, runs_here: bool = True) -> QuestionSets:
    """Refuses what cannot run before any model is loaded: no stages, unknown rewards, tasks or templates.

    Also what would be measured wrongly: questions that are trained on and asked again (overlap.py).
    ``runs_here``: the device, the benchmarks' data and a judge that the experiment needs must be there.
    Returns the questions that were read.

    Raises:
        UsageError, TaskError: a sentence that names the key; what is named wrongly is told all at once.
    """
    if not experiment.stages:
        raise UsageError("stages: the experiment has no [[stages]] table, so there is nothing to train")
    if not any(stage.steps for stage in experiment.stages):
        raise UsageError("stages: no stage trains the policy; add one of kind sft or grpo")
    if runs_here:
        _check_devices(experiment)
    sets = QuestionSets(config.tasks_of(experiment.tasks))
    kept: list[str] = []
    mistakes = Mistakes()
    for stage in parts(experiment.stages):
        with mistakes.noted():
            _check_stage(stage, kept, experiment, sets)
        if isinstance(stage, Training) and not experiment.data.dev:
            _check_nothing_evaluated(stage)
        if runs_here and isinstance(stage, Training) and stage.optimizer == "adamw8bit":
            from harness.models.quantized import check_installed

            check_installed(f"{stage.name}.optimizer")
        if isinstance(stage, Reject):
            kept.append(stage.name)
        judged = isinstance(stage, GRPO | OnPolicyDistill) and JUDGE in stage.rewards
        if runs_here and (judged or (isinstance(stage, Reject) and JUDGE in stage.keep)):
            from harness.rewards.judge_cache import named_judge

            named_judge()
    if runs_here and experiment.policy.quantization is not None:
        from harness.models.quantized import check_installed

        check_installed("policy.quantization")
    with mistakes.noted():
        _check_template("policy.template", experiment.policy.template)
    with mistakes.noted():
        _check_engines(experiment)
    for specs in (experiment.data.train, experiment.data.dev):
        with mistakes.noted():
            sets.of(specs)
    mistakes.tell()
    check_ahead(experiment)
    _check_trackers(experiment.tracking)
    if experiment.policy.server:
        raise UsageError("policy.server: a policy is trained here; only a teacher can be at a server")
    _check_graders(sets.of((*experiment.data.train, *experiment.data.dev)))
    if experiment.data.curriculum is not None:
        from harness.train.curriculum import sources_of

        sources_of(experiment.data, sets.of(experiment.data.train))
    _check_benchmarks(experiment, sets)
    _check_overlap(experiment, sets, benchmarks=runs_here)
    for name in _measured(experiment) if runs_here else ():
        task, questions = sets.of([name]).sets[0]
        templates.check_examples(task, questions, experiment.policy.template)
    return sets


def _check_nothing_evaluated(stage: Training) -> None:
    for key in ("eval_every", "keep_best"):
        if getattr(stage, key):
            raise UsageError(f"{stage.name}.{key} has no effect without data.dev, the questions it is about")


def _check_devices(experiment: Experiment) -> None:
    """A GPU that is asked for and not there: before minutes of pretraining for it."""
    wanted = {"policy": experiment.policy}
    for stage in parts(experiment.stages):
        if isinstance(stage, Reject | OnPolicyDistill) and stage.teacher is not None:
            wanted[f"{stage.name}.teacher"] = stage.teacher
    for key, settings in wanted.items():
        if settings.device == "cuda":
            from harness.models.policy import device_of

            device_of(settings.device, key)


def _measured(experiment: Experiment) -> list[str]:
    """The benchmarks that are measured between stages and at the end."""
    between = [
        name for stage in experiment.stages if isinstance(stage, Evaluate) for name in stage.benchmarks
    ]
    return list(dict.fromkeys(name.strip() for name in (*experiment.eval.benchmarks, *between)))


def _check_benchmarks(experiment: Experiment, sets: QuestionSets) -> None:
    measured = {sets.tasks.get(name).name for name in _measured(experiment)}
    if isinstance(experiment.eval.samples, dict) and measured:
        for name in experiment.eval.samples:
            if name not in measured:
                raise UsageError(
                    f"eval.samples.{name}: is not measured; accepted: {', '.join(sorted(measured))}"
                )


def _check_overlap(experiment: Experiment, sets: QuestionSets, benchmarks: bool) -> None:
    """No question in two of training, dev set and benchmarks, unless the experiment says so."""
    found = list(overlaps(list(_named(experiment, sets, benchmarks))))
    if found and experiment.data.overlap == "allow":
        for sentence in found:
            log.warning("%s", sentence)
    elif found:
        raise UsageError(
            f'{found[0]}: choose others (task:split[a:b] takes a part), or set data.overlap = "allow"'
        )


def _named(experiment: Experiment, sets: QuestionSets, benchmarks: bool) -> Iterator[Named]:
    def texts(specs: Sequence[str]) -> Texts:
        return Texts(sets.of(specs))

    data = experiment.data
    yield Named("training", f"data.train ({', '.join(data.train)})", texts(data.train))
    for stage in parts(experiment.stages):
        if isinstance(stage, Reject) and stage.data:
            yield Named("training", f"{stage.name}.data ({', '.join(stage.data)})", texts(stage.data))
        elif _learns_examples(stage) and is_source(stage.data):
            from harness.train.sft.data import AskedIn

            yield Named("training", f"{stage.name}.data ({stage.data})", AskedIn(stage.data))
    yield Named("dev", f"data.dev ({', '.join(data.dev)})", texts(data.dev))
    for name in _measured(experiment) if benchmarks else ():
        yield Named("benchmark", f"the benchmark {name}", texts([name]))


def _learns_examples(stage: object) -> TypeGuard[SFT | OnPolicyDistill]:
    """Whether it has examples in a file; a "pretrain" stage has texts, which ask nothing."""
    return isinstance(stage, SFT | OnPolicyDistill) and not isinstance(stage, Pretrain)


def _check_stage(
    stage: GRPO | SFT | Reject | OnPolicyDistill | Evaluate,
    kept: Sequence[str],
    experiment: Experiment,
    sets: QuestionSets,
) -> None:
    """``kept``: the earlier stages that leave a data set."""
    match stage:
        case GRPO():
            check_names(stage.rewards)
            _check_choices(stage)
        case Evaluate():
            if not (stage.benchmarks or experiment.eval.benchmarks):
                raise UsageError(f"{stage.name}.benchmarks: name some, here or in [eval]")
        case Pretrain():
            if stage.data != TINY_TRACES and not is_source(stage.data):
                raise UsageError(f"{stage.name}.data: {stage.data!r} is neither a file nor {TINY_TRACES}")
        case SFT():
            _check_data(stage, kept)
        case OnPolicyDistill():
            check_names(stage.rewards, some_count=False)
            if stage.data:
                _check_data(stage, kept)
            _check_counted(stage.name, stage.teacher, experiment.budget)
        case Reject():
            for name in stage.keep:
                _check_rule(stage.name, name)
            if stage.teacher is not None:
                _check_template(f"{stage.name}.teacher.template", stage.teacher.template)
                _check_counted(stage.name, stage.teacher, experiment.budget)
            _check_ids(stage.name, sets.of(stage.data or experiment.data.train))


def _check_data(stage: SFT | OnPolicyDistill, kept: Sequence[str]) -> None:
    known = (*kept, TINY_TRACES)
    if stage.data not in known and not is_source(stage.data):
        raise UsageError(
            f"{stage.name}.data: {stage.data!r} is not a file, an address of the hub "
            f"(hf:OWNER/NAME@REVISION:split), or one of {', '.join(known)}"
        )


def _check_template(key: str, template: str | Template) -> None:
    """It is there, and so are its examples."""
    try:
        templates.check(template)
        templates.example_questions(template)
    except (UsageError, TaskError) as error:
        raise UsageError(f"{key}: {error}") from None


def _check_engines(experiment: Experiment) -> None:
    """One's own engines can be loaded, and their settings are what they take."""
    for key, choice in (("policy.engine", experiment.policy.engine), ("eval.engine", experiment.eval.engine)):
        if choice.kind not in ENGINES.built_in or choice.settings:
            ENGINES.factory(choice.kind, choice.settings, key)
        if choice.kind == "vllm" and (key == "eval.engine" or experiment.policy.servers is None):
            check_copies(choice.settings.get("data_parallel", 1), key)


def check_ahead(experiment: Experiment, processes: int = 1) -> None:
    """Refuses to sample further ahead than the engine can: beside one update, and in one process, unless
    servers sample.

    Raises:
        UsageError: names the key and what is accepted.
    """
    if experiment.policy.servers is not None:
        return
    most = 1 if processes == 1 else 0
    for stage in parts(experiment.stages):
        if isinstance(stage, GRPO) and stage.rollout_ahead > most:
            accepted = "0 or 1" if most else "with several processes 0"
            raise UsageError(
                f"{stage.name}.rollout_ahead is {stage.rollout_ahead}; accepted: {accepted}, or more where "
                "servers sample (policy.servers)"
            )


def check_shared(experiment: Experiment) -> None:
    """Refuses what a run of several processes cannot do: vLLM samples in all of them together, and one of
    them alone measures and asks a teacher.

    Raises:
        UsageError: names the key.
    """
    rejects = [stage for stage in parts(experiment.stages) if isinstance(stage, Reject)]
    alone = {
        f"{stage.name}.teacher.engine": stage.teacher.engine
        for stage in rejects
        if stage.teacher is not None and not stage.teacher.server
    }
    if _measured(experiment):
        alone["eval.engine"] = experiment.eval.engine
    policy = experiment.policy
    if policy.servers is None and policy.engine.settings.get("tensor_parallel", 1) != 1:
        alone |= {f"{stage.name}: policy.engine": policy.engine for stage in rejects if stage.teacher is None}
    for key, choice in alone.items():
        if choice.kind == "vllm":
            raise UsageError(
                f'{key}: with several processes one of them does this alone, which "vllm" cannot here; take '
                '"transformers", let a server do it, or measure with harness eval afterwards'
            )


def _check_trackers(tracking: config.Tracking) -> None:
    """Each can be loaded, with the package that a built-in one needs, which has its name."""
    for choice in tracking.also:
        TRACKERS.factory(choice.kind, choice.settings, "tracking.also")
        if choice.kind in TRACKERS.built_in and find_spec(choice.kind) is None:
            raise UsageError(
                f'tracking.also: "{choice.kind}" is not installed: pip install "grpo-harness[{choice.kind}]"'
            )


def _check_graders(asked: Asked) -> None:
    """One's own graders can be loaded, and settings are what a grader takes."""
    for task, _ in asked.sets:
        check_grader(task)


def _check_rule(stage: str, name: str) -> None:
    try:
        if name != JUDGE:
            single_reward(name)
    except UsageError as error:
        raise UsageError(f"{stage}.keep.{name}: {error}") from None


def _check_choices(stage: GRPO) -> None:
    """Loss and advantage can be loaded; their settings are what they take, and fit the group's size."""
    import torch

    from harness.train.grpo.advantages import advantages

    LOSSES.make(stage.loss.kind, stage.loss.settings, f"{stage.name}.loss")
    advantages(torch.zeros(1, stage.group_size, dtype=torch.float64), stage)


def _check_counted(stage: str, teacher: config.Policy, budget: config.Budget | None) -> None:
    """A budget in FLOPs cannot count what a model of unknown shape answers."""
    counted = budget is not None and budget.measure == "flops" and budget.teacher
    if counted and teacher.server and known_shape(teacher) is None:
        raise UsageError(
            f"{stage}.teacher: the shape of {teacher.model} is not known, so its FLOPs cannot be counted: "
            'budget in "tokens" or "device_seconds", or set budget.teacher = false'
        )


def known_shape(settings: config.Policy) -> Shape | None:
    """The shape of a model that need not be here, to count FLOPs by; None where it is not known."""
    from harness.models.architecture import architecture

    try:
        return architecture(settings).shape
    except UsageError:
        return None


def _check_ids(stage: str, asked: Asked) -> None:
    """What is kept goes by task and question id, and two splits of a task may number alike."""
    counts = Counter(task.name for task, _ in asked.sets)
    texts: dict[tuple[str, str], str] = {}
    for task, question in asked:
        if counts[task.name] == 1:  # within one set they are all different
            continue
        if texts.setdefault((task.name, question.id), question.text) != question.text:
            raise UsageError(
                f"{stage}.data: two questions of {task.name} have the id {question.id!r}: take one split"
            )


def prepare_policy(settings: config.Policy, progress: Progress) -> None:
    """Builds an embedded policy, or converts a GGUF file, with a bar, where that was not done yet.

    Raises:
        UsageError: the device that it is meant for is not here, or the file cannot be converted.
    """
    from harness.models import gguf_file, sources
    from harness.models.policy import device_of
    from harness.models.tiny.build import SIZES, tiny_folder

    device_of(settings.device)
    if gguf_file.is_new(settings.model):
        with progress.step(f"convert {settings.model}", 1) as update:
            sources.find(settings)
            update(1)
    recipe = SIZES.get(settings.model)
    if recipe is None:
        return
    with progress.step(f"pretrain {settings.model}", recipe.steps) as update:
        tiny_folder(recipe, lambda step, _steps, loss: update(step, f"loss {loss:.2f}"))
        update(recipe.steps)


def measure(
    experiment: Experiment,
    policy: config.Policy,
    folder: Path,
    progress: Progress,
    sets: QuestionSets | None = None,
) -> list[Scores]:
    """``policy`` on the experiment's benchmarks, under its protocol, into ``folder``.

    ``sets``: the questions that have been read already.
    """
    from harness.train.benchmarks import evaluate, known_tasks, protocol_of

    seed, tasks = EVALUATION_SEED + experiment.seed, config.tasks_of(experiment.tasks)
    protocols = [
        (task, protocol_of(experiment.eval, policy, task, seed))
        for task in known_tasks(experiment.eval.benchmarks, tasks, experiment.eval.limit)
    ]
    return evaluate(policy, protocols, folder, progress, experiment.eval.engine, sets=sets).scores


def questions(specs: Sequence[str]) -> Asked:
    """The questions of ``task:split[a:b]`` specifications, each with its task."""
    return QuestionSets().of(specs)
