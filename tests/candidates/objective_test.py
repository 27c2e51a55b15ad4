"""Tests of nagjax.candidates.objective."""

import functools
import itertools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import problem as problem_lib
from nagjax import registry
from nagjax import search
from nagjax.candidates import cells
from nagjax.candidates import darts_scores
from nagjax.candidates import objective
from nagjax.candidates import zerocost
from nagjax.candidates.train import Images
from nagjax.spaces import darts
from nagjax.spaces import nasbench201
from nagjax.types import Status

CONFIG = cells.Config((4, 4, 1), num_classes=3, num_channels=1, num_cells=1)


def benchmark(score="params", **options):
  options = {"key": jax.random.key(0), "config": CONFIG, **options}
  return objective.zerocost(score, "nasbench201", **options)


def operations_cost(model, arch, images, config):
  """A score that is cheap and depends on everything it may."""
  bias = jnp.sum(model.params.bias) / config.num_classes
  weights = images.y.astype(jnp.float32) @ jnp.mean(images.x, axis=(1, 2, 3))
  return jnp.sum(arch.astype(jnp.float32) ** 2) * weights + bias


def with_a_cost():
  """Makes `cost` a score that is better the smaller it is, in ms."""
  scores = {"cost": zerocost.Score(operations_cost, sign=-1, unit="ms")}
  return mock.patch.object(zerocost, "SCORES", scores)


class ProtocolTest(parameterized.TestCase):
  def test_columns(self):
    """Oracle: the documented attributes of a benchmark."""
    asked = benchmark("naswot")
    self.assertEqual(asked.name, "zerocost/naswot@nasbench201")
    self.assertEqual(asked.objective, "naswot")
    self.assertEqual(asked.units, ())
    self.assertEqual(benchmark("flops").units, (("flops", "million"),))
    self.assertIsNone(asked.test)
    self.assertEqual(asked.num_rows, 15625)
    self.assertIs(asked.space, nasbench201.nasbench201())

  def test_rows_are_indices(self):
    """Oracle: positional arithmetic."""
    archs = np.random.default_rng(0).integers(0, 5, (4, 3, 6))
    rows = benchmark().identities(jnp.asarray(archs))
    np.testing.assert_array_equal(rows, archs @ 5 ** np.arange(6))
    self.assertEqual(rows.dtype, jnp.int32)

  def test_there_is_nothing_for_the_reader(self):
    """Oracle: the documented None, and NaN where a metric would be."""
    problem = problem_lib.Problem(benchmark())
    archs = jnp.zeros((3, 6), jnp.int32)
    self.assertEqual(problem.benchmark.report(archs), {})
    self.assertTrue(np.all(np.isnan(problem.test(archs))))
    self.assertIsNone(problem.optimum())

  @parameterized.parameters(None, 1, 4)
  def test_a_query_is_the_score_of_every_cell(self, batch_size):
    """Oracle: `evaluate` in a loop, for leading axes and their absence."""
    archs = np.random.default_rng(1).integers(0, 5, (2, 3, 6))
    with with_a_cost():
      asked = benchmark("cost", batch_size=batch_size)
      self.assertEqual(asked.units, (("cost", "ms"),))
      query = jax.jit(objective.ZeroCost.query)
      one = query(asked, jnp.asarray(archs[0, 0]))["cost"]
      values = query(asked, jnp.asarray(archs))["cost"]
      score = jax.jit(
        lambda arch, images: zerocost.evaluate(
          jax.random.key(0), arch, images, CONFIG, score="cost"
        ),
      )
      for i, j in itertools.product(range(2), range(3)):
        single = score(jnp.asarray(archs[i, j]), asked.images)
        np.testing.assert_allclose(values[i, j], -single, rtol=1e-6)
    self.assertEqual(one.shape, ())
    np.testing.assert_allclose(one, values[0, 0], rtol=1e-6)
    self.assertEqual(values.dtype, jnp.float32)

  def test_a_benchmark_is_an_argument(self):
    """Oracle: three arrays, and one program for every key and batch."""
    traces = []

    @jax.jit
    def query(asked, archs):
      traces.append(1)
      return asked.query(archs)["cost"]

    archs = jnp.ones((2, 6), jnp.int32)
    with with_a_cost():
      first = benchmark("cost")
      other_key = first.replace(key=jax.random.key(1))
      images = first.images
      other_images = first.replace(images=Images(images.x, images.y * 2))
      self.assertLen(jax.tree.leaves(first), 3)
      a, b, c = (query(x, archs) for x in (first, other_key, other_images))
    self.assertLen(traces, 1)
    self.assertNotEqual(a.tolist(), b.tolist())
    self.assertNotEqual(a.tolist(), c.tolist())


