"""The stages of one run, one after another, shared by the processes that torchrun started."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evals.base.errors import JobError
from evals.base.progress import Progress
from evals.engine import Engine
from evals.scores import Scores
from evals.task import folder_of
from harness import config
from harness.config import GRPO, Evaluate, Experiment, OnPolicyDistill, Reject, are_sampled, parts
from harness.config.names import FINAL
from harness.engines.registry import RolloutEngine, close, kind_takes_pieces, make_engine, servers_engine
from harness.engines.served import ServedEngine
from harness.engines.spread import SpreadEngine
from harness.models import dist, sharding
from harness.models.flops import Shape, shape_of
from harness.models.policy import Policy, load_policy
from harness.train import checkpoint
from harness.train.budget import Meter
from harness.train.checks import (
    check_ahead,
    check_experiment,
    check_shared,
    known_shape,
    measure,
    prepare_policy,
)
from harness.train.forward import Scorer
from harness.train.heartbeat import attempt_beating
from harness.train.learners import train_stage
from harness.train.loop import Outcome, StageRun
from harness.train.preflight import check_fit, room
from harness.train.questions import Asked, QuestionSets
from harness.train.rejection import has_kept, sample_and_keep
from harness.train.run_dir import Follower, Run
from harness.train.status import State, read_status
from harness.train.tracker import Tracker, columns


def run_experiment(
    experiment: Experiment, folder: Path, progress: Progress, argv: Sequence[str] = ()
) -> State:
    """Trains what ``experiment`` says into ``folder``, or goes on with what is there; returns the state.

    The state is "done" or "pruned" (a file ``stop`` in the folder asked for it). A run that has ended is not
    redone. Whatever ends it is in status.json. Where ``[eval]`` names benchmarks, the trained policy is
    measured on them into ``folder/evals/final``. Processes that torchrun started share the work.

    Raises:
        UsageError, TaskError: the experiment cannot run as written; nothing was loaded.
        JobError: it ran and failed.
    """
    with attempt_beating(folder), dist.joined():
        return _run(experiment, folder, progress if dist.is_main() else Progress(quiet=True), argv)


def _run(experiment: Experiment, folder: Path, progress: Progress, argv: Sequence[str]) -> State:
    sets = check_experiment(experiment)
    if dist.world() > 1:
        check_shared(experiment)
        check_ahead(experiment, dist.world())
    scoring = [stage.teacher for stage in experiment.stages if isinstance(stage, OnPolicyDistill)]
    for settings in (experiment.policy, *(teacher for teacher in scoring if not teacher.server)):
        dist.decided(partial(prepare_policy, settings, progress))
    check_fit(experiment, sets.of(experiment.data.train), sets.of(experiment.data.dev))
    run = _open(folder, experiment, argv)
    try:
        finished = dist.decided(lambda: read_status(folder))
        unlogged = dist.decided(lambda: checkpoint.unlogged(run.checkpoints, run.logged()))
        if finished and finished.state in ("done", "pruned") and not unlogged:
            progress.say(f"{folder}: already {finished.state}")
            return finished.state
        run.set_status("running")
        dist.decided(lambda: checkpoint.drop(run.checkpoints, unlogged))
        outcome = _train_and_measure(run, progress, sets)
        run.set_status(outcome.state, outcome.reason)
        return outcome.state
    except (KeyboardInterrupt, SystemExit):
        raise  # still "running": the same command resumes
    except BaseException as error:
        run.set_status("failed", str(error) or type(error).__name__)
        raise
    finally:
        run.close()


def _open(folder: Path, experiment: Experiment, argv: Sequence[str]) -> Run:
    """The run's folder: the first process writes it, once the others know that it may."""
    opened: list[Run] = []
    dist.decided(lambda: opened.append(Run(folder, experiment, argv)))
    return opened[0] if opened else Follower(folder, experiment)


