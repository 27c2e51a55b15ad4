"""Tests of nagjax.candidates.vit_scores."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.candidates import elastic
from nagjax.candidates import objective
from nagjax.candidates import vit_scores
from nagjax.spaces import autoformer

SETTING = vit_scores.Setting("small32", (16, 16, 3), 3)
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

    score = jax.jit(lambda arch: vit_scores.dss(KEY, arch, SETTING))
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
      vit_scores.Setting(image_shape=(16, 8, 3))
    with self.assertRaisesRegex(ValueError, "must divide"):
      vit_scores.Setting("tiny", (20, 20, 3))


if __name__ == "__main__":
  absltest.main()