class SeveralScoresTest(parameterized.TestCase):
  def test_one_number_and_its_parts(self):
    """Oracle: the logarithm of the quotient, in NumPy, of two known scores."""

    def known(key, arch, images, setting, power):
      del key, images, setting
      return 2.0 + jnp.sum(arch.astype(jnp.float32)) ** power

    cheap = {
      "ntk": darts_scores.Score(functools.partial(known, power=2), sign=-1),
      "regions": darts_scores.Score(functools.partial(known, power=1)),
    }
    archs = darts.darts().sample(jax.random.key(0), 5)
    with mock.patch.object(darts_scores, "SCORES", cheap):
      asked = objective.zerocost("tenas", "darts", key=jax.random.key(0))
      self.assertEqual(asked.objective, "tenas")
      self.assertEqual(asked.objectives, ("tenas", "ntk", "regions"))
      problem = problem_lib.Problem(asked, asked.objectives)
      answer = jax.jit(problem_lib.Problem.evaluate)(problem, archs)
    total = np.asarray(archs).sum(axis=1).astype(float)
    ntk, regions = 2 + total**2, 2 + total
    expected = np.stack([np.log(regions / ntk), -ntk, regions], axis=1)
    np.testing.assert_allclose(answer.objectives, expected, rtol=1e-5)
    np.testing.assert_allclose(answer.objective, expected[:, 0], rtol=1e-5)

  def test_one_score_is_its_own_objective(self):
    """Oracle: the documented names; a query has no further column."""
    asked = benchmark("params")
    self.assertEqual(asked.objectives, ("params",))
    columns = jax.eval_shape(asked.query, jnp.zeros((2, 6), jnp.int32))
    self.assertEqual(list(columns), ["params"])


class SearchTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_a_search_pays_for_distinct_cells(self):
    """Oracle: the counts of cells, and the closed form of their sizes."""
    problem = problem_lib.Problem(benchmark("params"))
    chosen = registry.make_search("random", problem, budget=20)
    run = jax.jit(lambda key: search.run(key, chosen))
    trace = run(jax.random.key(0)).trace
    paid = np.asarray(trace.status) == Status.FRESH
    archs = np.asarray(trace.archs)[paid]
    self.assertLen({tuple(arch) for arch in archs.tolist()}, 20)
    self.assertEqual(int(trace.charged[-1]), 20)
    expected = cells.num_params(jnp.asarray(archs), CONFIG) / 1e6
    np.testing.assert_allclose(
      np.asarray(trace.objective)[paid], expected, rtol=1e-6
    )
    self.assertFalse(np.any(np.isfinite(trace.test)))

  @pytest.mark.slow
  def test_networks_are_scored_and_a_degenerate_one_fails(self):
    """Oracle: a cell of `none` has a singular kernel; a repeat, its value.

    Of `n` rectifiers, `det K <= n^B` by Hadamard; more of them separate more.
    """
    problem = problem_lib.Problem(benchmark("naswot"))
    archs = jnp.asarray([[0] * 6, [3] * 6, [1, 2, 3, 4, 0, 1], [3] * 6])
    evaluate = jax.jit(problem_lib.Problem.evaluate)
    answer = evaluate(problem, archs)
    self.assertEqual(answer.failed.tolist(), [True, False, False, False])
    self.assertEqual(answer.objective[0], -jnp.inf)
    self.assertEqual(answer.objective[1], answer.objective[3])
    num_rectifiers = 6 * (16 + 8 + 4) + 16 + 8 + 8 + 4 + 4
    highest = objective.NUM_IMAGES * np.log(num_rectifiers)
    self.assertTrue(np.all(answer.objective < highest))
    self.assertLess(answer.objective[2], answer.objective[1])


