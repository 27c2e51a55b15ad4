"""Tests of the importers of published super-networks, from arrays by name.

Their names and shapes are those of the published checkpoints; with the
official programs' values nothing is compared here.
"""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from nagjax.candidates import mobilenet
from nagjax.candidates import vit
from nagjax.convert import ConversionError
from nagjax.convert import autoformer
from nagjax.convert import once_for_all
from nagjax.spaces import autoformer_counts
from nagjax.spaces import mobilenetv3_counts

SHRUNK = mobilenetv3_counts.NETWORKS["imagenet"]


def batch_norm(state, name, size, rng):
  for part in ("weight", "bias", "running_mean", "running_var"):
    state[f"{name}.{part}"] = rng.uniform(0.5, 1, size)
  state[f"{name}.num_batches_tracked"] = np.zeros(())


@functools.cache
def mobilenet_state(width=1.0, num_classes=7):
  """The names and shapes of the facts sheet, section 2.5."""
  rng = np.random.default_rng(0)
  config = mobilenet.Config(SHRUNK._replace(num_classes=num_classes), width)
  state = {}

  def conv(name, shape, wrapped=False):
    more = (".conv", ".bn") if wrapped else ("", "")
    state[f"{name}.conv{more[0]}.weight"] = rng.normal(size=shape)
    batch_norm(state, f"{name}.bn{more[1]}", shape[0], rng)

  first = config.channels(16)
  conv("first_conv", (first, 3, 3, 3))
  conv("blocks.0.conv.depth_conv", (first, 1, 3, 3))
  conv("blocks.0.conv.point_linear", (first, first, 1, 1))
  for number in range(20):
    place = config.places[number // 4 * 2 + (number % 4 > 0)]
    name = f"blocks.{number + 1}.conv"
    middle, squeezed = place.middles[-1], place.squeezed[-1]
    conv(f"{name}.inverted_bottleneck", (middle, place.inputs, 1, 1), True)
    conv(f"{name}.depth_conv", (middle, 1, 7, 7), True)
    for size, between in ((25, "7to5"), (9, "5to3")):
      key = f"{name}.depth_conv.conv.{between}_matrix"
      state[key] = rng.normal(size=(size, size))
    if place.squeezes:
      layer = f"{name}.depth_conv.se.fc"
      state[f"{layer}.reduce.weight"] = rng.normal(
        size=(squeezed, middle, 1, 1)
      )
      state[f"{layer}.reduce.bias"] = rng.normal(size=squeezed)
      state[f"{layer}.expand.weight"] = rng.normal(
        size=(middle, squeezed, 1, 1)
      )
      state[f"{layer}.expand.bias"] = rng.normal(size=middle)
    conv(f"{name}.point_linear", (place.outputs, middle, 1, 1), True)
  final, features = config.channels(960), config.num_features
  conv("final_expand_layer", (final, place.outputs, 1, 1))
  state["feature_mix_layer.conv.weight"] = rng.normal(
    size=(features, final, 1, 1)
  )
  state["classifier.linear.weight"] = rng.normal(size=(num_classes, features))
  state["classifier.linear.bias"] = rng.normal(size=num_classes)
  return {key: np.float32(value) for key, value in state.items()}


@functools.cache
def vit_state():
  """The names and shapes of the facts sheet, section 3.4."""
  rng = np.random.default_rng(0)
  net = autoformer_counts.NETWORKS["tiny"]
  width, queries, inner = 256, 256, 1024
  shapes = {
    "cls_token": (1, 1, width),
    "pos_embed": (1, 197, width),
    "patch_embed_super.proj.weight": (width, 3, 16, 16),
    "patch_embed_super.proj.bias": (width,),
    "head.weight": (5, width),
    "head.bias": (5,),
    "norm.weight": (width,),
    "norm.bias": (width,),
  }
  for number in range(net.depth):
    name = f"blocks.{number}"
    for layer, inputs, outputs in (
      ("attn.qkv", width, 3 * queries),
      ("attn.proj", queries, width),
      ("fc1", width, inner),
      ("fc2", inner, width),
    ):
      shapes[f"{name}.{layer}.weight"] = (outputs, inputs)
      shapes[f"{name}.{layer}.bias"] = (outputs,)
    for part in "kv":
      for axis in "vh":
        key = f"{name}.attn.rel_pos_embed_{part}.embeddings_table_{axis}"
        shapes[key] = (30, 64)
    for layer in ("attn_layer_norm", "ffn_layer_norm"):
      shapes[f"{name}.{layer}.weight"] = (width,)
      shapes[f"{name}.{layer}.bias"] = (width,)
  return {k: np.float32(rng.normal(size=s)) for k, s in shapes.items()}


class OnceForAllTest(parameterized.TestCase):
  @pytest.mark.slow
  def test_every_entry_is_read(self):
    """Oracle: 475 tensors at their published sizes; each lands once, as the
    numbers and sums of all entries show."""
    state = mobilenet_state()
    config, model = once_for_all.once_for_all({"state_dict": state})
    self.assertLen(state, 475)
    self.assertEqual((config.width, config.network.num_classes), (1.0, 7))
    tracked = [k for k in state if not k.endswith("num_batches_tracked")]
    leaves = jax.tree.leaves(model)
    self.assertEqual(
      sum(leaf.size for leaf in leaves), sum(state[k].size for k in tracked)
    )
    total = sum(float(np.sum(np.abs(state[k]), dtype=float)) for k in tracked)
    found = sum(float(np.sum(np.abs(leaf), dtype=float)) for leaf in leaves)
    self.assertAlmostEqual(found / total, 1, places=6)
    shapes = jax.eval_shape(
      lambda key: mobilenet.init(key, config), jax.random.key(0)
    )
    jax.tree.map(lambda a, b: self.assertEqual(a.shape, b.shape), shapes, model)

  def test_single_weights(self):
    """Oracle: written by hand for entries of every kind."""
    state = mobilenet_state()
    _, model = once_for_all.once_for_all(state)
    params, statistics = model
    stem = state["first_conv.conv.weight"]
    self.assertEqual(params.stem.weight[5, 2, 7], stem[7, 2, 1, 2])
    name = "blocks.7.conv"  # The third layer of the second stage.
    block = jax.tree.map(lambda leaf: leaf[1], params.blocks[3])
    depthwise = state[f"{name}.depth_conv.conv.conv.weight"]
    self.assertEqual(block.depthwise.weight[9, 11], depthwise[11, 0, 1, 2])
    expand = state[f"{name}.inverted_bottleneck.conv.conv.weight"]
    self.assertEqual(block.expand.weight[3, 50], expand[50, 3, 0, 0])
    matrix = state[f"{name}.depth_conv.conv.7to5_matrix"]
    np.testing.assert_array_equal(block.to_5, matrix)
    excite = state[f"{name}.depth_conv.se.fc.expand.weight"]
    self.assertEqual(block.squeeze.expand[4, 9], excite[9, 4, 0, 0])
    variance = state["blocks.5.conv.point_linear.bn.bn.running_var"]
    np.testing.assert_array_equal(
      statistics.blocks[2].project.variance, variance
    )

  def test_names_of_older_programs(self):
    """Oracle: the newest names."""
    state = mobilenet_state()
    older = {
      f"module.{key}".replace(".conv.", ".mobile_inverted_conv.", 1)
      if key.startswith("blocks")
      else f"module.{key}": value
      for key, value in state.items()
    }
    wrapped = {"state_dict": {"version": 1, "checkpoint": older}}
    expected = once_for_all.once_for_all(state)
    found = once_for_all.once_for_all(wrapped)
    self.assertEqual(found[0], expected[0])
    jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])

  @parameterized.parameters(
    ("blocks.3.conv.point_linear.conv.conv.weight", None, r"blocks\.3\..*none"),
    (
      "blocks.5.conv.depth_conv.conv.7to5_matrix",
      (9, 9),
      r"7to5_matrix of shape \(25, 25\), got \(9, 9\)",
    ),
    ("first_conv.conv.weight", (17, 3, 3, 3), "16 or 24 channels"),
    ("first_conv.conv.weight", None, "one key ending in"),
  )
  def test_other_checkpoints(self, key, shape, message):
    """Oracle: the documented error: the key, expected and found shape."""
    state = dict(mobilenet_state())
    del state[key]
    if shape is not None:
      state[key] = np.zeros(shape, np.float32)
    with self.assertRaisesRegex(ConversionError, message):
      once_for_all.once_for_all(state, "file.pth")


