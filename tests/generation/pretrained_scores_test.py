"""Tests of nagjax.generation.pretrained_scores, and of weights."""

import dataclasses
import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import numpy as np

from nagjax import registry
from nagjax.generation import pretrained_scores
from nagjax.generation import score_models
from nagjax.generation import weights

SPACE = registry.make_space("nasbench201")
CONFIG = score_models.Config(
  num_layers=1, width=8, num_heads=2, feed_forward=8, head_width=8, sde="vp"
)


def trained():
  params = score_models.score_model(SPACE, CONFIG).init(jax.random.key(3))
  return pretrained_scores.TrainedScore(CONFIG, params, {"seed": 7})


class PretrainedScoresTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    )
    self.path = self.directory / "score_nasbench201.npz"
    self.saved = trained()
    pretrained_scores.save(self.path, SPACE, self.saved)

  def change(self, **changes):
    """Replaces arrays of the file; None removes one."""
    with np.load(self.path, allow_pickle=False) as file:
      arrays = {**file, **changes}
    kept = {k: v for k, v in arrays.items() if v is not None}
    np.savez(self.path, **kept)

  def test_round_trip(self):
    """Oracle: what was saved, bit for bit; names of leaves, and the header."""
    for found in (
      pretrained_scores.load(self.path, SPACE),
      pretrained_scores.load_trained_score(SPACE, self.directory),
    ):
      chex.assert_trees_all_equal(found.params, self.saved.params)
      self.assertEqual(found.config, CONFIG)
      self.assertEqual(found.notes, {"seed": 7})
    with np.load(self.path, allow_pickle=False) as file:
      header = json.loads(str(file["header"]))
      np.testing.assert_array_equal(
        file["head.2.bias"], self.saved.params.head[2].bias
      )
    self.assertEqual(header["space"], "nasbench201")
    self.assertEqual(header["config"]["sde"], "vp")

  @parameterized.named_parameters(
    ("no_header", {"header": None}, "no header"),
    ("kind", {"header": np.asarray('{"kind": "x"}')}, "got the kind 'x'"),
    ("json", {"header": np.asarray("[1]")}, "no dictionary"),
    ("missing", {"head.2.bias": None}, "head.2.bias"),
    ("too_much", {"extra": np.zeros(2)}, "extra"),
    ("shape", {"head.2.bias": np.zeros(6)}, r"\[7\], got float64\[6\]"),
    ("nan", {"head.2.bias": np.full(7, np.nan, np.float32)}, "not finite"),
    ("text", {"head.2.bias": np.full(7, "a")}, "score_nasbench201"),
  )
  def test_a_changed_file(self, changes, message):
    """Oracle: what is at fault, in one line with the file and the command."""
    self.change(**changes)
    with self.assertRaisesRegex(ValueError, message) as raised:
      pretrained_scores.load_trained_score(SPACE, self.directory)
    self.assertIn(str(self.path), str(raised.exception))
    self.assertIn("experiments.train_score", str(raised.exception))
    self.assertNotIn("\n", str(raised.exception))

  @parameterized.parameters({"width": 9}, {"unknown": 1}, {"mask": "other"})
  def test_changed_options(self, **options):
    """Oracle: one line that names the option."""
    with np.load(self.path, allow_pickle=False) as file:
      header = json.loads(str(file["header"]))
    header["config"] |= options
    self.change(header=np.asarray(json.dumps(header)))
    with self.assertRaisesRegex(ValueError, next(iter(options))):
      pretrained_scores.load(self.path, SPACE)

  def test_another_space(self):
    """Oracle: both names when reading; a shape when writing."""
    other = registry.make_space("mobilenetv3")
    with self.assertRaisesRegex(ValueError, "'nasbench201', not 'mobilenetv3'"):
      pretrained_scores.load(self.path, other)
    path = self.directory / "other.npz"
    with self.assertRaisesRegex(ValueError, r"must have the shape .*9"):
      pretrained_scores.save(path, other, self.saved)
    with self.assertRaisesRegex(ValueError, "must have the shape"):
      wide = dataclasses.replace(CONFIG, width=16)
      pretrained_scores.save(path, SPACE, self.saved._replace(config=wide))
    self.assertFalse(path.exists())

  def test_notes_that_are_no_json(self):
    """Oracle: an error; the file that was there stays."""
    content = self.path.read_bytes()
    with self.assertRaises(ValueError):
      pretrained_scores.save(
        self.path, SPACE, self.saved._replace(notes={"loss": float("nan")})
      )
    self.assertEqual(self.path.read_bytes(), content)
    self.assertLen(list(self.directory.iterdir()), 1)


class FindTest(absltest.TestCase):
  def test_no_file(self):
    """Oracle: one line with the file, the folder and the exact command."""
    space = registry.make_space("nasbench_nlp")
    with tempfile.TemporaryDirectory() as folder:
      for directory, parts in (
        (folder, (f"expected score_nasbench_nlp.npz in {folder} and in the",)),
        (None, ("expected score_nasbench_nlp.npz in the package",)),
      ):
        with self.assertRaises(FileNotFoundError) as raised:
          pretrained_scores.load_trained_score(space, directory)
        output = pathlib.Path(directory or "DATA_DIR", "score_nasbench_nlp.npz")
        for part in (
          *parts,
          "No pretrained score model of nasbench_nlp",
          "`python -m experiments.train_score --space=nasbench_nlp "
          f"--output={output}`",
        ):
          self.assertIn(part, str(raised.exception))

  def test_the_user_s_file_wins(self):
    """Oracle: the paths of two files of one name."""
    name = "agnet_nasbench201.npz"  # Ships with the package.
    with tempfile.TemporaryDirectory() as folder:
      options = {"what": "weights", "command": "make"}
      with weights.find(name, folder, **options) as path:
        self.assertNotEqual(path, pathlib.Path(folder, name))
        self.assertTrue(path.is_file())
      pathlib.Path(folder, name).touch()
      with weights.find(name, folder, **options) as path:
        self.assertEqual(path, pathlib.Path(folder, name))


if __name__ == "__main__":
  absltest.main()
