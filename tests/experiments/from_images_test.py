"""Tests of experiments.from_images and of searches that read images."""

import csv
import dataclasses
import functools
import os
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import from_images
from experiments.support import comparing
from experiments.support import images as image_files
from experiments.support import predicting
from experiments.support import training
from experiments.support.errors import UsageError
from nagjax import options as options_lib
from nagjax import registry
from nagjax.candidates import extractors
from nagjax.candidates import images as images_lib
from nagjax.candidates import store
from nagjax.candidates import train
from nagjax.networks import meta_predictor
from nagjax.spaces import nasbench201
from nagjax.surrogates import meta
from tests.experiments import runs

SPACE = nasbench201.nasbench201()
TINY = {
  "small": training.Preset(
    dataclasses.replace(train.SMALL, num_epochs=1, batch_size=16), 2, 1
  )
}
CONFIG = meta_predictor.Config(image_size=3, code_size=4, hidden_size=4)

_ALGORITHM_SPEC = registry.algorithm_spec


@functools.cache
def params():
  network = meta.network(SPACE, CONFIG)
  return meta.stack([jax.jit(network.init)(jax.random.key(0))])


def write_predictor(path, **changes):
  """A predictor that nobody trained, of features that a user brings."""
  found = meta.MetaPredictor(SPACE, CONFIG, params(), meta.GIVEN)
  meta.save(path, found._replace(**changes))


def write_images(path, num=40, **changes):
  """Images of two classes, and three features of each."""
  x, y = runs.write_images(path, num, **changes)
  features = np.random.default_rng(1).normal(size=(num, 3)).astype(np.float32)
  everything = {"x": x, "y": y, "features": features} | changes
  np.savez(path, **{k: v for k, v in everything.items() if v is not None})
  return everything


def tiny_spec(name, variant):
  """The real one, small; what a user asks for stays."""
  spec = _ALGORITHM_SPEC(name, variant)
  tiny = {k: v for k, v in spec.tiny.items() if k != "batch_size"}
  config = options_lib.with_options(spec.config, tiny, name)
  if name == "ednag":
    return spec._replace(config=config)
  return spec._replace(config=config, preset=lambda benchmark, budget: {})


def rows_of(path):
  with open(path, newline="") as file:
    return list(csv.DictReader(file))


def row_of(origins, test, valid, seconds=1.0, num_seeds=3):
  return {
    "origins": origins,
    "test_accuracy_mean": test,
    "test_accuracy_low": test - 1 if num_seeds else "",
    "test_accuracy_high": test + 1 if num_seeds else "",
    "valid_accuracy_mean": valid,
    "train_seconds": seconds,
    "num_seeds": num_seeds,
  }


