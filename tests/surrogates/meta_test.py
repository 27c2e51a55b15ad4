"""Tests of nagjax.surrogates.meta and fixed."""

import functools
import itertools
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import archive as archive_lib
from nagjax import files
from nagjax.convert import metad2a
from nagjax.networks import meta_predictor
from nagjax.spaces import mobilenetv3
from nagjax.spaces import nasbench201
from nagjax.spaces import transnas_macro
from nagjax.surrogates import meta
from tests.networks import diffusionnag_program
from tests.networks import metad2a_program as program

SPACE = nasbench201.nasbench201()
CONFIG = meta_predictor.Config(image_size=6, code_size=56, hidden_size=5)
LABELS = np.asarray([0, 1, 2, 1, 0, 2, 2, 1])


@functools.cache
def weights(seed=0):
  return program.state(seed, images=6, size=5, code=56)


@functools.cache
def predictor():
  members = [
    metad2a.predictor_params(weights(seed), config=CONFIG).params
    for seed in range(2)
  ]
  scores = np.random.default_rng(5).normal(size=5**6).astype(np.float32)
  return meta.MetaPredictor(
    space=SPACE,
    config=CONFIG,
    params=meta.stack(members),
    extractor="small",
    scale=550.0,
    offset=95.0,
    prior=meta.Prior("mnist", 0.25, scores),
    sources=(meta.Source("mnist", "ab12"), meta.Source("others")),
    notes={"seed": 3},
  )


def features():
  rng = np.random.default_rng(0)
  return rng.normal(size=(len(LABELS), 6)).astype(np.float32)


class ViewTest(parameterized.TestCase):
  def test_cells(self):
    """Oracle: the facts' edges, and types that are operations plus two."""
    arch = np.asarray([3, 1, 4, 0, 2, 2], np.int32)
    graph = meta.view(SPACE).to_graph(jnp.asarray(arch))
    self.assertEqual(graph.nodes.shape, (8, 7))
    types = np.argmax(graph.nodes, -1)
    np.testing.assert_array_equal(types, [0, *(arch + 2), 1])
    np.testing.assert_array_equal(
      graph.adjacency, program.adjacency(program.EDGES, 8)
    )

  def test_chain(self):
    """Oracle: the facts' order of depth, kernel, expansion, in loops."""
    arch = np.asarray([0, 8, 9, 9, 1, 2, 3, 9, 4, 5, 6, 7] * 2)[:20]
    arch = np.concatenate([arch[:12], [8, 7, 9, 9], [6, 5, 4, 9]])
    types = [0]
    for stage in arch.reshape(5, 4):
      depth = sum(layer != 9 for layer in stage)
      for layer in stage:
        kernel, expansion = (3, 3) if layer == 9 else mobilenetv3.TYPES[layer]
        order = [
          (d, k, e) for d in (2, 3, 4) for k in (3, 5, 7) for e in (3, 4, 6)
        ]
        types.append(2 + order.index((depth, kernel, expansion)))
    types.append(1)
    found = meta.view(mobilenetv3.mobilenetv3())
    self.assertEqual((found.num_nodes, found.num_labels), (22, 29))
    graph = found.to_graph(jnp.asarray(arch, jnp.int32))
    np.testing.assert_array_equal(np.argmax(graph.nodes, -1), types)
    chain = [(node, node + 1) for node in range(21)]
    np.testing.assert_array_equal(graph.adjacency, program.adjacency(chain, 22))

  @pytest.mark.slow
  def test_other_spaces(self):
    """Oracle: the space's own graphs."""
    space = transnas_macro.transnas_macro()
    found = meta.view(space)
    archs = space.sample(jax.random.key(0), 3)
    network = meta.network(space, CONFIG)
    params = network.init(jax.random.key(0))
    values = network.apply(params, found.to_graph(archs), jnp.ones(56))
    self.assertEqual(values.shape, (3,))
    self.assertGreater(np.ptp(values), 0)


class RowsTest(parameterized.TestCase):
  def test_rows(self):
    """Oracle: every row is of its class; no image twice where there are
    enough; the same generator gives the same rows."""
    rows = meta.draw_rows(
      np.random.default_rng(0), LABELS, num_images=2, num_subsets=5
    )
    self.assertEqual(rows.shape, (5, 3, 2))
    for label in range(3):
      np.testing.assert_array_equal(LABELS[rows[:, label]], label)
    self.assertTrue(np.all(rows[..., 0] != rows[..., 1]))
    again = meta.draw_rows(
      np.random.default_rng(0), LABELS, num_images=2, num_subsets=5
    )
    np.testing.assert_array_equal(rows, again)
    many = meta.draw_rows(np.random.default_rng(0), LABELS, num_images=9)
    self.assertEqual(many.shape, (10, 3, 9))

  @parameterized.parameters(([0, 0, 0],), ([0, 0, 1],), ([],), ([0, 0, 2, 2],))
  def test_too_few(self, labels):
    """Oracle: the documented error: one class, one image of a class."""
    with self.assertRaisesRegex(ValueError, "two images or more of each"):
      meta.draw_rows(np.random.default_rng(0), np.asarray(labels, np.int32))


