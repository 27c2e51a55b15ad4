"""Tests of nagjax.candidates.store."""

import pathlib
import tempfile

from absl.testing import absltest
import chex
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import cells
from nagjax.candidates import store
from nagjax.spaces import nasbench201

CONFIG = cells.Config((4, 4, 2), 3, 2, 1)
ARCH = (3, 2, 1, 4, 0, 3)


class StoreTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder, "network.npz")
    self.network = store.Trained(
      architecture=nasbench201.to_string(ARCH),
      config=CONFIG,
      model=cells.init(jax.random.key(0), jnp.asarray(ARCH), CONFIG),
      mean=jnp.asarray([1.0, 2.0]),
      deviation=jnp.asarray([2.0, 4.0]),
      notes={"seed": 7},
    )

  def test_round_trip(self):
    """Oracle: what was saved, and the logits of normalized images."""
    store.save(self.path, self.network)
    found = store.load(self.path)
    self.assertEqual(found.architecture, self.network.architecture)
    self.assertEqual((found.config, found.notes), (CONFIG, {"seed": 7}))
    for a, b in zip(
      jax.tree.leaves(found.model),
      jax.tree.leaves(self.network.model),
      strict=True,
    ):
      np.testing.assert_array_equal(a, b)
    images = np.random.default_rng(0).integers(0, 9, (5, 4, 4, 2))
    x = (images - np.asarray([1.0, 2.0])) / np.asarray([2.0, 4.0])
    logits, _ = cells.apply(
      self.network.model, jnp.asarray(ARCH), jnp.asarray(x, jnp.float32)
    )
    np.testing.assert_allclose(
      store.predict(found, images), logits, rtol=1e-5, atol=1e-6
    )
    for other in (images[0], images[:, :3], images[..., :1]):
      with self.assertRaisesRegex(ValueError, r"\[B, \*\(4, 4, 2\)\]"):
        store.predict(found, other)

  def test_other_files_are_refused(self):
    """Oracle: one line that names the file."""
    with self.assertRaisesRegex(ValueError, "network.npz"):
      store.load(self.path)
    np.savez(self.path, x=np.zeros(3))
    with self.assertRaisesRegex(ValueError, "no header"):
      store.load(self.path)
    store.save(self.path, self.network)
    with np.load(self.path) as file:
      arrays = {name: file[name] for name in file.files}
    name = list(arrays)[3]
    np.savez(self.path, **(arrays | {name: np.zeros((2, 2), np.float32)}))
    with self.assertRaisesRegex(ValueError, f"{name} must be"):
      store.load(self.path)
    np.savez(self.path, **(arrays | {"deviation": np.ones(3, np.float32)}))
    with self.assertRaisesRegex(ValueError, "deviation must be"):
      store.load(self.path)

  def test_files_of_earlier_versions(self):
    """Oracle: the same network; its leaves were called by their numbers."""
    store.save(self.path, self.network)
    with np.load(self.path) as file:
      arrays = {name: file[name] for name in file.files}
    names = [name for name in arrays if name.startswith("model")]
    numbered = {f"leaf_{i:03d}": arrays.pop(n) for i, n in enumerate(names)}
    np.savez(self.path, **numbered, **arrays)
    found = store.load(self.path)
    chex.assert_trees_all_equal(found.model, self.network.model)


if __name__ == "__main__":
  absltest.main()