@mock.patch.object(training, "PRESETS", TINY)
class FromImagesTest(runs.BinaryCase):
  def setUp(self):
    super().setUp()
    self.images = self.directory / "images.npz"
    self.predictor = self.directory / "predictor.npz"
    write_images(self.images)
    write_predictor(self.predictor)

  def _run(self, *flags):
    with mock.patch.object(registry, "algorithm_spec", tiny_spec):
      return runs.run_binary(
        from_images,
        f"--images={self.images}",
        f"--predictor={self.predictor}",
        f"--workdir={self.workdir}",
        *flags,
      )

  @pytest.mark.slow
  def test_a_ranked_list(self):
    """Oracle: the predictor, asked again of images to learn from alone; all are
    distinct networks; nothing is trained."""
    out = self.assert_succeeds(self._run("--num_top=0", "--num=6"))
    self.assertIn("of those to learn from", out)
    rows = rows_of(self.workdir / "ranked.csv")
    self.assertBetween(len(rows), 1, 6)
    self.assertEqual(
      [int(row["rank"]) for row in rows], [*range(1, len(rows) + 1)]
    )
    archs = np.stack([SPACE.from_string(row["architecture"]) for row in rows])
    forms = np.asarray(SPACE.canonicalize(jnp.asarray(archs)))
    self.assertLen(np.unique(forms, axis=0), len(rows))
    with np.load(self.images) as arrays:
      x, y, features = (arrays[n] for n in ("x", "y", "features"))
    labeled = images_lib.check(x, y)
    split = training.task_of(SPACE, labeled, "small").images.split
    learned = {image.tobytes() for image in np.asarray(split.train.x)}
    normalized = np.asarray(split.train.x)
    self.assertLen(learned, len(normalized))
    order = images_lib.order_of(jax.random.key(image_files.SPLIT_SEED), len(y))
    among = np.sort(order[: len(split.train.y)])
    np.testing.assert_array_equal(y[order[: len(split.train.y)]], split.train.y)
    drawn = meta.draw_rows(np.random.default_rng(0), y[among])
    found = meta.find(self.predictor, SPACE)
    codes = meta.encode_images(found, features, among[drawn])
    expected = meta.predict(found, codes, jnp.asarray(archs))
    predicted = [float(row["predicted"]) for row in rows]
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)
    self.assertTrue(np.all(np.diff(predicted) <= 0))
    self.assertEqual(
      sorted(path.name for path in self.workdir.iterdir()),
      ["cells.png", "ranked.csv"],
    )

  @pytest.mark.slow
  def test_comparison(self):
    """Oracle: the rows of trained.csv; an interruption loses one cell."""
    flags = ("--compare", "--num_random=2", "--num=4")
    save = store.save
    archs = np.asarray([[3, 3, 3, 1, 0, 2], [1, 2, 3, 0, 1, 2]], np.int32)
    self.enter_context(
      mock.patch.object(
        from_images, "generate", lambda *_, **__: (archs, np.asarray([2.0, 1]))
      )
    )

    def save_first(path, network):
      if path.name == "network_3.npz":
        raise KeyboardInterrupt
      save(path, network)

    with mock.patch.object(store, "save", save_first):
      self.assertEqual(self._run(*flags)[0], 130)
    self.assertLen(rows_of(self.workdir / "trained.csv"), 2)
    out = self.assert_succeeds(self._run(*flags))
    self.assertNotIn("Training 2 ", out)
    rows = rows_of(self.workdir / "trained.csv")
    origins = "; ".join(row["origins"] for row in rows)
    for origin in ("generated 1", "resnet", "transfer", "random 2"):
      self.assertIn(origin, origins)
    ranked = rows_of(self.workdir / "ranked.csv")
    self.assertEqual(rows[0]["architecture"], ranked[0]["architecture"])
    for row in rows:
      self.assertGreater(float(row["train_seconds"]), 0)
      network = store.load(self.workdir / row["network"])
      self.assertEqual(network.architecture, row["architecture"])
    (top, *_, transferred) = rows_of(self.workdir / "summary.csv")
    self.assertEqual(top["label"], "generated, top 1")
    self.assertEqual(top["mean"], rows[0]["test_accuracy_mean"])
    self.assertIn("digits", transferred["label"])
    self.assertIn("residual cell", out)
    self.assert_refused(self._run(*flags), "another training")

  @pytest.mark.slow
  def test_diffusionnag(self):
    """Oracle: it goes through."""
    out = self.assert_succeeds(
      self._run(
        *("--algorithm=diffusionnag", "--num_top=0", "--num=3"),
        *("--num_images=30", "--resolution=4"),
      )
    )
    self.assertIn("Read 30 images", out)

  @parameterized.parameters(
    (dict(y=np.zeros(40, int)), {}, "two classes or more"),
    (dict(y=np.r_[np.zeros(39, int), 1]), {}, "--images: "),
    (dict(features=None), {}, "an array features"),
    (dict(features=np.zeros((40, 4))), {}, "[n, 3]"),
    (dict(features=np.zeros((39, 3))), {}, "40 images, got 39"),
    (dict(features=np.full((40, 3), np.nan)), {}, "finite"),
    ({}, dict(extractor="none"), "none.npz"),
  )
  def test_refusals(self, images, predictor, message):
    """Oracle: exit code 2, one line that says what."""
    write_images(self.images, **images)
    write_predictor(self.predictor, **predictor)
    self.assert_refused(
      self._run("--num_top=0", f"--data_dir={self.directory}"), message
    )

  def test_what_it_has_learned_from(self):
    """Oracle: the documented refusal."""
    found = images_lib.load(self.images)
    sources = (meta.Source("mine", image_files.digest(*found)),)
    write_predictor(self.predictor, sources=sources)
    self.assert_refused(self._run("--num_top=0"), "learned from", "mine")

  @pytest.mark.slow
  def test_search(self):
    """Oracle: the trace of a search under the same surrogate; the record names
    images and predictor."""
    settings = ("--set=ednag.population_size=12", "--set=ednag.num_steps=6")
    asked = (
      *("--algorithm=ednag,random", "--variant=zero_shot", "--num_seeds=2"),
      *("--budget=5", f"--images={self.images}", *settings),
    )
    outcome = runs.run(
      *asked, f"--predictor={self.predictor}", f"--workdir={self.workdir}"
    )
    self.assert_succeeds(outcome)
    ednag, random = runs.summary_of(self.workdir)
    self.assertEqual((ednag["variant"], random["variant"]), ("zero_shot", ""))
    self.assertEqual(ednag["config"]["images"]["name"], "images.npz")
    self.assertNotIn("images", random["config"])
    archs = runs.arrays_of(self.workdir)["ednag:zero_shot/archs"]
    reading = predicting.read(
      str(self.images), SPACE, predictor=str(self.predictor)
    )
    for lane in archs.reshape(2, -1, 6)[:, :5]:
      values = meta.predict(
        reading.predictor, reading.codes, jnp.asarray(lane, jnp.int32)
      )
      self.assertTrue(np.all(np.diff(values) <= 1e-6))

  @parameterized.parameters(
    (("--variant=zero_shot",), "zero_shot needs --images"),
    (("--images=images.npz",), "--images is for --variant=zero_shot"),
    (("--predictor=a.npz",), "--predictor is for --variant=zero_shot"),
    (
      ("--variant=zero_shot", "--images=digits", "--predictor=none.npz"),
      "none.npz",
    ),
  )
  def test_search_refuses(self, flags, message):
    """Oracle: exit code 2, one line that says what."""
    outcome = runs.run(
      *("--algorithm=ednag", f"--workdir={self.workdir}", *flags)
    )
    self.assert_refused(outcome, message)


