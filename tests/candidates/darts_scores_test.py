"""Tests of nagjax.candidates.darts_scores."""

import dataclasses
import functools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.candidates import darts_cells
from nagjax.candidates import darts_scores
from nagjax.candidates import kernels
from nagjax.candidates import objective
from nagjax.candidates.darts_cells import Stem
from nagjax.problem import Problem
from nagjax.spaces import darts
from tests.candidates import numpy_darts

CONFIG = darts_cells.Config((8, 8, 3), 4, num_channels=1, num_layers=3)
SETTING = darts_scores.Setting(CONFIG, 2, 2, 40)
NUM_IMAGES = 6
POOLS = (1, 0, 3, 6, 2, 0, 4, 5, 1, 3, 8) * 2
NO_POOL = (3, 6, 2, 4, 5, 2, 4, 5, 2, 0, 7) * 2
SEED = 1


def batch():
  return jax.random.normal(jax.random.key(5), (NUM_IMAGES, *CONFIG.image_shape))


def close_images():
  """Two batches of images of 3x3 pixels; many share a region."""
  key, noise_key = jax.random.split(jax.random.key(2))
  few = jax.random.normal(key, (2, 8, 1, 3, 3, 1))
  noise = 0.02 * jax.random.normal(noise_key, (2, 8, 5, 3, 3, 1))
  return (few + noise).reshape(2, 40, 3, 3, 1)


@functools.cache
def drawn(arch):
  """A network with weights that are all different."""
  init = functools.partial(darts_cells.init, config=CONFIG)
  params = jax.jit(init)(jax.random.key(SEED), jnp.asarray(arch))
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: leaf * rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32),
    params,
  )


@functools.cache
def program():
  """Compiled once for all architectures."""
  function = functools.partial(darts_scores.image_gradients, config=CONFIG)
  return jax.jit(function)


@functools.cache
def gradients(arch):
  rows = program()(drawn(arch), jnp.asarray(arch), batch())
  return np.asarray(rows, np.float64)


def direction(params, rng):
  """A random change of everything but biases and shifts."""

  def still(norm):
    return norm._replace(shift=np.zeros(norm.shift.shape))

  change = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
  return change._replace(
    stem=tuple(x._replace(norm=still(x.norm)) for x in change.stem),
    cells=tuple(
      cell._replace(
        input_norm=still(cell.input_norm),
        edges=cell.edges._replace(norm=still(cell.edges.norm)),
      )
      for cell in change.cells
    ),
    bias=np.zeros(change.bias.shape),
  )


@functools.cache
def regions():
  def one(key, arch, images):
    return darts_scores.linear_regions(key, arch, images, CONFIG)

  return jax.jit(one)


class KernelTest(parameterized.TestCase):
  @parameterized.parameters(POOLS, NO_POOL)
  @pytest.mark.slow
  def test_gradients(self, *arch):
    """Oracle: differences of a NumPy network, along random directions."""
    rows, rng = gradients(arch), np.random.default_rng(1)
    params = jax.tree.map(lambda x: np.asarray(x, float), drawn(arch))
    for _ in range(4):
      change = direction(params, rng)
      plus, minus = (
        numpy_darts.Network(
          jax.tree.map(lambda p, c, step=step: p + step * c, params, change),
          arch,
          batch(),
          CONFIG,
        ).logits.sum(-1)
        for step in (1e-7, -1e-7)
      )
      flat = [np.ravel(part) for part in darts_scores._weights(change)]
      np.testing.assert_allclose(
        rows @ np.concatenate(flat), (plus - minus) / 2e-7, rtol=1e-3, atol=1e-3
      )

  @parameterized.parameters(False, True)
  @pytest.mark.slow
  def test_condition(self, centered):
    """Oracle: NumPy's eigenvalues in 64 bits."""
    rows = gradients(POOLS)
    projection = np.eye(NUM_IMAGES) - centered / NUM_IMAGES
    values = np.linalg.eigvalsh(projection @ rows @ rows.T @ projection)
    condition = kernels.condition_number(
      jnp.asarray(rows, jnp.float32), centered=centered
    )
    expected = values[-1] / values[int(centered)]
    np.testing.assert_allclose(condition, expected, rtol=1e-3)

  @pytest.mark.slow
  def test_without_pooling_rows_add_up_to_zero(self):
    """Oracle: normalized features have constant means, the shifts."""
    rows = gradients(NO_POOL)
    moving = rows[:, : -drawn(NO_POOL).classifier.size]
    size = np.linalg.norm(moving)
    self.assertLess(np.linalg.norm(moving.sum(0)), 1e-5 * size)
    size = np.linalg.norm(gradients(POOLS))
    self.assertGreater(np.linalg.norm(gradients(POOLS).sum(0)), 0.1 * size)

  def test_degenerate_kernels(self):
    """Oracle: the documented largest value."""
    rng = np.random.default_rng(0)
    rows = jnp.asarray(rng.normal(size=(4, 9)), jnp.float32)
    singular = rows.at[3].set(-jnp.sum(rows[:3], axis=0))
    for bad in (rows * 0, rows * jnp.nan, rows.at[0].set(jnp.inf), singular):
      value = kernels.condition_number(bad)
      self.assertEqual(float(value), kernels.MAX_CONDITION)
    self.assertLess(float(kernels.condition_number(rows)), 1e3)
    centered = kernels.condition_number(singular, centered=True)
    self.assertLess(float(centered), 1e3)


