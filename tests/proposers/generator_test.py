"""Tests of nagjax.proposers.generator; the contract covers the rest."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import archive as archive_lib
from nagjax import generation
from nagjax.benchmarks import synthetic
from nagjax.generation import retraining
from nagjax.proposers import base
from nagjax.proposers import generator
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Prediction
from nagjax.types import Proposal

SPACE = nasbench201.nasbench201()
LAYOUT = SPACE.layout
FOCUSED = generator.Config(
  train_steps=100,
  learning_rate=3e-3,
  weight_power=0.0,
  guidance=0.0,
  num_ranked=8,
  num_latents=64,
  num_decodes=4,
  pretrained_mix=0.0,
)


@functools.cache
def pretrained():
  """The weights that the package ships."""
  return generation.load_pretrained(SPACE).params


@functools.cache
def archive():
  """Ten cells and their values on the synthetic benchmark."""
  archs = jnp.asarray(SPACE.all_architectures()[5000:5040:4])
  table = synthetic.synthetic()
  value = table.query(archs)[table.objective]
  answer = Evaluation(
    jnp.zeros(10, jnp.int8),
    value,
    value[:, None],
    jnp.zeros((10, 0)),
    jnp.ones(10, bool),
  )
  return archive_lib.add(
    archive_lib.empty(SPACE, 16, 0),
    SPACE,
    Proposal(archs, jnp.ones(10, bool)),
    answer,
  )


def digits(options):
  """What a belief says: the sum of the numbers of the options."""
  mean = jnp.sum(options * jnp.arange(5.0)[None, None], axis=(-2, -1))
  return Prediction(mean, mean * 0, None, jnp.zeros((*mean.shape, 0)))


def belief(relaxed, guides=True):
  return base.Belief(
    predict=lambda archs: digits(SPACE.one_hot(archs)),
    relaxed=digits if relaxed else None,
    guides=guides,
    penalty=0.0,
  )


@functools.cache
def proposed(config, relaxed=True):
  """Candidates of one round, `[C, L]`, and which are valid."""
  part = generator.generator(SPACE, config, params=pretrained())
  state = part.init(jax.random.key(0), part.params)
  filled, believed = archive(), belief(relaxed)
  archs, valid, _ = jax.jit(
    lambda key, state, filled: part.propose(
      key, state, part.params, believed, filled
    ),
  )(jax.random.key(1), state, filled)
  return np.asarray(archs), np.asarray(valid)


class RetrainingTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_the_generator_follows_the_best(self):
    """Oracle: the best cell's own share among decoded cells, which is 1/15,625
    at first."""
    best = archive().archs[jnp.argmax(archive().objective)]
    archs, valid = proposed(dataclasses.replace(FOCUSED, weight_power=4.0))
    hit = np.all(archs == np.asarray(best), axis=-1)
    self.assertGreater(np.mean(hit & valid), 0.3)

  @parameterized.parameters(True, False)
  @pytest.mark.slow
  def test_the_generator_follows_the_surrogate(self, relaxed):
    """Oracle: what the surrogate says of valid cells rises with guidance, by
    its gradient and by the ranks it gives."""

    def mean(guidance):
      config = dataclasses.replace(FOCUSED, guidance=guidance)
      archs, valid = proposed(config, relaxed or not guidance)
      return archs.sum(axis=-1)[valid].mean()

    self.assertGreater(mean(1.0) - mean(0.0), 1.0)

  @pytest.mark.slow
  def test_a_surrogate_that_guides_nobody_is_not_asked(self):
    """Oracle: tracing, with predictions that raise."""

    def refuse(archs):
      raise AssertionError("It was asked.")

    config = dataclasses.replace(FOCUSED, guidance=1.0)
    part = generator.generator(SPACE, config, params=pretrained())
    poor, filled = base.Belief(refuse, None, False, 0.0), archive()

    def run(key):
      state = part.init(key, part.params)
      return part.propose(key, state, part.params, poor, filled)

    jax.eval_shape(run, jax.random.key(0))

  def test_the_mix_with_the_pretrained_generator(self):
    """Oracle: at 1 the last decode is the pretrained generator's, the first is
    not touched."""
    config = dataclasses.replace(FOCUSED, pretrained_mix=1.0, num_decodes=2)
    before = pretrained()
    now = jax.tree.map(lambda leaf: leaf + 0.01, before)
    generate = jax.jit(
      functools.partial(generator.generate, layout=LAYOUT, config=config),
    )
    key = jax.random.key(0)
    mixed, old, new = (
      np.asarray(generate(key, *pair)[0]).reshape(-1, 2, 6)
      for pair in ((now, before), (before, before), (now, now))
    )
    np.testing.assert_array_equal(mixed[:, 1], old[:, 1])
    np.testing.assert_array_equal(mixed[:, 0], new[:, 0])
    self.assertFalse(np.array_equal(new, old))

  def test_ranked(self):
    """Oracle: equation 4 by hand: ranks add up, infeasible ones come last, and
    what is not in use after them."""
    config = dataclasses.replace(FOCUSED, joint=True)
    filled = archive_lib.empty(SPACE, 5, 1)._replace(
      value=jnp.asarray([90.0, 80.0, 70.0, 95.0, -jnp.inf]),
      objective=jnp.asarray([90.0, 80.0, 70.0, -1.0, -jnp.inf]),
      violations=jnp.asarray([[-0.1], [-0.5], [-0.4], [0.3], [0.0]]),
      num=jnp.int32(4),
    )
    # Ranks by accuracy 1, 2, 3, 0, 4; by violation 2, 0, 1, 4, 3.
    np.testing.assert_array_equal(
      generator.ranked(filled, config)[:4], [-3.0, -2.0, -4.0, -4.0 - 10.0]
    )
    np.testing.assert_array_equal(
      generator.ranked(filled, FOCUSED), filled.objective
    )

  @parameterized.parameters(nasbench101.nasbench101, darts.darts)
  @pytest.mark.slow
  def test_other_spaces(self, make):
    """Oracle: shapes, where scores are no weights of options."""
    space = make()
    network = retraining.make_generator(space.layout)
    keys = jax.random.split(jax.random.key(7), space.layout.num_graphs)
    params = jax.eval_shape(jax.vmap(network.init), keys)
    part = generator.generator(space, generator.TINY, params=params)
    predict = lambda archs: digits(jnp.zeros((archs.shape[0], 1, 5)))  # noqa: E731
    told = base.Belief(predict, digits, True, 0.0)
    empty = archive_lib.empty(space, 9, 0)
    key = jax.random.key(0)
    before = jax.eval_shape(part.init, key, params)
    archs, _, after = jax.eval_shape(
      lambda state, params: part.propose(key, state, params, told, empty),
      before,
      params,
    )
    self.assertEqual(archs.shape, (12, space.num_variables))
    self.assertEqual(jax.tree.structure(before), jax.tree.structure(after))

  def test_an_unknown_space(self):
    """Oracle: the documented error."""
    space = dataclasses.replace(SPACE, layout=None)
    with self.assertRaisesRegex(ValueError, "has no layout"):
      generator.generator(space)

  @parameterized.parameters(
    ("latents", "normal"),
    ("num_latents", 0),
    ("pretrained_mix", 1.5),
    ("guidance", float("nan")),
    ("weight_power", -1.0),
    ("learning_rate", 0.0),
  )
  def test_bad_values(self, option, value):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(ValueError, option):
      dataclasses.replace(FOCUSED, **{option: value})


if __name__ == "__main__":
  absltest.main()
