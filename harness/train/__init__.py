"""Training, stage by stage; ``harness.train(...)`` is the function ``harness.api.run.train``."""

from evals.base.lazy import make_callable

make_callable(__name__, "harness.api.run:train")
