"""Tests of several objectives in the loop of searches with a surrogate."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import nagjax
from nagjax import acquisition
from nagjax import archive as archive_lib
from nagjax import statistics
from nagjax.algorithms import surrogate_search as loop
from nagjax.algorithms import tradeoffs
from nagjax.benchmarks import synthetic
from nagjax.types import Evaluation
from nagjax.types import Prediction
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nagjax.make_space("nasbench201")
SIZE = 12
add = jax.jit(lambda archive, *told: archive_lib.add(archive, SPACE, *told))
draw_corners = jax.jit(tradeoffs.draw_corners, static_argnums=2)


def archive_of(points, violations=None):
  """An archive of the first cells with these objectives."""
  points = np.asarray(points, np.float32)
  num = len(points)
  limits = np.zeros((num, 0)) if violations is None else violations
  limits = jnp.asarray(limits, jnp.float32)
  failed = ~np.isfinite(points).all(axis=1)
  status = np.where(failed, Status.INVALID, Status.FRESH)
  first = jnp.asarray(points[:, 0])
  return add(
    archive_lib.empty(SPACE, SIZE, limits.shape[1], points.shape[1] - 1),
    Proposal(SPACE.from_index(jnp.arange(num)), jnp.ones(num, bool)),
    Evaluation(
      jnp.asarray(status, jnp.int8),
      first,
      jnp.asarray(points),
      limits,
      jnp.asarray(~failed) & jnp.all(limits <= 0, axis=-1),
    ),
  )


def as_targets(archive, place, value):
  """A value on the scale of targets, by NumPy."""
  used = int(archive.num)
  raw = np.asarray(tradeoffs.raw_objectives(archive))[:used, place]
  order = np.argsort(raw)
  targets = np.asarray(archive.targets)[:used, place]
  return np.interp(value, raw[order], targets[order])


class CornersTest(parameterized.TestCase):
  @parameterized.parameters(2, 3)
  def test_rays_leave_what_was_found_at_their_corners(self, num_objectives):
    """Oracle: by definition: no row is beyond a corner in every objective, and
    one is in none behind it; all rows of the front are met."""
    rng = np.random.default_rng(0)
    points = (
      rng.normal(size=(9, num_objectives)) * [100, 1, 0.01][:num_objectives]
    )
    archive = archive_of(points)
    corners = np.asarray(draw_corners(jax.random.key(0), archive, 200))
    self.assertEqual(corners.shape, (200, num_objectives))
    ahead = np.asarray(archive.targets)[:9, None] - corners[None]
    lead = ahead.min(axis=-1)
    np.testing.assert_allclose(lead.max(axis=0), 0.0, atol=2e-3)
    front = np.flatnonzero(statistics.pareto_front(points))
    self.assertEqual(set(lead.argmax(axis=0)), set(front))

  def test_two_rows(self):
    """Oracle: by hand. Of (0, 1) and (1, 0) every corner has the value of a row
    in one objective, and in the other lies below the best: between the two, or
    up to two units below both."""
    archive = archive_of([[0.0, 1.0], [1.0, 0.0]])
    corners = draw_corners(jax.random.key(1), archive, 50)
    low, high = stats.norm.ppf([0.25, 0.75])
    on_row = np.isclose(corners, low, atol=1e-4)
    on_row |= np.isclose(corners, high, atol=1e-4)
    self.assertTrue(on_row.any(axis=1).all())
    self.assertLessEqual(float(corners.max()), high + 1e-4)
    self.assertBetween(float(corners.min()), low - 2 - 1e-4, low - 1e-3)

  def test_infeasible_rows_and_failures_do_not_count(self):
    """Oracle: the corners of the archive without them."""
    points = [[0.0, 1.0], [1.0, 0.0], [5.0, 5.0], [-np.inf, -np.inf]]
    archive = archive_of(points, [[0.0], [-1.0], [2.0], [np.inf]])
    corners = draw_corners(jax.random.key(1), archive, 50)
    tops = np.max(np.asarray(archive.targets)[:2, :2], axis=0)
    self.assertTrue((np.asarray(corners) <= tops + 1e-4).all())
    alone = archive_of(points[2:], [[2.0], [np.inf]])
    corners = draw_corners(jax.random.key(1), alone, 5)
    self.assertTrue(np.isfinite(corners).all())

  def test_an_empty_archive(self):
    """Oracle: nothing that is not finite."""
    empty = archive_lib.empty(SPACE, SIZE, 0, 1)
    corners = draw_corners(jax.random.key(0), empty, 3)
    view = tradeoffs.seen_from(empty, corners, 5.0)
    self.assertTrue(np.isfinite(corners).all())
    self.assertTrue(np.isfinite(view.targets).all())


class ViewTest(absltest.TestCase):
  def test_one_objective_is_seen(self):
    """Oracle: NumPy, row by row."""
    points = [[0.0, 3.0], [2.0, 1.0], [1.0, 0.0], [-np.inf, -np.inf]]
    violations = [[-1.0], [2.0], [0.0], [np.inf]]
    archive = archive_of(points, violations)
    corners = jnp.asarray([[0.1, -0.2], [-0.5, 0.4]])
    view = tradeoffs.seen_from(archive, corners, 5.0)
    targets = np.asarray(archive.targets)
    lead = (targets[:, None, :2] - corners[None]).min(-1).max(-1)
    excess = np.maximum(targets[:, 2], 0.0)
    np.testing.assert_allclose(view.value[:3], lead[:3], atol=1e-6)
    np.testing.assert_allclose(
      view.objective[:3], (lead - 5 * excess)[:3], atol=1e-5
    )
    self.assertTrue(np.isneginf(view.objective[3:]).all())
    np.testing.assert_allclose(view.targets[:4, 0], lead[:4], atol=1e-6)
    np.testing.assert_array_equal(view.targets[:, 1], targets[:, 2])
    self.assertTrue((np.asarray(view.targets)[4:] == 0).all())

  def test_joining_the_front(self):
    """Oracle: by hand."""
    for point, joins in (
      ([0.5, 0.5], True),
      ([-1.0, 0.9], False),
      ([0.0, 1.0], True),
      ([-np.inf, -np.inf], False),
    ):
      archive = archive_of([[0.0, 1.0], [1.0, 0.0], point])
      found = tradeoffs.joins_front(archive, jnp.int32(2))
      self.assertEqual(bool(found), joins, point)


class LeastTest(parameterized.TestCase):
  @parameterized.parameters(2, 3)
  def test_moments(self, num):
    """Oracle: Monte Carlo; exact for two, close for three."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(40, num)).astype(np.float32)
    stds = rng.uniform(0.1, 1.5, (40, num)).astype(np.float32)
    draws = means[None] + stds[None] * rng.normal(size=(40_000, 40, num))
    least = draws.min(axis=-1)
    mean, std = tradeoffs.least_of_normals(means, stds)
    bound = 0.02 if num == 2 else 0.12
    np.testing.assert_allclose(mean, least.mean(axis=0), atol=bound)
    np.testing.assert_allclose(std, least.std(axis=0), atol=bound)

  def test_slots_have_corners_of_their_own(self):
    """Oracle: without deviations the value is the least lead, penalized."""
    means = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    violation = np.linspace(-1, 1, 7, dtype=np.float32)
    prediction = Prediction(
      jnp.asarray(means[:, 0]),
      jnp.full(7, 1e-5),
      None,
      jnp.stack([jnp.asarray(means[:, 1]), jnp.asarray(violation)], axis=-1),
    )
    corners = jnp.asarray([[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0]])
    values = tradeoffs.slot_values(
      jax.random.key(0),
      acquisition.upper_confidence_bound,
      prediction,
      corners,
      jnp.zeros(3),
      penalty=2.0,
    )
    lead = (means[None] - np.asarray(corners)[:, None]).min(axis=-1)
    expected = lead - 2 * np.maximum(violation, 0)
    np.testing.assert_allclose(values, expected, atol=1e-3)
    seen = tradeoffs.largest_lead(prediction, corners)
    np.testing.assert_allclose(seen.mean, lead.max(axis=0), atol=1e-5)
    np.testing.assert_array_equal(seen.violations[:, 0], violation)


class SearchTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_ahead_of_nsga2(self):
    """Oracle: the hypervolume of NSGA-II's finds, paired by 24 seeds."""
    problem = nagjax.Problem(
      synthetic.synthetic(), ("valid_accuracy", "-params_m")
    )
    keys = jax.random.split(jax.random.key(0), 24)
    volumes = {}
    for name in ("ednag", "nsga2"):
      search = nagjax.make_search(name, problem, budget=80)
      trace = nagjax.sweep(keys, search).trace
      volumes[name] = [
        statistics.hypervolume(points.reshape(-1, 2), problem.front().worst)
        for points in trace.objectives
      ]
    self.assertTrue(statistics.ahead(volumes["ednag"], volumes["nsga2"]))

  @pytest.mark.slow
  def test_objectives_that_are_not_traded_off_change_nothing(self):
    """Oracle: the search of one objective, bit for bit."""
    table = synthetic.synthetic()
    one = nagjax.Problem(table)
    two = nagjax.Problem(
      table,
      ("valid_accuracy", "-params_m"),
      scalarize=lambda objectives, violations: objectives[..., 0],
    )
    self.assertEqual((one.num_tradeoffs, two.num_tradeoffs), (0, 0))
    found = []
    for problem in (one, two):
      search = nagjax.make_search("ednag", problem, budget=30)
      run = jax.jit(functools.partial(nagjax.run, search=search))
      found.append(run(jax.random.key(0)).trace)
    np.testing.assert_array_equal(found[0].archs, found[1].archs)
    np.testing.assert_array_equal(found[0].objective, found[1].objective)

  def test_bad_parts_and_options(self):
    """Oracle: the documented errors."""
    problem = nagjax.Problem(
      synthetic.synthetic(), ("valid_accuracy", "-params_m")
    )
    with self.assertRaisesRegex(ValueError, "with several use independent"):
      nagjax.make_search("optiproxy", problem, budget=30, acquisition="ts")
    with self.assertRaisesRegex(ValueError, "num_tradeoffs follows"):
      nagjax.make_search(
        "ednag", problem, budget=30, options={"num_tradeoffs": "2"}
      )
    with self.assertRaisesRegex(ValueError, "num_tradeoffs must be at least"):
      loop.Config(num_tradeoffs=-1)
    with self.assertRaisesRegex(ValueError, "less than the problem's 1"):
      archive_lib.add(
        archive_lib.empty(SPACE, SIZE, 0, 1),
        SPACE,
        *_answer_of_one_objective(),
      )


def _answer_of_one_objective():
  one = jnp.ones(1)
  return Proposal(SPACE.from_index(jnp.arange(1)), one > 0), Evaluation(
    jnp.zeros(1, jnp.int8), one, one[:, None], jnp.zeros((1, 0)), one > 0
  )


if __name__ == "__main__":
  absltest.main()
