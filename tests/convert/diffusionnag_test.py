"""Tests of nagjax.convert.diffusionnag; values are tested with the networks."""

import importlib.util
import sys
import types
import unittest
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from nagjax.convert import ConversionError
from nagjax.convert import diffusionnag
from nagjax.convert import state_dicts
from nagjax.networks import noisy
from nagjax.networks import score
from tests.convert import upstream
from tests.networks import diffusionnag_program as program

_HAS_TORCH = importlib.util.find_spec("torch") is not None
_STEM = "graph_encoder.encoder_f.layers.1.feed_forward.feed_forward.w_2"


def small_state(seed=0):
  return program.score_state(seed, 3, 2, 8, 4)


def checkpoint():
  """Weights of seed 0 and averages of seed 1, as the program saves them."""
  return {
    "model": small_state(0),
    "ema": {
      "decay": 0.9999,
      "num_updates": 3,
      "shadow_params": list(small_state(1).values()),
    },
    "step": 3,
  }


def without(state, key):
  return {k: v for k, v in state.items() if k != key}


class ScoreParamsTest(parameterized.TestCase):
  def assert_same(self, left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)

  @parameterized.parameters((7,), (9,))
  def test_shapes(self, num_labels):
    """Oracle: those of a network that starts afresh, of the published size."""
    params = diffusionnag.score_params(program.score_state(0, num_labels))
    init = score.score(8, num_labels, None).init
    fresh = jax.eval_shape(init, jax.random.key(0))
    self.assertEqual(
      jax.tree.map(np.shape, params), jax.tree.map(np.shape, fresh)
    )

  def test_prefix(self):
    """Oracle: the same without the prefix of parallel training."""
    state = small_state()
    self.assert_same(
      diffusionnag.score_params({f"module.{k}": v for k, v in state.items()}),
      diffusionnag.score_params(state),
    )

  @parameterized.parameters((True, 1), (False, 0))
  def test_checkpoint(self, ema, seed):
    """Oracle: the state dictionaries that the checkpoint was made of."""
    params = diffusionnag.score_params(checkpoint(), ema=ema)
    self.assert_same(params, diffusionnag.score_params(small_state(seed)))

  @parameterized.named_parameters(
    ("missing", lambda s: without(s, f"{_STEM}.bias"), f"{_STEM}.bias"),
    (
      "shape",
      lambda s: {**s, f"{_STEM}.weight": np.zeros((8, 5))},
      r"w_2.weight of shape \(8, 4\), got \(8, 5\)",
    ),
    (
      "axes",
      lambda s: {**s, "timeEmb1.weight": np.zeros(8)},
      r"timeEmb1.weight of shape \(any, 8\), got \(8,\)",
    ),
    (
      "labels",
      lambda s: {**s, "final.linears.2.weight": np.zeros((4, 32))},
      r"final.linears.2.weight of shape \(3, 32\), got \(4, 32\)",
    ),
    (
      "norms",
      lambda s: without(s, "graph_encoder.encoder_f.norms.1.weight"),
      "norms.1.weight",
    ),
    ("other", lambda s: {"weight": np.zeros(3)}, "opEmb.fc.weight, got 0"),
    (
      "two_networks",
      lambda s: {**s, **{f"other.{k}": v for k, v in s.items()}},
      "opEmb.fc.weight, got 2",
    ),
  )
  def test_errors(self, change_fn, message):
    """Oracle: each dictionary lacks one property of the complete one."""
    with self.assertRaisesRegex(ConversionError, message):
      diffusionnag.score_params(change_fn(small_state()), "a.pth")

  def test_the_weights_of_a_predictor(self):
    """Oracle: the documented error; its names include a score network's."""
    with self.assertRaisesRegex(ConversionError, "surrogate_params"):
      diffusionnag.score_params(program.transformer_state(0))

  @parameterized.named_parameters(
    ("none", None), ("few", lambda a: a[1:]), ("order", lambda a: a[::-1])
  )
  def test_averages_that_do_not_fit(self, change_fn):
    """Oracle: the error names what is wrong; without averages all is well."""
    content = checkpoint()
    if change_fn is None:
      del content["ema"]
    else:
      ema = content["ema"]
      ema["shadow_params"] = change_fn(ema["shadow_params"])
    with self.assertRaisesRegex(ConversionError, "ema"):
      diffusionnag.score_params(content)
    diffusionnag.score_params(content, ema=False)


