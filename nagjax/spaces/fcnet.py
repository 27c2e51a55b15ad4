"""FCNet: two-layer regression networks and how they are trained.

Klein and Hutter, "Tabular Benchmarks for Joint Architecture and Hyperparameter
Optimization", 2019, https://arxiv.org/abs/1905.04970, table 1

The nine variables are those of `CHOICES`: activation, dropout and width of both
layers, batch size, first learning rate and its schedule. A string has all of
them, in this order: `activation_fn_1=relu,activation_fn_2=tanh,...`. Graphs and
features are those of any space, see `generic`.
"""

from collections.abc import Sequence
import functools

import numpy as np

from nagjax.spaces import base

CHOICES: dict[str, tuple[str, ...] | tuple[int, ...] | tuple[float, ...]] = {
  "activation_fn_1": ("relu", "tanh"),
  "activation_fn_2": ("relu", "tanh"),
  "batch_size": (8, 16, 32, 64),
  "dropout_1": (0.0, 0.3, 0.6),
  "dropout_2": (0.0, 0.3, 0.6),
  "init_lr": (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1),
  "lr_schedule": ("cosine", "const"),
  "n_units_1": (16, 32, 64, 128, 256, 512),
  "n_units_2": (16, 32, 64, 128, 256, 512),
}
"""Options of every variable, in the order of the published configurations."""


@functools.cache
def fcnet() -> base.SearchSpace:
  """Returns the space of all 62,208 architectures and hyper-parameters.

  Example:
    >>> fcnet().cardinalities
    (2, 2, 4, 3, 3, 6, 2, 6, 6)
  """
  return base.SearchSpace(
    name="fcnet",
    cardinalities=tuple(len(options) for options in CHOICES.values()),
    to_string=to_string,
    from_string=from_string,
  )


def to_string(arch: Sequence[int]) -> str:
  """Names one architecture by its options.

  Example:
    >>> to_string([0, 1, 3, 0, 1, 0, 0, 1, 2])[:49]
    'activation_fn_1=relu,activation_fn_2=tanh,batch_s'
  """
  pairs = zip(CHOICES.items(), arch, strict=True)
  return ",".join(f"{name}={options[k]}" for (name, options), k in pairs)


def from_string(string: str) -> np.ndarray:
  """Inverse of `to_string`, `int32[9]`.

  Raises:
    ValueError: if a variable is absent, unknown, or has another option.

  Example:
    >>> from_string(to_string([0, 1, 3, 0, 1, 0, 0, 1, 2])).tolist()
    [0, 1, 3, 0, 1, 0, 0, 1, 2]
  """
  parts = [part.partition("=") for part in string.strip().split(",")]
  if [name for name, _, _ in parts] != list(CHOICES):
    example = to_string([0] * len(CHOICES))
    raise ValueError(
      f"An architecture is written like {example!r}, got {string[:80]!r}."
    )
  arch = []
  for name, _, value in parts:
    options = [str(option) for option in CHOICES[name]]
    if value not in options:
      raise ValueError(
        f"{name} is one of {', '.join(options)}, got {value[:80]!r}."
      )
    arch.append(options.index(value))
  return np.asarray(arch, np.int32)
