"""Tests of nagjax.transfer.sources."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import transfer
from nagjax.benchmarks import Tabular
from nagjax.benchmarks import search_on_test_accuracy
from nagjax.problem import Problem
from nagjax.spaces.base import SearchSpace
from nagjax.transfer import sources

SPACE = SearchSpace("small", (5, 5, 5, 5))
NUM = 625


@functools.cache
def values():
  return np.random.default_rng(0).normal(size=NUM).astype(np.float32)


def noisy(correlation):
  """Values of this correlation with those of the source."""
  noise = np.random.default_rng(1).normal(size=NUM)
  return correlation * values() + np.sqrt(1 - correlation**2) * noise


def benchmark(column=None, name="other", **more):
  column = values() if column is None else column
  return Tabular(queried={"value": column}, space=SPACE, name=name, **more)


@functools.cache
def learned():
  """A transfer from the table `source`, without a fit."""
  table = transfer.read_table(Problem(benchmark(name="source")))
  return transfer.Transfer(
    space="small",
    correlations=np.tile(np.eye(5, dtype=np.float32), (4, 1, 1)),
    noise=0.1,
    mean=values(),
    support=None,
    sources=(sources.describe(table, 1.0),),
  )


@jax.tree_util.register_static
class Computed:
  """A benchmark that is no table."""

  space, name, objective, test = SPACE, "computed", "value", None
  units = ()

  def query(self, archs):
    return {"value": jnp.asarray(values())[SPACE.index(archs)]}

  def architectures(self):
    return None


@jax.tree_util.register_static
class Wrapped(Computed):
  """A table of somebody's own class."""

  name = "wrapped"

  def architectures(self):
    return SPACE.all_architectures()


def check(asked, one=None):
  problem = asked if isinstance(asked, Problem) else Problem(asked)
  transfer.check_usable([one or learned()], problem.space, problem)


class UsableTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("the_same", lambda: benchmark(name="source")),
    ("the_name", lambda: benchmark(noisy(0.0), "source")),
    (
      "the_test_accuracy",
      lambda: search_on_test_accuracy(
        benchmark(name="source", reported={"test": noisy(0.0)}, test="test")
      ),
    ),
    ("another_name", benchmark),
    ("a_monotone_map", lambda: benchmark(np.exp(values() / 3) - 7)),
    ("negated", lambda: benchmark(-values())),
    ("another_seed", lambda: benchmark(noisy(0.999))),
    (
      "a_part",
      lambda: benchmark(
        values()[:300], archs=np.asarray(SPACE.all_architectures()[:300])
      ),
    ),
    ("failures", lambda: benchmark(np.where(values() < 1, values(), np.nan))),
    ("of_another_class", Wrapped),
    (
      "one_of_two_objectives",
      lambda: Problem(
        Tabular(
          queried={"a": noisy(0.0), "b": values()}, space=SPACE, name="two"
        ),
        ("a", "-b"),
      ),
    ),
  )
  def test_a_source_is_refused(self, make_fn):
    """Oracle: the documented ValueError, which names both."""
    with self.assertRaisesRegex(ValueError, "learned from source, and "):
      check(make_fn())

  @parameterized.named_parameters(
    ("correlated", lambda: benchmark(noisy(0.97))),
    ("constant", lambda: benchmark(np.ones(NUM))),
    ("failures", lambda: benchmark(np.full(NUM, np.nan))),
    ("computed", Computed),
  )
  def test_others_are_allowed(self, make_fn):
    """Oracle: no error and no warning, also for data sets that are as alike as
    CIFAR-10 and CIFAR-100."""
    check(make_fn())

  def test_the_bound(self):
    """Oracle: the rank correlations of the tables above, by SciPy."""
    for correlation, is_same in ((0.999, True), (0.97, False)):
      rank = stats.spearmanr(noisy(correlation), values())[0]
      self.assertEqual(rank > sources.SAME, is_same)

  @parameterized.named_parameters(
    ("no_transfer", lambda: "digits", "got a str"),
    ("space", lambda: learned()._replace(space="large"), "space large, and"),
    (
      "correlations",
      lambda: learned()._replace(correlations=np.ones((3, 5, 5))),
      "does not fit small",
    ),
    ("mean", lambda: learned()._replace(mean=values()[1:]), "does not fit"),
    (
      "support",
      lambda: learned()._replace(support=np.full((NUM, 4), 5)),
      "does not fit",
    ),
    (
      "support_of_others",
      lambda: learned()._replace(support=np.zeros((NUM, 3), int)),
      "does not fit",
    ),
  )
  def test_what_does_not_fit(self, make_fn, message):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, message):
      check(benchmark(noisy(0.0)), make_fn())

  def test_without_a_problem(self):
    """Oracle: a support that fits, and nothing to compare with."""
    support = np.asarray(SPACE.all_architectures()[:40])
    one = learned()._replace(mean=values()[:40], support=support)
    transfer.check_usable([one, learned()], SPACE)


class TableTest(parameterized.TestCase):
  def test_read_table(self):
    """Oracle: the column, negated where it is minimized."""
    table = transfer.read_table(Problem(benchmark(), ("-value",)))
    self.assertEqual((table.name, table.objective), ("other", "-value"))
    np.testing.assert_array_equal(table.values, -values())
    np.testing.assert_array_equal(table.archs, SPACE.all_architectures())

  def test_a_part(self):
    """Oracle: its rows, by their architectures."""
    archs = np.asarray(SPACE.all_architectures()[100:140])
    part = benchmark(values()[100:140], archs=archs)
    table = transfer.read_table(Problem(part))
    index = np.asarray(SPACE.index(jnp.asarray(table.archs)))
    self.assertEqual(sorted(index), list(range(100, 140)))
    np.testing.assert_array_equal(table.values, values()[index])

  @parameterized.named_parameters(
    ("no_table", lambda: Problem(Computed()), "computed has no table"),
    (
      "two_objectives",
      lambda: Problem(
        Tabular(
          queried={"a": values(), "b": values()}, space=SPACE, name="two"
        ),
        ("a", "-b"),
      ),
      "2 objectives",
    ),
    ("limits", lambda: Problem(benchmark(), (), ("value<=1",)), "1 limits"),
  )
  def test_no_table(self, make_fn, message):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, message):
      transfer.read_table(make_fn())

  def test_digest(self):
    """Oracle: one value more or less makes another digest."""
    table = transfer.read_table(Problem(benchmark()))
    changed = values().copy()
    changed[17] += 1
    found = {
      sources.describe(t, 1.0).digest
      for t in (table, table._replace(values=changed), table)
    }
    self.assertLen(found, 2)


if __name__ == "__main__":
  absltest.main()
