"""Tests of experiments.build_benchmark."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from unittest import mock

from absl.testing import absltest
import jax
import numpy as np
import pytest

from experiments import build_benchmark
from experiments.support import building
from nagjax.benchmarks import trained
from nagjax.candidates import cells
from nagjax.spaces import nasbench201
from tests.experiments import runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = (
  "--num_seeds=2 --num_train=20 --num_valid=10 --num_views=1 --num_channels=1 "
  "--num_epochs=2 --batch_size=10 --chunk_size=2 --num_representatives=5"
).split()


def flags_of(folder, name):
  return [
    f"--images={folder / 'images.npz'}",
    f"--output={folder / name}.npz",
    f"--workdir={folder / name}",
    *SMALL,
  ]


def run(*argv):
  return runs.run_binary(build_benchmark, *argv)


@pytest.mark.slow  # The training of a chunk compiles for twenty seconds.
class BuildTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    runs.write_images(cls.folder / "images.npz")
    cls.code, cls.out, _ = run(
      *flags_of(cls.folder, "whole"), "--compare=synthetic"
    )

  def test_the_table(self):
    """Oracle: the isomorphism classes, counts of candidates.cells, ranges."""
    self.assertEqual(self.code, 0)
    self.assertIn("5 trained, 0 trainings failed", self.out)
    self.assertRegex(
      self.out,
      r"valid_accuracy: .*reliability \S+ \(.*Spearman with synthetic \S+ \(",
    )
    with np.load(self.folder / "whole.npz", allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
    space = nasbench201.nasbench201()
    canonical = np.asarray(space.canonicalize(arrays["ops"].astype(np.int32)))
    representative = np.asarray(space.index(canonical))
    np.testing.assert_array_equal(arrays["isomorph"], representative)
    everything = space.canonicalize(space.all_architectures())
    members = np.isin(np.asarray(space.index(everything)), representative)
    self.assertLen(np.unique(representative), 5)
    self.assertLen(arrays["ops"], int(members.sum()))
    config = cells.Config((4, 4, 1), 2, 1, 1)
    params = cells.num_params(arrays["ops"].astype(np.int32), config)
    np.testing.assert_allclose(arrays["params_m"], np.asarray(params) / 1e6)
    for name in trained.METRICS:
      self.assertEqual(arrays[name].shape, (len(members.nonzero()[0]), 2))
      self.assertTrue(np.isfinite(arrays[name]).all(), name)
    for row, first in zip(arrays["ops"], representative, strict=True):
      twin = np.flatnonzero(representative == first)[0]
      mine = np.flatnonzero((arrays["ops"] == row).all(1))[0]
      np.testing.assert_array_equal(
        arrays["valid_accuracy"][mine], arrays["valid_accuracy"][twin]
      )

  def test_earlier_epochs_are_those_of_the_same_training(self):
    """Oracle: all that is there without them; chance at first; the loader."""
    flags = flags_of(self.folder, "epochs")
    code, _, err = run(*flags, "--epochs=1,2", "--num_representatives=2")
    self.assertEqual(code, 0, err)
    with np.load(self.folder / "epochs.npz", allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
    with np.load(self.folder / "whole.npz", allow_pickle=False) as file:
      whole = {name: file[name] for name in file.files}
    shared = np.isin(whole["isomorph"], arrays["isomorph"])
    for name in set(whole) - {"header"}:
      np.testing.assert_allclose(
        arrays[name], whole[name][shared], rtol=1e-4, err_msg=name
      )
    self.assertEqual(
      set(arrays) - set(whole),
      {
        f"valid_{metric}_epoch_1"
        for metric in ("accuracy", "cross_entropy", "probability")
      },
    )
    early = arrays["valid_cross_entropy_epoch_1"]
    self.assertFalse(np.array_equal(early, arrays["valid_cross_entropy"]))
    table = trained.load(self.folder / "epochs.npz", name="x")
    self.assertEqual(table.fidelities.names, ("1", "2"))
    self.assertEqual(table.num_rows, len(early))

  def test_the_manifest_and_the_timings(self):
    """Oracle: the checksum of the file; one line a chunk."""
    manifest = json.loads((self.folder / "whole.manifest.json").read_text())
    content = (self.folder / "whole.npz").read_bytes()
    self.assertEqual(manifest["sha256"], hashlib.sha256(content).hexdigest())
    self.assertEqual(manifest["settings"]["recipe"]["num_epochs"], 2)
    self.assertIn("jax", manifest["versions"][0])
    lines = (self.folder / "whole.timings.csv").read_text().splitlines()
    self.assertLen(lines, 1 + 3)

  def test_killed_at_several_points_it_gives_the_same_table(self):
    """Oracle: the bytes of the run that nobody disturbed."""
    command = [
      sys.executable,
      "-m",
      "experiments.build_benchmark",
      *flags_of(self.folder, "killed"),
      f"--compilation_cache_dir={jax.config.jax_compilation_cache_dir}",
    ]
    # The program that this process has compiled is found in its cache.
    num_devices = str(jax.local_device_count())
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": num_devices}
    work = self.folder / "killed"
    for awaited in ("timing_00000.json", "chunk_00001.npz"):
      process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
      )
      while not (work / awaited).exists() and process.poll() is None:
        time.sleep(0.002)
      process.send_signal(signal.SIGKILL)
      process.wait()
      self.assertFalse((self.folder / "killed.npz").exists())
    kept = {p.name: p.stat().st_mtime_ns for p in work.glob("chunk_*.npz")}
    self.assertNotEmpty(kept)
    subprocess.run(
      command, cwd=ROOT, env=environment, check=True, capture_output=True
    )
    for name, date in kept.items():
      self.assertEqual((work / name).stat().st_mtime_ns, date)
    self.assertEqual(
      (self.folder / "killed.npz").read_bytes(),
      (self.folder / "whole.npz").read_bytes(),
    )

  def test_killed_before_the_manifest_it_goes_on(self):
    """Oracle: no table appears before its manifest; the same command again."""
    flags = flags_of(self.folder, "late")
    with mock.patch.object(
      building, "_write_manifest", side_effect=KeyboardInterrupt
    ):
      code, _, err = run(*flags)
    self.assertEqual(code, 130)
    self.assertIn("finished chunk", err)
    self.assertFalse((self.folder / "late.npz").exists())
    self.assertEqual(run(*flags)[0], 0)
    self.assertEqual(
      (self.folder / "late.npz").read_bytes(),
      (self.folder / "whole.npz").read_bytes(),
    )

  def test_damaged_and_unknown_chunks_are_refused(self):
    """Oracle: exit code 2 and one line that names the file."""
    flags = flags_of(self.folder, "damaged")
    shutil.copytree(self.folder / "whole", self.folder / "damaged")
    chunk = self.folder / "damaged" / "chunk_00001.npz"
    content = chunk.read_bytes()
    other = (self.folder / "damaged" / "chunk_00000.npz").read_bytes()
    for wrong, words in ((content[:99], "readable"), (other, "other cells")):
      chunk.write_bytes(wrong)
      code, _, err = run(*flags)
      self.assertEqual((code, err.count("\n")), (2, 1), err)
      self.assertIn(words, err)
      self.assertIn("Delete chunk_00001.npz", err)
    chunk.write_bytes(content)
    timing = self.folder / "damaged" / "timing_00001.json"
    for damage in (lambda: timing.write_text('{"chunk": 1}'), timing.unlink):
      text = timing.read_text()
      damage()
      code, _, err = run(*flags)
      self.assertEqual((code, err.count("\n")), (2, 1), err)
      self.assertIn("timing_00001.json is missing or damaged", err)
      self.assertIn("Delete chunk_00001.npz", err)
      timing.write_text(text)
    (self.folder / "damaged" / building.SETTINGS).unlink()
    code, _, err = run(*flags)
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertIn("settings.json", err)

  def test_an_existing_table_and_foreign_chunks_are_refused(self):
    """Oracle: exit code 2 and one line."""
    code, _, err = run(*flags_of(self.folder, "whole"))
    self.assertEqual(code, 2)
    self.assertIn("--overwrite", err)
    code, _, err = run(
      *flags_of(self.folder, "whole"), "--overwrite", "--num_epochs=3"
    )
    self.assertEqual(code, 2)
    self.assertIn("other settings", err)
    self.assertEqual(err.count("\n"), 1)


class RefusalTest(runs.BinaryCase):
  def test_epochs(self):
    """Oracle: one line that says what was expected."""
    runs.write_images(self.directory / "images.npz")
    for text in ("2,1", "3", "0,1", "one", "1,1"):
      code, _, err = run(*flags_of(self.directory, "no"), f"--epochs={text}")
      self.assertEqual((code, err.count("\n")), (2, 1), err)
      self.assertIn("rising numbers from 1 to --num_epochs=2", err)


class DescribeTest(absltest.TestCase):
  def test_failed_trainings_and_copies(self):
    """Oracle: by hand; a failed seed counts neither in means nor in ranks."""
    num = 40
    rng = np.random.default_rng(0)
    truth = rng.permutation(num) / num
    values = np.stack([truth, truth], axis=1)
    failed = np.zeros((num, 2), bool)
    failed[:3, 0] = True
    values[:3, 0] = rng.random(3)
    arrays = {name: values for name in trained.METRICS}
    arrays |= {"isomorph": np.arange(num) // 2, "failed": failed}
    lines = build_benchmark.describe(arrays)
    self.assertIn("40 cells, 20 trained, 2 trainings failed", lines[0])
    self.assertIn("reliability 1.00 (1.00)", lines[1])
    low, middle, high = np.percentile(truth, [25, 50, 75])
    self.assertIn(f"{low:.4g} / {middle:.4g} / {high:.4g}", lines[1])


if __name__ == "__main__":
  absltest.main()
