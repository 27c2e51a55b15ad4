"""Tests of nagjax.convert.metad2a; values are tested with the network."""

import importlib.util
import unittest
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import metad2a
from nagjax.convert import state_dicts
from nagjax.networks import meta_predictor
from tests.convert import upstream
from tests.networks import diffusionnag_program
from tests.networks import metad2a_program as program

_HAS_TORCH = importlib.util.find_spec("torch") is not None
SMALL = meta_predictor.Config(image_size=6, code_size=8, hidden_size=5)


def small_state():
  return program.state(0, images=6, size=5, code=8)


def without(state, key):
  return {k: v for k, v in state.items() if k != key}


class PredictorParamsTest(parameterized.TestCase):
  def read(self, state, config=SMALL):
    return metad2a.predictor_params(state, "a.pt", config)

  @parameterized.parameters(
    lambda s: {f"module.{k}": v for k, v in s.items()},
    lambda s: {"model": s, "step": 3},
    lambda s: {k: v for k, v in s.items() if k.split(".")[0] != "set_fc"},
  )
  def test_forms(self, change_fn):
    """Oracle: the plain dictionary."""
    jax.tree.map(
      np.testing.assert_array_equal,
      self.read(change_fn(small_state())),
      self.read(small_state()),
    )

  @parameterized.named_parameters(
    ("missing", lambda s: without(s, "hg_unify.0.bias"), "hg_unify.0.bias"),
    (
      "backward",
      lambda s: {**s, "mapper_backward.0.weight": np.zeros((5, 12))},
      r"mapper_backward.0.weight of shape \(5, 13\), got \(5, 12\)",
    ),
    (
      "no_place",
      lambda s: {**s, "gate_forward.0.weight": np.zeros((5, 5))},
      r"a column a node\), got \(5, 5\)",
    ),
    (
      "head",
      lambda s: {**s, "pred_fc.0.weight": np.zeros((5, 12))},
      r"pred_fc.0.weight of shape \(any, 16\), got \(5, 12\)",
    ),
    ("other", lambda s: {"weight": np.zeros(3)}, "grue_forward.*got 0"),
  )
  def test_errors(self, change_fn, message):
    """Oracle: each dictionary lacks one property of the complete one."""
    with self.assertRaisesRegex(ConversionError, f"^a.pt.*{message}"):
      self.read(change_fn(small_state()))

  def test_other_widths(self):
    """Oracle: the message names the published width and the found one."""
    with self.assertRaisesRegex(
      ConversionError, r"weight_ih of shape \(1536, any\), got \(15, 7\)"
    ):
      self.read(small_state(), meta_predictor.PUBLISHED)

  def test_another_network(self):
    """Oracle: the message names the key that is missing."""
    with self.assertRaisesRegex(ConversionError, "grue_forward"):
      self.read(diffusionnag_program.gcn_state(0))


class FileTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def test_content(self):
    """Oracle: the reader of dictionaries; PyTorch's part is replaced."""
    for content in (small_state(), {"model": small_state()}):
      with mock.patch.object(
        state_dicts, "load_torch", lambda *_, found=content: found
      ):
        read = metad2a.predictor_file("a.pt", SMALL)
      jax.tree.map(
        np.testing.assert_array_equal,
        read,
        metad2a.predictor_params(small_state(), config=SMALL),
      )

  @unittest.skipUnless(_HAS_TORCH, "needs torch, the extra convert")
  def test_torch(self):
    """Oracle: the dictionary that PyTorch wrote."""
    torch = importlib.import_module("torch")
    path = self.directory / "a.pt"
    torch.save({k: torch.as_tensor(v) for k, v in small_state().items()}, path)
    jax.tree.map(
      np.testing.assert_array_equal,
      metad2a.predictor_file(path, SMALL),
      metad2a.predictor_params(small_state(), config=SMALL),
    )


if __name__ == "__main__":
  absltest.main()
