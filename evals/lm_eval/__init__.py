"""Any task that lm-evaluation-harness knows, asked of an engine that is loaded already: ``lm_eval:NAME``.

lm-eval decides everything: data, prompts, few-shot examples, stop strings, sampling, filters, metrics. Only
what asks the model is ours (model.py). NAME is a task, group or tag of lm-eval, or the path of a task's
YAML file; ``NAME[:8]`` is the first eight documents of each of its tasks.

    FOLDER/key.json       whose replies these are
    FOLDER/replies.jsonl  as they come, see replies.py
    FOLDER/lm_eval.json   every figure as lm-eval tells it, with its standard error
    FOLDER/samples.jsonl  every document: prompt, responses, metrics, see samples.py
    FOLDER/scores.json    where each document is right or wrong, so that models can be compared on them

The model is asked a request once. Documents are built and graded by every call, so that what was edited
since (data, prompts, a metric) counts: new requests are asked, old replies are graded again, and it is said.
"""

from __future__ import annotations

from evals.lm_eval.model import engine_lm
from evals.lm_eval.names import PREFIX, check, folder_name, part
from evals.lm_eval.results import LmEvalResult
from evals.lm_eval.run import evaluate

__all__ = ["PREFIX", "LmEvalResult", "check", "engine_lm", "evaluate", "folder_name", "part"]
