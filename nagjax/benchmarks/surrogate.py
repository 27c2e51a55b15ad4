"""Surrogate benchmarks: boosted trees that predict what a training would give.

`experiments.fit_surrogate` makes a file from evaluated architectures:

  feature, threshold, left, right, default_left, value, roots, base_value
                        the trees, see `trees.TreeEnsemble`
  golden_archs          `int32[G, L]` some architectures
  golden_predictions    `f32[G]` what the library that fitted the trees predicts
                        for them; compared on loading
  header                JSON: `Card`, and the static fields of the trees

A prediction has no noise and no test metric: `report` is empty. The objective
is maximised, so a loss is fitted with its sign changed.

References:
  Zela et al., "Surrogate NAS Benchmarks", ICLR 2022, section 4.
"""

from collections.abc import Callable
import dataclasses
import importlib
import json
import os
import pathlib
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import trees
from nagjax.spaces import darts
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

KIND = "nagjax surrogate"
KNOWN = {
  "nasbench301/cifar10": ("nb301_surrogate.npz", "darts"),
  "nasbench-nlp/ptb": ("nbnlp_surrogate.npz", "nasbench_nlp"),
}
"""File and space of each benchmark that has a name of its own."""

TOLERANCE = 1e-5
"""Share of the largest golden prediction by which another order of float32
additions may move one."""


def _options(space: SearchSpace, archs: Archs) -> jax.Array:
  """One-hot options of all variables, flattened."""
  return jax.lax.collapse(space.one_hot(archs), -2)


def _graph(space: SearchSpace, archs: Archs) -> jax.Array:
  """Labels and adjacency of the graph, flattened."""
  flat = [jax.lax.collapse(part, -2) for part in space.to_graph(archs)]
  return jnp.concatenate(flat, axis=-1)


def _motifs(space: SearchSpace, archs: Archs) -> jax.Array:
  """Options; counts of labels, and of edges between two labels."""
  nodes, adjacency = space.to_graph(archs)
  into = jnp.matmul(adjacency, nodes, precision="highest")
  between = jnp.matmul(jnp.swapaxes(nodes, -1, -2), into, precision="highest")
  counts = jnp.sum(nodes, axis=-2)
  parts = [_options(space, archs), counts, jax.lax.collapse(between, -2)]
  return jnp.concatenate(parts, axis=-1)


def _configspace(space: SearchSpace, archs: Archs) -> jax.Array:
  """NAS-Bench-301's encoding of DARTS cells."""
  _require_darts(space)
  return darts.to_configspace(archs)


def _cells(space: SearchSpace, archs: Archs) -> jax.Array:
  """NAS-Bench-301's encoding of DARTS cells, and counts and depths."""
  _require_darts(space)
  parts = [darts.to_configspace(archs), darts.to_statistics(archs)]
  return jnp.concatenate(parts, axis=-1)


def _require_darts(space: SearchSpace) -> None:
  if space.name != "darts":
    raise ValueError(f"the encoding is for the space darts, got {space.name}.")


ENCODINGS: dict[str, Callable[[SearchSpace, Archs], jax.Array]] = {
  "cells": _cells,
  "configspace": _configspace,
  "graph": _graph,
  "motifs": _motifs,
  "options": _options,
}
"""Feature vectors by name, `(space, int32[..., L]) -> f32[..., F]`."""


def encode(encoding: str, space: SearchSpace, archs: Archs) -> jax.Array:
  """Features of canonical architectures, so that the same have the same.

  Args:
    encoding: a key of `ENCODINGS`.
    space: the search space.
    archs: `int32[..., L]`.

  Returns:
    `f32[..., F]`.

  Raises:
    ValueError: if the encoding is for another space.
  """
  return ENCODINGS[encoding](space, space.canonicalise(archs))


@dataclasses.dataclass(frozen=True)
class Card:
  """What a surrogate predicts, from what, and how well.

  Attributes:
    space: name of the search space.
    encoding: a key of `ENCODINGS`.
    objective: name of what is predicted, maximised.
    unit: its unit.
    num_rows: architectures that the trees were fitted to.
    spearman: rank correlation with values that the fit did not see.
    kendall: the same, Kendall's tau.
    held_out: how these were held out, such as "5-fold cross-validation".
    settings: hyper-parameters of the fit, pairs of name and value.
  """

  space: str
  encoding: str
  objective: str
  unit: str
  num_rows: int
  spearman: float
  kendall: float
  held_out: str
  settings: tuple[tuple[str, Any], ...] = ()


@struct.dataclass
class TreeBenchmark:
  """A `Benchmark` whose answers are predictions of boosted trees.

  Attributes:
    ensemble: the trees.
    name: see `Benchmark`.
    space: see `Benchmark`.
    card: what they predict.
  """

  ensemble: trees.TreeEnsemble
  name: str = struct.field(pytree_node=False)
  space: SearchSpace = struct.field(pytree_node=False)
  card: Card = struct.field(pytree_node=False)

  @property
  def objective(self) -> str:
    """Name of what is predicted."""
    return self.card.objective

  @property
  def test(self) -> None:
    """There is no test metric."""
    return None

  @property
  def units(self) -> tuple[tuple[str, str], ...]:
    """The objective and its unit."""
    return ((self.card.objective, self.card.unit),)

  @property
  def num_rows(self) -> None:
    """There are no rows: every architecture of the space has an answer."""
    return None

  def identities(self, archs: Archs) -> jax.Array:
    """Keys of the space, `int32[..., L] -> uint32[..., 2]`."""
    return self.space.keys(archs)

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """The predicted objective at `archs`, `f32[...]`."""
    features = encode(self.card.encoding, self.space, archs)
    return {self.card.objective: trees.predict(self.ensemble, features)}

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """Nothing."""
    del archs
    return {}

  def architectures(self) -> None:
    """There are no rows."""
    return None


