"""The published super-networks of AutoFormer, as ours.

Chen et al., "AutoFormer", ICCV 2021, https://arxiv.org/abs/2107.00651; its
files are `supernet-tiny.pth`, `supernet-small.pth` and `supernet-base.pth`.
"""

from collections.abc import Mapping
import os
from typing import Any

import jax
import jax.numpy as jnp

from nagjax.candidates import vit
from nagjax.convert.pickles import ConversionError
from nagjax.convert.state_dicts import Weights
from nagjax.convert.state_dicts import load_checkpoint
from nagjax.spaces import autoformer as space_lib
from nagjax.spaces import autoformer_counts as counts

_MARK = "patch_embed_super.proj.weight"
_PUBLISHED = ("tiny", "small", "base")
_ADVICE = "Pass a super-network of AutoFormer: tiny, small or base."


def autoformer_file(
  path: str | os.PathLike[str],
) -> tuple[str, vit.Config, vit.Params]:
  """Reads a published checkpoint; needs PyTorch.

  Returns:
    What `autoformer` makes of it.

  Raises:
    ConversionError: if PyTorch is missing or old, or the file is missing,
      damaged, or no super-network.
  """
  content = load_checkpoint(path, "a super-network of AutoFormer")
  return autoformer(content, path)


def autoformer(
  content: Mapping[str, Any], source: str | os.PathLike[str] = "state_dict"
) -> tuple[str, vit.Config, vit.Params]:
  """Reads the weights of a published super-network.

  Queries, keys and values take turns in the published rows; their bias is a
  plain slice, and stays as it is (see `vit.Layer`).

  Args:
    content: arrays (anything that NumPy reads) by their published names, or a
      dictionary with the entry `model`.
    source: what to call it in errors.

  Returns:
    The space's size, its layers, and the weights.

  Raises:
    ConversionError: naming the key, its expected and its found shape.
  """
  weights = Weights(content, source, [_MARK], advice=_ADVICE)
  width = weights.array(_MARK, None, 3, 16, 16).shape[0]
  sizes = {counts.NETWORKS[size].embedding: size for size in _PUBLISHED}
  if width not in sizes:
    raise ConversionError(
      source,
      f"an embedding of {', '.join(map(str, sizes))}",
      f"{width}",
      _ADVICE,
    )
  size = sizes[width]
  classes = weights.array("head.bias", None).shape[0]
  network = counts.NETWORKS[size]._replace(num_classes=classes)
  config = vit.Config(space_lib.SPACES[size], network)
  queries, inner = config.num_queries, config.inner

  def scale(name: str) -> vit.Scale:
    return vit.Scale(
      weights.array(f"{name}.weight", width),
      weights.array(f"{name}.bias", width),
    )

  def affine(name: str, inputs: int, outputs: int) -> vit.Affine:
    found = weights.affine(name, inputs, outputs)
    return vit.Affine(found.weight, found.bias)

  def table(name: str) -> vit.Tables:
    shape = (network.num_rows, network.head_size)
    tables = (f"{name}.embeddings_table_{axis}" for axis in "vh")
    return vit.Tables(*(weights.array(name, *shape) for name in tables))

  def layer(number: int) -> vit.Layer:
    name = f"blocks.{number}"
    qkv = affine(f"{name}.attn.qkv", width, 3 * queries)
    parts = qkv.weight.reshape(width, queries, 3).transpose(2, 0, 1)
    return vit.Layer(
      attention_norm=scale(f"{name}.attn_layer_norm"),
      qkv=vit.Affine(parts, qkv.bias),
      keys=table(f"{name}.attn.rel_pos_embed_k"),
      values=table(f"{name}.attn.rel_pos_embed_v"),
      project=affine(f"{name}.attn.proj", queries, width),
      inner_norm=scale(f"{name}.ffn_layer_norm"),
      inner=affine(f"{name}.fc1", width, inner),
      outer=affine(f"{name}.fc2", inner, width),
    )

  layers = [layer(number) for number in range(network.depth)]
  patch = weights.array(_MARK, width, 3, 16, 16).transpose(2, 3, 1, 0)
  params = vit.Params(
    patch=vit.Affine(
      patch.reshape(-1, width),
      weights.array("patch_embed_super.proj.bias", width),
    ),
    token=weights.array("cls_token", 1, 1, width)[0, 0],
    positions=weights.array("pos_embed", 1, network.num_patches + 1, width)[0],
    layers=jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers),
    norm=scale("norm"),
    head=affine("head", width, classes),
  )
  return size, config, params
