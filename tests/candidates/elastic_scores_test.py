"""Tests of nagjax.candidates.elastic_scores."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.candidates import elastic
from nagjax.candidates import elastic_scores
from nagjax.candidates import objective
from nagjax.spaces import autoformer

SETTING = elastic_scores.Setting("autoformer/small32", (16, 16, 3), 3)
CHOICES = autoformer.SPACES["small32"]
KEY = jax.random.key(0)


def nuclear(matrix):
  return np.linalg.svd(matrix, compute_uv=False).sum()


class DssTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_equals_the_definition(self):
    """Oracle: slices by the official dictionary and singular values, in NumPy;
    gradients of the sum of the outputs by `jax.grad`."""
    network = SETTING.network()
    weights = jax.tree.map(jnp.abs, network.init(KEY))
    ones = jnp.ones((1, 16, 16, 3))

    @jax.jit
    def gradient(params, arch):
      def total(params):
        return network.apply(elastic.Weights(params, ()), arch, ones)[0].sum()

      return jax.grad(total)(params)

    score = jax.jit(lambda arch: elastic_scores.dss(KEY, arch, SETTING))
    archs = np.asarray([[0, 1, 5, 0, 9, 9], [2, 8, 7, 6, 3, 9]])
    for arch in archs:
      setup = autoformer.to_config(CHOICES, arch)
      width, expected = setup["embed_dim"][0], 0.0
      found = jax.device_get(gradient(weights.params, arch)).layers
      layers = jax.device_get(weights.params).layers
      for number, (ratio, heads) in enumerate(
        zip(setup["mlp_ratio"], setup["num_heads"], strict=True)
      ):
        size = heads * 16
        norms, sums = [], []
        for tree in (found, layers):
          qkv = tree.qkv.weight[number][:, :width, :size]
          norms.append(
            [
              nuclear(np.concatenate(qkv, axis=1)),
              nuclear(tree.project.weight[number][:size, :width]),
            ]
          )
          inner = int(width * ratio)
          sums.append(
            [
              tree.inner.weight[number][:width, :inner],
              tree.outer.weight[number][:inner, :width],
            ]
          )
        expected += np.dot(*norms)
        expected += sum(np.abs(g * w).sum() for g, w in zip(*sums, strict=True))
      np.testing.assert_allclose(score(arch), expected, rtol=1e-3)

  def test_the_benchmark(self):
    """Oracle: its name, its column; one value an architecture; the documented
    errors."""
    images = objective.Images(np.zeros((2, 16, 16, 3)), np.asarray([0, 1]))
    name = "autoformer/small32"
    found = objective.zerocost("dss", name, key=KEY, images=images)
    self.assertEqual(found.name, "zerocost/dss@autoformer/small32")
    shapes = jax.eval_shape(found.query, found.space.sample(KEY, 3))
    self.assertEqual(shapes["dss"].shape, (3,))
    self.assertIn("autoformer/base", objective.space_names())
    self.assertEqual(objective.score_names("autoformer/tiny"), ["dss"])
    with self.assertRaisesRegex(ValueError, "score must be one of dss"):
      objective.zerocost("naswot", name, key=KEY)
    with self.assertRaisesRegex(ValueError, "square"):
      elastic_scores.Setting(image_shape=(16, 8, 3))
    with self.assertRaisesRegex(ValueError, "must divide"):
      elastic_scores.Setting("autoformer/tiny", (20, 20, 3))


class SynapticFlowTest(parameterized.TestCase):
  def test_equals_the_definition(self):
    """Oracle: gradients in 64 bits, without rescaling: running statistics that
    change nothing stand for no normalization; sums in NumPy."""
    setting = elastic_scores.setting("mobilenetv3/small32")
    network = setting.network()
    found = jax.jit(
      lambda arch: [
        elastic_scores.evaluate(KEY, arch, None, setting, score=score)
        for score in ("synflow", "logsynflow")
      ]
    )
    weights = jax.jit(network.init)(KEY)
    archs = [network.smallest, network.largest]
    archs.append(np.asarray([0, 4, 8, 9, 1, 5, 9, 9, 3, 7, 2, 6, *[8] * 8]))
    flows = [found(np.asarray(arch, np.int32)) for arch in archs]
    with jax.enable_x64(True):
      double = jax.tree.map(lambda w: np.float64(w), jax.device_get(weights))
      params = jax.tree.map(np.abs, double.params)
      same = jax.tree.map(
        lambda leaf: np.full(leaf.shape, float(leaf.max() > 0) * (1 - 1e-5)),
        double.statistics,
      )

      @jax.jit
      def gradient(arch):
        def total(params):
          model = elastic.Weights(params, same)
          ones = jnp.ones((1, *network.image_shape))
          return network.apply(model, arch, ones)[0].sum()

        return jax.grad(total)(params)

      for arch, (flow, damped) in zip(archs, flows, strict=True):
        pairs = list(
          zip(*map(_matrices, (params, gradient(arch))), strict=True)
        )
        expected = sum(np.sum(w * g) for w, g in pairs)
        np.testing.assert_allclose(flow, np.log(expected), rtol=1e-5)
        expected = sum(np.sum(w * np.log1p(g)) for w, g in pairs)
        np.testing.assert_allclose(damped, expected, rtol=1e-4)

  def test_the_benchmark(self):
    """Oracle: names, the space; a column is in single precision in 64 bits and
    with strict promotion too."""
    names = ["logsynflow", "synflow"]
    self.assertEqual(objective.score_names("mobilenetv3"), names)
    found = objective.zerocost(names[0], "mobilenetv3", key=KEY)
    self.assertEqual(found.name, "zerocost/logsynflow@mobilenetv3")
    others = [objective.zerocost("dss", "autoformer/small32", key=KEY), found]
    for setting in (jax.numpy_dtype_promotion("strict"), jax.enable_x64(True)):
      for table in others:
        with setting:
          shapes = jax.eval_shape(table.query, table.space.sample(KEY, 3))
        (column,) = shapes.values()
        self.assertEqual((column.shape, column.dtype), ((3,), jnp.float32))


def _matrices(params):
  """Weights of convolutions and of the classifier, by their names."""
  skipped = ("norm", "bias", "to_5", "to_3")
  return [
    np.asarray(leaf)
    for path, leaf in jax.tree.leaves_with_path(params)
    if not any(part in jax.tree_util.keystr(path) for part in skipped)
  ]


if __name__ == "__main__":
  absltest.main()