def _train_and_measure(run: Run, progress: Progress, sets: QuestionSets) -> Outcome:
    """The stages, then the benchmarks, both told to the sinks."""
    experiment = run.experiment
    confirming = experiment.sweep_of and "confirm" in run.folder.resolve().parts
    off = experiment.tracking.model_copy(update={"wandb": "off", "also": []})
    tracker = Tracker(
        experiment.tracking if dist.is_main() else off,
        run.folder,
        name=_run_name(run),
        group=experiment.sweep_of or experiment.name,
        kind="confirm" if confirming else "trial" if experiment.sweep_of else "train",
        config=columns(experiment),
    )
    try:
        outcome = _train(run, progress, tracker, sets)
        tracker.best()
        tracker.completions()
        if outcome.state == "done":
            for scores in _measure(run, progress, sets):
                evaluated = run.folder / "evals" / FINAL / folder_of(scores.benchmark)
                tracker.evaluation(FINAL, scores, evaluated, sets.golds(scores.benchmark))
        tracker.summary({"state": outcome.state, "steps": outcome.step})
    finally:
        tracker.close()
    return outcome


def _train(run: Run, progress: Progress, tracker: Tracker, sets: QuestionSets) -> Outcome:
    """The stages, one after another; steps are counted over all of them."""
    experiment = run.experiment
    asked, dev = sets.of(experiment.data.train), sets.of(experiment.data.dev)
    by_pieces = kind_takes_pieces(experiment.policy) or not are_sampled(experiment.stages, bool(dev))
    policy = load_policy(experiment.policy, trainable=True, seed=experiment.seed, in_shards=by_pieces)
    ahead = [stage for stage in parts(experiment.stages) if isinstance(stage, GRPO) and stage.rollout_ahead]
    # Refuses what cannot be trained, before anything is sampled.
    Scorer(policy.model, policy, temperature=1.0)
    if by_pieces:  # no process needs a whole copy
        policy = sharding.shard(policy, keep_whole=False)
    alone = _sampler(run, policy, asked, dev, progress, own_weights=bool(ahead))
    width = int(experiment.policy.engine.settings.get("tensor_parallel", 1))
    engine = alone if alone is None or dist.world() == 1 else SpreadEngine(alone, width)
    if not by_pieces:
        policy = sharding.shard(policy)
    try:
        return _stages(run, progress, tracker, sets, policy, alone, engine)
    finally:
        close(alone)


def _stages(
    run: Run,
    progress: Progress,
    tracker: Tracker,
    sets: QuestionSets,
    policy: Policy,
    alone: RolloutEngine | None,
    engine: RolloutEngine | None,
) -> Outcome:
    """``engine`` samples for all processes of the run, and ``alone``, its part in this one, for this one."""
    experiment = run.experiment
    asked, dev = sets.of(experiment.data.train), sets.of(experiment.data.dev)
    outcome = Outcome("done", 0)
    saved = dist.decided(lambda: checkpoint.newest(run.checkpoints))
    reached = 0 if saved is None else checkpoint.step_of(saved)
    run.rewind(reached if reached else -1)
    for stage in parts(experiment.stages):
        if isinstance(stage, Evaluate):
            if reached <= outcome.step:  # else it was done before training went on
                _measure(run, progress, sets, stage.name, stage.benchmarks)
            continue
        if Meter(run.folder, experiment).exhausted and reached <= outcome.step:
            continue
        if isinstance(stage, Reject):
            if reached > outcome.step and stage.teacher is None:
                _check_kept(run, stage)
            if dist.decided(partial(has_kept, run, stage)):
                continue
            wanted = sets.of(stage.data) if stage.data else asked
            if stage.teacher is None and alone is not None:
                _ = alone.model_hash  # the first process is about to ask, and shards are put together by all
            dist.decided(partial(_reject, run, stage, policy, alone, wanted, progress))
            continue
        first = outcome.step
        with progress.step(stage.name, stage.steps) as update:

            def show(row: dict[str, Any], first: int = first, update: Any = update) -> None:
                tracker.log(row)
                update(row["step"] - first, _note(row))

            given = StageRun(
                run,
                policy,
                engine,
                asked,
                dev,
                first_step=first,
                on_step=show,
                should_stop=partial(_stop_reason, run.folder),
                show=progress.console.print,
            )
            outcome = train_stage(stage, given)
        if outcome.state == "pruned":
            break
    if outcome.step == 0 and outcome.state == "done":
        raise JobError(
            "budget.limit: sampled answers took the whole budget before the first training step; "
            "raise it, or ask for fewer answers"
        )
    return outcome


