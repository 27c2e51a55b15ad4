"""Tests of nagjax.generation.score_models."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.generation import score_models
from nagjax.networks import score as score_lib
from nagjax.networks.base import Network

SMALL = score_models.Config(
  num_layers=1, width=8, num_heads=2, feed_forward=8, head_width=8
)
SPACES = tuple(registry.space_names())
CORRECT = "01 02 04 13 15 26 36 47 57 67"
PUBLISHED = "01 02 03 14 15 26 37 46 57 67"
"""Edges of NAS-Bench-201's nodes: as its strings have them, and published."""


@functools.cache
def architectures(name, num):
  space = registry.make_space(name)
  return jax.jit(lambda key: space.sample(key, num))(jax.random.key(1))


@functools.cache
def small_model(name, **options):
  space = registry.make_space(name)
  return score_models.score_model(space, dataclasses.replace(SMALL, **options))


def matrix(edges):
  found = np.zeros((8, 8))
  for source, target in edges.split():
    found[int(source), int(target)] = 1
  return found


def closure(adjacency):
  """Warshall's algorithm; every node reaches itself."""
  reaches = (adjacency + np.eye(8)) > 0
  for middle in range(8):
    reaches |= np.outer(reaches[:, middle], reaches[middle])
  return reaches


def random_ones(clean, rng):
  """Zeros and ones: architectures of which up to three entries are flipped."""
  ones = np.array(clean) > 0
  for sample in ones:
    for _ in range(rng.integers(0, 4)):
      row, column = (rng.integers(0, size) for size in sample.shape)
      # Another one in the row, or one less, or the one moved.
      kind = rng.integers(0, 3)
      if kind > 0:
        sample[row] = False
      if kind != 1:
        sample[row, column] = True
  return ones


def error_of_nasbench201(ones):
  """The program's error of a sample, 0 if none, and its operations."""
  if any(row.sum() != 1 for row in ones):
    return 1, None
  kinds = [int(np.argmax(row)) for row in ones]
  if kinds[0] != 0 or kinds[-1] != 1:
    return 2, None
  if min(kinds[1:-1]) < 2:
    return 3, None
  return 0, [kind - 2 for kind in kinds[1:-1]]


def error_of_mobilenetv3(ones):
  """The program's error of a sample, 0 if none, and its types; 9 is none."""
  if any(row.sum() > 1 for row in ones):
    return 1, None
  stages = ones.reshape(5, 4, 9).any(-1)
  if not stages[:, :2].all():
    return 2, None
  if any(stage[3] and not stage[2] for stage in stages):
    return 3, None
  return 0, [int(np.argmax(row)) if row.any() else 9 for row in ones]


class DecodeTest(parameterized.TestCase):
  @parameterized.parameters(
    ("nasbench201", error_of_nasbench201), ("mobilenetv3", error_of_mobilenetv3)
  )
  def test_published_rules(self, name, error_of):
    """Oracle: the program's three rules, one after another, in NumPy."""
    rng = np.random.default_rng(0)
    space = registry.make_space(name)
    clean = small_model(name).to_data(architectures(name, 2000))
    ones = random_ones(clean, rng)
    # Anything from 0 up is a one, anything below, and no number, a zero.
    x = np.where(ones, rng.choice([0.0, 0.3, 5.0], ones.shape), -1.0)
    x = np.where(~ones & (rng.random(ones.shape) < 0.5), -1e-3, x)
    x = np.where(~ones & (rng.random(ones.shape) < 0.1), np.nan, x)
    found, valid = jax.jit(lambda x: score_models.decode(space, x))(
      x.astype(np.float32)
    )
    seen = []
    for row, sample in enumerate(ones):
      error, expected = error_of(sample)
      seen.append(error)
      self.assertEqual(bool(valid[row]), error == 0)
      if expected is not None:
        np.testing.assert_array_equal(found[row], expected)
    self.assertGreater(np.min(np.bincount(seen, minlength=4)), 20)

  @parameterized.parameters(*((name,) for name in SPACES))
  def test_round_trip(self, name):
    """Oracle: the architectures themselves; no other is two rows at once."""
    model, archs = small_model(name), architectures(name, 50)
    x = model.to_data(archs)
    self.assertEqual(x.shape, (50, *model.shape))
    self.assertContainsSubset(np.unique(x), {-1.0, 1.0})
    read = jax.jit(model.from_data)
    found, valid = read(x)
    np.testing.assert_array_equal(found, archs)
    self.assertTrue(np.all(valid))
    self.assertFalse(np.any(read(jnp.ones_like(x))[1]))
    self.assertFalse(np.any(read(-jnp.ones_like(x))[1]))


