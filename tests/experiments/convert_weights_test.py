"""Tests of experiments.convert for published weights; PyTorch is replaced."""

from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from nagjax.candidates import supernet_benchmark
from nagjax.convert import autoformer
from nagjax.convert import diffusionnag
from nagjax.convert import metad2a
from nagjax.convert import once_for_all
from nagjax.convert import state_dicts
from nagjax.spaces import mobilenetv3
from nagjax.spaces import nasbench201
from nagjax.surrogates import guide_files
from nagjax.surrogates import meta
from tests.convert import supernets_test
from tests.experiments import runs
from tests.networks import diffusionnag_program
from tests.networks import metad2a_program


class ConvertWeightsTest(runs.BinaryCase):
  def _run(self, name, content):
    source = self.directory / "weights.pt"
    source.write_bytes(b"")
    self.output = self.directory / "new.npz"
    with mock.patch.object(state_dicts, "load_torch", lambda *_, **__: content):
      return runs.run_binary(
        "convert",
        f"--format={name}",
        f"--source={source}",
        f"--output={self.output}",
      )

  @parameterized.parameters(
    (nasbench201.nasbench201, (8, 7), (550.0, 95.0)),
    (mobilenetv3.mobilenetv3, (22, 29), (100.0, 0.0)),
  )
  def test_predictor(self, space, sizes, percent):
    """Oracle: the reader of dictionaries, and the published map to percent."""
    state = metad2a_program.state(0, *sizes)
    out = self.assert_succeeds(self._run("metad2a", {"model": state}))
    self.assertIn("512 features", out)
    found = meta.load(self.output, space())
    expected = meta.stack([metad2a.predictor_params(state).params])
    jax.tree.map(np.testing.assert_array_equal, found.params, expected)
    self.assertEqual((found.scale, found.offset), percent)
    self.assertEqual(found.extractor, meta.GIVEN)

  @parameterized.parameters(
    (diffusionnag_program.gcn_state, nasbench201.nasbench201),
    (diffusionnag_program.transformer_state, mobilenetv3.mobilenetv3),
  )
  def test_guide(self, state, space):
    """Oracle: the reader of dictionaries."""
    out = self.assert_succeeds(self._run("diffusionnag-guide", state(0)))
    self.assertIn(space().name, out)
    found = guide_files.load(self.output, space())
    expected = diffusionnag.surrogate_params(state(0))
    jax.tree.map(
      np.testing.assert_array_equal, (found.params, found.encoder), (*expected,)
    )

  @parameterized.parameters(
    ("once-for-all", "mobilenetv3/imagenet", 7),
    ("autoformer", "autoformer/tiny", 5),
  )
  @pytest.mark.slow
  def test_super_network(self, name, network, num_classes):
    """Oracle: the reader of dictionaries; what is printed."""
    state, read = {
      "once-for-all": (
        supernets_test.mobilenet_state(),
        lambda state: once_for_all.once_for_all(state)[-1],
      ),
      "autoformer": (
        supernets_test.vit_state(),
        lambda state: (autoformer.autoformer(state)[-1], ()),
      ),
    }[name]
    out = self.assert_succeeds(self._run(name, state))
    self.assertIn(f"{network} of width 1.0, images of 224 pixels", out)
    found = supernet_benchmark.load(self.output, name="converted")
    self.assertEqual(found.card.num_classes, num_classes)
    jax.tree.map(
      np.testing.assert_array_equal, (*found.weights,), (*read(state),)
    )

  @parameterized.named_parameters(
    ("another", "metad2a", lambda: diffusionnag_program.gcn_state(0), "grue"),
    (
      "widths",
      "metad2a",
      lambda: metad2a_program.state(0, size=5),
      "(1536, any), got (15, 7)",
    ),
    (
      "graphs",
      "metad2a",
      lambda: metad2a_program.state(0, 9, 7),
      "9 nodes of 7 types",
    ),
    (
      "guide",
      "diffusionnag-guide",
      lambda: metad2a_program.state(0),
      "gcn.0.weight1",
    ),
    (
      "labels",
      "diffusionnag-guide",
      lambda: diffusionnag_program.gcn_state(0, num_labels=6),
      "[7, 144], got [6, 144]",
    ),
  )
  def test_refusals(self, name, state, message):
    """Oracle: exit code 2, one line that names the file and what is wrong."""
    outcome = self._run(name, state())
    self.assert_refused(outcome, "weights.pt", message)
    self.assertFalse(self.output.exists())


if __name__ == "__main__":
  absltest.main()
