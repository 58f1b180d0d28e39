"""Worked solutions of "small-sums", to fine-tune on: JSON lines of prompt and response.

    python scripts/sums_solutions.py > runs/sums-solutions.jsonl

18 + 17 goes by its tens and ones: "28 + 7 = 35. The answer is 35."
"""

from __future__ import annotations

import json
import re

from evals.tasks.registry import load_spec
from evals.templates import render

task, questions = load_spec("small-sums:train")
for question in questions:
    left, right = map(int, re.findall(r"\d+", question.text))
    tens, ones = right // 10 * 10, right % 10
    response = f" {left + tens} + {ones} = {question.gold}. The answer is {question.gold}."
    print(json.dumps({"prompt": render(question, task, "tags", None), "response": response}))
