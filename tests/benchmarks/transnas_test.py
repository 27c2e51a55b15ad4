"""Tests of nagjax.benchmarks.transnas, on files the tests write."""

import functools
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nagjax
from nagjax.benchmarks import transnas
from nagjax.spaces import transnas_macro
from tests import data

MICRO, MACRO = "tnb101_micro.npz", "tnb101_macro_subset.npz"


@functools.cache
def micro():
  """Made-up columns of all cells, shuffled."""
  rng = np.random.default_rng(0)
  ops = np.stack(np.unravel_index(rng.permutation(4096), (4,) * 6), axis=-1)
  best = rng.uniform(1, 50, 4096).astype(np.float32)
  best[rng.random(4096) < 0.8] = np.nan
  return {
    "ops": ops.astype(np.int8),
    "class_object_val_final": rng.uniform(1, 50, 4096).astype(np.float32),
    "class_object_val_best": best,
    "class_object_test_final": rng.uniform(1, 50, 4096).astype(np.float32),
    "class_object_params_m": rng.uniform(0, 40, 4096),
    "normal_val_best": rng.uniform(0, 1, 4096),
    "normal_test_best": rng.uniform(0, 1, 4096),
    "room_layout_val_final": -rng.uniform(0, 1, 4096),
    "segmentsemantic_val_final": rng.uniform(0, 30, 4096),
  }


@functools.cache
def macro():
  """Made-up columns of 40 skeletons, five of them without an accuracy."""
  rng = np.random.default_rng(1)
  archs = rng.permutation(transnas_macro.all_skeletons())[:40]
  values = rng.uniform(40, 50, 40).astype(np.float32)
  values[7:12] = np.nan
  return {
    "ops": np.where(archs == 4, 0, archs + 1).astype(np.int8),
    "class_object": values,
    "class_object_proxies": rng.uniform(1, 9, (40, 3)).astype(np.float32),
    "autoencoder": rng.uniform(0, 1, 40).astype(np.float32),
    "proxy_names": np.asarray([b"flops", b"fisher", b"params"]),
  }


class FileTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  def write(self, name, table, drop=(), **changes):
    table = {**table, **changes}
    kept = {k: v for k, v in table.items() if k not in drop}
    np.savez(self.folder / name, **kept)

  def load(self, name="transnas-micro/class-object"):
    return nagjax.make_benchmark(name, str(self.folder))


class MicroTest(FileTestCase):
  def test_every_cell_has_the_values_of_its_row(self):
    """Oracle: NumPy look-up in the shuffled file, by row."""
    self.write(MICRO, micro())
    benchmark = self.load()
    archs = jnp.asarray(micro()["ops"], jnp.int32)
    answer = jax.jit(lambda b, a: (b.query(a), b.report(a)))(benchmark, archs)
    columns = dict(valid_top1="val_final", valid_top1_best="val_best")
    columns |= dict(params_m="params_m")
    self.assertEqual(set(answer[0]), set(columns))
    for name, column in columns.items():
      expected = np.float32(micro()[f"class_object_{column}"])
      np.testing.assert_array_equal(answer[0][name], expected)
    expected = micro()["class_object_test_final"]
    np.testing.assert_array_equal(answer[1]["test_top1"], expected)
    self.assertEqual(benchmark.objective, "valid_top1")
    self.assertEqual(benchmark.test, "test_top1")
    self.assertEqual(benchmark.num_rows, 4096)
    self.assertTrue(benchmark.space.enumerable)

  @parameterized.parameters(
    ("normal", "valid_ssim_best", "test_ssim_best", "SSIM"),
    ("room-layout", "valid_neg_loss", None, "L2 loss"),
    ("segmentsemantic", "valid_mIoU", None, "%"),
  )
  def test_objectives_are_called_as_published(self, task, name, test, unit):
    """Oracle: the published metrics; the last epoch before the best."""
    self.write(MICRO, micro())
    benchmark = self.load(f"transnas-micro/{task}")
    self.assertEqual((benchmark.objective, benchmark.test), (name, test))
    self.assertEqual(dict(benchmark.units)[name], unit)
    epoch = "best" if name.endswith("best") else "final"
    column = micro()[f"{transnas.column_of(task)}_val_{epoch}"]
    optimum = nagjax.Problem(benchmark).optimum()
    self.assertAlmostEqual(optimum.objective, column.max(), places=5)

  def test_names_are_those_of_the_file(self):
    """Oracle: the columns, in the published order of tasks."""
    self.assertNotIn("transnas", " ".join(nagjax.benchmark_names("/none")))
    self.write(MICRO, micro())
    names = nagjax.benchmark_names(str(self.folder))
    tasks = "class-object normal segmentsemantic room-layout".split()
    self.assertEqual(
      [name for name in names if "transnas" in name],
      [f"transnas-micro/{task}" for task in tasks],
    )

  @data.needs_table(MICRO)
  def test_best_rows_of_the_real_table(self):
    """Oracle: published optima; of the objects that of the last epoch."""
    for task, best in (
      ("class-object", 45.586),
      ("class-scene", 54.936),
      ("autoencoder", 0.57723),
    ):
      folder = data.table_path(MICRO).parent
      table = transnas.load_transnas("transnas-micro", task, directory=folder)
      found = float(table.queried[table.objective].max())
      self.assertAlmostEqual(found, best, delta=1e-4 * best)


