"""HW-GPT-Bench: perplexity of language models, by its own predictors.

Sukthanker et al., "HW-GPT-Bench: Hardware-Aware Architecture Benchmark for
Language Models", NeurIPS 2024, https://arxiv.org/abs/2405.10299

The file is `hwgpt_ppl_surrogate.npz`; for each size `s`, `m` and `l`:

  <size>_fc<1..5>_weight      `f32[out, in]`
  <size>_fc<1..5>_bias        `f32[out]` five layers with ReLU between them
  <size>_choices              `int[4, 3]`, optional: embeddings, layers, MLP
                              ratios and heads of the space

They read an architecture as `encode` has it and predict the validation
perplexity. The objective is minus the perplexity; `params_m` and
`flops_g` are exact. There is no test metric, and a prediction has no noise.
"""

import os

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.spaces import hwgpt as space_lib
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

FILE = "hwgpt_ppl_surrogate.npz"
NUM_LAYERS = 5
NEGATIVE_PERPLEXITY = "negative_perplexity"
PARAMS = "params_m"
FLOPS = "flops_g"

VOCABULARY = 50254
CONTEXT = 1024
"""Tokens of a sequence."""
HEAD_CHANNELS = 64
"""Of every head, at every width."""


@struct.dataclass
class HwGpt(base.Computed):
  """A `Benchmark` whose answers are predictions and closed forms.

  Attributes:
    weights: of each layer of the predictor, `f32[out, in]`.
    biases: of each, `f32[out]`.
    size: a key of `nagjax.spaces.hwgpt.SIZES`.
  """

  weights: tuple[jax.Array, ...]
  biases: tuple[jax.Array, ...]
  size: str = struct.field(pytree_node=False)

  @property
  def name(self) -> str:
    """Name in the registry."""
    return f"hwgpt/{self.size}"

  @property
  def space(self) -> SearchSpace:
    """The models of this size."""
    return space_lib.hwgpt(self.size)

  @property
  def objective(self) -> str:
    """Minus the perplexity."""
    return NEGATIVE_PERPLEXITY

  @property
  def units(self) -> tuple[tuple[str, str], ...]:
    """Units of the columns that have one."""
    return ((PARAMS, "million"), (FLOPS, "GFLOPs"))

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """Predicted and counted columns at `archs`, each `f32[...]`.

    `negative_perplexity`; `params_m`, million parameters; `flops_g`, 1e9
    floating-point operations of one sequence.
    """
    choices = space_lib.SIZES[self.size]
    params, flops = count(choices, archs)
    return {
      NEGATIVE_PERPLEXITY: -self._predict(encode(choices, archs)),
      PARAMS: params,
      FLOPS: flops,
    }

  def _predict(self, features: jax.Array) -> jax.Array:
    """The perplexity, `f32[..., F] -> f32[...]`."""
    hidden = features
    layers = zip(self.weights, self.biases, strict=True)
    for layer, (weight, bias) in enumerate(layers):
      hidden = jnp.matmul(hidden, weight.T, precision="highest")
      hidden += bias.reshape((1,) * (hidden.ndim - 1) + (-1,))
      if layer < NUM_LAYERS - 1:
        hidden = jax.nn.relu(hidden)
    return hidden[..., 0]


def encode(choices: space_lib.Choices, archs: Archs) -> jax.Array:
  """What the predictor reads: one-hot options, zeros for what does not count.

  Args:
    choices: of the space.
    archs: `int32[..., 3 + 2 L]`.

  Returns:
    `f32[..., 8 + 6 L]`: embedding, layers, MLP ratios and heads of layers 1 to
    L, and biases or none.
  """
  options = jax.nn.one_hot(archs, 3, dtype=jnp.float32)
  active = space_lib.is_active(choices, archs).astype(jnp.float32)
  options *= active[..., None]
  order = (
    space_lib.EMBEDDING,
    space_lib.LAYERS,
    *range(space_lib.FIRST, archs.shape[-1]),
    space_lib.BIAS,
  )
  flat = jax.lax.collapse(options[..., order, :], options.ndim - 2)
  return flat[..., :-1]  # Biases have two options.


