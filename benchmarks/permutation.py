"""The sign-flip test of paired differences beside scipy's permutation_test, with as many draws.

python benchmarks/permutation.py [--questions 500]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import stats

from evals.stats.intervals import PERMUTATIONS, permutation_p_value

BATCH = 1000
"""Sign patterns that scipy holds at once: all of them would take gigabytes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=500)
    count = parser.parse_args().questions
    differences = np.random.default_rng(0).integers(-4, 5, count) / 4
    started = time.perf_counter()
    ours = permutation_p_value(differences)
    between = time.perf_counter()
    theirs = stats.permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=BATCH,
        rng=np.random.default_rng(1),
    ).pvalue
    ended = time.perf_counter()
    print(f"{count} questions, {PERMUTATIONS:,} draws")
    print(f"ours   p {ours:.4f}  {between - started:6.2f} s")
    print(f"scipy  p {theirs:.4f}  {ended - between:6.2f} s")
    print(f"ratio  {(ended - between) / (between - started):.1f}")


if __name__ == "__main__":
    main()