class ReadingTest(parameterized.TestCase):
  def test_shrink(self):
    """Oracle: by hand; means of pairs of pixels, classes as large as before or
    two; what is small enough stays."""
    x = np.arange(5 * 4 * 2, dtype=np.float32).reshape(5, 4, 2, 1)
    labeled = images_lib.Labeled(x, np.asarray([0, 0, 0, 1, 1]))
    same, rows = image_files.shrink(labeled, resolution=4, num_images=5)
    np.testing.assert_array_equal(rows, np.arange(5))
    np.testing.assert_array_equal(same.x, x)
    small, rows = image_files.shrink(labeled, resolution=2, num_images=4)
    self.assertEqual(small.x.shape, (4, 2, 1, 1))
    np.testing.assert_array_equal(small.y, [0, 0, 1, 1])
    np.testing.assert_array_equal(small.y, labeled.y[rows])
    means = x[rows].mean((1, 2, 3))
    np.testing.assert_allclose(small.x.mean((1, 2, 3)), means, rtol=1e-5)
    with self.assertRaisesRegex(UsageError, "two for each of the 2 classes"):
      image_files.shrink(labeled, num_images=3)

  @pytest.mark.slow
  def test_coreset(self):
    """Oracle: one code, of the images that the library's coreset chooses."""
    folder = self.enter_context(tempfile.TemporaryDirectory())
    images = pathlib.Path(folder, "images.npz")
    arrays = write_images(images)
    predictor = pathlib.Path(folder, "predictor.npz")
    write_predictor(predictor)
    reading = predicting.read(
      str(images), SPACE, predictor=str(predictor), coreset=True
    )
    rows = predicting.coreset_lib.coreset(arrays["features"], arrays["y"])
    expected = meta.encode_images(
      reading.predictor, arrays["features"], rows[None]
    )
    np.testing.assert_allclose(reading.codes, expected, atol=1e-6)

  def test_the_shipped_predictor_knows_digits(self):
    """Oracle: the documented error; its prior was learned of them."""
    with self.assertRaisesRegex(UsageError, r"learned from.*\(digits\)"):
      predicting.read("digits", SPACE)

  def test_extractors(self):
    """Oracle: by hand; images are stretched to bytes, files lie where those of
    the user do; another width is refused before any image is read."""
    asked = []

    def means(x):
      return jnp.mean(x, axis=(1, 2))

    def find(name):
      asked.append(name)
      return extractors.Extractor("mine", 3, means)

    x = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)
    predictor = meta.MetaPredictor(SPACE, CONFIG, params(), "mine")
    with mock.patch.object(extractors, "find", find):
      features_fn = predicting.features_of(predictor, x, "a.npz", "folder")
      predicting.features_of(
        predictor._replace(extractor="small"), x, "a.npz", "folder"
      )
      wider = dataclasses.replace(CONFIG, image_size=4)
      with self.assertRaisesRegex(UsageError, "makes 3 features.*reads 4"):
        predicting.features_of(
          predictor._replace(config=wider), x, "a.npz", "folder"
        )
    expected = x[[1]].mean((1, 2)) * 255 / 23
    np.testing.assert_allclose(features_fn([1]), expected, rtol=1e-5)
    self.assertEqual(asked[:2], [os.path.join("folder", "mine.npz"), "small"])


