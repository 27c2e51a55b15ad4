"""The contract that every registered surrogate and proposer keeps.

A new part is tested by being registered; its own module says what is tiny.
"""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import archive as archive_lib
from nagjax import registry
from nagjax.proposers.base import Belief
from nagjax.proposers.base import Needs
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Prediction
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nasbench201.nasbench201()
SIZE, NUM, NUM_CONSTRAINTS = 20, 12, 1
ON_HOST = ("xgb", "xgb_rank")

surrogates = parameterized.parameters(*registry.surrogate_names())
proposers = parameterized.parameters(*registry.proposer_names())


@functools.cache
def archive_of(num, failing=False):
  """An archive of `num` random architectures, all failures if asked."""
  empty = archive_lib.empty(SPACE, SIZE, NUM_CONSTRAINTS)
  if not num:
    return empty
  archs = SPACE.sample(jax.random.key(0), num)
  value = jnp.where(failing, -jnp.inf, jnp.sum(archs, axis=-1) * 1.0)
  violations = (archs[:, :1] - 2.0) * 1.0
  return jax.jit(archive_lib.add, static_argnums=1)(
    empty,
    SPACE,
    Proposal(archs, jnp.ones(num, bool)),
    Evaluation(
      jnp.full(num, Status.INVALID if failing else Status.FRESH, jnp.int8),
      value,
      value[:, None],
      jnp.where(failing, jnp.inf, violations),
      jnp.full(num, not failing),
    ),
  )


def described(tree):
  leaves, structure = jax.tree.flatten(tree)
  return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def surrogate_of(name):
  if name in ON_HOST:
    pytest.importorskip("xgboost")
  spec = registry.surrogate_spec(name)
  return spec.build(SPACE, spec.tiny, NUM_CONSTRAINTS, SIZE)


def compiled(surrogate, fn):
  if surrogate.on_host:
    return fn
  return jax.jit(fn)


@functools.cache
def learner(name):
  """A surrogate, its way from a key and an archive to a state, `predict`."""
  surrogate = surrogate_of(name)

  def learn(key, archive):
    init_key, fit_key = jax.random.split(key)
    state = surrogate.init(init_key, surrogate.params)
    if surrogate.condition is not None:
      state = surrogate.condition(state, archive, NUM)
    return surrogate.fit(fit_key, state, archive)

  return (
    surrogate,
    compiled(surrogate, learn),
    compiled(surrogate, surrogate.predict),
  )


class SurrogateContractTest(parameterized.TestCase):
  @surrogates
  def test_predictions(self, name):
    """Oracle: the declared shapes; the same key gives the same; rows that are
    not in use change nothing; better rows are predicted better on average."""
    surrogate, learn, predict = learner(name)
    archive = archive_of(NUM)
    archs = SPACE.sample(jax.random.key(1), 7)
    state = learn(jax.random.key(2), archive)
    found = predict(state, archs)
    self.assertEqual(found.mean.shape, (7,))
    self.assertEqual(found.std.shape, (7,))
    self.assertEqual(found.violations.shape, (7, NUM_CONSTRAINTS))
    self.assertEqual(found.mean.dtype, jnp.float32)
    self.assertEqual(surrogate.has_members, found.members is not None)
    self.assertTrue(np.all(np.asarray(found.std) >= 0))
    other = archive._replace(archs=archive.archs.at[NUM:].set(4))
    again = predict(learn(jax.random.key(2), other), archs)
    jax.tree.map(np.testing.assert_array_equal, found, again)

  @surrogates
  def test_nothing_and_failures_alone(self, name):
    """Oracle: finite predictions, whatever there is to learn from."""
    _, learn, predict = learner(name)
    archs = SPACE.sample(jax.random.key(1), 7)
    for archive in (archive_of(0), archive_of(NUM, failing=True)):
      found = predict(learn(jax.random.key(2), archive), archs)
      for leaf in jax.tree.leaves(found):
        self.assertTrue(np.isfinite(leaf).all())

  @surrogates
  def test_types_are_stable_and_no_key_is_used_twice(self, name):
    """Oracle: the state before; jax's own checker of key reuse."""
    surrogate = surrogate_of(name)
    if surrogate.on_host:
      self.skipTest("It is not traced.")
    key, archive = jax.random.key(0), archive_of(NUM)
    with jax.debug_key_reuse(True):
      before = jax.eval_shape(surrogate.init, key, surrogate.params)
      after = jax.eval_shape(surrogate.fit, key, before, archive)
    self.assertEqual(described(before), described(after))
    if surrogate.condition is not None:
      condition = functools.partial(surrogate.condition, num_new=5)
      after = jax.eval_shape(condition, before, archive)
      self.assertEqual(described(before), described(after))

  @surrogates
  def test_relaxed_is_predict_at_one_hot_options(self, name):
    """Oracle: `predict`; the gradient is finite between architectures."""
    surrogate, learn, predict = learner(name)
    if surrogate.relaxed is None:
      self.assertIn(name, ("paths", *ON_HOST))
      return
    state = learn(jax.random.key(2), archive_of(NUM))
    archs = SPACE.sample(jax.random.key(1), 7)

    def relaxed(state, options):
      value = lambda options: surrogate.relaxed(state, options).mean.sum()  # noqa: E731
      return surrogate.relaxed(state, options), jax.grad(value)(options)

    both = compiled(surrogate, relaxed)
    found, _ = both(state, SPACE.one_hot(archs))
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
      found,
      predict(state, archs),
    )
    soft = jnp.full((7, 6, 5), 0.2)
    _, gradient = both(state, soft)
    self.assertTrue(np.isfinite(gradient).all())