def save(
  path: str | os.PathLike[str],
  benchmark: TreeBenchmark,
  golden_archs: np.ndarray,
  golden_predictions: np.ndarray,
) -> None:
  """Writes a surrogate.

  Args:
    path: the .npz file.
    benchmark: the surrogate.
    golden_archs: `int32[G, L]` architectures, at least one.
    golden_predictions: `f32[G]` what the library that fitted the trees predicts
      for them.

  Raises:
    ValueError: if the surrogate predicts something else.
  """
  _check_golden(benchmark, golden_archs, golden_predictions)
  static: dict[str, Any] = {}
  arrays: dict[str, Any] = {}
  for field in dataclasses.fields(benchmark.ensemble):
    value = getattr(benchmark.ensemble, field.name)
    if isinstance(value, jax.Array):
      arrays[field.name] = np.asarray(value)
    else:
      static[field.name] = value
  header = {
    "kind": KIND,
    "trees": static,
    "card": dataclasses.asdict(benchmark.card),
  }
  with files.atomic_path(path) as temporary:
    np.savez_compressed(
      temporary,
      header=np.asarray(json.dumps(header)),
      golden_archs=np.asarray(golden_archs, np.int32),
      golden_predictions=np.asarray(golden_predictions, np.float32),
      **arrays,
    )


def load_surrogate(
  path: str | os.PathLike[str], *, name: str, space: SearchSpace
) -> TreeBenchmark:
  """Loads a surrogate as a benchmark.

  Args:
    path: the file.
    name: of the benchmark.
    space: its search space.

  Returns:
    A benchmark whose only column is the predicted objective.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is damaged, of another space, or does not predict what
      the library predicted that fitted it.
  """
  path = pathlib.Path(path)
  advice = (
    f"fit one with `python -m experiments.fit_surrogate --space={space.name} "
    f"--source=FILE --output={path}`"
  )
  if not path.is_file():
    raise FileNotFoundError(f"{path} is not there: {advice}.")
  try:
    arrays = files.read_arrays(path)
    header = json.loads(str(arrays["header"]))
    if header["kind"] != KIND:
      raise ValueError(f"kind {header['kind']!r}")
    card = _card(header["card"])
    if card.space != space.name:
      raise ValueError(f"it is of the space {card.space}, not {space.name}")
    if card.encoding not in ENCODINGS:
      raise ValueError(f"unknown encoding {card.encoding}")
    columns: dict[str, Any] = {
      field.name: jnp.asarray(arrays[field.name])
      for field in dataclasses.fields(trees.TreeEnsemble)
      if field.name not in header["trees"]
    }
    ensemble = trees.TreeEnsemble(**columns, **header["trees"])
    benchmark = TreeBenchmark(ensemble, name, space, card)
    golden = arrays["golden_archs"], arrays["golden_predictions"]
    _check_golden(benchmark, *golden)
  except (ValueError, LookupError, TypeError) as error:
    raise ValueError(
      f"{path} is no surrogate of experiments.fit_surrogate ({error}); "
      f"{advice}."
    ) from error
  return benchmark


def load_known(
  name: str, *, directory: str | os.PathLike[str] | None = None
) -> TreeBenchmark:
  """Loads one of the `KNOWN` surrogates from the data directory.

  Args:
    name: such as `nasbench301/cifar10`.
    directory: where its file is; see `data_directory`.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if the name is unknown or the file is damaged.
  """
  if name not in KNOWN:
    raise ValueError(
      f"A surrogate is one of {', '.join(sorted(KNOWN))}, got {name!r}."
    )
  file, space = KNOWN[name]
  module = importlib.import_module(f"nagjax.spaces.{space}")
  root = pathlib.Path(directory) if directory else base.data_directory()
  factory: Callable[[], SearchSpace] = getattr(module, space)
  return load_surrogate(root / file, name=name, space=factory())


def known_names(directory: str | os.PathLike[str] | None = None) -> list[str]:
  """Names of the `KNOWN` surrogates whose file is in the data directory."""
  root = pathlib.Path(directory) if directory else base.data_directory()
  return sorted(
    name for name, (file, _) in KNOWN.items() if (root / file).is_file()
  )


def _card(fields: dict[str, Any]) -> Card:
  """A card from JSON, which has lists for tuples."""
  settings = tuple((name, value) for name, value in fields["settings"])
  return Card(**{**fields, "settings": settings})


def _check_golden(
  benchmark: TreeBenchmark, archs: np.ndarray, predictions: np.ndarray
) -> None:
  if len(archs) == 0 or len(archs) != len(predictions):
    raise ValueError(
      f"there must be as many golden architectures as predictions, got "
      f"{len(archs)} and {len(predictions)}"
    )
  answer = benchmark.query(jnp.asarray(archs, jnp.int32))
  error = np.abs(np.asarray(answer[benchmark.objective]) - predictions)
  allowed = TOLERANCE * np.abs(predictions).max()
  if not np.all(error <= allowed):
    raise ValueError(
      f"its trees miss the golden predictions by up to {error.max():.3g}, more "
      f"than {allowed:.3g}"
    )
