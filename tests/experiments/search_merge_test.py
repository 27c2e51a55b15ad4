"""Tests of how `experiments.search` merges runs."""

import json
import shutil

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from tests.experiments.runs import MEASURED
from tests.experiments.runs import BinaryCase
from tests.experiments.runs import arrays_of
from tests.experiments.runs import run
from tests.experiments.runs import search_of
from tests.experiments.runs import summary_of


class MergeTest(BinaryCase):
  """Parts of a run, what is no run, and what does not belong together."""

  def setUp(self):
    super().setUp()
    self.first, self.copy = search_of(3)[0], self.directory / "copy"
    shutil.copytree(search_of(1, 3)[0], self.copy)

  def _merge(self):
    return run(f"--merge={self.first},{self.copy}", f"--workdir={self.workdir}")

  @parameterized.named_parameters(
    ("budget", lambda s: s[0].update(budget=61), "budget of random"),
    ("config", lambda s: s[0]["config"].update(batch_size=9), "config of"),
    ("benchmark", lambda s: s[1].update(benchmark="x"), "benchmark of local"),
    (
      "limits",
      lambda s: s[0].update(constraints=[{"column": "a", "limit": 1}]),
      "constraints of",
    ),
    ("seeds", lambda s: s[0].update(seed_ranges=[[2, 3]]), "disjoint", "2"),
    ("variant", lambda s: s[0].update(variant="new"), "random:new/"),
    ("fewer", lambda s: s.pop(), "trace.npz"),
    ("none", lambda s: s.clear(), "holds no algorithm"),
    ("no_key", lambda s: s[0].pop("device"), "summary.json", "device"),
    ("no_range", lambda s: s[0].update(seed_ranges=3), "summary.json"),
    ("no_limit", lambda s: s[0].update(constraints=[1]), "summary.json"),
    ("length", lambda s: s[0].update(seed_ranges=[[3, 5]]), "expected 2 seeds"),
  )
  def test_summaries(self, edit_fn, *parts):
    """Oracle: exit code 2, one line naming the directory and the difference."""
    summary = summary_of(self.copy)
    edit_fn(summary)
    (self.copy / "summary.json").write_text(json.dumps(summary))
    self.assert_refused(self._merge(), self.copy, *parts)
    self.assertFalse(self.workdir.exists())

  @parameterized.parameters("summary.json", "trace.npz")
  def test_damage(self, name):
    """Oracle: as above, for half a file and for none."""
    path = self.copy / name
    path.write_bytes(path.read_bytes()[:200])
    self.assert_refused(self._merge(), path)
    path.unlink()
    self.assert_refused(self._merge(), path)

  @parameterized.parameters(
    ("random/status", lambda a: a[..., None]),
    ("random/charged", lambda a: a[:, :, None]),
    ("random/archs", lambda a: a.astype(float)),
    ("random/objective", lambda a: a.astype(str)),
    ("random/paid", lambda a: a[:, :, :1]),
  )
  def test_arrays_of_another_shape_or_kind(self, name, edit_fn):
    """Oracle: as above; the array is named."""
    arrays = arrays_of(self.copy)
    arrays[name] = edit_fn(arrays[name])
    np.savez(self.copy / "trace.npz", **arrays)
    self.assert_refused(self._merge(), self.copy / "trace.npz", name)

  def test_merge(self):
    """Oracle: the run in one go, bit for bit, given the parts in any order;
    sums of the parts' times, the larger of their memories."""
    parts, (whole, _) = (search_of(1, 3)[0], self.first), search_of(4)
    merge = [f"--merge={part}" for part in parts]
    self.assert_succeeds(run(*merge, f"--workdir={self.workdir}"))
    merged, arrays = arrays_of(self.workdir), arrays_of(whole)
    self.assertEqual(list(merged), list(arrays))
    for name, array in arrays.items():
      self.assertEqual(merged[name].dtype, array.dtype)
      np.testing.assert_array_equal(merged[name], array, err_msg=name)
    for ours, theirs, *of_parts in zip(
      *map(summary_of, (self.workdir, whole, *parts)), strict=True
    ):
      for key in theirs.keys() - set(MEASURED):
        self.assertEqual(ours[key], theirs[key], key)
      seconds = sum(part["run_seconds"] for part in of_parts)
      self.assertAlmostEqual(ours["run_seconds"], seconds)
      self.assertAlmostEqual(ours["searches_per_second"], 4 / seconds)
      memory = max(part["peak_memory_mb"] for part in of_parts)
      self.assertEqual(ours["peak_memory_mb"], memory)
    for name in ("architectures.csv", "curve.png"):
      self.assertEqual(
        (self.workdir / name).read_bytes(), (whole / name).read_bytes()
      )


if __name__ == "__main__":
  absltest.main()