class RegionsTest(parameterized.TestCase):
  @parameterized.parameters(
    POOLS, NO_POOL, (2,) * 8 + (0,) * 3 + (6,) * 8 + (2,) * 3
  )
  @pytest.mark.slow
  def test_distinct_patterns(self, *arch):
    """Oracle: a set of the patterns of the rectifiers of a NumPy network."""
    config = dataclasses.replace(CONFIG, stem=Stem.NONE, image_shape=(3, 3, 1))
    arch = jnp.asarray(arch)
    params = darts_cells.init(jax.random.key(SEED), arch, config)
    patterns = set()
    for images in close_images():
      network = numpy_darts.Network(params, arch, images, config)
      flat = [(r > 1e-6).reshape(len(r), -1) for r in network.rectified]
      patterns |= {row.tobytes() for row in np.concatenate(flat, axis=1)}
    value = regions()(jax.random.key(SEED), arch, close_images())
    self.assertBetween(len(patterns), 10, 79)
    self.assertEqual(float(value), len(patterns))

  def test_distinct_numbers(self):
    """Oracle: a Python set."""
    rows = np.random.default_rng(0).integers(0, 3, (20, 2))
    value = darts_scores.num_distinct(jnp.asarray(rows, jnp.uint32))
    self.assertEqual(float(value), len({tuple(r) for r in rows.tolist()}))
    one = darts_scores.num_distinct(jnp.zeros((1, 2), jnp.uint32))
    self.assertEqual(float(one), 1.0)

  def test_crops(self):
    """Oracle: pixels that count themselves; all places are reached."""
    images = jnp.arange(2.0 * 4 * 5 * 3).reshape(2, 4, 5, 3)
    crops = np.asarray(darts_scores.crops(jax.random.key(0), images, 500))
    self.assertEqual(crops.shape, (500, 3, 3, 1))
    steps = 15 * np.arange(3)[:, None] + 3 * np.arange(3)
    first = crops[:, 0, 0, 0]
    np.testing.assert_array_equal(
      crops[..., 0] - first[:, None, None], np.tile(steps, (500, 1, 1))
    )
    expected = np.asarray(images)[:, :2, :3].ravel()
    np.testing.assert_array_equal(np.unique(first), np.sort(expected))


def cheap(key, arch, images, setting, power):
  """Depends on everything that it may."""
  number = jax.random.uniform(key) + jnp.sum(images[0, 0, 0])
  return (
    setting.batch_size * number + jnp.sum(arch.astype(jnp.float32)) ** power
  )


def cheap_scores():
  scores = {
    name: score._replace(function=functools.partial(cheap, power=i))
    for i, (name, score) in enumerate(sorted(darts_scores.SCORES.items()))
  }
  return mock.patch.object(darts_scores, "SCORES", scores)