class PartTest(FileTestCase):
  """A table that holds a part of its space."""

  def test_the_space_of_a_part(self):
    """Oracle: the rows with a value, by NumPy."""
    self.write(MACRO, macro())
    benchmark = self.load("transnas-macro/class-object")
    there = np.isfinite(macro()["class_object"])
    ops = macro()["ops"][there].astype(int)
    archs = jnp.asarray(np.where(ops == 0, 4, ops - 1))
    space = benchmark.space
    self.assertEqual((benchmark.num_rows, space.num_architectures), (35, 35))
    self.assertEqual(space.name, "transnas_macro")
    everything = jnp.asarray(transnas_macro.all_skeletons())
    valid = np.asarray(jax.jit(space.is_valid)(everything))
    known = {tuple(v) for v in np.asarray(archs).tolist()}
    expected = [tuple(v) in known for v in np.asarray(everything).tolist()]
    np.testing.assert_array_equal(valid, expected)
    drawn = np.asarray(space.sample(jax.random.key(0), 1000)).tolist()
    self.assertEqual({tuple(v) for v in drawn}, known)
    answer = benchmark.query(archs)
    np.testing.assert_array_equal(
      answer["valid_top1_best"], macro()["class_object"][there]
    )
    for name, place in (("flops_m", 0), ("params_m", 2)):
      column = macro()["class_object_proxies"][there, place]
      np.testing.assert_array_equal(answer[name], column)

  @parameterized.parameters("local_search", "random")
  @pytest.mark.slow
  def test_searches_of_a_part(self, name):
    """Oracle: what is paid is there, and no proposal was lost on the rest."""
    self.write(MACRO, macro())
    benchmark = self.load("transnas-macro/class-object")
    problem = nagjax.Problem(benchmark)
    options = nagjax.registry.algorithm_spec(name).tiny
    search = nagjax.make_search(name, problem, budget=12, options=options)
    trace = nagjax.sweep(jax.random.split(jax.random.key(0), 2), search).trace
    paid = jnp.asarray(trace.archs[trace.paid])
    self.assertTrue(benchmark.space.is_valid(paid).all())
    np.testing.assert_array_equal(trace.paid.sum(axis=(1, 2)), [12, 12])
    self.assertTrue(np.isfinite(trace.objective[trace.paid]).all())
    self.assertFalse(np.any(trace.status == nagjax.Status.INVALID))

  @pytest.mark.slow
  def test_an_algorithm_of_the_whole_space_pays_nothing_for_what_is_absent(
    self,
  ):
    """Oracle: by hand: the one row that the table has."""
    self.write(MACRO, macro())
    benchmark = self.load("transnas-macro/class-object")
    there = benchmark.architectures()[:1]
    everything = transnas_macro.all_skeletons()
    absent = np.asarray(benchmark.space.is_valid(jnp.asarray(everything)))
    absent = everything[~absent][:2]
    archs = jnp.asarray(np.concatenate([absent, there, absent]))

    def ask(key, state, params):
      return nagjax.Proposal(archs, jnp.ones(5, bool)), state

    algorithm = nagjax.Algorithm(
      init=lambda key, params: (),
      ask=ask,
      tell=lambda state, proposal, evaluation, params: (state, ()),
      num_initial=0,
      batch_size=5,
    )
    problem = nagjax.Problem(benchmark)
    search = nagjax.Search(algorithm, (), None, problem, 9, 1)
    for run in (nagjax.run, nagjax.run_on_host):
      trace = run(jax.random.key(0), search).trace
      self.assertEqual(trace.status.tolist(), [[3, 3, 0, 3, 3]])
      self.assertEqual(int(trace.charged[-1]), 1)

  def test_a_full_file_is_read_before_a_subset(self):
    """Oracle: the documented order; the columns of the file that is read."""
    self.write(MACRO, macro())
    self.write("tnb101_macro.npz", macro(), drop=["class_object"])
    with self.assertRaisesRegex(ValueError, "tnb101_macro.npz holds"):
      self.load("transnas-macro/class-object")

  @data.needs_table(MACRO)
  def test_how_much_of_the_real_table_there_is(self):
    """Oracle: rows and best values of the data's documentation."""
    for task, num, best in (
      ("class-object", 662, 47.4721),
      ("class-scene", 662, 56.9118),
      ("autoencoder", 725, 0.76878),
    ):
      folder = data.table_path(MACRO).parent
      table = transnas.load_transnas("transnas-macro", task, directory=folder)
      self.assertEqual(table.num_rows, num)
      found = float(table.queried[table.objective].max())
      self.assertAlmostEqual(found, best, delta=1e-5 * best)


