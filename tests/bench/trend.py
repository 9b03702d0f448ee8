"""Whether something grows: the Theil-Sen slope with its confidence interval. Pure.

Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 63 (1968): the median of the slopes between
all pairs of points; the interval's ends are order statistics of these slopes, by the variance of Kendall's S.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median


@dataclass(frozen=True)
class Trend:
    """Change of y for each unit of x, and where it lies with the confidence asked for."""

    slope: float
    low: float
    high: float


def theil_sen(points: Sequence[tuple[float, float]], confidence: float = 0.95) -> Trend:
    """The trend of (x, y) points with different x; at least three. Raises ValueError."""
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))
    n = len(points)
    if n < 3:
        raise ValueError("a trend needs three points")
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    width = NormalDist().inv_cdf((1 + confidence) / 2) * deviation
    low = max(0, math.floor((len(slopes) - width) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + width) / 2))
    return Trend(median(slopes), slopes[low], slopes[high])
