"""Sweeps: Optuna proposes settings, a dispatcher has processes train them, a winner must confirm itself.

``harness.sweep(...)`` is the function ``harness.api.sweep.sweep``.
"""

from evals.base.lazy import make_callable

make_callable(__name__, "harness.api.sweep:sweep")
