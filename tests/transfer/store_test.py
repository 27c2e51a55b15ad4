"""Tests of nagjax.transfer.store."""

import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax import files
from nagjax import make_benchmark
from nagjax import transfer
from nagjax.problem import Problem
from nagjax.transfer import sources
from nagjax.transfer import store
from tests.transfer import dense

MAX_BYTES = 200_000


def make(support=False):
  """A transfer without a fit."""
  archs = dense.SPACE.all_architectures()
  values = dense.draw(0, dense.hamming(dense.SPACE), dense.SPACE)
  table = transfer.Table(dense.SPACE, archs, values, "mine", "-cost")
  kernel = dense.random_correlations(1, dense.SPACE).astype(np.float32)
  return transfer.Transfer(
    space="tiny",
    correlations=kernel,
    noise=0.125,
    mean=values.astype(np.float32),
    support=archs if support else None,
    sources=(
      sources.describe(table, 0.25),
      sources.describe(table._replace(name="other"), 0.75),
    ),
  )


class StoreTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder) / "transfer_mine.npz"

  @parameterized.parameters(True, False)
  def test_round_trip(self, support):
    """Oracle: what was saved, field by field; the same bytes twice."""
    made = make(support)
    transfer.save(self.path, made)
    content = self.path.read_bytes()
    loaded = transfer.load(self.path)
    for field in ("space", "noise", "names"):
      self.assertEqual(getattr(loaded, field), getattr(made, field))
    for field in ("correlations", "mean", "support"):
      np.testing.assert_array_equal(
        getattr(loaded, field), getattr(made, field), field
      )
    for ours, theirs in zip(made.sources, loaded.sources, strict=True):
      self.assertEqual(ours[:5], theirs[:5])
      np.testing.assert_array_equal(ours.probe_archs, theirs.probe_archs)
      np.testing.assert_array_equal(ours.probe_values, theirs.probe_values)
    transfer.save(self.path, loaded)
    self.assertEqual(self.path.read_bytes(), content)

  @parameterized.named_parameters(
    ("no_sources", {"sources": ()}, {}, "no source"),
    ("noise", {"noise": -1.0}, {}, "noise must be positive"),
    ("mean", {"mean": np.full(48, np.nan, np.float32)}, {}, "finite"),
    ("diagonal", {"correlations": np.zeros((3, 4, 4))}, {}, "semi-definite"),
    (
      "indefinite",
      {"correlations": np.tile(2 - np.eye(4), (3, 1, 1))},
      {},
      "semi-definite",
    ),
    ("no_space", {}, {"space": 3}, "'space' must be a str"),
    ("no_noise", {}, {"noise": "low"}, "'noise' must be a float"),
    ("large_noise", {}, {"noise": 10**400}, "401 digits"),
    ("entries", {}, {"sources": [3]}, "lacks 'name'"),
    ("kind", {}, {"kind": "picture"}, "nagjax transfer"),
  )
  def test_damaged(self, fields, header, message):
    """Oracle: the documented FileError, in one line that names the file;
    `save` refuses what `load` would."""
    made = make()
    if fields:
      with self.assertRaisesRegex(ValueError, message):
        transfer.save(self.path, made._replace(**fields))
    transfer.save(self.path, made)
    with np.load(self.path) as file:
      arrays = dict(file)
    text = json.loads(str(arrays.pop("header")))
    for name, value in fields.items():
      if name in arrays:
        arrays[name] = np.asarray(value, np.float32)
      else:
        text[name] = list(value) if name == "sources" else value
    files.write_record(self.path, arrays, {**text, **header})
    with self.assertRaisesRegex(files.FileError, message) as caught:
      transfer.load(self.path)
    self.assertIn(str(self.path), str(caught.exception))
    self.assertNotIn("\n", str(caught.exception))

  def test_other_files(self):
    """Oracle: FileError for what is missing, empty or something else."""
    with self.assertRaises(files.FileError):
      transfer.load(self.path)
    for content in (b"", b"text", b"PK\x03\x04" + bytes(40)):
      self.path.write_bytes(content)
      with self.assertRaises(files.FileError):
        transfer.load(self.path)
    np.savez(self.path, mean=np.ones(3))
    with self.assertRaises(files.FileError):
      transfer.load(self.path)

  def test_find(self):
    """Oracle: the file by its path, and by its name in a directory; a name
    that is none lists those that are shipped."""
    transfer.save(self.path, make())
    for name, folder in ((str(self.path), None), ("mine", self.path.parent)):
      self.assertEqual(transfer.find(name, folder).names, "mine, other")
    with self.assertRaisesRegex(ValueError, "one of .*digits.* got 'mine'"):
      transfer.find("mine")
    with self.assertRaisesRegex(ValueError, "a name or a file"):
      transfer.find("")

  def test_shipped(self):
    """Oracle: the table that is shipped; the size that was promised."""
    self.assertEqual(transfer.shipped_names(), ["digits"])
    shipped = transfer.find("digits")
    path = pathlib.Path(store.__file__).parent / "data" / "digits.npz"
    self.assertLess(path.stat().st_size, MAX_BYTES)
    problem = Problem(make_benchmark("digits"))
    self.assertEqual(shipped.space, problem.space.name)
    table = transfer.read_table(problem)
    described = sources.describe(table, 1.0)
    self.assertEqual(shipped.sources[0][:5], described[:5])
    self.assertLess(
      transfer.likelihood(table, shipped), transfer.likelihood(table) - 0.1
    )
    with self.assertRaisesRegex(ValueError, "learned from digits"):
      transfer.check_usable([shipped], problem.space, problem)


if __name__ == "__main__":
  absltest.main()