class ComparingTest(parameterized.TestCase):
  def test_a_cell_for_several_reasons_is_trained_once(self):
    """Oracle: by hand; isomorphic cells are one."""
    resnet = SPACE.from_string(comparing.RESNET)
    twins = np.asarray([[3, 0, 0, 1, 0, 0], [3, 1, 0, 1, 0, 0]])
    chosen = comparing.candidates(
      SPACE, np.stack([twins[0], resnet, twins[1]]), rivals=True
    )
    self.assertEqual(
      [one.origins for one in chosen],
      [
        ("generated 1", "generated 3"),
        ("generated 2", "resnet"),
        ("transfer",),
      ],
    )
    random = comparing.candidates(SPACE, twins[:1], num_random=4)
    self.assertEqual(random[0].origins, ("generated 1",))
    self.assertLen({one.arch.tobytes() for one in random}, len(random))

  def test_summary(self):
    """Oracle: by hand; images to choose by choose, not those that judge."""
    rows = [
      row_of("generated 1", 80.0, 70.0),
      row_of("generated 2; transfer", 60.0, 75.0, seconds=3.0),
      row_of("generated 3", 99.0, 10.0, num_seeds=0),
      row_of("resnet", 50.0, 50.0),
      row_of("random 1", 30.0, 31.0),
      row_of("random 2", 40.0, 29.0),
    ]
    found = {line.label: line for line in comparing.summarize(rows)}
    top = found["generated, top 1"]
    self.assertEqual(top[1:], (80.0, 79.0, 81.0, 1, 1.0))
    self.assertEqual(
      found["generated, best of top 3"][1:5], (60.0, 59.0, 61.0, 3)
    )
    self.assertEqual(found["generated, best of top 3"].seconds, 5.0)
    self.assertEqual(found["random, best of 2"].mean, 30.0)
    self.assertEqual(found["random, mean of 2"].mean, 35.0)
    self.assertEqual(found["residual cell"].mean, 50.0)
    self.assertEqual(found["choice of the transfer digits"].mean, 60.0)


if __name__ == "__main__":
  absltest.main()
