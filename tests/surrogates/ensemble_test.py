"""Tests of nagjax.surrogates.ensemble."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import archive as archive_lib
from nagjax.networks.base import Network
from nagjax.spaces import nasbench201
from nagjax.surrogates import ensemble
from nagjax.surrogates import fitting

SPACE = nasbench201.nasbench201()
SIZE, NUM, MEMBERS = 16, 12, 3
CONFIG = ensemble.Config(
  num_members=MEMBERS,
  fit=fitting.Config(num_steps=30, batch_size=8, learning_rate=0.1),
)


def linear():
  """A network of two heads that reads how often a label occurs."""
  return Network(
    init=lambda key: jax.random.normal(key, (SPACE.num_labels, 2)),
    apply=lambda weights, graph, dropout_key=None: (
      graph.nodes.sum(-2) @ weights
    ),
  )


@functools.cache
def surrogate(continues):
  """Of `linear`, compiled."""
  config = dataclasses.replace(CONFIG, continues=continues)
  made = ensemble.ensemble(linear(), SPACE.to_graph, config)
  return made._replace(fit=jax.jit(made.fit))


def archive(num=NUM):
  """Targets that `linear` can learn; NaN where nobody may look."""
  rng = np.random.default_rng(0)
  archs = rng.integers(0, 5, (SIZE, 6))
  first = (archs == 3).sum(1) - (archs == 1).sum(1)
  second = (archs == 0).sum(1) - 1
  targets = np.stack([first, second], 1) / 2
  targets[num:] = np.nan
  return archive_lib.empty(SPACE, SIZE, 1)._replace(
    archs=jnp.asarray(archs, jnp.int32),
    targets=jnp.asarray(targets, jnp.float32),
    num=jnp.int32(num),
  )


def start(seed=0, continues=True):
  return surrogate(continues).init(jax.random.key(seed), ())


def run(*keys, continues=True, state=None):
  """The state after one fit for each key."""
  state = start() if state is None else state
  for seed in keys:
    state = surrogate(continues).fit(jax.random.key(seed), state, archive())
  return state


class FitTest(parameterized.TestCase):
  def test_members_begin_differently_and_learn_every_head(self):
    """Oracle: the targets, which a member can reach."""
    before = np.asarray(start().params)
    self.assertGreater(np.abs(before[0] - before[1]).max(), 0.1)
    found = surrogate(True).predict(run(1, 2, 3, 4, 5, 6), archive().archs)
    targets = archive().targets[:NUM]
    self.assertEqual(found.members.shape, (MEMBERS, SIZE))
    for member in found.members:
      np.testing.assert_allclose(member[:NUM], targets[:, 0], atol=0.3)
    np.testing.assert_allclose(found.violations[:NUM], targets[:, 1:], atol=0.3)

  def test_a_fit_goes_on(self):
    """Oracle: the number of steps that the moments have seen; another start
    is another result."""
    twice = run(1, 2)
    np.testing.assert_array_equal(twice.opt_state[0].count, [60] * MEMBERS)
    other = run(1, state=start(seed=5))
    self.assertGreater(np.abs(other.params - run(1).params).max(), 1e-3)

  def test_a_fit_begins_anew(self):
    """Oracle: whatever was before does not matter."""
    once = run(2, continues=False)
    again = run(1, 2, continues=False, state=start(seed=5))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    np.testing.assert_array_equal(once.opt_state[0].count, [30] * MEMBERS)


class PredictTest(parameterized.TestCase):
  def test_moments_of_members(self):
    """Oracle: NumPy on what every member says; ddof 1."""
    archs = archive().archs
    found = surrogate(True).predict(start(), archs)
    counts = np.asarray(SPACE.to_graph(archs).nodes).sum(1)
    heads = np.einsum("bn,mnh->mbh", counts, start().params)
    np.testing.assert_allclose(found.members, heads[..., 0], rtol=1e-4)
    np.testing.assert_allclose(found.mean, heads[..., 0].mean(0), rtol=1e-4)
    np.testing.assert_allclose(
      found.std, heads[..., 0].std(0, ddof=1), rtol=1e-4
    )
    np.testing.assert_allclose(
      found.violations, heads[..., 1:].mean(0), rtol=1e-4
    )

  @parameterized.parameters((30, [False, True]), (155, [True, True]))
  def test_paths(self, max_features, expected):
    """Oracle: the operation that is on paths of three alone, behind the 5 + 25
    shorter ones, and one that is a path itself."""
    config = dataclasses.replace(ensemble.TINY, max_features=max_features)
    made = ensemble.path_networks(SPACE, config, 1)
    archs = np.full((3, 6), 3)
    archs[[1, 2], [2, 3]] = 1
    found = jax.jit(made.predict)(
      made.init(jax.random.key(0), ()), jnp.asarray(archs, jnp.int32)
    )
    self.assertEqual(found.violations.shape, (3, 1))
    gaps = np.abs(found.mean[1:] - found.mean[0])
    self.assertEqual((gaps > 1e-4).tolist(), expected)

  def test_bad_options(self):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, "num_members"):
      ensemble.Config(num_members=0)


if __name__ == "__main__":
  absltest.main()
