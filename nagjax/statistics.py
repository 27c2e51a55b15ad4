"""Statistics over seeds: intervals, paired tests, curves, Pareto fronts.

Host side, in float64. Values are maximized and keep the unit they come in; `S`
seeds, `E` evaluations, `Q` queries. `confidence` is a coverage in (0, 1).

  >>> mean_interval([1.0, 1.0])
  Interval(mean=1.0, std=0.0, low=1.0, high=1.0, num=2)
  >>> best_so_far([[1.0, 3.0, 2.0]], [[1, 2, 3]], budget=4)
  array([[1., 3., 3., 3.]], dtype=float32)

Raises:
  ValueError: from every function, if arguments are not as its Args ask.
"""

from typing import Generic
from typing import NamedTuple
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
import scipy  # Its part `stats` is slow to import: only as it is used.

__all__ = [
  *("Interval", "PairedDifference", "RankCorrelation", "ahead", "best_so_far"),
  *("hypervolume", "hypervolume_curve", "igd_plus_curve", "mean_interval"),
  *("median_queries", "not_behind", "paired_difference", "pareto_front"),
  *("proportion_interval", "queries_to_target", "rank_correlation"),
  *("regret_curve", "reliability", "success_at"),
]

T = TypeVar("T", float, np.ndarray)


class Interval(NamedTuple, Generic[T]):
  """The mean of a sample, and an interval of it.

  Attributes:
    mean, std: of the sample; the deviation has ddof 1.
    low, high: ends of the interval of the mean.
    num: size of the sample.
  """

  mean: T
  std: T
  low: T
  high: T
  num: int


class PairedDifference(NamedTuple):
  """What `paired_difference` says of `a - b`.

  Attributes:
    interval: of its mean.
    t_p_value, wilcoxon_p_value: two-sided, of "no difference".
  """

  interval: Interval[float]
  t_p_value: float
  wilcoxon_p_value: float


class RankCorrelation(NamedTuple):
  """How alike two orders are.

  Attributes:
    spearman, kendall: rho and tau-b.
    num: pairs used.
  """

  spearman: float
  kendall: float
  num: int


def mean_interval(
  values: ArrayLike, confidence: float = 0.95
) -> Interval[float]:
  """Returns the Student-t interval of the mean; one seed has NaN for the rest.

  Args:
    values: `[S]` finite: decide first what a seed without a value (-inf) is.
    confidence: of the interval, between 0 and 1.
  """
  array = _finite_vector("values", values)
  mean, std, low, high = map(float, _student_interval(array, confidence))
  return Interval(mean, std, low, high, array.size)


def proportion_interval(
  successes: int, num: int, confidence: float = 0.95
) -> Interval[float]:
  """Returns Wilson's score interval (JASA 1927) of a share in [0, 1].

  Args:
    successes: number of ones among the 0/1 outcomes, in [0, num].
    num: number of outcomes, at least 1 (their `std` is NaN then).
    confidence: of the interval, between 0 and 1.
  """
  _check(_is_count(num) and num > 0, "num of at least 1", num)
  possible = _is_count(successes) and successes <= num
  _check(possible, f"successes in 0, ..., {num}", successes)
  _check(0.0 < confidence < 1.0, "confidence in (0, 1)", confidence)
  share, num = float(successes / num), int(num)
  z = float(scipy.special.ndtri(0.5 + confidence / 2))
  shift, spread = z / (2 * num), (share * (1.0 - share) / num) ** 0.5
  # So written, the ends are exact where the share is 0 or 1.
  out, scale = z * (float(np.hypot(spread, shift)) - shift), 1.0 + z**2 / num
  low, high = (share - out) / scale, 1.0 - (1.0 - share - out) / scale
  variance = share * (1.0 - share) * num / (num - 1) if num > 1 else np.nan
  return Interval(share, float(variance**0.5), low, high, num)


def paired_difference(
  a: ArrayLike, b: ArrayLike, confidence: float = 0.95
) -> PairedDifference:
  """Compares two algorithms over the same seeds by their differences `a - b`.

  The tests are the paired t-test (without spread p is 1 at zero, else 0) and
  Wilcoxon's signed-rank test of the non-zero differences (p is 1 without any).

  Args:
    a: `[S]` finite values, at least two seeds.
    b: `[S]` finite values of the same seeds in the same order.
    confidence: of the interval, between 0 and 1.
  """
  first, second = _finite_vector("a", a), _finite_vector("b", b)
  _check(first.size >= 2, "at least 2 seeds", first.size)
  _check(first.size == second.size, f"b of {first.size} seeds", second.size)
  difference = first - second
  interval = mean_interval(difference, confidence)
  t_p_value = float(interval.mean == 0.0)
  if interval.std > 0.0:
    t = interval.mean / interval.std * interval.num**0.5
    t_p_value = float(2.0 * scipy.special.stdtr(interval.num - 1, -abs(t)))
  moved = difference[difference != 0.0]
  wilcoxon = float(scipy.stats.wilcoxon(moved).pvalue) if moved.size else 1.0
  return PairedDifference(interval, t_p_value, wilcoxon)


