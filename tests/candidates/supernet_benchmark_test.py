"""Tests of nagjax.candidates.supernet_benchmark: `supernet/<name>`."""

import functools
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nagjax
from nagjax.candidates import elastic
from nagjax.candidates import supernet_benchmark as benchmark
from nagjax.candidates.train import Images

CARD = benchmark.Card("autoformer/small32", 8, 3, 4)


@functools.cache
def made():
  """A super-network with weights of no training, and random images."""
  network = CARD.make()
  rng = np.random.default_rng(0)

  def images(num):
    x = rng.normal(size=(num, 8, 8, 3)).astype(np.float32)
    y = (np.arange(num) % 4).astype(np.int32)
    return Images(jnp.asarray(x), jnp.asarray(y))

  weights = network.init(jax.random.key(0))
  weights = jax.tree.map(lambda w: 4.0 * w, weights)
  return benchmark.SuperNet(
    weights=weights,
    valid_images=images(30),
    test_images=images(20),
    calibration=jnp.zeros((0, 8, 8, 3)),
    mean=jnp.asarray([1.0, 2.0, 3.0]),
    deviation=jnp.asarray([0.5, 1.0, 2.0]),
    latencies={},
    name="supernet/made",
    card=CARD,
  )


def archs(num, seed=0):
  return made().space.sample(jax.random.key(seed), num)


@functools.cache
def query():
  return jax.jit(lambda found, archs: (found.query(archs), found.report(archs)))


class QueryTest(parameterized.TestCase):
  def test_columns(self):
    """Oracle: the network's own answers, image by image, in NumPy; counts."""
    network, some = CARD.make(), archs(4)
    queried, reported = query()(made(), some.reshape(2, 2, -1))
    mean, deviation = made().mean[None, None, None], made().deviation
    run = jax.jit(
      lambda a, x: network.apply(
        made().weights, a, (x - mean) / deviation[None, None, None]
      )[0]
    )
    for row, arch in enumerate(some):
      place = divmod(row, 2)
      for columns, split, images in (
        (queried, "valid", made().valid_images),
        (reported, "test", made().test_images),
      ):
        logits = np.asarray(run(arch, images.x), np.float64)
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        true = shares[np.arange(len(images.y)), images.y]
        hits = 100 * np.mean(logits.argmax(1) == images.y)
        found = columns[f"{split}_accuracy"][place]
        self.assertAlmostEqual(float(found), hits, places=3)
        found = columns[f"{split}_probability"][place]
        self.assertAlmostEqual(float(found), 100 * true.mean(), places=3)
      params = int(network.num_params(arch))
      self.assertAlmostEqual(float(queried["params_m"][place]), params / 1e6)
    both = queried["params_m"] + queried["saved_params_m"]
    largest = float(network.num_params(jnp.asarray(network.largest)))
    np.testing.assert_allclose(both, largest / 1e6, rtol=1e-5)

  @pytest.mark.slow
  def test_side_by_side(self):
    """Oracle: one after another, for either reader and for both."""
    some = archs(5)
    expected = query()(made(), some)
    table = made().replace(batch_size=2)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
    jax.tree.map(close, query()(table, some), expected)
    both = jax.jit(jax.vmap(benchmark.SuperNet.query_and_report, (None, 0)))
    jax.tree.map(close, both(made(), some), expected)

  @pytest.mark.slow
  def test_half_precision(self):
    """Oracle: single precision."""
    some = archs(3)
    expected, _ = query()(made(), some)
    found, _ = query()(made().replace(dtype="bfloat16"), some)
    name = benchmark.VALID_PROBABILITY
    self.assertEqual(found[name].dtype, jnp.float32)
    np.testing.assert_allclose(found[name], expected[name], atol=1.0)
    self.assertGreater(float(jnp.abs(found[name] - expected[name]).max()), 0.0)

  @parameterized.parameters(
    (
      ["params_m<=0.001"],
      r"No sub-network .* params_m<=0.001: the least is 0.0",
    ),
    (["saved_params_m<=-1"], "saved_params_m<=-1: the least is 0"),
    (["macs_m<=0", "params_m<=9"], "macs_m<=0: the least is"),
    (["params_m<=0.05", "saved_params_m<=0.03"], "at most 0.05 and, by"),
  )
  def test_limits_that_nothing_meets(self, limits, message):
    """Oracle: sizes of the smallest and of the largest network, by hand."""
    with self.assertRaisesRegex(ValueError, message):
      nagjax.Problem(made(), constraints=tuple(limits))

  @parameterized.parameters("autoformer/small32", "mobilenetv3/small32")
  @pytest.mark.slow
  def test_types_in_64_bits_and_strictly(self, network):
    """Oracle: single precision is what columns are documented to be."""
    card = benchmark.Card(network, 32, 3, 10)
    sizes = {"valid": 10, "test": 10, "calibration": 20}
    found = jax.eval_shape(
      lambda: benchmark._template(card.make(), card, sizes, "some")
    )
    some = card.make().space.sample(jax.random.key(0), 3)
    for setting in (jax.numpy_dtype_promotion("strict"), jax.enable_x64(True)):
      for dtype in benchmark.DTYPES:
        with setting:
          columns = jax.eval_shape(
            lambda f, a: f.query(a) | f.report(a),
            found.replace(dtype=dtype),
            some,
          )
        self.assertLen(columns, 7)
        for column in columns.values():
          self.assertEqual((column.shape, column.dtype), ((3,), jnp.float32))

  @pytest.mark.slow
  def test_a_search_on_it(self):
    """Oracle: budget, and a second reading of what was found; limits on both
    sides of the number of parameters are kept."""
    table = made()
    middle = np.median(np.asarray(query()(table, archs(64))[0]["params_m"]))
    largest = table.query(archs(1))
    largest = float((largest["params_m"] + largest["saved_params_m"])[0])
    limits = (
      f"params_m<={1.1 * middle}",
      f"saved_params_m<={largest - 0.9 * middle}",
    )
    problem = nagjax.Problem(
      table, constraints=[nagjax.problem.Constraint.parse(x) for x in limits]
    )
    search = nagjax.make_search("random", problem, budget=12)
    trace = nagjax.sweep(jax.random.split(jax.random.key(0), 1), search).trace
    self.assertEqual(int(np.asarray(trace.charged).max()), 12)
    values = np.asarray(trace.objective).ravel()
    best = np.argmax(np.where(np.isfinite(values), values, -np.inf))
    arch = np.asarray(trace.archs).reshape(len(values), -1)[best]
    again = query()(table, jnp.asarray(arch)[None])[0]
    self.assertAlmostEqual(
      float(again[table.objective][0]), float(values[best]), places=3
    )


class FileTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  def test_round_trip(self):
    """Oracle: the super-network; its names in the data directory."""
    benchmark.save(self.folder / "supernet_my_net.npz", made(), {"seed": 1})
    folder = str(self.folder)
    self.assertIn("supernet/my-net", nagjax.registry.benchmark_names(folder))
    found = nagjax.make_benchmark("supernet/my-net", folder)
    self.assertEqual((found.name, found.card), ("supernet/my-net", CARD))
    jax.tree.map(
      np.testing.assert_array_equal,
      found.replace(name=made().name),
      made(),
    )

  def test_files_that_are_none(self):
    """Oracle: one line that names the file."""
    path = self.folder / "supernet_other.npz"
    benchmark.save(path, made().replace(card=CARD._replace(num_classes=5)), {})
    with self.assertRaisesRegex(ValueError, r"head.weight must .*48, 5"):
      benchmark.load(path, name="x")
    benchmark.save(path, made().replace(card=CARD._replace(network="x")), {})
    with self.assertRaisesRegex(ValueError, "network must be one of"):
      benchmark.load(path, name="x")
    with self.assertRaisesRegex(ValueError, "supernet_none.npz"):
      benchmark.load_supernet("none", directory=self.folder)
    with self.assertRaisesRegex(ValueError, "float32, bfloat16"):
      benchmark.load(path, name="x", dtype="float16")

  def test_prediction_of_raw_images(self):
    """Oracle: the network on images normalized by hand; other shapes."""
    raw = np.random.default_rng(1).uniform(0, 9, (2, 8, 8, 3))
    arch = archs(1)[0]
    found = benchmark.predict(made(), arch, raw)
    x = jnp.asarray((raw - [1, 2, 3]) / [0.5, 1, 2], jnp.float32)
    expected, _ = CARD.make().apply(made().weights, arch, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with self.assertRaisesRegex(ValueError, r"\[B, \*\(8, 8, 3\)\]"):
      benchmark.predict(made(), arch, raw[:, :4])


class CardTest(parameterized.TestCase):
  def test_the_network_of_a_card(self):
    """Oracle: the documented arguments."""
    card = benchmark.Card("mobilenetv3/small32", 28, 1, 5, 1.5)
    network = card.make()
    self.assertIs(network, card.make())
    self.assertEqual(network.image_shape, (28, 28, 1))
    self.assertEqual(network.num_classes, 5)
    self.assertEqual(network.config.width, 1.5)
    self.assertIsInstance(network, elastic.Elastic)


if __name__ == "__main__":
  absltest.main()