class BuilderTest(parameterized.TestCase):
  def test_unknown_names(self):
    """Oracle: the documented ValueError lists what there is."""
    with self.assertRaisesRegex(ValueError, "score must be .*naswot.*'nwot'"):
      benchmark("nwot")
    with self.assertRaisesRegex(ValueError, "nasbench201, got 'nasbench101'"):
      objective.zerocost("naswot", "nasbench101", key=jax.random.key(0))

  @parameterized.parameters(
    ((6, 8, 8, 1), (6,), "shape"),
    ((6, 4, 4), (6,), "shape"),
    ((6, 4, 4, 1), (6, 1), "shape"),
    ((6, 4, 4, 1), (5,), "label"),
    ((0, 4, 4, 1), (0,), "at least two"),
    ((1, 4, 4, 1), (1,), "at least two"),
  )
  def test_images_that_do_not_fit(self, x_shape, y_shape, message):
    """Oracle: the documented ValueError."""
    images = Images(np.zeros(x_shape), np.zeros(y_shape, int))
    with self.assertRaisesRegex(ValueError, message):
      benchmark(images=images)

  @parameterized.parameters(
    (0.0, [0, 1, 3], "from 0 to 2, got 0 to 3"),
    (0.0, [0, -1, 1], "got -1 to 1"),
    (0.0, [0.0, 1.0, 1.0], "must be integers"),
    (np.nan, [0, 1, 2], "must be finite"),
    (1e300, [0, 1, 2], "must be finite"),
  )
  def test_images_that_cannot_be_scored(self, pixel, labels, message):
    """Oracle: the documented ValueError."""
    images = Images(np.zeros((3, 4, 4, 1)), np.asarray(labels))
    images.x[1, 2, 3, 0] = pixel
    with self.assertRaisesRegex(ValueError, message):
      benchmark(images=images)

  @parameterized.parameters(((4, 4), (4,)), ((0, 4, 4, 1), (0,)))
  def test_images_that_describe_no_network(self, x_shape, y_shape):
    """Oracle: the documented ValueError, without a config."""
    images = Images(np.zeros(x_shape), np.zeros(y_shape, int))
    with self.assertRaisesRegex(ValueError, "images must have"):
      benchmark(images=images, config=None)

  def test_the_default_network_suits_the_images(self):
    """Oracle: by hand."""
    images = Images(np.zeros((4, 6, 5, 3)), np.asarray([0, 1, 6, 2]))
    asked = benchmark(images=images, config=None)
    self.assertEqual(asked.config.image_shape, (6, 5, 3))
    self.assertEqual(asked.config.num_classes, 7)
    self.assertEqual(asked.images.x.dtype, jnp.float32)
    self.assertEqual(asked.images.y.dtype, jnp.int32)
    self.assertEqual(benchmark(config=None).config.image_shape, (8, 8, 1))


class SyntheticImagesTest(parameterized.TestCase):
  def test_moments_smoothness_and_labels(self):
    """Oracle: the documented moments; neighbors are alike, images are not."""
    config = cells.Config((16, 12, 3), num_classes=5)
    images = objective.synthetic_images(config, 40)
    x = np.asarray(images.x)
    self.assertEqual(x.shape, (40, 16, 12, 3))
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, rtol=1e-5)
    along = np.corrcoef(x[:, 1:].ravel(), x[:, :-1].ravel())[0, 1]
    across = np.corrcoef(x[:, :, 1:].ravel(), x[:, :, :-1].ravel())[0, 1]
    between = np.corrcoef(x[1:].ravel(), x[:-1].ravel())[0, 1]
    self.assertGreater(min(along, across), 0.7)
    self.assertLess(abs(between), 0.1)
    self.assertEqual(images.y.tolist(), [i % 5 for i in range(40)])

  def test_they_are_always_the_same(self):
    """Oracle: two calls, and benchmarks of two keys."""
    first, second = benchmark(), benchmark(key=jax.random.key(7))
    np.testing.assert_array_equal(first.images.x, second.images.x)
    self.assertEqual(first.images.y.shape, (objective.NUM_IMAGES,))


if __name__ == "__main__":
  absltest.main()