class DamagedFileTest(FileTestCase):
  def test_a_missing_file_is_named_with_the_way_to_get_it(self):
    """Oracle: file, origin and command of the house rule on errors."""
    for table, names in transnas.FILES.items():
      with self.assertRaises(FileNotFoundError) as caught:
        self.load(f"{table}/jigsaw")
      for part in (*names, "TransNAS-Bench-101", "--format=transnas "):
        self.assertIn(part, str(caught.exception))

  def test_unknown_tasks(self):
    """Oracle: the documented ValueErrors name those that exist."""
    self.write(MICRO, micro())
    for name, message in (
      ("transnas-micro/class_object", "jigsaw, got 'class_object'"),
      ("transnas-micro/jigsaw", "holds the tasks class-object, normal, .*jig"),
      ("transnas-micro", "benchmark must be one of"),
    ):
      with self.assertRaisesRegex(ValueError, message):
        self.load(name)

  def test_rows_must_be_architectures_once_each(self):
    """Oracle: four ways to break the list."""
    ops = micro()["ops"]
    large, negative, twice = ops.copy(), ops.copy(), ops.copy()
    large[3, 2], negative[3, 2], twice[5] = 4, -1, ops[6]
    for wrong, message in (
      (large, "must be in 0..3, got 4"),
      (negative, "must be in 0..3, got -1"),
      (twice, "the same architecture"),
      (ops[:, :5], r"\[n=4096, 6\], got int8\[4096, 5\]"),
      (ops[:9], "n=9"),
    ):
      self.write(MICRO, micro(), ops=wrong)
      with self.assertRaisesRegex(ValueError, message):
        self.load()

  @parameterized.parameters(
    ("class-object", 100.5, r"\[0, 100\]"),
    ("segmentsemantic", -0.1, r"\[0, 100\]"),
    ("room-layout", 0.1, r"\[-inf, 0\]"),
    ("normal", 57.7, r"\[-1, 1\]"),
  )
  def test_metrics_have_a_range(self, task, value, message):
    """Oracle: percentages, negative losses, SSIM of at most 1."""
    column = transnas.column_of(task)
    column += "_val_best" if task == "normal" else "_val_final"
    wrong = micro()[column].copy()
    wrong[5] = value
    self.write(MICRO, micro(), **{column: wrong})
    with self.assertRaisesRegex(ValueError, message):
      self.load(f"transnas-micro/{task}")

  def test_a_column_without_a_value(self):
    """Oracle: the documented ValueError."""
    column = np.full(4096, np.nan)
    self.write(MICRO, micro(), class_object_val_final=column)
    with self.assertRaisesRegex(ValueError, "shape"):
      self.load()


if __name__ == "__main__":
  absltest.main()