def truth(options):
  """A belief that is known: the sum of digits, of relaxed ones too."""
  digits = jnp.arange(5.0)[None, None]
  mean = jnp.sum(options * digits, axis=(-2, -1))
  violations = jnp.zeros((*mean.shape, NUM_CONSTRAINTS))
  return Prediction(mean, 0.1 * jnp.ones_like(mean), mean[None], violations)


BELIEF = Belief(
  predict=lambda archs: truth(SPACE.one_hot(archs)),
  relaxed=truth,
  guides=True,
  penalty=5.0,
)


def proposer_of(name):
  spec = registry.proposer_spec(name)
  return spec.build(SPACE, spec.tiny, None)


class ProposerContractTest(parameterized.TestCase):
  @proposers
  def test_candidates(self, name):
    """Oracle: shapes; what is valid is an architecture; the same key gives the
    same candidates, another one others; nothing to start from is no harm."""
    part = proposer_of(name)

    @jax.jit
    def propose(key, archive):
      init_key, propose_key = jax.random.split(key)
      state = part.init(init_key, part.params)
      return part.propose(propose_key, state, part.params, BELIEF, archive)

    for archive in (
      archive_of(NUM),
      archive_of(0),
      archive_of(NUM, failing=True),
    ):
      archs, valid, state = propose(jax.random.key(0), archive)
      self.assertEqual(archs.shape, (*valid.shape, SPACE.num_variables))
      self.assertEqual(archs.dtype, jnp.int32)
      self.assertEqual(valid.dtype, bool)
      ok = np.asarray(valid)
      self.assertTrue(ok.any())
      self.assertTrue(np.asarray(SPACE.is_valid(archs))[ok].all())
      again, _, _ = propose(jax.random.key(0), archive)
      np.testing.assert_array_equal(archs, again)
      other, _, _ = propose(jax.random.key(1), archive)
      self.assertFalse(np.array_equal(archs, other))
      if part.failed_step is not None:
        self.assertLess(int(part.failed_step(state)), 0)

  @proposers
  def test_types_are_stable_and_no_key_is_used_twice(self, name):
    """Oracle: the state before; jax's own checker of key reuse."""
    part = proposer_of(name)
    key = jax.random.key(0)
    with jax.debug_key_reuse(True):
      before = jax.eval_shape(part.init, key, part.params)
      _, _, after = jax.eval_shape(
        lambda key, state: part.propose(
          key, state, part.params, BELIEF, archive_of(NUM)
        ),
        key,
        before,
      )
    self.assertEqual(described(before), described(after))

  @proposers
  def test_what_it_needs(self, name):
    """Oracle: a belief without what is not needed is enough to trace it."""
    part = proposer_of(name)

    def refuse(archs):
      raise AssertionError("It asked for more than it needs.")

    poor = BELIEF._replace(
      predict=refuse if part.needs == Needs.NOTHING else BELIEF.predict,
      relaxed=truth if part.needs == Needs.RELAXED else None,
    )

    def run(key):
      state = part.init(key, part.params)
      return part.propose(key, state, part.params, poor, archive_of(NUM))

    jax.eval_shape(run, jax.random.key(0))


if __name__ == "__main__":
  absltest.main()