class SurrogateParamsTest(parameterized.TestCase):
  @parameterized.parameters(
    (program.gcn_state, noisy.GcnParams),
    (program.transformer_state, noisy.TransformerParams),
  )
  def test_kind_and_errors(self, state, kind):
    """Oracle: the published names; each is needed but the unused layer's."""
    state = state(0)
    self.assertIsInstance(diffusionnag.surrogate_params(state)[0], kind)
    in_model = diffusionnag.surrogate_params({"model": state})
    self.assertIsInstance(in_model.predictor, kind)
    for key in (
      "timeEmb2.bias",
      "pred_fc.2.weight",
      "intra_setpool.enc.0.mab.fc_q.weight",
      "inter_setpool.dec.0.S",
    ):
      with self.assertRaisesRegex(ConversionError, key):
        diffusionnag.surrogate_params(without(state, key))
    changed = {**state, "pred_fc.0.weight": np.zeros((32, 7))}
    with self.assertRaisesRegex(ConversionError, r"pred_fc.0.weight.*\(32, 7"):
      diffusionnag.surrogate_params(changed)

  def test_missing_layer(self):
    """Oracle: the key of the second direction."""
    state = without(program.gcn_state(0), "gcn.3.weight2")
    with self.assertRaisesRegex(ConversionError, "gcn.3.weight2"):
      diffusionnag.surrogate_params(state)

  def test_the_weights_of_a_score_network(self):
    """Oracle: the error names the keys that are missing."""
    with self.assertRaisesRegex(ConversionError, "gcn.0.weight1 or regeress"):
      diffusionnag.surrogate_params(small_state())


class FileTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  """What is made of the content; PyTorch's part is replaced."""

  def read(self, reader, content, **kwargs):
    with mock.patch.object(state_dicts, "load_torch", lambda *_, **__: content):
      return reader("a.pth", **kwargs)

  def test_readers(self):
    """Oracle: the readers of dictionaries."""
    for ema in (True, False):
      jax.tree.map(
        np.testing.assert_array_equal,
        self.read(diffusionnag.score_file, checkpoint(), ema=ema),
        diffusionnag.score_params(checkpoint(), ema=ema),
      )
    state = program.gcn_state(0)
    jax.tree.map(
      np.testing.assert_array_equal,
      self.read(diffusionnag.surrogate_file, {"model": state}),
      diffusionnag.surrogate_params(state),
    )

  def test_no_checkpoint(self):
    """Oracle: the message names file, expected and found."""
    with self.assertRaisesRegex(ConversionError, "a.pth.*a dict, got a list"):
      self.read(diffusionnag.score_file, [])
    with self.assertRaisesRegex(ConversionError, "^a.pth.*opEmb"):
      self.read(diffusionnag.score_file, {"model": {}}, ema=False)


@unittest.skipUnless(_HAS_TORCH, "needs torch, the extra convert")
class TorchTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  @parameterized.parameters(True, False)
  def test_checkpoint(self, ema):
    """Oracle: the dictionary; the options' class is neither needed nor run."""
    torch = importlib.import_module("torch")
    content = checkpoint()
    model, ema_part = content["model"], content["ema"]
    content["model"] = {k: torch.as_tensor(v) for k, v in model.items()}
    ema_part["shadow_params"] = [
      torch.nn.Parameter(torch.as_tensor(v)) for v in ema_part["shadow_params"]
    ]
    name = "ml_collections.config_dict.config_dict"
    options_class = type("ConfigDict", (), {"__module__": name})
    content["config"] = options_class()
    content["config"].device = torch.device("cpu")
    module = types.ModuleType(name)
    module.ConfigDict = options_class
    path = self.directory / "checkpoint.pth.tar"
    parents = {p: types.ModuleType(p) for p in (name[:14], name[:26])}
    with mock.patch.dict(sys.modules, {**parents, name: module}):
      torch.save(content, path)
    jax.tree.map(
      np.testing.assert_array_equal,
      diffusionnag.score_file(path, ema=ema),
      diffusionnag.score_params(checkpoint(), ema=ema),
    )


if __name__ == "__main__":
  absltest.main()
