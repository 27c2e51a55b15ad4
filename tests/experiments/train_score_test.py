"""Tests of experiments.train_score; see also generation.score_training."""

import csv
import pathlib

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from experiments import train_score
from nagjax import registry
from nagjax.generation import pretrained_scores
from tests.experiments import runs

SMALL = (
  "--num_steps=5 --batch_size=4 --checkpoint_every=2 --sample_steps=4 "
  "--set=num_layers=1 --set=width=8 --set=num_heads=2 --set=feed_forward=8 "
  "--set=head_width=8 --set=tied_init=true --training_share=0.5 "
  "--num_reported=60"
).split()
"""Three chunks; the last one is filled up."""


class TrainTest(runs.BinaryCase):
  def run_small(self, name, *more):
    output = f"--output={self.directory / name}.npz"
    workdir = f"--workdir={self.directory / name}"
    return runs.run_binary(train_score, output, workdir, *SMALL, *more)

  @pytest.mark.slow
  def test_killed_it_continues_and_gives_the_same_weights(self):
    """Oracle: the run that nobody disturbed; its flags, in the file.

    Of 180 architectures, a half that is nearly uniform was not trained on,
    within five standard errors.
    """
    out = self.assert_succeeds(self.run_small("a"))
    config, params, notes = pretrained_scores.load(
      self.directory / "a.npz", registry.make_space("nasbench201")
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
      ("preset", "cpu"),
    ):
      self.assertEqual(notes[name], value)
    self.assertIn("jax", notes["versions"])
    for name in ("validity", "uniqueness", "novelty", "sample_novelty"):
      self.assertBetween(notes[name], 0.0, 1.0)
      self.assertGreaterEqual(notes[f"{name}_std"], 0.0)
    error = 5 * (0.25 / (180 * notes["validity"])) ** 0.5
    self.assertAlmostEqual(notes["novelty"], 0.5, delta=error)
    self.assertIn("Of 3 x 60 architectures: validity ", out)
    self.assertIn(f"novelty {100 * notes['novelty']:.2f} +- ", out)
    with open(self.directory / "a" / "metrics.csv", newline="") as file:
      rows = list(csv.DictReader(file))
    self.assertEqual([row["step"] for row in rows], ["2", "4", "6"])
    self.assertEqual(float(rows[-1]["loss"]), notes["final_loss"])

    with runs.killed_after(2):
      code, _, err = self.run_small("b")
    self.assertEqual(code, 130)
    self.assertIn("state after the last chunk", err)
    self.assertFalse((self.directory / "b.npz").exists())
    self.assert_succeeds(self.run_small("b"))
    for name in (".npz", "/metrics.csv"):
      self.assertEqual(
        pathlib.Path(f"{self.directory / 'b'}{name}").read_bytes(),
        pathlib.Path(f"{self.directory / 'a'}{name}").read_bytes(),
      )
    self.assert_refused(self.run_small("a"), "--overwrite")
    self.assert_refused(
      self.run_small("a", "--overwrite", "--seed=1"), "other settings"
    )


class PresetTest(parameterized.TestCase):
  @parameterized.parameters(
    ("nasbench201", "cpu", 2000, 4),
    ("nasbench201", "paper", 250_000, 12),
    ("mobilenetv3", "cpu", 8000, 4),
    ("mobilenetv3", "paper", 1_000_000, 12),
  )
  def test_published_and_cpu(self, space, preset, num_steps, num_layers):
    """Oracle: the facts' steps and layers; what README promises of a CPU."""
    values = train_score.flags.define(train_score.FLAGS)
    values(["program", f"--preset={preset}"])
    config = train_score.make_config(values, registry.make_space(space))
    self.assertEqual(config.num_steps, num_steps)
    self.assertEqual(config.model.num_layers, num_layers)
    self.assertEqual(config.sampler.corrector, space == "nasbench201")


if __name__ == "__main__":
  absltest.main()
