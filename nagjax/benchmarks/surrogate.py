"""Surrogate benchmarks: boosted trees that predict what a training would give.

`experiments.fit_surrogate` makes a file from evaluated architectures, and
`experiments.convert` one from boosted trees that others have fitted:

  feature, threshold, left, right, default_left, value, roots, base_value
                        the trees, see `trees.TreeEnsemble`
  golden_archs          `int32[G, L]` some architectures
  golden_predictions    `f32[G]` what the library that fitted the trees predicts
                        for them; compared on loading. `G = 0` for converted
                        trees, whose library was not there to be asked
  header                JSON: `Card`, and the static fields of the trees

A prediction has no noise and no test metric: `report` is empty. The objective
is maximized, so a loss is fitted with its sign changed.

References:
  Zela et al., "Surrogate NAS Benchmarks", ICLR 2022, section 4.
"""

from collections.abc import Callable
import dataclasses
import importlib
import os
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nagjax import files
from nagjax.benchmarks import base
from nagjax.benchmarks import columns
from nagjax.benchmarks import trees
from nagjax.benchmarks.encodings import ENCODINGS
from nagjax.benchmarks.encodings import encode
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

KIND = "nagjax surrogate"
KNOWN = {
  "nasbench301/cifar10": ("nb301_surrogate.npz", "darts"),
  "nasbench-nlp/ptb": ("nbnlp_surrogate.npz", "nasbench_nlp"),
}
"""File and space of each benchmark that has a name of its own."""

MAX_BYTES = 1 << 30
"""What a file may unpack to."""

TOLERANCE = 1e-5
"""Share of the largest golden prediction by which another order of float32
additions may move one."""


MAX_UNIT = 40
"""Characters of a unit."""


@dataclasses.dataclass(frozen=True)
class Card:
  """What a surrogate predicts, from what, and how well.

  Attributes:
    space: name of the search space.
    encoding: a key of `ENCODINGS`.
    objective: name of what is predicted, maximized.
    unit: its unit.
    num_rows: architectures that the trees were fitted to; this and the next
      three are None if nothing was measured, as with converted trees.
    spearman: rank correlation with values that the fit did not see.
    kendall: the same, Kendall's tau.
    held_out: how these were held out, such as "5-fold cross-validation".
    settings: hyper-parameters of the fit, pairs of name and value.
  """

  space: str
  encoding: str
  objective: str
  unit: str
  num_rows: int | None
  spearman: float | None
  kendall: float | None
  held_out: str | None
  settings: tuple[tuple[str, Any], ...] = ()

  def __post_init__(self) -> None:
    check_predicted(self.objective, self.unit)


def check_predicted(objective: str, unit: str) -> None:
  """Checks the words that reports show of what is predicted.

  Raises:
    ValueError: if the objective is no name of a column, or the unit no short
      text of one line.
  """
  if not columns.NAME.fullmatch(str(objective)):
    raise ValueError(
      "the objective must be a name of letters, digits and _, got "
      f"{files.one_line(repr(objective))}."
    )
  if not str(unit).isprintable() or len(str(unit)) > MAX_UNIT:
    raise ValueError(
      f"the unit must be one line of at most {MAX_UNIT} characters, got "
      f"{files.one_line(repr(unit))}."
    )


@struct.dataclass
class TreeBenchmark(base.Computed):
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
  def units(self) -> tuple[tuple[str, str], ...]:
    """The objective and its unit."""
    return ((self.card.objective, self.card.unit),)

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """The predicted objective at `archs`, `f32[...]`."""
    features = encode(self.card.encoding, self.space, archs)
    return {self.card.objective: trees.predict(self.ensemble, features)}