def not_behind(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> bool:
  """Returns whether `paired_difference`'s interval is not all below zero."""
  return paired_difference(a, b, confidence).interval.high >= 0.0


def ahead(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> bool:
  """Returns whether `paired_difference`'s interval is all above zero."""
  return paired_difference(a, b, confidence).interval.low > 0.0


def best_so_far(
  objective: ArrayLike, charged: ArrayLike, budget: int | None = None
) -> np.ndarray:
  """Returns `float32[S, Q]`: the best after 1, ..., Q charged queries.

  Entry `q - 1` is the largest objective at which at most q queries had been
  charged: -inf before anything valid, carried on when a search ends early.

  Args:
    objective: `[S, E]`, S >= 1, in order of evaluation, -inf where none.
    charged: `[S, E]` integer queries charged until after each, never falling.
    budget: Q >= 0; by default the largest charge of all seeds.
  """
  values, counts = _history(objective, charged)
  num_queries = int(counts.max(initial=0)) if budget is None else budget
  _check(_is_count(num_queries), "budget of at least 0", num_queries)
  # One histogram of (seed, charge); charges above the budget share a bin.
  num_seeds, width = len(values), num_queries + 2
  bins = np.minimum(counts, width - 1) + width * np.arange(num_seeds)[:, None]
  histogram = np.bincount(bins.ravel(), minlength=num_seeds * width)
  seen = histogram.reshape(num_seeds, width).cumsum(axis=1)[:, 1:-1]
  padded = np.pad(values, [(0, 0), (1, 0)], constant_values=-np.inf)
  return np.take_along_axis(np.maximum.accumulate(padded, axis=1), seen, axis=1)


def queries_to_target(
  objective: ArrayLike, charged: ArrayLike, target: float
) -> np.ndarray:
  """Returns `float64[S]`: queries charged when the target is met, inf if never.

  Args:
    objective, charged: `[S, E]` as in `best_so_far`.
    target: finite; compared in float32, so that a float64 optimum is reached.
  """
  values, counts = _history(objective, charged)
  _check(np.isfinite(target), "a finite target", target)
  # Charges never fall, so the least one among the hits is that of the first.
  hits = np.where(values >= np.float32(target), counts, np.inf)
  return hits.min(axis=1, initial=np.inf)


def success_at(queries: ArrayLike, at: ArrayLike) -> np.ndarray:
  """Returns `float64[...]`: the share of seeds that succeeded by each count.

  Args:
    queries: `[S]` of `queries_to_target`; inf never counts.
    at: `[...]` numbers of queries, not NaN.
  """
  needed, counts = _needed(queries), np.asarray(at, np.float64)
  _check(not np.isnan(counts).any(), "at without NaN", counts)
  within = (needed <= counts[..., None]) & np.isfinite(needed)
  return np.asarray(within.mean(axis=-1))


def median_queries(queries: ArrayLike) -> float | None:
  """Returns the median number of queries, None if under half of seeds succeed.

  If exactly half do, the upper middle count is inf and the lower is returned.

  Args:
    queries: `[S]` of `queries_to_target`.
  """
  needed = np.sort(_needed(queries))
  lower, upper = needed[(needed.size - 1) // 2], needed[needed.size // 2]
  middle = lower if np.isinf(upper) else (lower + upper) / 2.0
  return None if np.isinf(lower) else float(middle)


def regret_curve(
  best: ArrayLike, optimum: float, confidence: float = 0.95
) -> Interval[np.ndarray]:
  """Returns the interval of `optimum - best`, its fields `float64[Q]`.

  Where a seed has nothing valid yet the mean is inf and the rest NaN; with one
  seed the rest is NaN.

  Args:
    best: `[S, Q]` of `best_so_far`: finite or -inf.
    optimum: finite, rounded to float32 as `best` is. Beyond it, regret is < 0.
    confidence: of the interval, between 0 and 1.
  """
  values = np.asarray(best, np.float32).astype(np.float64)
  _check(values.ndim == 2 and len(values), "best of [S, Q]", values.shape)
  _check((values < np.inf).all(), "best finite or -inf", values)
  _check(np.isfinite(optimum), "a finite optimum", optimum)
  known = np.isfinite(values).all(axis=0)
  regret = np.where(known, float(np.float32(optimum)) - values, 0.0)
  mean, *rest = _student_interval(regret, confidence)
  std, low, high = (np.where(known, field, np.nan) for field in rest)
  return Interval(np.where(known, mean, np.inf), std, low, high, len(values))


def pareto_front(points: ArrayLike) -> np.ndarray:
  """Returns `bool[N]`: which points no other one dominates (all maximized).

  Args:
    points: `[N, M]`, M >= 1. Duplicates all stay; rows with NaN never count.
  """
  values = np.asarray(points, np.float64)
  _check(values.ndim == 2 and values.shape[1], "[N, M] points", values.shape)
  front = np.zeros(len(values), bool)
  rest = np.lexsort(values.T)[::-1]
  rest = rest[~np.isnan(values[rest]).any(axis=1)]
  while rest.size:
    # A lexicographic maximum of what is left is dominated by nothing.
    head, left = values[rest[0]], values[rest]
    front[rest[(left == head).all(axis=1)]] = True
    rest = rest[(left > head).any(axis=1)]
  return front


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
  """Returns the exact volume between reference and points (all maximized).

  By recursive slicing along the last objective: meant for at most four.

  Args:
    points: `[N, M]` below inf; NaN or not above the reference adds nothing.
    reference: `[M]` finite.
  """
  values = np.asarray(points, np.float64)
  values = values[pareto_front(values)]
  corner = _finite_vector("reference", reference)
  width = values.shape[1]
  _check(corner.size == width, f"reference of size {width}", corner.size)
  _check(not np.isposinf(values).any(), "points below inf", values)
  return _volume(values[(values > corner).all(axis=1)] - corner)


def hypervolume_curve(
  objectives: ArrayLike, queries: int, reference: ArrayLike
) -> np.ndarray:
  """Returns `float64[S, Q]`: `hypervolume` after 1, ..., Q queries.

  Args:
    objectives: `[S, E, M]` of each charged evaluation in order, -inf or NaN
      where there is none; `E <= Q`, and the last is carried on.
    queries: Q.
    reference: `[M]` finite.
  """
  values = _evaluations(objectives, queries)
  corner = np.asarray(reference, np.float64)
  curves = np.zeros((len(values), queries))
  for curve, points in zip(curves, values, strict=True):
    front = np.empty((0, values.shape[2]))
    for query, point in enumerate(points):
      # Only what no other one reaches adds to the volume.
      if (point > corner).all() and not (front >= point).all(axis=1).any():
        front = np.vstack([front[~(front <= point).all(axis=1)], point])
        curve[query:] = hypervolume(front, corner)
  return curves


def igd_plus_curve(
  objectives: ArrayLike, queries: int, front: ArrayLike, scale: ArrayLike
) -> np.ndarray:
  """Returns `float64[S, Q]`: the distance to a front after 1, ..., Q queries.

  The modified inverted generational distance (Ishibuchi et al., EMO 2015): the
  mean over the front of the least `|max(front - point, 0)|`; inf before
  anything valid.

  Args:
    objectives, queries: as in `hypervolume_curve`.
    front: `[F, M]` finite, F >= 1: what could be found.
    scale: `[M]` positive units of the objectives.
  """
  values = _evaluations(objectives, queries)
  target, units = np.asarray(front, np.float64), np.asarray(scale, np.float64)
  _check(np.isfinite(target).all() and len(target), "a finite front", target)
  _check((units > 0).all(), "positive units", units)
  curves = np.full((len(values), queries), np.inf)
  for curve, points in zip(curves, values, strict=True):
    points = np.where(np.isnan(points), -np.inf, points)
    short = np.maximum(target[:, None] - points[None], 0.0) / units
    distance = np.sqrt((short**2).sum(axis=-1))
    nearest = np.minimum.accumulate(distance, axis=1).mean(axis=0)
    if nearest.size:
      curve[: nearest.size], curve[nearest.size :] = nearest, nearest[-1]
  return curves


def rank_correlation(x: ArrayLike, y: ArrayLike) -> RankCorrelation:
  """Returns the correlations; NaN for under two pairs or a constant side.

  Args:
    x: `[N]` values; infinities have their rank.
    y: `[N]` values; pairs of which either is NaN are dropped.
  """
  first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
  _check(first.ndim == 1, "x of shape [N]", first.shape)
  _check(second.shape == first.shape, f"y of {first.shape}", second.shape)
  kept = ~(np.isnan(first) | np.isnan(second))
  num = int(kept.sum())
  ranks = [scipy.stats.rankdata(side[kept]) for side in (first, second)]
  if num < 2 or not all(np.ptp(side) for side in ranks):
    return RankCorrelation(float("nan"), float("nan"), num)
  # Spearman's rho is Pearson's of the ranks; spearmanr trips over infinities.
  rho, tau = scipy.stats.pearsonr(*ranks)[0], scipy.stats.kendalltau(*ranks)[0]
  return RankCorrelation(float(rho), float(tau), num)


def reliability(values: ArrayLike) -> float:
  """Rank correlation of the mean over repeats with that of as many others.

  The mean Spearman correlation `r` between two repeats, stepped up to all `S`
  of them by Spearman and Brown's `S r / (1 + (S - 1) r)`.

  Args:
    values: `[N, S]`, one column a repeat, at least two.

  Returns:
    NaN if there are under two things or a repeat is constant; `r` itself if it
    is not positive, as there is nothing to step up.
  """
  array = np.asarray(values, np.float64)
  _check(array.ndim == 2 and array.shape[1] > 1, "[N, S > 1]", array.shape)
  num = array.shape[1]
  single = np.mean(
    [
      rank_correlation(array[:, i], array[:, j]).spearman
      for i in range(num)
      for j in range(i)
    ]
  )
  if single <= 0:
    return float(single)
  return float(num * single / (1 + (num - 1) * single))


def _student_interval(
  values: np.ndarray, confidence: float
) -> tuple[np.ndarray, ...]:
  """Mean, std, low and high over the leading axis of `[S, ...]`."""
  _check(0.0 < confidence < 1.0, "confidence in (0, 1)", confidence)
  num = len(values)
  # Shifted by the first seed, so that constant values are exact.
  shifted = values - values[0]
  mean = values[0] + shifted.mean(axis=0)
  if num == 1:
    return (mean, *[np.full_like(mean, np.nan)] * 3)
  std = shifted.std(axis=0, ddof=1)
  half = scipy.special.stdtrit(num - 1, 0.5 + confidence / 2) * std / num**0.5
  return mean, std, mean - half, mean + half


def _volume(heights: np.ndarray) -> float:
  """Hypervolume of positive `[N, M]` heights above the origin."""
  if not heights.size or heights.shape[1] == 1:
    return float(heights.max(initial=0.0))
  heights = heights[pareto_front(heights)]
  heights = heights[np.argsort(-heights[:, -1], kind="stable")]
  depths = -np.diff(heights[:, -1], append=0.0)
  if heights.shape[1] == 2:
    return float(depths @ heights[:, 0])
  slices = ((depths[i], heights[: i + 1, :-1]) for i in np.flatnonzero(depths))
  return sum(float(depth) * _volume(area) for depth, area in slices)


def _history(
  objective: ArrayLike, charged: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
  values, counts = np.asarray(objective, np.float32), np.asarray(charged)
  _check(values.ndim == 2 and len(values), "objective [S, E]", values.shape)
  _check(not np.isnan(values).any(), "objective without NaN", values)
  _check(counts.shape == values.shape, f"charged {values.shape}", counts.shape)
  _check(counts.dtype.kind in "iu", "integers for charged", counts.dtype)
  steps = np.diff(counts, axis=1, prepend=0)
  _check((steps >= 0).all(), "charged >= 0 that never falls", counts)
  return values, counts.astype(np.int64)


def _evaluations(objectives: ArrayLike, queries: int) -> np.ndarray:
  values = np.asarray(objectives, np.float64)
  _check(values.ndim == 3, "objectives of [S, E, M]", values.shape)
  _check(values.shape[1] <= queries, "E of at most Q", values.shape)
  return values


def _needed(queries: ArrayLike) -> np.ndarray:
  needed = np.asarray(queries, np.float64)
  _check(needed.ndim == 1 and needed.size, "queries of [S >= 1]", needed.shape)
  _check((needed >= 0.0).all(), "queries of at least 0", needed)
  return needed


def _finite_vector(name: str, values: ArrayLike) -> np.ndarray:
  array = np.asarray(values, np.float64)
  _check(array.ndim == 1 and array.size, f"{name} of shape [>= 1]", array.shape)
  _check(np.isfinite(array).all(), f"finite {name}", array)
  return array


def _is_count(value: object) -> bool:
  return isinstance(value, int | np.integer) and bool(value >= 0)


def _check(holds: object, expected: str, got: object) -> None:
  if not holds:
    raise ValueError(f"expected {expected}, got {got}.")
