"""What a page explains to somebody who was sent it: how to read each part, what is measured, the words."""

from __future__ import annotations

from collections.abc import Sequence

from evals.base.text import printable
from evals.task import TaskError
from evals.tasks import registry

HOW_TO: dict[str, tuple[str, ...]] = {
    "summary": (
        "Sentences that follow from the figures below. A difference is called significant where it is "
        "so after "
        "pairing by question, at 5%, corrected for every comparison on the page.",
        "“Not significant” does not mean “equal”: look at the interval. One from −8 to +12 points says that "
        "these data cannot tell.",
        "Where there are warnings, read them next: a grave one can change a conclusion.",
    ),
    "results": (
        "pass@1 is the share of samples that are right, averaged over questions; the small figures are "
        "its 95% "
        "interval, for other questions of the same kind. More samples per question narrow it only so far.",
        "cons@k rises with agreement among samples, pass@k with their variety. pass@1 that rises while "
        "pass@k "
        "falls is usual in RL: the policy becomes sure of what it could already find.",
        "Distrust a score where many answers are unparsed (the model may know more than its format shows) or "
        "truncated, and an interval that is wider than the difference you care about.",
    ),
    "comparisons": (
        "Every row is a difference, question by question: the model's rate minus the baseline's, in "
        "points. Above "
        "0 the model is better.",
        "Pairing takes out how hard the questions are, so that a difference may be significant although the "
        "two models' own intervals overlap.",
        "Read responses to some of the questions that turned: a gain that comes from format alone looks the "
        "same in a table.",
    ),
    "controls": (
        "A control has the settings and the seeds of what it explains, and rewards that say nothing of "
        "what is right: what it gains too was not taught by the reward.",
        "Where a model has seen a benchmark's questions, its score there may be memory.",
    ),
    "training": (
        "Healthy: reward rises and flattens, dev/pass@1 rises with it, KL grows slowly, entropy falls "
        "and settles.",
        "Doubtful: reward rises and dev/pass@1 does not (the reward is being gamed: read the "
        "completions with the "
        "highest reward); length that runs into its limit or collapses; KL that jumps.",
        "Bands are fresh seeds. Where they spread as wide as the effect, one seed proves nothing.",
    ),
    "sweep": (
        "Every trial is one configuration. The line to believe is the confirmation: what fresh seeds "
        "made of the "
        "chosen settings. The best of many noisy figures is flattered by luck.",
        "With a few dozen trials an importance is a hint, not a finding.",
    ),
    "runs": (
        "Where a reward rises and the dev set does not follow, the completions with the highest reward show "
        "what is being paid for.",
    ),
    "questions": (
        "A column is a question, the hardest at the left; dark is never right, bright is always right. "
        "A column "
        "that is dark for one model and bright for another is worth reading: click it.",
    ),
    "cost": (
        "Compare ways of training at equal cost. Pruned and failed trials are part of what a winner cost.",
    ),
    "samples": (
        "Read ten wrong and ten right responses of each benchmark. Right for a wrong reason, wrong "
        "because of the "
        "format, the same text again and again: no table shows these.",
        "Keys: j and k go from sample to sample, Enter opens one, ← and → go from question to question. "
        "Tick two samples of a question to see them side by side with the differing words marked.",
    ),
    "reproduce": (
        "The command, the commit, the versions and the seeds of what is shown. Where the commit ends in "
        "+dirty "
        "there were changes that nobody else has.",
    ),
}
"""A few sentences by section; a section of several sweeps goes by the part of its id before the number."""

BENCHMARKS: dict[str, str] = {
    "tiny-aime": "generated chains of two to four additions and subtractions of three-digit numbers, "
    "for a model "
    "of a million parameters. It shares with AIME that answers are whole numbers from 0 to 999, and "
    "nothing else: "
    "a score here says nothing about AIME.",
    "tiny-math": "generated small problems with LaTeX answers (fractions, signed numbers, sets). It is "
    "not MATH.",
    "tiny-code": "generated one-line Python functions described in words, graded by running tests. It "
    "is neither "
    "HumanEval nor MBPP.",
    "small-sums": "generated additions of two numbers below 20.",
    "aime24": "the 30 problems of the American Invitational Mathematics Examination 2024; answers are whole "
    "numbers from 0 to 999. One question is 3.3 points.",
    "aime25": "the 30 problems of the American Invitational Mathematics Examination 2025. One question "
    "is 3.3 "
    "points.",
    "math500": "500 competition problems from the test set of MATH; answers are expressions.",
    "gsm8k": "grade-school word problems whose answers are numbers.",
    "gpqa_diamond": "198 questions of graduate-level science with four options; guessing gives 25%.",
    "mmlu-pro": "questions from many subjects with up to ten options.",
    "humaneval": "164 Python functions to complete, graded by running hidden tests.",
    "mbpp": "short Python tasks, graded by running tests.",
    "livecodebench": "programming contest problems, graded by running tests.",
}
"""What a benchmark consists of."""

GRADERS = {
    "math": "answers are compared as mathematics",
    "integer": "answers are compared as numbers",
    "choice": "answers are options",
    "code": "programs are run against tests",
    "judge": "a language model judges free answers",
}

GLOSSARY: dict[str, str] = {
    "pass@1": "The share of samples that are right, averaged per question.",
    "pass@k": "The chance that at least one of k samples is right, estimated without bias from all samples.",
    "cons@k": "The share of questions whose most frequent answer among k samples is right; ties share "
    "the credit.",
    "95% interval": "Where the figure would lie for other questions of the same kind, in 95 of 100 such "
    "data sets.",
    "points": "Percentage points: from 40% to 45% is +5 points.",
    "significant": "The p-value after Holm's correction is below 0.05 and the interval does not hold 0.",
    "p (Holm)": "The p-value, raised so that among all comparisons on the page a false alarm stays below 5%.",
    "base": "The policy that training started from, measured in the same way.",
    "winner": "The sweep's best settings, trained again from fresh seeds; these runs are what is measured.",
    "policy": "The language model that is trained.",
    "dev": "Questions held back from training, on which trials are compared; never the benchmarks.",
    "pruned": "A trial that was ended early, because others at the same step were better.",
    "unparsed": "A response in which no rule found an answer; it counts as wrong.",
    "truncated": "A response that the length limit cut; an answer that stands before the cut still counts.",
    "ungraded": "A response on which the grader failed; it counts as wrong, and pass@1 has bounds.",
    "advantage": "By how much a completion's reward is above its group's: what training makes more likely.",
    "KL": "How far the policy has moved from its reference, per token.",
    "seed": "The number that all randomness of a run follows from. Fresh seeds show what was luck.",
}
"""The words of a page, in the order in which a reader meets them."""


def how_to(section: str) -> tuple[str, ...]:
    """How to read a section, by its id; () where there is nothing to say."""
    return HOW_TO.get(section) or HOW_TO.get(section.rpartition("-")[0], ())


def about(benchmarks: Sequence[str]) -> list[tuple[str, str]]:
    """(benchmark, what it consists of) for those of which that is known."""
    told = [(printable(name), _about(name)) for name in benchmarks]
    return [(name, text) for name, text in told if text]


def _about(name: str) -> str:
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    try:
        task = registry.get(name)
    except TaskError:
        return "questions of whoever measured; this page knows no more of them."
    how = GRADERS.get(task.grader, f"graded by {task.grader}")
    return printable(f"{task.title}, from {task.source}; {how}.")