def _sampler(
    run: Run, policy: Policy, asked: Asked, dev: Asked, progress: Progress, own_weights: bool
) -> RolloutEngine | None:
    """What samples the policy in training; None where no stage does: a model that is only fine-tuned and
    measured afterwards needs no engine that can run it here."""
    experiment = run.experiment
    kind = experiment.policy.engine
    if not are_sampled(experiment.stages, bool(dev)):
        return None
    needed = room(experiment, asked, dev) if kind.kind != "transformers" else None
    servers = experiment.policy.servers
    if servers is not None:
        logs = run.folder / "servers"
        told = f"started; logs: {logs}" if servers.count else ", ".join(servers.addresses)
        many = servers.count or len(servers.addresses)
        waited = "a vLLM server" if many == 1 else f"{many} vLLM servers"
        progress.say(f"waiting for {waited}, at most {servers.starts_within:.0f} s: {told}")
        return servers_engine(experiment.policy, policy, needed, logs)
    share = experiment.policy.vllm_memory
    return make_engine(kind, policy, own_weights, room=needed, memory_share=share)


def _check_kept(run: Run, stage: Reject) -> None:
    """The policy has been trained further since: it would answer otherwise than when the data set was made.

    Raises:
        JobError: the data set is gone.
    """
    kept = run.folder / "data" / f"{stage.name}.jsonl"
    if not kept.exists():
        raise JobError(
            f"{kept} is gone, and the policy that wrote it has been trained on: "
            "put the file back, or name another --out"
        )


def _reject(
    run: Run, stage: Reject, policy: Policy, engine: RolloutEngine | None, asked: Asked, progress: Progress
) -> None:
    """A data set from the policy as it is now, or from a teacher that is loaded for it alone."""
    if stage.teacher is None:
        assert engine is not None
        template, shape = run.experiment.policy.template, shape_of(policy.model)
        sample_and_keep(run, stage, engine, template, asked, progress, shape)
        return
    teacher, known = _teacher(stage.teacher, progress)
    vocabulary: dict[str, int] = getattr(
        teacher.tokenizer, "get_vocab", dict
    )()  # nobody here knows a chat server's
    if vocabulary != policy.tokenizer.get_vocab():
        progress.say(f"{stage.name}: {stage.teacher.model} has another tokenizer; its answers pass as text")
    sample_and_keep(run, stage, teacher, stage.teacher.template, asked, progress, known)


def _teacher(settings: config.Policy, progress: Progress) -> tuple[Engine, Shape | None]:
    """The engine that a teacher answers through, and its shape to count FLOPs by."""
    if settings.server:
        return ServedEngine(settings, where="teacher", teacher=True), known_shape(settings)
    prepare_policy(settings, progress)
    teacher = load_policy(settings)
    engine = make_engine(settings.engine, teacher, memory_share=settings.vllm_memory)
    return engine, shape_of(teacher.model)


def _measure(
    run: Run, progress: Progress, sets: QuestionSets, name: str = FINAL, benchmarks: Sequence[str] = ()
) -> list[Scores]:
    """The policy as it is now on ``benchmarks``, or on the experiment's own, into RUN/evals/NAME.

    One process does it, whole checkpoints being there.
    """
    if not dist.is_main():
        return []
    experiment, settings = run.experiment, run.experiment.policy
    if benchmarks:
        chosen = experiment.eval.model_copy(update={"benchmarks": list(benchmarks)})
        experiment = experiment.model_copy(update={"eval": chosen})
    if not experiment.eval.benchmarks:
        return []
    trained = checkpoint.newest(run.checkpoints)
    if trained is not None:
        settings = settings.model_copy(update={"model": str(trained), "revision": None})
    return measure(experiment, settings, run.folder / "evals" / name, progress, sets)


def _stop_reason(folder: Path) -> str | None:
    """What the file ``stop`` says: whoever watches the run wants it to end."""
    path = folder / "stop"
    return path.read_text(encoding="utf-8") if path.exists() else None


def _run_name(run: Run) -> str:
    """The run's name for W&B: unlike for every attempt of a sweep, alike for every launch of a run."""
    parts = run.folder.resolve().parts
    return "-".join(parts[-3:]) if run.experiment.sweep_of else run.experiment.name


def _note(row: dict[str, Any]) -> str:
    """Reward (or loss) and dev figures beside the bar."""
    name = "reward" if "reward" in row else "loss"
    shown = f"{name} {row[name]:.2f}" if row.get(name) is not None else ""
    if row.get("dev/pass@1") is not None:
        shown += f", dev pass@1 {row['dev/pass@1']:.3f}"
    return shown
