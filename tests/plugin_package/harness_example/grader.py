"""A grader: a response is right where the last number in it is the gold."""

import re

from evals.task import Question


def last_number(response: str, gold: str, question: Question) -> bool:
    found = re.findall(r"-?\d+", response)
    return bool(found) and int(found[-1]) == int(gold)
