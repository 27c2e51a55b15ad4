"""Tests of nagjax.search.checkpoint."""

import errno
import pathlib
import tempfile
from typing import NamedTuple
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import problem as problem_lib
from nagjax import search as search_lib
from nagjax.search import checkpoint
from tests.search import toys


class Tree(NamedTuple):
  """A state with every kind of leaf that a search has."""

  key: jax.Array
  flags: jax.Array
  status: jax.Array
  nested: tuple
  nothing: None = None


def tree(seed=0):
  return Tree(
    key=jax.random.split(jax.random.key(seed), 2),
    flags=jnp.asarray([True, False]),
    status=jnp.asarray([1, -1], jnp.int8),
    nested=(jnp.float32(np.nan), {"b": jnp.zeros((0, 3)), "a": jnp.uint32(7)}),
  )


def data_of(value):
  """A pytree that NumPy can compare."""
  return jax.tree.map(
    lambda leaf: (
      jax.random.key_data(leaf)
      if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
      else leaf
    ),
    value,
  )


class FolderTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)
    self.path = self.folder / "state.npz"

  def assert_equal_trees(self, a, b):
    self.assertEqual(jax.tree.structure(a), jax.tree.structure(b))
    jax.tree.map(np.testing.assert_array_equal, data_of(a), data_of(b))


class CheckpointTest(FolderTestCase):
  @parameterized.parameters("arrays", "shapes")
  def test_what_was_saved_comes_back(self, template):
    """Oracle: the tree itself, bits and types; keys draw the same numbers."""
    value = tree()
    checkpoint.save(self.path, value)
    other = tree(seed=1)
    if template == "shapes":
      other = jax.eval_shape(lambda: other)
    restored = checkpoint.load(self.path, other)
    self.assert_equal_trees(restored, value)
    for a, b in zip(
      jax.tree.leaves(restored), jax.tree.leaves(value), strict=True
    ):
      self.assertEqual(a.dtype, b.dtype)
    np.testing.assert_array_equal(
      jax.random.uniform(restored.key[1], 4),
      jax.random.uniform(value.key[1], 4),
    )

  @parameterized.parameters(
    (dict(flags=jnp.zeros(3, bool)), r"bool\[3\]"),
    (dict(status=jnp.zeros(2, jnp.int32)), r"int32\[2\]"),
    (dict(nothing=jnp.zeros(1)), "must hold 7 arrays, got 6"),
    (dict(key=jnp.zeros(2, jnp.uint32)), "key must be uint32"),
  )
  def test_another_template_is_refused(self, changes, message):
    """Oracle: the documented ValueError."""
    checkpoint.save(self.path, tree())
    with self.assertRaisesRegex(ValueError, message):
      checkpoint.load(self.path, tree()._replace(**changes))

  def test_a_missing_file(self):
    """Oracle: the documented FileNotFoundError."""
    with self.assertRaises(FileNotFoundError):
      checkpoint.load(self.path, tree())

  def test_a_search_continues_from_a_file(self):
    """Oracle: the uninterrupted search, bit for bit."""
    problem = problem_lib.Problem(toys.failing(share=0.2))
    search = toys.search_of(
      toys.climber(problem.space), problem, toys.climber_params()
    )
    start = jax.jit(lambda key: search_lib.start(key, search))
    advance = jax.jit(
      lambda state: search_lib.advance(state, search, num_rounds=4)
    )
    state = advance(start(jax.random.key(5)).state).state
    checkpoint.save(self.path, state)
    template = jax.eval_shape(start, jax.random.key(0)).state
    restored = checkpoint.load(self.path, template)
    self.assert_equal_trees(advance(restored), advance(state))

  def test_a_failed_save_leaves_the_old_checkpoint(self):
    """Oracle: the tree that was saved before."""
    checkpoint.save(self.path, tree())
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch.object(np.lib.format, "write_array", side_effect=full):
      with self.assertRaisesRegex(OSError, "No space.*state.npz"):
        checkpoint.save(self.path, tree(seed=1))
    self.assert_equal_trees(checkpoint.load(self.path, tree()), tree())
    self.assertEqual(list(self.folder.iterdir()), [self.path])

  @parameterized.parameters("rbg", "unsafe_rbg")
  def test_keys_of_other_implementations(self, impl):
    """Oracle: the same draws; a template of another kind is refused."""
    key = jax.random.key(3, impl=impl)
    checkpoint.save(self.path, {"key": key})
    found = checkpoint.load(self.path, {"key": jax.random.key(0, impl=impl)})
    np.testing.assert_array_equal(
      jax.random.uniform(found["key"], 4), jax.random.uniform(key, 4)
    )
    with self.assertRaisesRegex(ValueError, "key must be key<fry>"):
      checkpoint.load(self.path, {"key": jax.random.key(0)})


if __name__ == "__main__":
  absltest.main()