def save(
  path: str | os.PathLike[str],
  benchmark: TreeBenchmark,
  golden_archs: ArrayLike = (),
  golden_predictions: ArrayLike = (),
) -> None:
  """Writes a surrogate.

  Args:
    path: the .npz file.
    benchmark: the surrogate.
    golden_archs: `int32[G, L]` architectures, at least one unless the card says
      that nothing was measured.
    golden_predictions: `f32[G]` what the library that fitted the trees predicts
      for them.

  Raises:
    ValueError: if the surrogate predicts something else.
  """
  shape = (-1, benchmark.space.num_variables)
  archs = np.asarray(golden_archs, np.int32).reshape(shape)
  predictions = np.asarray(golden_predictions, np.float32)
  _check_golden(benchmark, archs, predictions)
  fields = {
    field.name: getattr(benchmark.ensemble, field.name)
    for field in dataclasses.fields(benchmark.ensemble)
  }
  header = {
    "kind": KIND,
    "trees": {name: fields.pop(name) for name in trees.STATIC},
    "card": dataclasses.asdict(benchmark.card),
  }
  golden = {"golden_archs": archs, "golden_predictions": predictions}
  files.write_record(path, {**golden, **fields}, header, compress=True)


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
    FileError: if it is damaged, of another space, or does not predict what the
      library predicted that fitted it.
  """
  path = files.expand(path)
  advice = (
    f"fit one with `python -m experiments.fit_surrogate --space={space.name} "
    f"--source=FILE --output={path}`, or convert fitted trees, see `python -m "
    "experiments.convert --help`"
  )
  if not path.is_file():
    raise FileNotFoundError(f"{path} is not there: {advice}.")
  try:
    with files.reading(path, KIND):
      declared = {**trees.DECLARED, **_golden(space.num_variables)}
      arrays, header = files.read_record(
        path, declared, kind=KIND, max_bytes=MAX_BYTES
      )
      card = _card(header["card"])
      if card.space != space.name:
        raise ValueError(f"it is of the space {card.space}, not {space.name}")
      if card.encoding not in ENCODINGS:
        raise ValueError(f"unknown encoding {card.encoding}")
      golden = [arrays.pop(key) for key in _golden(space.num_variables)]
      ensemble = trees.from_arrays(arrays, header["trees"])
      benchmark = TreeBenchmark(ensemble, name, space, card)
      _check_golden(benchmark, *golden)
  except files.FileError as error:
    raise files.FileError(f"{error} It is no surrogate; {advice}.") from error
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
    FileError: as `load_surrogate`.
    ValueError: if the name is unknown.
  """
  if name not in KNOWN:
    raise ValueError(
      f"A surrogate is one of {', '.join(sorted(KNOWN))}, got {name!r}."
    )
  file, space = KNOWN[name]
  module = importlib.import_module(f"nagjax.spaces.{space}")
  root = base.data_directory(directory)
  factory: Callable[[], SearchSpace] = getattr(module, space)
  return load_surrogate(root / file, name=name, space=factory())


def known_names(directory: str | os.PathLike[str] | None = None) -> list[str]:
  """Names of the `KNOWN` surrogates whose file is in the data directory."""
  root = base.data_directory(directory)
  return sorted(
    name for name, (file, _) in KNOWN.items() if (root / file).is_file()
  )


def _golden(num_variables: int) -> dict[str, files.Declared]:
  """What the golden predictions of a file must be."""
  return {
    "golden_archs": files.Declared("iu", ("golden", num_variables)),
    "golden_predictions": files.Declared("f", ("golden",)),
  }


def _card(fields: dict[str, Any]) -> Card:
  """A card from JSON, which has lists for tuples."""
  settings = tuple((name, value) for name, value in fields["settings"])
  return Card(**{**fields, "settings": settings})


def _check_golden(
  benchmark: TreeBenchmark, archs: np.ndarray, predictions: np.ndarray
) -> None:
  # Raises if the trees read other features, also of no architectures.
  answer = benchmark.query(jnp.asarray(archs, jnp.int32))
  measured = benchmark.card.spearman is not None
  if not measured and len(archs) == len(predictions) == 0:
    return
  if len(archs) == 0 or len(archs) != len(predictions):
    raise ValueError(
      f"there must be as many golden architectures as predictions, got "
      f"{len(archs)} and {len(predictions)}"
    )
  error = np.abs(np.asarray(answer[benchmark.objective]) - predictions)
  allowed = TOLERANCE * np.abs(predictions).max()
  if not np.all(error <= allowed):
    raise ValueError(
      f"its trees miss the golden predictions by up to {error.max():.3g}, more "
      f"than {allowed:.3g}"
    )
