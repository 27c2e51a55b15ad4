"""Tests of experiments.train_extractor and experiments.train_predictor."""

import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from experiments import train_extractor
from experiments import train_predictor
from experiments.support import images as image_files
from experiments.support import meta_data
from nagjax.candidates import extractor_training
from nagjax.candidates import extractors
from nagjax.candidates import images as images_lib
from nagjax.candidates import tasks
from nagjax.candidates import triplets
from nagjax.candidates import zerocost
from nagjax.spaces import nasbench201
from nagjax.surrogates import meta
from nagjax.surrogates import meta_training
from tests.experiments import runs

SPACE = nasbench201.nasbench201()
LIMITS = tasks.Limits(
  resolutions=(4,),
  min_classes=2,
  max_classes=2,
  min_train=12,
  max_train=12,
  max_valid=8,
)


def untrained(key, network, to_graph, data, archs, config):
  """In the place of a training: the random start."""
  del to_graph, data, archs, config
  return network.init(key), jnp.zeros((1, 2))


def instead_of_a_score(key, arch, images, config, *, score):
  """In the place of synaptic flow."""
  del key, images, config
  assert score == "logsynflow"
  return jnp.sum(arch).astype(jnp.float32)


def write_triplets(folder, name, seed):
  """Images of a name, and triplets of two of their tasks."""
  rng = np.random.default_rng(seed)
  x = rng.integers(0, 255, (40, 6, 6, 3), dtype=np.uint8)
  np.savez(folder / f"{name}.npz", x=x, y=np.arange(40) % 3)
  images = images_lib.load(folder / f"{name}.npz")
  drawn = tuple(tasks.draw(rng, images, LIMITS) for _ in range(2))
  accuracy = rng.uniform(0, 100, 10).astype(np.float32)
  found = triplets.Triplets(
    task=np.repeat([0, 1], 5).astype(np.int32),
    ops=rng.integers(0, 5, (10, 6)).astype(np.int8),
    valid_accuracy=accuracy,
    valid_cross_entropy=-accuracy,
    valid_probability=accuracy / 100,
    failed=np.arange(10) == 9,
    tasks=drawn,
    source=np.zeros(2, np.int32),
  )
  digest = image_files.digest(images.x, images.y)
  triplets.save(
    folder / f"of_{name}.npz",
    found,
    {"sources": [{"name": f"{name}.npz", "sha256": digest}]},
  )
  return digest


class TrainPredictorTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.digests = {
      name: write_triplets(cls.folder, name, seed)
      for seed, name in enumerate(("a", "b"))
    }
    rng = np.random.default_rng(0)
    extractors.save_small(
      cls.folder / "extractor.npz",
      extractors.Small((rng.normal(size=(9, 3, 4)),), (np.zeros(4),)),
      "mine",
      ({"name": "c.npz", "sha256": "c"},),
      {},
    )

  def run_pretending(self, name, *more):
    flags = {
      "triplets": "of_a.npz",
      "images": "a.npz",
      "extractor": "extractor.npz",
      "output": f"{name}.npz",
    }
    with (
      mock.patch.object(meta_training, "fit", untrained),
      mock.patch.object(zerocost, "evaluate", instead_of_a_score),
    ):
      return runs.run_binary(
        train_predictor,
        *(f"--{flag}={self.folder / value}" for flag, value in flags.items()),
        *("--code_size=4", "--hidden_size=4", "--num_members=2"),
        *(part.format(self.folder) for part in more),
      )

  @pytest.mark.slow
  def test_a_predictor_and_its_judgment(self):
    """Oracle: the file as `meta` reads it, and the lines of every rival."""
    code, out, err = self.run_pretending(
      "p", "--test={}/of_b.npz", "--images={}/b.npz"
    )
    self.assertEqual(code, 0, err)
    for rival in ("predictor", "mean of digits", "params", "flops", "logsyn"):
      self.assertRegex(out, rf"{rival}\S*: Spearman -?[0-9.]+ \(")
    self.assertIn("unseen: b.npz: 2 tasks", out)
    found = meta.load(self.folder / "p.npz", SPACE)
    self.assertEqual(found.extractor, "mine")
    self.assertEqual(
      {source.sha256 for source in found.sources},
      {"c", self.digests["a"], image_files.digest(*image_files.read("digits"))},
    )
    self.assertLen(found.params.head[0].bias, 2)
    self.assertEqual(found.prior.names, "digits")
    self.assertEqual(found.notes["num_triplets"], 9)
    task = meta_data.read_tasks(
      str(self.folder / "of_a.npz"),
      meta_data.read_images([str(self.folder / "a.npz")]),
      extractors.find(self.folder / "extractor.npz"),
    )
    spread = np.mean([np.std(one.accuracy) for one in task])
    self.assertAlmostEqual(found.scale, spread, places=3)

  @parameterized.parameters(
    (("--test={}/of_a.npz",), "tasks of sources of --triplets"),
    (("--test={}/of_b.npz",), "name that file by --images"),
    (("--triplets={}/a.npz",), "a.npz"),
    (("--code_size=5",), "multiple of 4"),
    (("--transfer=nothing",), "nothing"),
  )
  def test_refused(self, more, message):
    """Oracle: one line on stderr, exit code 2, no file."""
    code, _, err = self.run_pretending("r", *more)
    self.assertEqual(code, 2)
    self.assertIn(message, err)
    self.assertEqual(err.count("\n"), 1)
    self.assertFalse((self.folder / "r.npz").exists())

  def test_arrays(self):
    """Oracle: the tasks, read back from the arrays."""
    rng = np.random.default_rng(0)
    chosen = [
      meta_data.TaskData(
        source="a",
        features=rng.normal(size=(num, 3)).astype(np.float32),
        labels=np.arange(num) % classes,
        archs=rng.integers(0, 5, (num, 6)),
        accuracy=np.zeros(num),
        ranked_by=rng.permutation(num),
        resolution=8,
      )
      for num, classes in ((7, 3), (4, 2))
    ]
    data = meta_data.arrays_of(chosen, np.zeros(3), np.ones(3))
    np.testing.assert_array_equal(data.counts, [[3, 2, 2], [2, 2, 0]])
    for row, task in enumerate(chosen):
      for label in range(2):
        rows = data.members[row, label, : data.counts[row, label]]
        np.testing.assert_allclose(
          data.features[rows], task.features[task.labels == label]
        )
      num = len(task.archs)
      np.testing.assert_array_equal(data.archs[row, :num], task.archs)
      np.testing.assert_array_equal(
        np.argsort(data.labels[row, :num]), np.argsort(task.ranked_by)
      )
      self.assertEqual(data.weights[row].sum(), num)

  def test_judgment(self):
    """Oracle: a ranking that is right in one task and reversed in another."""
    values = np.arange(5.0)
    one = meta_data.TaskData(
      "a", np.zeros((1, 1)), np.zeros(1), np.zeros((5, 6)), values, values, 8
    )
    other = one._replace(accuracy=values[::-1])
    found = meta_data.judge([one, one, other], lambda task: values)
    self.assertAlmostEqual(found.spearman.mean, 1 / 3)
    self.assertAlmostEqual(found.kendall.mean, 1 / 3)
    self.assertAlmostEqual(found.learned.mean, 1)
    best = special.ndtri((np.asarray([5, 4, 3]) - 0.5) / 5)
    self.assertAlmostEqual(found.first.mean, best[0], places=5)
    self.assertAlmostEqual(found.first_three.mean, best.mean(), places=5)

  def test_published_triplets(self):
    """Oracle: rows of the file; class numbers begin at 1."""
    path = self.folder / "published.npz"
    ops = np.random.default_rng(0).integers(0, 5, (3, 6)).astype(np.int8)
    np.savez(
      path,
      task=np.int16([1, 0, 1]),
      ops=ops,
      acc=np.float32([70, 60, 50]),
      task_classes=np.int16([[1, 2], [3, 1]]),
    )
    images = images_lib.Labeled(
      np.random.default_rng(1).uniform(0, 255, (3, 6, 6, 3)).astype("f4"),
      np.int32([2, 0, 1]),
    )
    extractor = extractors.find(self.folder / "extractor.npz")
    first, second = meta_data.read_published(str(path), images, extractor)
    np.testing.assert_array_equal(first.archs, ops[1:2])
    np.testing.assert_array_equal(second.archs, ops[[0, 2]])
    expected = extractors.extract(extractor, extractors.pixels(images.x))
    np.testing.assert_allclose(second.features, expected[[0, 1]], rtol=1e-5)
    self.assertFalse(first.centered)


class TrainExtractorTest(absltest.TestCase):
  def test_a_file_and_its_card(self):
    """Oracle: the file as `extractors` reads it; an untrained network."""
    folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    runs.write_images(folder / "a.npz")

    def fit(key, images, num_classes, config):
      self.assertLen(images.y, 36)  # A tenth of forty is held out.
      return extractor_training.init(key, num_classes, config)

    with mock.patch.object(train_extractor, "fit", fit):
      code, out, err = runs.run_binary(
        train_extractor,
        f"--images={folder / 'a.npz'}",
        f"--output={folder / 'mine.npz'}",
        "--widths=2,3",
      )
    self.assertEqual(code, 0, err)
    self.assertRegex(out, r"a.npz: of a tenth held out told apart \S+ % at 8")
    found = extractors.find(folder / "mine.npz")
    self.assertEqual((found.name, found.num_features), ("mine", 5))
    images = images_lib.load(folder / "a.npz")
    digest = image_files.digest(images.x, images.y)
    self.assertEqual(found.sources, ({"name": "a.npz", "sha256": digest},))
    model = extractor_training.init(
      jax.random.key(0), 2, extractor_training.Config(widths=(2, 3))
    )
    x = extractors.pixels(images.x)[:2]
    expected = extractors.small(extractor_training.fold(model), jnp.asarray(x))
    np.testing.assert_allclose(found.apply(x), expected, rtol=0.02, atol=0.01)


if __name__ == "__main__":
  absltest.main()
