"""Tests of nagjax.algorithms.ednag_reference_presets.

Tables and rules are written again, from the description of the program.
"""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.algorithms import ednag_reference
from nagjax.algorithms import ednag_reference_presets as presets
from nagjax.spaces import darts
from nagjax.spaces import nasbench101
from nagjax.types import Evaluation
from nagjax.types import Status
from tests.evolution.fitness_test import rescale

ROW_0 = "6,1,0,5,2,4,3"
ROW_1 = "5,6,3,1,0,4,2"
ROW_2 = "(0,6)(0,1)(1,5)(1,6)(1,3)(0,0)(0,5)(1,1)(0,2)(0,4)(1,0)(1,4)(0,3)(1,2)"
ROW_3 = "(1,5)(1,3)(1,6)(2,0)(1,4)(1,1)(2,3)(2,5)(2,6)(1,0)(2,2)(2,4)(2,1)(1,2)"

TASKS = "scene object jigsaw segmentation normal autoencoder".split()
NAMES = dict(
  scene="class-scene", object="class-object", segmentation="segmentsemantic"
)
MACRO = (1.73, 2.08, 1.03, 3.37, 1.55, 1.30)
MICRO = (1.82, 2.15, 1.04, 3.80, 1.67, 1.73)
SSIM = ("normal", "autoencoder")


def read_pairs(text):
  return [tuple(map(int, p.split(","))) for p in text[1:-1].split(")(")]


def rows():
  """What every column of a row stands for, four lists of 14."""
  first = [(0, int(op)) for op in ROW_0.split(",")]
  second = [(1, int(op)) for op in ROW_1.split(",")]
  return [
    [first[column % 7] for column in range(14)],
    [second[column % 7] for column in range(14)],
    read_pairs(ROW_2),
    read_pairs(ROW_3),
  ]


def fitness_of(name, objective):
  """The program's fitness of an objective, in Python."""
  table, _, task = name.partition("/")
  if task == "room-layout":
    numerator = 2969 if table == "transnas-micro" else 2814
    x = 50 + numerator / (100 * -objective)
    if x <= 50.01 or x >= 99999:
      return 0.0
    return 23 + 2 * (x - 50) if x < 70 else rescale(x)
  if table in ("nasbench101", "nasbench301"):
    x, least = 1.05 * objective, 0.01
  else:
    known = {NAMES.get(t, t): i for i, t in enumerate(TASKS)}
    scales = MICRO if table == "transnas-micro" else MACRO
    percent = objective * 100 if task in SSIM else objective
    x, least = scales[known[task]] * percent, 2e-8
  return 0.0 if x < least or x > 99999 else rescale(x)


def config_of(name, **options):
  return ednag_reference.Config(**presets.preset(name, 0), **options)


