"""The names of stages: unlike each other, and unlike what else is written or addressed by a name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.config.stages import Evaluate, Stage, parts

FINAL, TINY_TRACES = "final", "tiny-traces"
"""The evaluation of the trained policy, and the examples that need no file."""


def check_stage_names(stages: Sequence[Stage], reserved: Collection[str]) -> None:
    """Refuses two stages of one name, those inside "distill" stages included, and names that are taken.

    ``reserved``: the experiment's own keys, which ``-s`` could not tell from a stage's.

    Raises:
        ValueError: says which name.
    """
    names = [stage.name for stage in parts(stages)]
    folded = [name.casefold() for name in names]  # some file systems do not tell "A" from "a"
    twice = sorted({name for name in names if folded.count(name.casefold()) > 1})
    if twice:
        raise ValueError(
            f"stages must have distinct names, got {names} with {', '.join(twice)} twice (a distill stage "
            "called NAME contains one called NAME-answers)"
        )
    for stage in parts(stages):
        taken = {*reserved, TINY_TRACES, FINAL} if isinstance(stage, Evaluate) else {*reserved, TINY_TRACES}
        if stage.name in taken:
            raise ValueError(f"{stage.name!r} is a reserved name: rename the stage")
