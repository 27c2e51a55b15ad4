"""Tests of experiments.train_generator."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import sys
import tempfile
import types
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from experiments import pretraining
from experiments import train_generator
from nagjax import registry
from nagjax.generation import pretrained
from nagjax.spaces import nasbench_nlp
from tests.experiments import runs
from tests.networks import agnet_program

SMALL = (
  "--num_instances=10 --batch_size=2 --checkpoint_every=2 --num_reported=20"
).split()
"""Three chunks; the last one is filled up."""


def run(*argv):
  with mock.patch.object(pretraining, "TRIAL", 20):
    return runs.run_binary(train_generator, *argv)


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
    pretraining.common, "progress", lambda: contextlib.nullcontext(report)
  ):
    yield


class TrainTest(absltest.TestCase):
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
    params, notes = pretrained.load(self.folder / "whole.npz", space)
    self.assertEqual(params.first[0].weight.shape, (1, 64, 64))
    self.assertEqual(notes["instances"], 12)
    self.assertEqual((notes["seed"], notes["targets"]), (0, "uniform"))
    self.assertIn("jax", notes["versions"])
    self.assertEqual(notes["history"][-1]["instances"], 12)
    self.assertIn("Of 20 latent vectors: reconstruction loss ", self.out)

  def test_killed_it_continues_and_gives_the_same_weights(self):
    """Oracle: the bytes of the run that nobody disturbed."""
    flags = flags_of(self.folder, "killed")
    for num_chunks in (1, 2):
      with killed_after(num_chunks):
        code, _, err = run(*flags)
      self.assertEqual(code, 130)
      self.assertIn("state after the last chunk", err)
      self.assertFalse((self.folder / "killed.npz").exists())
      with np.load(self.folder / "killed" / pretraining.STATE) as file:
        self.assertEqual(file["leaf_0000"], num_chunks)
    self.assertEqual(run(*flags)[0], 0)
    self.assertEqual(
      (self.folder / "killed.npz").read_bytes(),
      (self.folder / "whole.npz").read_bytes(),
    )

  def test_refused(self):
    """Oracle: exit code 2 and one line that says what to do."""
    flags = flags_of(self.folder, "whole")
    for more, message in (
      ((), "--overwrite"),
      (("--overwrite", "--seed=1"), "other settings"),
    ):
      code, _, err = run(*flags, *more)
      self.assertEqual((code, err.count("\n")), (2, 1), err)
      self.assertIn(message, err)

  def test_a_damaged_state(self):
    """Oracle: as above; the file is named."""
    flags = flags_of(self.folder, "damaged")
    with killed_after(1):
      run(*flags)
    path = self.folder / "damaged" / pretraining.STATE
    path.write_bytes(path.read_bytes()[:1000])
    code, _, err = run(*flags)
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertIn("--workdir", err)


class MeasureTest(absltest.TestCase):
  def test_measures(self):
    """Oracle: counted by hand: 5 of 8 valid, 3 different, 1 a target."""
    numbers = [1, 1, 2, 2, 3, 4, 4, 5]
    valid = [True] * 5 + [False] * 3
    outcome = pretraining.Outcome(
      jnp.arange(8.0),
      jnp.asarray(valid),
      jnp.asarray([[7, n] for n in numbers], jnp.uint32),
    )
    targets = common.key_numbers([[7, 2], [8, 1], [7, 5]])
    with mock.patch.object(pretraining, "decode_many", lambda *args: outcome):
      found = pretraining.measure(
        jax.random.key(0), None, None, None, 8, lambda: targets
      )
    self.assertEqual(
      found,
      {
        "num_reported": 8,
        "reconstruction_loss": 3.5,
        "validity": 0.625,
        "uniqueness": 0.6,
        "novelty": round(2 / 3, 6),
      },
    )
    self.assertRegex(
      train_generator.describe({**found, "novelty": None}),
      "loss 3.5000, validity 62.50 %, uniqueness 60.00 %, novelty n/a",
    )

  def test_targets_are_drawn_again(self):
    """Oracle: recorded draws of the training's own chunks."""
    space = registry.make_space("nasbench201")
    drawn = []

    def sample(key, num):
      archs = space.sample(key, num)
      jax.debug.callback(lambda rows: drawn.append(np.asarray(rows)), archs)
      return archs

    job = pretraining.Job(
      space, sample, None, None, jax.random.key(3), 4, 5, 2, None, {}
    )
    names = pretraining.target_names(job)
    jax.effects_barrier()
    archs = np.concatenate(drawn)
    self.assertLen(archs, 40)
    expected = {tuple(key) for key in np.asarray(space.keys(archs)).tolist()}
    found = {(int(n) >> 32, int(n) & (2**32 - 1)) for n in names}
    self.assertEqual(found, expected)
    self.assertIsNone(pretraining.target_names(job._replace(num_chunks=800)))


