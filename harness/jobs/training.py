"""Runs that are trained side by side until all of them have come to their end."""

from __future__ import annotations

from collections.abc import Sequence

from evals.base.errors import JobError
from evals.base.progress import Progress
from harness.sweep.scheduler import Crew, Job, Outcome

POLL_SECONDS = 0.2


def train_all(jobs: Sequence[Job], crew: Crew, title: str, progress: Progress) -> None:
    """Trains every job on ``crew``, or goes on with what is there; ``title`` stands beside the bar.

    Raises:
        JobError: a run did not finish.
        KeyboardInterrupt: after every run was ended.
    """
    waiting, done = list(jobs), 0
    crew.beside = max(1, min(crew.beside, len(waiting)))
    with progress.step(title, len(waiting)) as update:
        try:
            while waiting or crew.jobs:
                while waiting and crew.has_room:
                    crew.start(waiting.pop(0))
                for job, outcome in crew.tick():
                    _check_outcome(job, outcome)
                    done += 1
                update(done, _at_work(crew.jobs))
                crew.clock.sleep(POLL_SECONDS)
        finally:
            crew.shut_down()


def _check_outcome(job: Job, outcome: Outcome) -> None:
    if outcome.state != "done":
        raise JobError(f"{job.folder}: {outcome.state}: {outcome.reason}")


def _at_work(jobs: Sequence[Job]) -> str:
    shown = []
    for job in jobs:
        arm, seed = job.folder.parent.name, job.folder.name.replace("-", " ")
        step = f", step {job.progress.step}" if job.progress is not None and job.progress.step > 0 else ""
        shown.append(f"{arm} {seed}{step}")
    return "; ".join(shown)
