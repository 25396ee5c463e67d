"""The percentile bootstrap of a mean, one resample at a time."""

from collections.abc import Sequence

import numpy as np


def percentile_interval(values: Sequence[float], resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """Efron and Tibshirani (1993), section 13.3: the 2.5% and 97.5% points of the means of samples with replacement."""
    means = []
    for _ in range(resamples):
        total = 0.0
        for _ in values:
            total += values[int(rng.integers(len(values)))]
        means.append(total / len(values))
    means.sort()
    return means[int(0.025 * resamples)], means[int(0.975 * resamples) - 1]