class ModelTest(parameterized.TestCase):
  @parameterized.parameters(
    ("nasbench201", 3_989_575, 5.0), ("mobilenetv3", 3_992_777, 1.0)
  )
  def test_published_sizes(self, name, size, sigma):
    """Oracle: the parameters of the program's networks, and its noise."""
    space = registry.make_space(name)
    model = score_models.score_model(space, score_models.published(name))
    params = jax.eval_shape(model.init, jax.random.key(0))
    self.assertEqual(score_lib.num_params(params), size)
    self.assertAlmostEqual(float(model.sde.std(1.0)), sigma, places=5)

  @parameterized.parameters(*((name,) for name in SPACES))
  def test_what_occurs(self, name):
    """Oracle: the spaces' definitions.

    Rows of NAS-Bench-201 are operations between an input and an output; only
    the third and fourth layers of a stage of MobileNetV3 may be absent.
    Elsewhere a row has the options of its variable.
    """
    space, model = registry.make_space(name), small_model(name)
    columns = model.shape[1]
    if name == "mobilenetv3":
      rows = [
        range(columns + 1) if i % 4 > 1 else range(1, 10) for i in range(20)
      ]
    elif name == "nasbench201":
      rows = [[1], *[range(3, 8)] * 6, [2]]
    else:
      rows = [range(1, num + 1) for num in space.cardinalities]
    expected = [[kind in row for kind in range(columns + 1)] for row in rows]
    np.testing.assert_array_equal(model.occurs, expected)

  @parameterized.parameters(
    ("adjacency", matrix(CORRECT)),
    ("published", matrix(PUBLISHED)),
    ("closure", closure(matrix(CORRECT))),
    ("published_closure", closure(matrix(PUBLISHED)) & ~np.eye(8, dtype=bool)),
    ("neighbors", matrix(CORRECT) + matrix(CORRECT).T + np.eye(8)),
    ("all", np.ones((8, 8))),
  )
  def test_masks(self, mask, expected):
    """Oracle: Warshall's closure; the program's never holds a row itself.

    A network of the user's records what it is given.
    """
    given = []

    def apply(params, x, condition, mask, *, dropout_key=None):
      given.append(np.asarray(mask))
      return params * x

    model = score_models.score_model(
      registry.make_space("nasbench201"),
      score_models.Config(mask=mask, output="score"),
      Network(lambda key: jnp.float32(2.0), apply),
    )
    x = np.ones((1, *model.shape), np.float32)
    found = model.score(model.init(jax.random.key(0)), x, jnp.ones(1))
    np.testing.assert_array_equal(found, 2 * x)
    np.testing.assert_array_equal(given[0], expected)

  @parameterized.product(sde=("ve", "vp", "subvp"), output=score_models.OUTPUTS)
  def test_nothing_is_not_a_number(self, sde, output):
    """Oracle: finite at the ends of time, and at samples of any size."""
    model = small_model("mobilenetv3", sde=sde, output=output)
    params = model.init(jax.random.key(0))
    archs = architectures("mobilenetv3", 6)
    noise = jax.random.normal(jax.random.key(2), (6, *model.shape))
    t = jnp.asarray([1e-5, 1e-3, 0.5, 1.0, 1e-5, 1.0])
    sizes = jnp.asarray([0.0, 1.0, 5.0, 20.0, 1e6, -1e6])

    @jax.jit
    def run(params):
      losses = model.loss(params, archs, t, noise)
      return jnp.sum(losses), model.score(
        params, noise * sizes[:, None, None], t
      )

    (value, score), gradient = jax.value_and_grad(run, has_aux=True)(params)
    for leaf in (value, score, *jax.tree.leaves(gradient)):
      self.assertTrue(np.all(np.isfinite(leaf)))

  def test_no_weights_are_the_exact_score_of_a_product(self):
    """Oracle: Bayes' rule over each row of NAS-Bench-201, in float64.

    Its rows are independent and uniform over five columns, the ends fixed.
    """
    model = small_model("nasbench201")
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    t = np.asarray([0.2, 0.6], np.float32)
    x = jax.random.normal(jax.random.key(1), (2, *model.shape))
    found = model.score(params, x, t)
    x, std = np.float64(x), 0.1 * 200 ** np.float64(t)[:, None, None]
    clean = np.empty_like(x)
    for row in range(8):
      kinds = {0: [0], 7: [1]}.get(row, [2, 3, 4, 5, 6])
      rows = 2 * np.eye(7)[kinds] - 1
      distance = np.sum((x[:, row, None] - rows[None]) ** 2, -1)
      weights = np.exp(-distance / (2 * std[..., 0] ** 2))
      clean[:, row] = weights @ rows / weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(found * std**2, clean - x, rtol=1e-4, atol=1e-4)

  @parameterized.parameters(True, False)
  def test_position_code(self, position_code):
    """Oracle: without it the rows of a full mask are interchangeable."""
    model = small_model(
      "mobilenetv3", position_code=position_code, output="score", mask="all"
    )
    params = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, *model.shape))
    one, other = (
      model.score(params, part, jnp.ones(1)) for part in (x, x[:, ::-1])
    )
    gap = float(np.max(np.abs(one - other[:, ::-1])))
    self.assertEqual(gap > 1e-4, position_code, gap)

  @parameterized.product(position_code=[True, False], row_support=[True, False])
  def test_what_tells_rows_apart(self, position_code, row_support):
    """Oracle: with neither the rows of a full mask are interchangeable."""
    model = small_model(
      "mobilenetv3",
      position_code=position_code,
      row_support=row_support,
      mask="all",
    )
    params = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, *model.shape))
    one, other = (
      model.score(params, part, jnp.full(1, 0.5)) for part in (x, x[:, ::-1])
    )
    gap = float(np.max(np.abs(one - other[:, ::-1])))
    self.assertEqual(gap > 1e-4, position_code or row_support, gap)

  def test_connections_nobody_has_named(self):
    """Oracle: the documented ValueError says what is left."""
    self.assertIsNone(registry.make_space("darts").feature_graph)
    for mask in ("adjacency", "closure", "published"):
      with self.assertRaisesRegex(ValueError, f"'{mask}'.*darts.*use 'all'"):
        small_model("darts", mask=mask)

  @parameterized.parameters(
    ({"output": "noise"}, "output must be one of rows, score"),
    ({"mask": "floyd"}, "mask must be one of .*all.*floyd"),
    ({"sde": "other"}, "sde must be one of ve"),
    ({"sde_low": 0.0}, "0 < sigma_min"),
    ({"width": 7}, "width"),
  )
  def test_bad_options(self, options, message):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, message):
      score_models.Config(**options)


if __name__ == "__main__":
  absltest.main()