class BenchmarkTest(parameterized.TestCase):
  def _benchmark(self, score):
    return objective.zerocost(
      score, "darts", key=jax.random.key(3), config=SETTING
    )

  def test_two_objectives(self):
    """Oracle: means over keys of cheap measures, in a loop."""
    with cheap_scores():
      asked = self._benchmark("tenas")
      self.assertEqual(asked.name, "zerocost/tenas@darts")
      self.assertEqual(asked.objective, "tenas")
      self.assertEqual(asked.units, ())
      self.assertIsNone(asked.num_rows)
      problem = Problem(asked, objectives=("ntk", "regions"))
      archs = darts.darts().sample(jax.random.key(0), 4)
      self.assertEqual(asked.identities(archs).shape, (4, 2))
      answer = jax.jit(Problem.evaluate)(problem, archs)
      pairs = jnp.stack([archs, archs[::-1]])
      columns = jax.jit(objective.ZeroCost.query)(asked, pairs)
    keys = jax.random.split(jax.random.key(3), SETTING.num_networks)
    for sign, column in ((-1, 0), (1, 1)):
      expected = np.mean(
        [
          [cheap(key, a, asked.images.x, SETTING, column) for a in archs]
          for key in keys
        ],
        axis=0,
      )
      np.testing.assert_allclose(
        answer.objectives[:, column], sign * expected, rtol=1e-5
      )
      name = problem.objective_names[column]
      np.testing.assert_allclose(columns[name][0], sign * expected, rtol=1e-5)
      self.assertEqual(columns[name].shape, (2, 4))
    self.assertFalse(np.any(answer.failed))

  @pytest.mark.slow
  def test_both_scores(self):
    """Oracle: means over networks of the two functions, in a loop."""
    asked = self._benchmark("tenas")
    archs = jnp.asarray([POOLS, NO_POOL])
    columns = jax.jit(objective.ZeroCost.query)(asked, archs)
    ntk = jax.jit(
      functools.partial(darts_scores.ntk_condition, config=CONFIG),
    )
    for i, arch in enumerate(archs):
      kernels, counts = [], []
      for key in jax.random.split(jax.random.key(3), 2):
        kernels.append(float(ntk(key, arch, asked.images.x)))
        crop_key, network_key = jax.random.split(key)
        crops = darts_scores.crops(crop_key, asked.images.x, 80)
        crops = crops.reshape(2, 40, 3, 3, 1)
        counts.append(float(regions()(network_key, arch, crops)))
      np.testing.assert_allclose(
        columns["ntk"][i], -np.mean(kernels), rtol=0.01
      )
      self.assertEqual(columns["regions"][i], np.mean(counts))

  def test_names(self):
    """Oracle: the documented names; others are refused."""
    self.assertContainsSubset(["darts", "nasbench201"], objective.space_names())
    names = ["ntk", "regions", "tenas"]
    self.assertEqual(objective.score_names("darts"), names)
    self.assertEqual(self._benchmark("regions").columns, ("regions",))
    with self.assertRaisesRegex(ValueError, "ntk, regions, tenas, got 'snip'"):
      self._benchmark("snip")

  def test_settings_are_validated(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "at least 1"):
      darts_scores.Setting(num_networks=0)
    small = darts_cells.Config((2, 8, 3))
    with self.assertRaisesRegex(ValueError, "3x3"):
      darts_scores.Setting(small)

  def test_the_default_network_suits_the_images(self):
    """Oracle: by hand."""
    asked = objective.zerocost("tenas", "darts", key=jax.random.key(0))
    self.assertEqual(asked.config, darts_scores.QUICK)
    self.assertEqual(asked.images.x.shape, (24, 16, 16, 3))
    images = objective.Images(np.zeros((4, 6, 5, 1)), np.asarray([0, 1, 6, 2]))
    asked = objective.zerocost(
      "ntk", "darts", key=jax.random.key(0), images=images
    )
    self.assertEqual(asked.config.image_shape, (6, 5, 1))
    self.assertEqual(asked.config.num_classes, 7)


class TransformationTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_vmap_of_regions_equals_a_loop(self):
    """Oracle: one architecture after the other."""
    archs = darts.darts().sample(jax.random.key(4), 3)
    together = jax.jit(
      jax.vmap(
        functools.partial(darts_scores.linear_regions, config=CONFIG),
        (None, 0, None),
      ),
    )
    key, images = jax.random.key(SEED), close_images()
    values = together(key, archs, images)
    for arch, value in zip(archs, values, strict=True):
      self.assertEqual(float(value), float(regions()(key, arch, images)))

  @pytest.mark.slow
  def test_vmap_of_kernels_equals_a_loop(self):
    """Oracle: as above."""
    archs = (POOLS, NO_POOL, (0,) * 22)
    params = jax.tree.map(lambda *p: jnp.stack(p), *map(drawn, archs))
    function = functools.partial(darts_scores.image_gradients, config=CONFIG)
    together = jax.jit(jax.vmap(function, (0, 0, None)))
    rows = together(params, jnp.asarray(archs), batch())
    for arch, row in zip(archs, rows, strict=True):
      np.testing.assert_allclose(row, gradients(arch), rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
  absltest.main()
