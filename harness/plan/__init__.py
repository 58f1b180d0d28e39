"""What an experiment would take, before anything runs: tokens, FLOPs, memory, time and price.

``harness.plan(...)`` is the function ``harness.api.plan.plan``.
"""

from evals.base.lazy import make_callable

make_callable(__name__, "harness.api.plan:plan")
