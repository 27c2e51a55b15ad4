"""Tests of experiments.train_score."""

import contextlib
import csv
import os
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from experiments import score_training
from experiments import train_score
from nagjax import registry
from nagjax.generation import pretrained_scores
from tests.experiments import runs

SMALL = (
  "--num_steps=5 --batch_size=4 --checkpoint_every=2 --sample_steps=4 "
  "--set=num_layers=1 --set=width=8 --set=num_heads=2 --set=feed_forward=8 "
  "--set=head_width=8 --set=tied_init=true --training_share=0.5"
).split()
"""Three chunks; the last one is filled up."""


def run(*argv):
  with mock.patch.object(score_training, "TRIAL", 60):
    return runs.run_binary(train_score, *argv)


def flags_of(folder, name):
  output = folder / f"{name}.npz"
  return [f"--output={output}", f"--workdir={folder / name}", *SMALL]


@contextlib.contextmanager
def killed_after(num_chunks):
  """Progress that ends the run when so many chunks are done."""

  def report(name, now):
    if now is not None and now.chunk + 1 == num_chunks:
      raise KeyboardInterrupt

  with mock.patch.object(
    score_training.common, "progress", lambda: contextlib.nullcontext(report)
  ):
    yield


class TrainTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.code, cls.out, cls.err = run(*flags_of(cls.folder, "whole"))

  def test_the_file(self):
    """Oracle: the flags, and ranges of the measures."""
    self.assertEqual(self.code, 0, self.err)
    space = registry.make_space("nasbench201")
    config, params, notes = pretrained_scores.load(
      self.folder / "whole.npz", space
    )
    self.assertEqual((config.num_layers, config.width), (1, 8))
    self.assertEqual(params.embedding.weight.shape, (7, 8))
    self.assertTrue(config.tied_init)
    self.assertTrue(notes["model"]["tied_init"])
    for name, value in (
      ("num_steps", 6),  # Up to whole chunks.
      ("batch_size", 4),
      ("training_share", 0.5),
      ("seed", 0),
      ("num_reported", 60),
      ("sample_steps", 4),
    ):
      self.assertEqual(notes[name], value)
    self.assertIn("jax", notes["versions"])
    for name in ("validity", "uniqueness", "novelty", "sample_novelty"):
      self.assertBetween(notes[name], 0.0, 1.0)
      self.assertGreaterEqual(notes[f"{name}_std"], 0.0)
    self.assertIn(f"Wrote {self.folder / 'whole.npz'}.", self.out)
    self.assertIn("Of 3 x 60 architectures: validity ", self.out)
    self.assertIn(f"novelty {100 * notes['novelty']:.2f} +- ", self.out)

  def test_novelty_is_of_the_other_half(self):
    """Oracle: half of what is nearly uniform was not trained on.

    Of 180 architectures, within five standard errors.
    """
    notes = pretrained_scores.load(
      self.folder / "whole.npz", registry.make_space("nasbench201")
    ).notes
    error = 5 * (0.25 / (180 * notes["validity"])) ** 0.5
    self.assertAlmostEqual(notes["novelty"], 0.5, delta=error)

  def test_metrics(self):
    """Oracle: a row a chunk, with the notes' last loss."""
    path = self.folder / "whole" / score_training.METRICS
    with open(path, newline="", encoding="utf-8") as file:
      rows = list(csv.DictReader(file))
    self.assertEqual([row["step"] for row in rows], ["2", "4", "6"])
    self.assertEqual(list(rows[0]), ["step", "loss", "validity", "uniqueness"])
    notes = pretrained_scores.load(
      self.folder / "whole.npz", registry.make_space("nasbench201")
    ).notes
    self.assertEqual(float(rows[-1]["loss"]), notes["final_loss"])
    for row in rows:
      self.assertGreater(float(row["loss"]), 0.0)
      self.assertBetween(float(row["validity"]), 0.0, 1.0)

  def test_killed_it_continues_and_gives_the_same_weights(self):
    """Oracle: the bytes of the run that nobody disturbed."""
    flags = flags_of(self.folder, "killed")
    with killed_after(2):
      code, _, err = run(*flags)
    self.assertEqual(code, 130)
    self.assertIn("state after the last chunk", err)
    self.assertFalse((self.folder / "killed.npz").exists())
    with np.load(self.folder / "killed" / score_training.STATE) as file:
      self.assertEqual(file["leaf_0000"], 2)
    self.assertEqual(run(*flags)[0], 0)
    for name in (".npz", f"/{score_training.METRICS}"):
      self.assertEqual(
        pathlib.Path(f"{self.folder / 'killed'}{name}").read_bytes(),
        pathlib.Path(f"{self.folder / 'whole'}{name}").read_bytes(),
      )

  def test_refused(self):
    """Oracle: exit code 2 and one line that says what to do."""
    flags = flags_of(self.folder, "whole")
    for more, message in (
      ((), "--overwrite"),
      (("--overwrite", "--seed=1"), "other settings"),
      (("--overwrite", "--set=width=16"), "other settings"),
    ):
      code, _, err = run(*flags, *more)
      self.assertEqual((code, err.count("\n")), (2, 1), err)
      self.assertIn(message, err)

  def test_a_damaged_state(self):
    """Oracle: as above; the file is named."""
    flags = flags_of(self.folder, "damaged")
    with killed_after(1):
      run(*flags)
    path = self.folder / "damaged" / score_training.STATE
    path.write_bytes(path.read_bytes()[:1000])
    code, _, err = run(*flags)
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertIn("--workdir", err)