class PredictTest(parameterized.TestCase):
  def test_percent(self):
    """Oracle: the published steps in NumPy for every member and draw of the
    images, the published map to percent and their mean; the prior by hand."""
    x = features()
    rows = meta.draw_rows(
      np.random.default_rng(1), LABELS, num_images=2, num_subsets=2
    )
    codes = meta.encode_images(predictor(), x, rows)
    archs = np.asarray(SPACE.sample(jax.random.key(0), 3))
    result = meta.predict(predictor(), codes, jnp.asarray(archs))
    self.assertEqual(codes.shape, (2, 2, 56))
    expected = []
    for arch in archs:
      outputs = []
      for seed, one in itertools.product(range(2), rows):
        state = weights(seed)
        code = diffusionnag_program.set_code(state, x[one].astype(float))
        types = [0, *(arch + 2), 1]
        outputs.append(program.predict(state, types, program.EDGES, code))
      known = predictor().prior.scores[np.sum(arch * 5 ** np.arange(6))]
      expected.append((0.10 + np.mean(outputs) + 0.25 * known) * 550 + 40)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    surrogate = meta.surrogate(predictor(), codes, num_constraints=2)
    state = surrogate.init(jax.random.key(0), surrogate.params)
    archive = archive_lib.empty(SPACE, 4, 2)
    state = surrogate.fit(jax.random.key(0), state, archive)
    found = surrogate.predict(state, jnp.asarray(archs))
    np.testing.assert_allclose(found.mean, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.violations, np.zeros((3, 2)))
    np.testing.assert_array_equal(found.std, 1)

  @parameterized.parameters(
    ((8, 7), r"\[n, 6\].*small.*\(8, 7\)"), ((8,), r"\[n, 6\]")
  )
  def test_other_features(self, shape, message):
    """Oracle: the documented error."""
    rows = np.zeros((1, 2, 2), int)
    with self.assertRaisesRegex(ValueError, message):
      meta.encode_images(predictor(), np.zeros(shape), rows)

  def test_not_finite(self):
    """Oracle: the documented error."""
    x = features()
    x[0, 0] = np.nan
    with self.assertRaisesRegex(ValueError, "finite"):
      meta.encode_images(predictor(), x, np.zeros((1, 2, 2), int))


class FileTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = f"{self.enter_context(tempfile.TemporaryDirectory())}/a.npz"

  def test_round_trip(self):
    """Oracle: what was written."""
    meta.save(self.path, predictor())
    found = meta.find(self.path, SPACE)
    jax.tree.map(
      np.testing.assert_array_equal, found.params, predictor().params
    )
    expected = predictor()
    np.testing.assert_array_equal(found.prior.scores, expected.prior.scores)
    self.assertEqual(found.prior[:2], expected.prior[:2])
    self.assertEqual(
      found._replace(params=None, prior=None),
      expected._replace(params=None, prior=None),
    )

  def test_without_a_prior(self):
    """Oracle: what was written."""
    meta.save(self.path, predictor()._replace(prior=None))
    self.assertIsNone(meta.load(self.path, SPACE).prior)

  def test_another_space(self):
    """Oracle: the documented error."""
    meta.save(self.path, predictor())
    with self.assertRaisesRegex(files.FileError, "nasbench201.*mobilenetv3"):
      meta.load(self.path, mobilenetv3.mobilenetv3())

  def test_damage(self):
    """Oracle: the documented errors: no file, another file, other sizes, a
    weight that is not finite, no member."""
    with self.assertRaisesRegex(files.FileError, "a.npz"):
      meta.load(self.path, SPACE)
    files.write_record(self.path, {"a": np.zeros(2)}, {"kind": "other"})
    with self.assertRaisesRegex(files.FileError, meta.KIND):
      meta.load(self.path, SPACE)
    wider = meta_predictor.Config(image_size=7, code_size=56, hidden_size=5)
    meta.save(self.path, predictor()._replace(config=wider))
    with self.assertRaisesRegex(files.FileError, "params|images"):
      meta.load(self.path, SPACE)
    none = jax.tree.map(lambda leaf: leaf[:0], predictor().params)
    meta.save(self.path, predictor()._replace(params=none))
    with self.assertRaisesRegex(files.FileError, "a member or more"):
      meta.load(self.path, SPACE)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, predictor().params)
    meta.save(self.path, predictor()._replace(params=broken))
    with self.assertRaisesRegex(files.FileError, "not finite"):
      meta.load(self.path, SPACE)

  def test_nothing_is_shipped(self):
    """Oracle: the documented error."""
    with self.assertRaisesRegex(ValueError, "transnas_macro.*train_predictor"):
      meta.find(None, transnas_macro.transnas_macro())

  def test_shipped(self):
    """Oracle: a file in the folder of the package."""
    path = self.path.replace("a.npz", "meta_nasbench201.npz")
    meta.save(path, predictor())
    folder = pathlib.Path(path).parent
    (folder / "data").mkdir()
    pathlib.Path(path).rename(folder / "data" / "meta_nasbench201.npz")
    with mock.patch.object(meta.resources, "files", lambda _: folder):
      self.assertEqual(meta.find(None, SPACE).notes, {"seed": 3})

  def test_sources(self):
    """Oracle: the documented error, for images that it has learned from."""
    meta.check_unseen(predictor(), "cd34")
    meta.check_unseen(predictor(), "abc")
    with self.assertRaisesRegex(ValueError, "learned from.*mnist"):
      meta.check_unseen(predictor(), "ab12")


if __name__ == "__main__":
  absltest.main()
