"""Tests of nagjax.relaxation.proxy_search."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import special

from nagjax.relaxation import gumbel as gumbel_lib
from nagjax.relaxation import proxy_search

CARDINALITIES = (3, 2, 4, 3)
L, K, G = 4, 4, 3
EXISTS = np.arange(K)[None] < np.asarray(CARDINALITIES)[:, None]
OPTIMIZER = optax.adam(0.1)
REWARD = np.random.default_rng(0).normal(size=(L, K)).astype(np.float32)
PAIRS = np.random.default_rng(1).normal(size=(L, K, L, K)).astype(np.float32)
PAIRS[np.arange(L), :, np.arange(L), :] = 0
ARCHS = np.asarray(list(itertools.product(*map(range, CARDINALITIES))))


def linear(options):
  return jnp.einsum("glk,lk->g", options, REWARD)


def quadratic(options):
  return jnp.einsum("glk,lkmj,gmj->g", options, PAIRS, options)


def one_hot(archs):
  return np.eye(K, dtype=np.float32)[archs]


def start(num_groups=G, seed=0):
  rng = np.random.default_rng(seed)
  logits = rng.uniform(size=(num_groups, L, K)).astype(np.float32)
  return proxy_search.init(jnp.asarray(logits), CARDINALITIES, OPTIMIZER)


def noise(num_epochs, num_groups=G):
  return jax.random.gumbel(jax.random.key(0), (num_epochs, num_groups, L, K))


def optimize(variables, value_fn, num_epochs, **options):
  num_groups = variables.logits.shape[0]
  run = jax.jit(
    lambda variables, noise: proxy_search.optimize(
      variables,
      value_fn,
      noise,
      gumbel_lib.linear_temperatures(num_epochs),
      OPTIMIZER,
      **options,
    )
  )
  return run(variables, noise(num_epochs, num_groups))


class InitTest(parameterized.TestCase):
  def test_existing_options(self):
    """Oracle: by hand."""
    np.testing.assert_array_equal(
      proxy_search.existing_options((2, 3, 1)),
      [[True, True, False], [True, True, True], [True, False, False]],
    )

  def test_options_that_do_not_exist_are_minus_infinity(self):
    """Oracle: cardinalities; moments start at zero."""
    variables = start()
    np.testing.assert_array_equal(
      np.isneginf(variables.logits), np.broadcast_to(~EXISTS, (G, L, K))
    )
    for leaf in jax.tree.leaves(variables.opt_state):
      np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


class OptimizeTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("together", ()), ("in_turns", (True, False, True, False))
  )
  def test_a_linear_value_leads_every_group_to_the_best(self, topology):
    """Oracle: the largest existing reward of every variable."""
    variables = optimize(start(), linear, 300, topology=topology, interval=5)
    best = np.where(EXISTS, REWARD, -np.inf).argmax(axis=1)
    archs = np.asarray(variables.logits).argmax(axis=-1)
    np.testing.assert_array_equal(archs, np.broadcast_to(best, (G, L)))
    self.assertTrue((np.where(EXISTS, REWARD, -9).max(1) < REWARD.max(1)).any())

  def test_a_quadratic_value_leads_some_group_to_the_best(self):
    """Oracle: the largest of all 72 architectures, and its neighbors.

    Each group ends where no single change is better.
    """
    variables = optimize(start(16), quadratic, 300)
    values = np.asarray(quadratic(one_hot(ARCHS)))
    value = {tuple(a): v for a, v in zip(ARCHS, values, strict=True)}
    found = np.asarray(variables.logits).argmax(axis=-1)
    found_values = [value[tuple(arch)] for arch in found]
    self.assertAlmostEqual(max(found_values), values.max(), places=5)
    distance = (found[:, None] != ARCHS[None]).sum(axis=-1)
    near = np.where(distance == 1, values[None], -np.inf).max(axis=1)
    self.assertGreaterEqual(np.mean(found_values >= near), 0.8)

  def test_one_step_is_the_closed_form(self):
    """Oracle: the gradient of a softmax by NumPy, and plain ascent."""
    rate, temperature = 0.5, 0.7
    ascent = optax.sgd(rate)
    first = proxy_search.init(start().logits, CARDINALITIES, ascent)
    gumbel = noise(1)
    after = proxy_search.optimize(
      first, linear, gumbel, jnp.full(1, temperature), ascent
    )
    p = special.softmax((first.logits + gumbel[0]) / temperature, axis=-1)
    gradient = p * (REWARD - (p * REWARD).sum(-1, keepdims=True)) / temperature
    np.testing.assert_allclose(
      after.logits[:, EXISTS],
      (np.asarray(first.logits) + rate * gradient)[:, EXISTS],
      rtol=1e-4,
    )

  @parameterized.named_parameters(("linear", linear), ("quadratic", quadratic))
  def test_options_that_do_not_exist_stay_away(self, value_fn):
    """Oracle: cardinalities; all other numbers are finite."""
    variables = optimize(start(), value_fn, 20)
    exists = np.broadcast_to(EXISTS, (G, L, K))
    np.testing.assert_array_equal(np.isneginf(variables.logits), ~exists)
    self.assertTrue(np.isfinite(variables.logits)[exists].all())
    moments = variables.opt_state[0]
    for leaf in (moments.mu, moments.nu):
      self.assertTrue(np.isfinite(leaf).all())
      np.testing.assert_array_equal(leaf[~exists], 0.0)

  def test_only_the_turn_moves(self):
    """Oracle: turns of two epochs, operations first; moments stay as well."""
    topology = np.asarray([True, False, False, True])

    @jax.jit
    def run(noise):
      result = proxy_search.optimize(
        start(),
        quadratic,
        noise,
        jnp.full(noise.shape[0], 0.5),
        OPTIMIZER,
        topology=topology.tolist(),
        interval=2,
      )
      return result.logits, result.opt_state[0].mu, result.opt_state[0].nu

    first = (start().logits, jnp.zeros((G, L, K)), jnp.zeros((G, L, K)))
    after_2, after_4 = run(noise(4)[:2]), run(noise(4))
    for old, new, moving in (
      (first, after_2, ~topology),
      (after_2, after_4, topology),
    ):
      for before, after in zip(old, new, strict=True):
        moved = np.asarray(before != after)
        np.testing.assert_array_equal(
          moved, np.broadcast_to(EXISTS & moving[:, None], moved.shape)
        )

  @parameterized.parameters((True,) * L, (False,) * L)
  def test_without_two_kinds_there_are_no_turns(self, *topology):
    """Oracle: the search without topology."""
    result = optimize(start(), quadratic, 5, topology=topology)
    expected = optimize(start(), quadratic, 5)
    np.testing.assert_array_equal(result.logits, expected.logits)

  def test_groups_do_not_influence_each_other(self):
    """Oracle: each group on its own, with its own share of the noise."""
    together = optimize(start(), quadratic, 20)
    alone = jax.jit(
      lambda logits, noise: (
        proxy_search.optimize(
          proxy_search.init(logits, CARDINALITIES, OPTIMIZER),
          quadratic,
          noise,
          gumbel_lib.linear_temperatures(20),
          OPTIMIZER,
        ).logits
      )
    )
    for i in range(G):
      one = slice(i, i + 1)
      np.testing.assert_allclose(
        alone(start().logits[one], noise(20)[:, one]),
        together.logits[one],
        atol=1e-4,
      )


class SampleTest(parameterized.TestCase):
  def test_frequencies(self):
    """Oracle: softmax of the logits, within four standard errors."""
    num = 20_000
    logits = 2 * start(2).logits
    noise = jax.random.gumbel(jax.random.key(3), (2, num, L, K))
    archs = proxy_search.sample(logits, noise)
    self.assertEqual(archs.shape, (2, num, L))
    self.assertEqual(archs.dtype, jnp.int32)
    frequencies = one_hot(np.asarray(archs)).mean(axis=1)
    expected = special.softmax(logits, axis=-1)
    np.testing.assert_allclose(frequencies, expected, atol=0.015)
    np.testing.assert_array_equal(frequencies[:, ~EXISTS], 0.0)


if __name__ == "__main__":
  absltest.main()
