"""Tests of nagjax.search.traces against NumPy, without any search."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.search import traces
from nagjax.types import Status


def make(*shape, num_objectives=2, num_constraints=1, seed=0):
  """A full trace of random values, all slots fresh, `[..., R, B]`."""
  rng = np.random.default_rng(seed)

  def draw(*more):
    return rng.normal(size=(*shape, *more)).astype(np.float32)

  return traces.Trace(
    archs=rng.integers(1, 5, (*shape, 6)).astype(np.int32),
    status=np.full(shape, Status.FRESH, np.int8),
    objective=draw(),
    objectives=draw(num_objectives),
    violations=draw(num_constraints),
    test=draw(),
    feasible=np.ones(shape, bool),
    paid=np.ones(shape, bool),
    charged=np.cumsum(np.full(shape, 1).sum(-1), axis=-1).astype(np.int32),
  )


class TraceTestCase(parameterized.TestCase):
  def assert_empty(self, trace, where):
    """Slots that a mask marks hold the documented nothing."""
    for name, value in (
      ("archs", 0),
      ("status", Status.EMPTY),
      ("objective", -np.inf),
      ("objectives", -np.inf),
      ("violations", np.inf),
      ("test", -np.inf),
      ("feasible", False),
      ("paid", False),
    ):
      np.testing.assert_array_equal(getattr(trace, name)[where], value, name)

  def assert_same_types(self, a, b):
    self.assertEqual([x.dtype for x in a], [x.dtype for x in b])


class EmptySlotTest(TraceTestCase):
  @parameterized.parameters("host", "device")
  def test_clear(self, where):
    """Oracle: the mask, slot by slot; the rest and the counter stay."""
    trace = make(3, 4)
    empty = np.random.default_rng(1).random((3, 4)) < 0.4
    given = trace if where == "host" else jax.tree.map(jnp.asarray, trace)
    cleared = traces.clear(given, empty)
    self.assertIsInstance(
      cleared.archs, np.ndarray if where == "host" else jax.Array
    )
    self.assert_empty(cleared, empty)
    self.assert_same_types(cleared, trace)
    np.testing.assert_array_equal(cleared.charged, trace.charged)
    for name in traces.FILLERS:
      a, b = getattr(cleared, name), getattr(trace, name)
      np.testing.assert_array_equal(a[~empty], b[~empty], name)
    self.assert_empty(traces.clear(trace, np.True_), slice(None))

  @parameterized.parameters((5, 3, 2), (4, 4, 1), (2, 4, 1), (0, 3, 0))
  def test_in_rounds(self, num, batch_size, num_rounds):
    """Oracle: the rows in order, then empty slots, counted anew."""
    rows = make(num, 1, num_constraints=0)
    rows = jax.tree.map(lambda a: a[:, 0], rows._replace(charged=rows.paid))
    rows = rows._replace(paid=np.arange(num) % 2 == 0, charged=np.int32(9))
    trace = traces.in_rounds(rows, batch_size)
    self.assertEqual(trace.violations.shape, (num_rounds, batch_size, 0))
    flat = jax.tree.map(
      lambda a: a.reshape(num_rounds * batch_size, *a.shape[2:]),
      trace._replace(charged=trace.paid),
    )
    self.assert_empty(flat, slice(num, None))
    for name in traces.FILLERS:
      np.testing.assert_array_equal(
        getattr(flat, name)[:num], getattr(rows, name), name
      )
    np.testing.assert_array_equal(
      trace.charged, np.cumsum(np.asarray(trace.paid).sum(1))
    )
    self.assertEqual(trace.charged.dtype, jnp.int32)

  @parameterized.parameters((), (2,), (2, 3))
  def test_extend_and_tidy(self, *lanes):
    """Oracle: tidying undoes lengthening, whatever lies in empty slots."""
    trace = make(*lanes, 4, 2)
    longer = traces.extend(trace, 7)
    self.assert_same_types(longer, trace)
    after = (..., slice(4, None), slice(None))
    self.assert_empty(
      jax.tree.map(lambda a: np.moveaxis(a, len(lanes), 0), longer),
      slice(4, None),
    )
    np.testing.assert_array_equal(
      longer.charged[..., 4:], trace.charged[..., -1:].repeat(3, -1)
    )
    self.assertIs(traces.extend(trace, 4).archs, trace.archs)
    longer.objective[after] = 5.0
    jax.tree.map(np.testing.assert_array_equal, traces.tidy(longer), trace)

  def test_tidy_keeps_the_rounds_of_the_longest_search(self):
    """Oracle: two lanes of 2 and 3 rounds."""
    trace = make(2, 5, 2)
    trace.status[0, 2:] = trace.status[1, 3:] = Status.EMPTY
    tidy = traces.tidy(trace)
    self.assertEqual(tidy.status.shape, (2, 3, 2))
    self.assert_empty(jax.tree.map(lambda a: a[0], tidy), slice(2, None))
    np.testing.assert_array_equal(tidy.archs[1], trace.archs[1, :3])


class InfoTest(parameterized.TestCase):
  def test_nothing_is_no_nan(self):
    """Oracle: the documented values of floats, integers and flags."""
    info = {
      "best": np.ones((2, 3), np.float32),
      "size": np.ones((2, 3), np.int32),
      "late": np.ones((2, 3), bool),
    }
    nothing = {"best": -np.inf, "size": 0, "late": False}
    longer = traces.extend_info(info, 2, axis=1)
    for name, column in info.items():
      self.assertEqual(longer[name].dtype, column.dtype)
      np.testing.assert_array_equal(longer[name][:, :3], column)
      np.testing.assert_array_equal(longer[name][:, 3:], nothing[name])
      for flag, value in ((True, nothing[name]), (False, 1)):
        cleared = traces.clear_info(column, jnp.asarray(flag))
        np.testing.assert_array_equal(cleared, value)
        self.assertEqual(cleared.dtype, column.dtype)

  def test_stack(self):
    """Oracle: the leaves in order; keys are stacked too."""
    trees = [(np.float32(i), jax.random.key(i)) for i in range(3)]
    values, keys = traces.stack(trees)
    self.assertEqual(values.tolist(), [0, 1, 2])
    self.assertIsInstance(values, np.ndarray)
    np.testing.assert_array_equal(
      jax.random.key_data(keys[2]), jax.random.key_data(trees[2][1])
    )


if __name__ == "__main__":
  absltest.main()