class RecipesTest(absltest.TestCase):
  def test_recipes(self):
    """Oracle: three recipes, one written twice, one with too many nodes."""
    cell = {
      "f": {"op": "linear", "input": ["x", "h_prev_0"]},
      "h_new_0": {"op": "activation_tanh", "input": ["f"]},
    }
    renamed = {("g" if k == "f" else k): dict(v) for k, v in cell.items()}
    renamed["h_new_0"]["input"] = ["g"]
    other = {**cell, "h_new_0": {"op": "activation_sigm", "input": ["f"]}}
    large = {**cell, "n0": {"op": "activation_tanh", "input": ["f"]}}
    for node in range(1, 21):
      source = [f"n{node - 1}"]
      large[f"n{node}"] = {"op": "activation_tanh", "input": source}
    records = [{"recepie": r} for r in (cell, renamed, other, large)]
    folder = self.enter_context(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder, "log.json")
    path.write_text(json.dumps(records))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      archs = train_generator.read_recipes(str(path))
    self.assertIn("4 records, 3 of them cells of the space, 2", out.getvalue())
    ops = [nasbench_nlp.to_recipe(arch)["h_new_0"]["op"] for arch in archs]
    self.assertEqual(ops, ["activation_tanh", "activation_sigm"])


class CheckpointTest(parameterized.TestCase):
  """PyTorch's part is replaced."""

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    )
    self.path = self.folder / "best.model"
    self.path.write_bytes(b"published")

  def convert(self, content, *flags):
    torch = types.SimpleNamespace(
      __version__="2.6.0",
      load=lambda path, map_location, weights_only: content,
      serialization=types.SimpleNamespace(
        get_safe_globals=list,
        safe_globals=lambda names: contextlib.nullcontext(),
      ),
    )
    with mock.patch.dict(sys.modules, torch=content and torch):
      return run(
        f"--from_checkpoint={self.path}",
        f"--output={self.folder / 'out.npz'}",
        "--num_reported=20",
        *flags,
      )

  def test_a_published_generator(self):
    """Oracle: the same dictionary, read without a file."""
    state = agnet_program.state_dict(1, 7, 2)
    code, out, err = self.convert(state)
    self.assertEqual(code, 0, err)
    self.assertIn("novelty n/a", out)
    space = registry.make_space("nasbench201")
    params, notes = pretrained.load(self.folder / "out.npz", space)
    expected = agnet_program.params(state)
    for a, b in zip(
      jax.tree.leaves(params), jax.tree.leaves(expected), strict=True
    ):
      np.testing.assert_array_equal(a, b[None])
    self.assertEqual(notes["from_checkpoint"], "best.model")
    digest = hashlib.sha256(b"published").hexdigest()
    self.assertEqual(notes["sha256"], digest)

  @parameterized.named_parameters(
    ("no_torch", None, "pip install 'nagjax[convert]'"),
    ("no_dict", [1], "the content to be a dict"),
    ("no_generator", {"a": np.zeros(2), 3: 4}, "AG-Net generator"),
    ("another_space", agnet_program.state_dict(1, 5, 2), "of nasbench201"),
  )
  def test_refused(self, content, message):
    """Oracle: exit code 2, one line, nothing written."""
    code, _, err = self.convert(content)
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertIn(message, err)
    self.assertEqual(os.listdir(self.folder), ["best.model"])


class RefusedTest(parameterized.TestCase):
  @parameterized.parameters(
    ("--space=other", "space must be"),
    ("--output=weights.csv", "npz"),
    ("--recipes=log.json", "nasbench_nlp"),
    ("--learning_rate=0", "learning_rate"),
    ("--num_instances=0", "num_instances"),
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

  def test_bad_recipes(self):
    """Oracle: as above."""
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, "log.json")
      for content, message in (
        (None, "log.json"),
        ("{", "--recipes"),
        ("{}", "list of records"),
        ('[{"recepie": {}}, 3]', "no recipe"),
      ):
        if content is not None:
          path.write_text(content)
        code, _, err = run(
          "--space=nasbench_nlp",
          f"--output={folder}/t.npz",
          f"--recipes={path}",
        )
        self.assertEqual((code, err.count("\n")), (2, 1), err)
        self.assertIn(message, err)


if __name__ == "__main__":
  absltest.main()