class AutoformerTest(parameterized.TestCase):
  def test_every_entry_is_read(self):
    """Oracle: as many numbers, and their sum; shapes of fresh weights."""
    state = vit_state()
    size, config, params = autoformer.autoformer({"model": state})
    self.assertEqual((size, config.network.num_classes), ("tiny", 5))
    leaves = jax.tree.leaves(params)
    self.assertEqual(
      sum(leaf.size for leaf in leaves), sum(v.size for v in state.values())
    )
    total = sum(float(np.sum(np.abs(v), dtype=float)) for v in state.values())
    found = sum(float(np.sum(np.abs(leaf), dtype=float)) for leaf in leaves)
    self.assertAlmostEqual(found / total, 1, places=6)
    shapes = jax.eval_shape(
      lambda key: vit.init(key, config), jax.random.key(0)
    )
    jax.tree.map(
      lambda a, b: self.assertEqual(a.shape, b.shape), shapes, params
    )

  def test_single_weights(self):
    """Oracle: rows of queries, keys and values in turn, by hand."""
    state = vit_state()
    _, _, params = autoformer.autoformer(state)
    qkv = state["blocks.3.attn.qkv.weight"]
    for part in range(3):
      for channel in (0, 1, 70):
        np.testing.assert_array_equal(
          params.layers.qkv.weight[3, part, :, channel], qkv[3 * channel + part]
        )
    bias = state["blocks.3.attn.qkv.bias"]
    np.testing.assert_array_equal(params.layers.qkv.bias[3], bias)
    patch = state["patch_embed_super.proj.weight"]
    pixel = (5 * 16 + 6) * 3 + 2
    self.assertEqual(params.patch.weight[pixel, 8], patch[8, 2, 5, 6])
    table = state["blocks.2.attn.rel_pos_embed_v.embeddings_table_h"]
    np.testing.assert_array_equal(params.layers.values.columns[2], table)

  @parameterized.parameters(
    ("blocks.3.fc1.weight", (10, 256), r"fc1.weight of shape \(1024, 256\)"),
    ("pos_embed", None, "pos_embed.*none"),
    ("patch_embed_super.proj.weight", (300, 3, 16, 16), "256, 448, 640.*300"),
  )
  def test_other_checkpoints(self, key, shape, message):
    """Oracle: the documented error: the key, expected and found shape."""
    state = dict(vit_state())
    del state[key]
    if shape is not None:
      state[key] = np.zeros(shape, np.float32)
    with self.assertRaisesRegex(ConversionError, message):
      autoformer.autoformer(state, "file.pth")


if __name__ == "__main__":
  absltest.main()