def count(
  choices: space_lib.Choices, archs: Archs
) -> tuple[jax.Array, jax.Array]:
  """Parameters and operations of models, in closed form.

  With E the width, V the vocabulary, T the tokens of a sequence, h_l the heads
  of layer l times their 64 channels and r_l E its inner width, matrices have
  M = 2 V E + sum_l (4 E h_l + 2 r_l E^2) weights, of which the V E of the token
  embedding are looked up; every layer has two normalizations, and there is one
  behind them, of 2 E parameters each; with biases a layer has 3 h_l + 2 E + r_l
  E parameters more. Positions are rotary. Operations are two for each multiply
  and add of a matrix with all T tokens, and 4 T^2 h_l for attention.

  Differs from the benchmark's program: it takes every parameter for a factor,
  the token embedding too, counts attention twice, and as wide as the model.

  Args:
    choices: of the space.
    archs: `int32[..., 3 + 2 L]`.

  Returns:
    Million parameters and 1e9 operations of one sequence, each `f32[...]`.
  """
  num = choices.max_layers
  first = space_lib.FIRST
  exists = space_lib.is_active(choices, archs)[..., first : first + num]
  width = jnp.asarray(choices.embeddings, jnp.int32)[
    archs[..., space_lib.EMBEDDING]
  ]
  has_bias = jnp.asarray(space_lib.BIASES)[archs[..., space_lib.BIAS]]
  ratios = jnp.asarray(choices.ratios, jnp.int32)[
    archs[..., first : first + num]
  ]
  heads = jnp.asarray(choices.heads, jnp.int32)[archs[..., first + num :]]
  ratios, heads = (jnp.where(exists, part, 0) for part in (ratios, heads))
  inner = jnp.sum(ratios, axis=-1, dtype=jnp.int32) * width
  attended = jnp.sum(heads, axis=-1, dtype=jnp.int32) * HEAD_CHANNELS
  depth = jnp.sum(exists, axis=-1, dtype=jnp.int32)
  matrices = VOCABULARY * width + 4 * width * attended + 2 * inner * width
  norms = (2 * depth + 1) * 2 * width
  biases = 3 * attended + 2 * depth * width + inner
  params = VOCABULARY * width + matrices + norms
  params += jnp.where(has_bias, biases, 0)
  flops = 2e-9 * CONTEXT * matrices.astype(jnp.float32)
  flops += 4e-9 * CONTEXT**2 * attended.astype(jnp.float32)
  return params.astype(jnp.float32) / 1e6, flops


def load_hwgpt(
  size: str, *, directory: str | os.PathLike[str] | None = None
) -> HwGpt:
  """Loads the predictor of one size as a benchmark.

  Args:
    size: "s", "m" or "l".
    directory: where the file is; see `data_directory`.

  Raises:
    FileNotFoundError: if there is no such file.
    FileError: if it is damaged, or of another space.
    ValueError: if there is no such size.
  """
  path = base.data_directory(directory) / FILE
  if size not in space_lib.SIZES:
    raise ValueError(
      f"hwgpt has the sizes {', '.join(space_lib.SIZES)}, got {size!r}."
    )
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} is not there: write the weights of HW-GPT-Bench's perplexity "
      "predictors to it as nagjax.benchmarks.hwgpt says, or name another "
      f"directory with --data_dir or {base.DATA_DIRECTORY_VARIABLE}."
    )
  choices = space_lib.SIZES[size]
  names = [f"{size}_fc{layer + 1}" for layer in range(NUM_LAYERS)]
  sizes = (8 + 6 * choices.max_layers, *"abcd", 1)
  declared = {f"{size}_choices": files.Declared("iu", (4, 3), optional=True)}
  for name, inputs, outputs in zip(names, sizes[:-1], sizes[1:], strict=True):
    declared[f"{name}_weight"] = files.Declared("f", (outputs, inputs))
    declared[f"{name}_bias"] = files.Declared("f", (outputs,))
  arrays = files.read_arrays(path, declared)
  with files.reading(path, "predictor of HW-GPT-Bench"):
    own = arrays.pop(f"{size}_choices", np.asarray(choices))
    if not np.array_equal(own, np.asarray(choices)):
      raise ValueError(f"its choices are {own.tolist()}, not {choices}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
      raise ValueError("its weights must be finite")
  found = {k: jnp.asarray(v, jnp.float32) for k, v in arrays.items()}
  return HwGpt(
    weights=tuple(found[f"{name}_weight"] for name in names),
    biases=tuple(found[f"{name}_bias"] for name in names),
    size=size,
  )


def sizes(directory: str | os.PathLike[str] | None = None) -> list[str]:
  """The sizes that can be loaded, or none if the file is absent."""
  is_there = (base.data_directory(directory) / FILE).is_file()
  return list(space_lib.SIZES) if is_there else []