class NASBench101Test(parameterized.TestCase):
  @pytest.mark.slow
  def test_matrices(self):
    """Oracle: NumPy's threshold, and the cell that the host makes of the
    matrix and the fixed operations, or why it makes none."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (300, 7, 7)).astype(np.float32)
    # Some of the comparisons are at their bound, and some cells are small.
    x[:, 2, 4] = rng.choice(np.float32([0.5, np.nextafter(0.5, 0)]), 300)
    x[100:] **= 2
    archs, valid = jax.jit(presets.decode_nasbench101)(x)
    names = "input conv1x1-bn-relu conv3x3-bn-relu conv3x3-bn-relu"
    names += " conv3x3-bn-relu maxpool3x3 output"
    for matrix, arch, is_valid in zip(x, archs, valid, strict=True):
      edges = np.triu(matrix >= 0.5, 1).astype(int)
      full = np.zeros((7, 7), int)
      for place, (target, source) in enumerate(
        (t, s) for t in range(7) for s in range(t)
      ):
        full[source, target] = arch[place]
      np.testing.assert_array_equal(full, edges)
      try:
        cell = nasbench101.from_matrix(edges, names.split())
      except ValueError:
        self.assertFalse(is_valid)
      else:
        self.assertTrue(is_valid)
        string = nasbench101.to_string(np.asarray(arch))
        self.assertEqual(string, nasbench101.to_string(cell))
    self.assertBetween(int(valid.sum()), 30, 270)
    # Individuals hold the edges and nothing else.
    back, still = presets.decode_nasbench101(presets.encode_nasbench101(archs))
    np.testing.assert_array_equal(back, archs)
    np.testing.assert_array_equal(still, valid)


class NASBench301Test(parameterized.TestCase):
  def test_every_matrix(self):
    """Oracle: the published index maps, over all 14^4 choices of columns."""
    columns = np.asarray(list(itertools.product(range(14), repeat=4)))
    features = np.eye(14, dtype=np.float32)[columns]
    tuples = np.asarray(jax.jit(presets.nasbench301_tuples)(features))
    archs, valid = map(
      np.asarray, jax.jit(presets.decode_nasbench301)(features)
    )
    maps = np.asarray(rows())
    expected = np.stack([maps[r][columns[:, r]] for r in range(4)], axis=1)
    np.testing.assert_array_equal(tuples, expected)
    # Node 3 reads from two different nodes.
    np.testing.assert_array_equal(valid, expected[:, 2, 0] != expected[:, 3, 0])
    for row in np.flatnonzero(valid)[::199]:
      genotype = darts.to_genotype(archs[row])
      np.testing.assert_array_equal(genotype[0, :4], expected[row])
    # What is behind the tuples is the same for all.
    rest = np.delete(archs, [0, 1, 2, 3, 8], axis=1)
    self.assertLen(np.unique(rest, axis=0), 1)
    self.assertTrue(darts.darts().is_valid(jnp.asarray(archs)).all())

  def test_a_column_for_every_tuple(self):
    """Oracle: counts; seven operations of each of the possible sources."""
    table = presets.NASBENCH301_TUPLES.tolist()
    sources = ((0,), (1,), (0, 1), (1, 2))
    for row, possible in zip(table, sources, strict=True):
      every = list(itertools.product(possible, range(7)))
      self.assertEqual(sorted({*map(tuple, row)}), every)

  def test_ties_go_to_the_lowest_column(self):
    """Oracle: the first entries of the maps."""
    tuples = presets.nasbench301_tuples(jnp.zeros((4, 14)))
    self.assertEqual(tuples.tolist(), [[0, 6], [1, 5], [0, 6], [1, 5]])

  def test_encoding_keeps_the_tuples(self):
    """Oracle: the genotypes."""
    cardinalities = np.asarray(darts.darts().cardinalities)
    archs = np.random.default_rng(0).integers(0, cardinalities, (30, 22))
    archs = jnp.asarray(archs, jnp.int32)
    back, valid = presets.decode_nasbench301(presets.encode_nasbench301(archs))
    self.assertTrue(valid.all())
    for ours, theirs in zip(np.asarray(back), np.asarray(archs), strict=True):
      np.testing.assert_array_equal(
        darts.to_genotype(ours)[0, :4], darts.to_genotype(theirs)[0, :4]
      )


class FitnessTest(parameterized.TestCase):
  @parameterized.parameters(
    "nasbench101/cifar10",
    "nasbench301/cifar10",
    *(
      f"transnas-{size}/{NAMES.get(task, task)}"
      for size in ("micro", "macro")
      for task in (*TASKS, "room-layout")
    ),
  )
  def test_map_of_every_benchmark(self, name):
    """Oracle: the published rules in Python, over a grid and absurd values."""
    config = config_of(name)
    if name.endswith("room-layout"):
      # A loss of 1e6 is what the program gives to what is no architecture.
      objectives = -np.concatenate(
        [np.geomspace(0.3, 4000, 500), [1e6, 1e-5, 2.814e-4, 1.4, 1.5]]
      )
    else:
      top = 1.0 if name.endswith(SSIM) else 100.0
      objectives = np.concatenate(
        [np.linspace(0, top, 500), np.geomspace(1e-12, 1e7, 100)]
      )
    objectives = objectives.astype(np.float32)
    found = ednag_reference.fitness(
      config.accuracy_fn(jnp.asarray(objectives)), config
    )
    expected = [fitness_of(name, float(o)) for o in objectives]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)
    self.assertIn(0.0, np.asarray(found))

  @parameterized.parameters(
    ("nasbench101/cifar10", 0.0095, 0.0, 0.0096, 0.1 * 0.01008),
    ("transnas-micro/jigsaw", 1.9e-8, 0.0, 2e-8, 2.08e-9),
    ("transnas-macro/room-layout", -2814.1, 0.0, -2813.0, 23.0200071),
  )
  def test_tiny_fitness_is_none(self, name, tiny, none, more, value):
    """Oracle: by hand, on both sides of the bound."""
    config = config_of(name)
    x = config.accuracy_fn(jnp.asarray([tiny, more], jnp.float32))
    found = ednag_reference.fitness(x, config)
    self.assertEqual(float(found[0]), none)
    np.testing.assert_allclose(found[1], value, rtol=1e-3)

  def test_predicted_percent(self):
    """Oracle: the facts' maps by hand, and the published multipliers."""
    output = jnp.asarray([-0.02, 0.0, 0.1, -9.0])
    np.testing.assert_allclose(
      presets.predicted_percent(output), [84.0, 95.0, 150.0, -4855.0], rtol=1e-6
    )
    found = presets.predicted_mobilenetv3_percent(output, 80.0, 2.0)
    np.testing.assert_allclose(found, [76.0, 80.0, 100.0, 0.0], rtol=1e-6)
    self.assertEqual(presets.PREDICTED_SCALE, {"aircraft": 0.92, "pets": 1.04})


