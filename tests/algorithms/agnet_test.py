"""Tests of nagjax.algorithms.agnet in a tiny setting."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import generation
from nagjax import problem as problem_lib
from nagjax.algorithms import agnet
from nagjax.algorithms import agnet_steps
from nagjax.algorithms import archive as archive_lib
from nagjax.benchmarks import synthetic
from nagjax.generation import retraining
from nagjax.networks import generator
from nagjax.predictors import ensembles
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

SPACE = nasbench201.nasbench201()
LAYOUT = SPACE.layout

TINY = agnet.Config(
  num_initial=6,
  batch_size=4,
  archive_size=40,
  surrogate="mlp",
  hidden_size=8,
  num_members=2,
  fit_steps=5,
  fit_batch_size=8,
  train_steps=2,
  train_batch_size=4,
  num_latents=8,
  num_decodes=4,
)
FOCUSED = dataclasses.replace(
  TINY,
  train_steps=150,
  train_batch_size=16,
  train_learning_rate=3e-3,
  weight_power=4.0,
  guidance=0.0,
  caution=0.0,
)

evaluate = jax.jit(problem_lib.Problem.evaluate)


@functools.cache
def weights(space):
  """Generators that were not trained, leading axis `C`."""
  network = retraining.make_generator(space.layout)
  keys = jax.random.split(jax.random.key(7), space.layout.num_graphs)
  return jax.vmap(network.init)(keys)


@functools.cache
def compiled(space, config):
  """`init`, `ask` and `tell`."""
  algorithm = agnet.agnet(space, config)
  # These programs run for an instant: compiling them is what takes long.
  jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
  )
  params = weights(space)
  init, ask, tell = map(jit, algorithm[:3])
  return (
    lambda key: init(key, params),
    lambda key, state: ask(key, state, params),
    lambda state, *told: tell(state, *told, params),
  )


def rows(archs):
  return list(map(tuple, np.asarray(archs).tolist()))


def proposal(archs):
  return Proposal(jnp.asarray(archs), jnp.ones(len(archs), bool))


def evaluation(archs):
  """Every row fresh, on the synthetic benchmark."""
  answer = evaluate(problem_lib.Problem(synthetic.synthetic()), archs)
  fresh = jnp.full(archs.shape[0], Status.FRESH, jnp.int8)
  return Evaluation(
    fresh, answer.objective, answer.objectives, answer.violations
  )


class AskTest(parameterized.TestCase):
  def test_proposals_are_new(self):
    """Oracle: a Python set of everything that was told."""
    init, ask, tell = compiled(SPACE, TINY)
    archs = jax.jit(SPACE.sample, static_argnums=1)(jax.random.key(0), 6)
    state = init(jax.random.key(1))
    told = proposal(archs)
    seen = set(rows(archs))
    for round in range(4):
      state, info = tell(state, told, evaluation(told.archs))
      told, state = ask(jax.random.key(round), state)
      self.assertTrue(bool(told.valid.all()))
      new = set(rows(told.archs))
      self.assertLen(new, TINY.batch_size)
      self.assertFalse(new & seen)
      self.assertEqual(int(info.archive_size), len(seen))
      seen |= new
    for leaf in jax.tree.leaves((state.trained, state.members)):
      self.assertTrue(np.isfinite(leaf).all())

  def test_nothing_was_evaluated(self):
    """Oracle: valid different cells, finite weights."""
    init, ask, _ = compiled(SPACE, TINY)
    told, state = ask(jax.random.key(0), init(jax.random.key(1)))
    self.assertTrue(bool(told.valid.all()))
    for leaf in jax.tree.leaves(state.trained):
      self.assertTrue(np.isfinite(leaf).all())

  @parameterized.parameters(
    *(
      (space, surrogate, joint, num_constraints)
      for space in (nasbench101.nasbench101, darts.darts)
      for surrogate, joint, num_constraints in (
        ("gcn", False, 0),
        ("mlp", True, 2),
      )
    )
  )
  def test_shapes(self, make, surrogate, joint, num_constraints):
    """Oracle: a state keeps its shapes and types, in every space."""
    space = make()
    config = dataclasses.replace(
      TINY,
      surrogate=surrogate,
      joint=joint,
      num_constraints=num_constraints,
      latents="quantiles",
    )
    algorithm = agnet.agnet(space, config)
    like = jax.eval_shape(lambda: weights(space))
    key = jax.random.key(0)
    before = jax.eval_shape(algorithm.init, key, like)
    told, after = jax.eval_shape(algorithm.ask, key, before, like)
    self.assertEqual(after, before)
    self.assertEqual(told.archs.shape, (4, space.num_variables))
    self.assertEqual(told.archs.dtype, jnp.int32)

  def test_an_unknown_space(self):
    """Oracle: the documented error."""
    space = dataclasses.replace(SPACE, layout=None)
    with self.assertRaisesRegex(ValueError, "nasbench201 has no layout"):
      agnet.agnet(space)


class RetrainingTest(absltest.TestCase):
  def test_the_generator_follows_the_best(self):
    """Oracle: the best cell's own share among decoded cells, which is 1/15,625
    for an untrained generator that knows the edges, and 0 for one that does
    not."""
    init, _, tell = compiled(SPACE, FOCUSED)
    archs = jnp.asarray(SPACE.all_architectures()[5000:5040:4])
    state, _ = tell(init(jax.random.key(0)), proposal(archs), evaluation(archs))
    best = np.asarray(archs)[np.argmax(state.archive.objective[:10])]
    written = LAYOUT.encode(state.archive.archs)

    def share(trained):
      decoded, valid = jax.jit(
        functools.partial(agnet.generate, config=FOCUSED, layout=LAYOUT)
      )(jax.random.key(3), trained.params, weights(SPACE))
      hit = np.all(np.asarray(decoded) == best, axis=-1)
      return float(np.mean(hit & np.asarray(valid)))

    self.assertLess(share(state.trained), 0.05)
    retrained = jax.jit(
      functools.partial(
        agnet.retrain, written=written, config=FOCUSED, layout=LAYOUT
      )
    )(jax.random.key(1), state)
    self.assertGreater(share(retrained), 0.3)
    # What it decodes most is known: it must not be a candidate.
    candidates, allowed = jax.jit(
      functools.partial(agnet_steps.candidates, config=FOCUSED, space=SPACE)
    )(jax.random.key(3), state.archive, retrained.params, weights(SPACE))
    free = rows(np.asarray(candidates)[np.asarray(allowed)])
    self.assertLen(set(free), len(free))
    self.assertFalse(set(free) & set(rows(archs)))

  def test_the_generator_follows_the_surrogate(self):
    """Oracle: what the surrogate says of the generator's graphs rises with
    guidance, beyond what training without it gives."""
    config = dataclasses.replace(FOCUSED, train_steps=40, weight_power=0.0)
    init, _, tell = compiled(SPACE, TINY)
    archs = jnp.asarray(SPACE.all_architectures()[5000:5040:4])
    state, _ = tell(init(jax.random.key(0)), proposal(archs), evaluation(archs))
    written = LAYOUT.encode(state.archive.archs)
    surrogate = agnet.make_surrogate(LAYOUT, TINY)
    latents = jax.random.normal(
      jax.random.key(2), (32, 1, generator.LATENT_SIZE)
    )

    def promised(guidance):
      trained = agnet.retrain(
        jax.random.key(1),
        state,
        written,
        dataclasses.replace(config, guidance=guidance),
        LAYOUT,
      )
      scores = retraining.generate(
        retraining.make_generator(LAYOUT), trained.params, latents
      )
      graphs = generation.relaxed_graphs(scores)
      return ensembles.predict(surrogate, state.members, graphs)[0].mean()

    without, guided = (
      float(jax.jit(promised, static_argnums=0)(g)) for g in (0.0, 300.0)
    )
    self.assertGreater(guided, without + 0.02)

  def test_caution(self):
    """Oracle: at 1 the last decode is the pretrained generator's, the first is
    not touched."""
    config = dataclasses.replace(TINY, caution=1.0, num_decodes=2)
    before = weights(SPACE)
    now = jax.tree.map(lambda leaf: leaf + 0.01, before)
    generate = jax.jit(
      functools.partial(agnet.generate, config=config, layout=LAYOUT)
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
    config = dataclasses.replace(TINY, joint=True, num_constraints=1)
    archive = archive_lib.Archive(
      archs=jnp.zeros((5, 6), jnp.int32),
      target=jnp.asarray([90.0, 80.0, 70.0, 95.0, -jnp.inf]),
      objective=jnp.asarray([90.0, 80.0, 70.0, -1.0, -jnp.inf]),
      violations=jnp.asarray([[-0.1], [-0.5], [-0.4], [0.3], [0.0]]),
      num=jnp.int32(4),
    )
    # Ranks by accuracy 1, 2, 3, 0, 4; by violation 2, 0, 1, 4, 3.
    np.testing.assert_array_equal(
      agnet.ranked(archive, config)[:4], [-3.0, -2.0, -4.0, -4.0 - 10.0]
    )
    np.testing.assert_array_equal(
      agnet.ranked(archive, dataclasses.replace(config, joint=False)),
      archive.objective,
    )


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ("batch_size", 0),
    ("surrogate", "svm"),
    ("latents", "normal"),
    ("archive_size", 9),
    ("num_latents", 0),
    ("caution", 1.5),
    ("guidance", float("nan")),
    ("weight_power", -1.0),
    ("penalty", float("inf")),
    ("joint", True),
    ("train_learning_rate", 0.0),
    ("fit_learning_rate", -1.0),
  )
  def test_bad_values(self, option, value):
    """Oracle: the documented error, which names the option."""
    with self.assertRaisesRegex(
      ValueError, option.removeprefix("train_").removeprefix("fit_")
    ):
      dataclasses.replace(TINY, **{option: value})


if __name__ == "__main__":
  absltest.main()
