"""Tests of nagjax.transfer.matching."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

import nagjax
from nagjax import assembling
from nagjax import transfer
from nagjax.spaces.base import SearchSpace
from nagjax.transfer import base
from tests.transfer import dense

NAMES = ("zero", "skip", "small", "large", "pool")
LARGE = SearchSpace("large", (5, 5, 5), operations=NAMES)
SMALL = SearchSpace("small", (4, 4, 4), operations=NAMES[:4])
MIXED = SearchSpace("mixed", (3, 3, 3), operations=("large", "blur", "zero"))


def learned(space, support=None):
  """A transfer of a space without a fit."""
  archs = space.all_architectures()
  rng = np.random.default_rng(0)
  values = rng.normal(size=len(archs)).astype(np.float32)
  table = transfer.Table(space, archs, values, "mine", "worth")
  kernel = dense.random_correlations(1, space).astype(np.float32)
  rows = slice(None) if support is None else slice(0, support)
  return transfer.Transfer(
    space=space.name,
    correlations=kernel,
    noise=0.125,
    mean=values[rows],
    support=None if support is None else archs[rng.permutation(125)][rows],
    sources=(transfer.sources.describe(table, 1.0),),
    operations=space.operations,
  )


class MatchedTest(parameterized.TestCase):
  @parameterized.product(
    target=(SMALL, MIXED), support=(None, 30), source=(LARGE,)
  )
  def test_all_is_found_by_names(self, target, support, source):
    """Oracle: brute force over pairs and triples of names."""
    given = learned(source, support)
    found = transfer.matched(given, target)
    self.assertEqual((found.space, found.noise), (target.name, 0.125))
    ours, theirs = target.operations, source.operations
    for variable, a, b in itertools.product(range(3), ours, ours):
      expected = float(a == b)
      if a in theirs and b in theirs:
        pair = theirs.index(a), theirs.index(b)
        expected = given.correlations[(variable, *pair)]
      got = found.correlations[variable, ours.index(a), ours.index(b)]
      self.assertEqual(got, np.float32(expected))
    archs = target.all_architectures()
    got = base.mean_of(found, target, jnp.asarray(archs))
    for arch, mean in zip(archs, got, strict=True):
      names = [ours[option] for option in arch]
      expected = 0.0
      if set(names) <= set(theirs):
        one = jnp.asarray([[theirs.index(name) for name in names]])
        expected = float(base.mean_of(given, source, one)[0])
      self.assertAlmostEqual(float(mean), expected, places=5)
    base.check_fits([found], target)

  def test_probes_are_the_rows_that_the_space_has(self):
    """Oracle: values by names, as a dictionary."""
    given = learned(LARGE)
    found = transfer.matched(given, MIXED)

    def by_names(source, space):
      rows = zip(source.probe_archs, source.probe_values, strict=True)
      return {tuple(space.operations[o] for o in a): v for a, v in rows}

    theirs = by_names(given.sources[0], LARGE)
    expected = {k: v for k, v in theirs.items() if set(k) <= {"zero", "large"}}
    self.assertEqual(by_names(found.sources[0], MIXED), expected)
    self.assertNotEmpty(expected)

  def test_what_cannot_be_matched_is_refused(self):
    """Oracle: the refusal of transfers of other spaces."""
    for space in (
      SearchSpace("short", (4, 4), operations=NAMES[:4]),
      SearchSpace("nameless", (5, 5, 5)),
      SearchSpace("foreign", (2, 2, 2), operations=("pool", "blur")),
    ):
      found = transfer.matched(learned(LARGE), space)
      with self.assertRaisesRegex(ValueError, "of the space large"):
        base.check_fits([found], space)

  def test_favorites_of_a_table_that_holds_a_part(self):
    """Oracle: the best means among its rows, by NumPy."""
    given, archs = learned(LARGE), LARGE.all_architectures()[3:90:4]
    table = nagjax.Tabular(
      queried={"acc": np.arange(len(archs))}, space=LARGE, archs=archs
    )
    order = np.argsort(-given.mean[3:90:4], kind="stable")
    for num in (5, 200):
      found = base.favorites(given, table.space, num)
      np.testing.assert_array_equal(found, archs[order][:num])
    base.check_fits([given], table.space)

  def test_operations_are_those_of_every_variable(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "must name the options"):
      SearchSpace("mine", (4, 5), operations=NAMES[:4])

  def test_digits_serves_transnas_micro(self):
    """Oracle: the shipped mean of the same cell of NAS-Bench-201."""
    space = nagjax.make_space("transnas_micro")
    table = nagjax.Tabular(
      queried={"acc": np.arange(4096)}, space=space, name="mine"
    )
    problem = nagjax.Problem(table)
    (found,) = assembling.find_transfers("digits", None, problem)
    shipped = transfer.find("digits")
    whole = nagjax.make_space("nasbench201")
    archs = space.sample(jax.random.key(0), 50)
    np.testing.assert_array_equal(
      base.mean_of(found, space, archs), base.mean_of(shipped, whole, archs)
    )
    np.testing.assert_array_equal(
      found.correlations, shipped.correlations[:, :4, :4]
    )


if __name__ == "__main__":
  absltest.main()
