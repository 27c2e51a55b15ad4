"""Tests of experiments.train_generator; see also generation.pretraining."""

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
import numpy as np
import pytest

from experiments import train_generator
from nagjax import registry
from nagjax.generation import pretrained
from nagjax.spaces import nasbench_nlp
from tests.experiments import runs
from tests.networks import agnet_program


class TrainTest(runs.BinaryCase):
  @pytest.mark.slow
  def test_killed_it_continues_and_gives_the_same_weights(self):
    """Oracle: the run that nobody disturbed; its flags, in the file."""

    def flags_of(name):
      output = self.directory / f"{name}.npz"
      return (
        *("--num_instances=10", "--batch_size=2", "--checkpoint_every=2"),
        *("--num_reported=20", f"--output={output}"),
        f"--workdir={self.directory / name}",
      )

    out = self.assert_succeeds(runs.run_binary(train_generator, *flags_of("a")))
    self.assertIn("Of 20 latent vectors: reconstruction loss ", out)
    params, notes = pretrained.load(
      self.directory / "a.npz", registry.make_space("nasbench201")
    )
    self.assertEqual(params.first[0].weight.shape, (1, 64, 64))
    self.assertEqual((notes["instances"], notes["seed"]), (12, 0))
    self.assertEqual(notes["targets"], "uniform")
    self.assertIn("jax", notes["versions"])
    self.assertEqual(notes["history"][-1]["instances"], 12)
    with runs.killed_after(2):
      code, _, err = runs.run_binary(train_generator, *flags_of("b"))
    self.assertEqual(code, 130)
    self.assertIn("state after the last chunk", err)
    self.assertFalse((self.directory / "b.npz").exists())
    self.assert_succeeds(runs.run_binary(train_generator, *flags_of("b")))
    for name in (".npz", "/metrics.csv"):
      self.assertEqual(
        pathlib.Path(f"{self.directory / 'b'}{name}").read_bytes(),
        pathlib.Path(f"{self.directory / 'a'}{name}").read_bytes(),
      )
    self.assert_refused(
      runs.run_binary(train_generator, *flags_of("a")), "--overwrite"
    )
    self.assert_refused(
      runs.run_binary(
        train_generator, *flags_of("a"), "--overwrite", "--seed=1"
      ),
      "--workdir: ",
      "other settings",
    )


class RecipesTest(absltest.TestCase):
  @pytest.mark.slow
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
        code, _, err = runs.run_binary(
          train_generator,
          "--space=nasbench_nlp",
          f"--output={folder}/t.npz",
          f"--recipes={path}",
        )
        self.assertEqual((code, err.count("\n")), (2, 1), err)
        self.assertIn(message, err)


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
      return runs.run_binary(
        train_generator,
        f"--from_checkpoint={self.path}",
        f"--output={self.folder / 'out.npz'}",
        "--num_reported=20",
        *flags,
      )

  @pytest.mark.slow
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


if __name__ == "__main__":
  absltest.main()