class RefusedTest(parameterized.TestCase):
  @parameterized.parameters(
    ("--space=other", "space must be"),
    ("--output=weights.csv", "npz"),
    ("--num_steps=0", "num_steps"),
    ("--training_share=0", "training_share"),
    ("--sampler=other", "sampler"),
    ("--preset=other", "preset"),
    ("--set=color=red", "color"),
    ("--set=width=wide", "width must be a whole number"),
    ("--set=width=7", "width"),
    ("--set=mask=floyd", "mask must be one of"),
    ("word", "flag"),
  )
  def test_bad_flags(self, flag, message):
    """Oracle: exit code 2, one line, no file."""
    with tempfile.TemporaryDirectory() as folder:
      code, _, err = run(
        f"--workdir={folder}/w", f"--output={folder}/t.npz", flag
      )
      self.assertEqual((code, err.count("\n")), (2, 1), err)
      self.assertIn(message, err)
      self.assertEqual(os.listdir(folder), [])

  def test_a_space_without_a_list(self):
    """Oracle: as above; no half can be drawn of 2e19 architectures."""
    with tempfile.TemporaryDirectory() as folder:
      code, _, err = run(
        "--space=mobilenetv3",
        "--training_share=0.5",
        f"--workdir={folder}/w",
        f"--output={folder}/t.npz",
      )
      self.assertEqual((code, err.count("\n")), (2, 1), err)
      self.assertIn("enumerable", err)
      self.assertEqual(os.listdir(folder), [])


class TargetsTest(absltest.TestCase):
  def test_choice(self):
    """Oracle: distinct, a half, another half for another seed; None is all."""
    space = registry.make_space("nasbench201")
    one, again, other = (
      score_training.choose_targets(space, 0.5, seed) for seed in (0, 0, 1)
    )
    self.assertLen(one, 7812)
    self.assertLen(np.unique(one, axis=0), 7812)
    np.testing.assert_array_equal(one, again)
    shared = {*map(tuple, one.tolist())} & {*map(tuple, other.tolist())}
    self.assertAlmostEqual(len(shared) / 7812, 0.5, delta=0.04)
    self.assertIsNone(score_training.choose_targets(space, 1.0, 0))


if __name__ == "__main__":
  absltest.main()
