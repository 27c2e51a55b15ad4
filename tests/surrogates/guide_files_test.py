"""Tests of nagjax.surrogates.guide_files."""

import functools
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import files
from nagjax.convert import diffusionnag
from nagjax.diffusion import sde as sde_lib
from nagjax.spaces import mobilenetv3
from nagjax.spaces import nasbench201
from nagjax.spaces import transnas_micro
from nagjax.surrogates import guide_files
from nagjax.surrogates import noise_aware
from tests.networks import diffusionnag_program as program

SPACES = {
  "nasbench201": (nasbench201.nasbench201, 32, program.gcn_state),
  "mobilenetv3": (mobilenetv3.mobilenetv3, 512, program.transformer_state),
}


@functools.cache
def guide_of(name):
  make, head_width, state = SPACES[name]
  found = diffusionnag.surrogate_params(state(0))
  return guide_files.Guide(make(), head_width, *found)


class GuideFilesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = f"{self.enter_context(tempfile.TemporaryDirectory())}/a.npz"

  @parameterized.parameters(*SPACES)
  def test_round_trip(self, name):
    """Oracle: the imported weights."""
    guide = guide_of(name)
    guide_files.save(self.path, guide)
    found = guide_files.load(self.path, guide.space)
    jax.tree.map(np.testing.assert_array_equal, found[2:], guide[2:])
    self.assertEqual(found.head_width, guide.head_width)

  @pytest.mark.slow
  def test_it_guides(self):
    """Oracle: the published steps in NumPy, image by image, node by node."""
    guide = guide_of("nasbench201")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 3, 512)).astype(np.float32)
    x = rng.normal(size=(1, 8, 7)).astype(np.float32)
    sde = sde_lib.ve(0.1, 5.0)
    t = jnp.asarray([0.3])
    value = noise_aware.published_value_fn(
      guide.network,
      guide.params,
      jnp.asarray(program.ADJACENCY, jnp.float32),
      sde,
      guide.encode(jnp.asarray(images)),
    )
    weights = program.gcn_state(0)
    code = program.set_code(weights, images.astype(np.float64))
    sigma = 0.1 * 50.0**0.3
    expected = program.gcn(weights, x[0], sigma, program.ADJACENCY, code)
    np.testing.assert_allclose(value(x, t), [expected], atol=1e-5)

  def test_refusals(self):
    """Oracle: the documented errors: another space, another width, a weight
    that is not finite, a space without a published network."""
    guide = guide_of("nasbench201")
    guide_files.save(self.path, guide)
    with self.assertRaisesRegex(files.FileError, "nasbench201.*mobilenetv3"):
      guide_files.load(self.path, mobilenetv3.mobilenetv3())
    with self.assertRaisesRegex(ValueError, r"\[184, 512\], got \[184, 32\]"):
      guide_files.save(self.path, guide._replace(head_width=512))
    broken = jax.tree.map(lambda leaf: leaf * np.nan, guide.encoder)
    guide_files.save(self.path, guide._replace(encoder=broken))
    with self.assertRaisesRegex(files.FileError, "not finite"):
      guide_files.load(self.path, guide.space)
    with self.assertRaisesRegex(ValueError, "not for transnas_micro"):
      guide_files.network(transnas_micro.transnas_micro(), 32)


if __name__ == "__main__":
  absltest.main()