class PresetTest(parameterized.TestCase):
  @parameterized.parameters(
    ("nasbench101/cifar10", presets.NASBENCH101, 0.0, True),
    ("search-on-test-accuracy:nasbench101/cifar10", presets.NASBENCH101, 0, 1),
    ("nasbench301/cifar10", presets.NASBENCH301, 0.0, True),
    ("nasbench201/cifar10", None, -1.0, False),
    ("transnas-micro/class-object", None, -1.0, False),
    ("transnas-macro/room-layout", None, -1.0, False),
  )
  def test_individuals(self, name, encoding, lowest, normalizes):
    """Oracle: the published table of spaces; a round more where the population
    is normalized."""
    config = config_of(name)
    self.assertEqual(config.encoding, encoding)
    self.assertEqual(config.lowest, lowest)
    self.assertEqual(config.normalizes_population, normalizes)
    algorithm = None
    self.assertEqual(
      ednag_reference.num_rounds(config, algorithm, 0), 100 + normalizes
    )


class LoopTest(parameterized.TestCase):
  def test_what_the_selection_normalizes_is_evaluated_again(self):
    """Oracle: the accuracies of the population decoded by itself, in every
    round; the first selection changes some of its architectures."""
    config = config_of("nasbench101/cifar10", population_size=20, num_steps=6)
    space = nasbench101.nasbench101()
    algorithm = ednag_reference.ednag_reference(space, config)

    def look_up(archs, valid):
      value = 80 + jnp.sum(archs * jnp.arange(26)[None], axis=-1) / 30
      return jnp.where(valid, value, 0.0)

    @jax.jit
    def play(key, state):
      proposal, asked = algorithm.ask(key, state, ())
      value = look_up(*proposal)
      evaluation = Evaluation(
        jnp.full(20, Status.FRESH, jnp.int8),
        jnp.where(proposal.valid, value, -jnp.inf),
        value[:, None],
        jnp.zeros((20, 0)),
        proposal.valid,
      )
      state, _ = algorithm.tell(asked, proposal, evaluation, ())
      now = look_up(*ednag_reference.decode(state.x, space, config))
      return proposal, state, now

    state = algorithm.init(jax.random.key(0), ())
    start, steps = state.x, []
    for number in range(7):
      proposal, state, now = play(jax.random.key(number), state)
      steps.append(int(state.step))
      if number == 0:
        np.testing.assert_array_equal(state.x, start)
      else:
        np.testing.assert_array_equal(state.x.min(axis=1), 0.0)
        np.testing.assert_allclose(state.x.max(axis=1), 1.0, rtol=1e-6)
      if number == 1:
        self.assertTrue(np.any(np.asarray(now != state.accuracy)))
        selected = ednag_reference.decode(state.x, space, config)
      elif number == 2:
        np.testing.assert_array_equal(proposal.archs, selected[0])
        np.testing.assert_array_equal(proposal.valid, selected[1])
      if number != 1:
        np.testing.assert_allclose(state.accuracy, now, rtol=1e-6)
    self.assertEqual(steps, [5, 4, 4, 3, 2, 1, 1])


if __name__ == "__main__":
  absltest.main()
