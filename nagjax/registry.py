"""Names of spaces, benchmarks and algorithms, and what they stand for.

A new algorithm, space or benchmark is one file and one line here.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import importlib
import types as python_types
from typing import Any
from typing import NamedTuple
from typing import get_type_hints

import jax

from nagjax.benchmarks import hardware
from nagjax.benchmarks import nasbench101
from nagjax.benchmarks import robustness
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular
from nagjax.benchmarks import trained
from nagjax.benchmarks.base import Benchmark
from nagjax.benchmarks.base import data_directory
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Params

TEST_ACCURACY_PREFIX = "search-on-test-accuracy:"
"""Before a benchmark's name: the search reads the test accuracy. Results do not
generalize; for the reproduction of published numbers only."""


class Search(NamedTuple):
  """An algorithm with everything that its driver needs.

  Attributes:
    algorithm: the algorithm.
    params: its hyper-parameters and weights.
    config: the resolved static options, for the record.
    num_rounds: round limit.
    on_host: whether `ask` cannot be traced: such a search runs by
      `search.run_on_host(..., jit=False)` alone.
  """

  algorithm: Algorithm
  params: Params
  config: Any
  num_rounds: int
  on_host: bool = False


class _Entry(NamedTuple):
  """Module and builder of an algorithm, and options that its name sets."""

  module: str
  builder: str
  options: Mapping[str, Any] = python_types.MappingProxyType({})


_SPACES = {
  "darts": ("nagjax.spaces.darts", "darts"),
  "mobilenetv3": ("nagjax.spaces.mobilenetv3", "mobilenetv3"),
  "nasbench101": ("nagjax.spaces.nasbench101", "nasbench101"),
  "nasbench201": ("nagjax.spaces.nasbench201", "nasbench201"),
  "nasbench_nlp": ("nagjax.spaces.nasbench_nlp", "nasbench_nlp"),
}

_ALGORITHMS = {
  ("agnet", ""): _Entry("agnet", "agnet"),
  ("agnet", "training_free"): _Entry(
    "agnet_training_free", "agnet_training_free"
  ),
  ("bananas", ""): _Entry("bananas", "bananas"),
  ("diffusionnag", ""): _Entry("diffusionnag", "diffusionnag"),
  ("diffusionnag", "pool"): _Entry("diffusionnag_pool", "diffusionnag_pool"),
  ("ednag", ""): _Entry("ednag", "ednag"),
  ("ednag", "reference"): _Entry("ednag_reference", "ednag_reference"),
  ("local_search", ""): _Entry("local_search", "local_search"),
  ("local_search_all", ""): _Entry(
    "local_search", "local_search", {"read_all": True}
  ),
  ("npenas", ""): _Entry("npenas", "npenas"),
  ("optiproxy", ""): _Entry("optiproxy", "optiproxy"),
  ("optiproxy", "reference"): _Entry(
    "optiproxy_reference", "optiproxy_reference"
  ),
  ("random", ""): _Entry("random_search", "random"),
  ("regularized_evolution", ""): _Entry(
    "regularized_evolution", "regularized_evolution"
  ),
}


def space_names() -> list[str]:
  """Names of all search spaces."""
  return sorted(_SPACES)


def algorithm_names() -> list[str]:
  """Names of all algorithms."""
  return sorted({name for name, _ in _ALGORITHMS})


def variant_names(algorithm: str) -> list[str]:
  """Names of the variants of an algorithm; "" is the default."""
  return sorted(v for name, v in _ALGORITHMS if name == algorithm)


def benchmark_names(data_dir: str | None = None) -> list[str]:
  """Names of the benchmarks that can be loaded now."""
  tables = tabular.nasbench201_data_sets(data_dir)
  has_graphs = (data_directory(data_dir) / nasbench101.FILE).is_file()
  own = trained.data_sets(data_dir)
  objective = importlib.import_module("nagjax.candidates.objective")
  return [
    trained.SHIPPED,
    "synthetic",
    *([nasbench101.NAME] if has_graphs else []),
    *(f"nasbench201/{name}" for name in tables),
    *(f"trained/{name}" for name in own),
    *surrogate.known_names(data_dir),
    *(
      f"zerocost/{score}@{space}"
      for space in objective.space_names()
      for score in objective.score_names(space)
    ),
  ]


def make_space(name: str) -> SearchSpace:
  """Returns a search space.

  Raises:
    ValueError: if there is no space of this name.
  """
  _require(name, space_names(), "space")
  module, factory = _SPACES[name]
  return getattr(importlib.import_module(module), factory)()


def make_benchmark(name: str, data_dir: str | None = None) -> Benchmark:
  """Loads a benchmark.

  Args:
    name: such as `digits` or `nasbench201/cifar10`.
    data_dir: where its file is; see `benchmarks.data_directory`.

  Raises:
    FileNotFoundError: if its file is absent.
    ValueError: if there is no benchmark of this name, or the file is damaged.
  """
  if name.startswith(TEST_ACCURACY_PREFIX):
    inner = make_benchmark(name.removeprefix(TEST_ACCURACY_PREFIX), data_dir)
    if not isinstance(inner, tabular.Tabular):
      raise ValueError(f"{inner.name} is computed and has no test column.")
    return tabular.search_on_test_accuracy(inner)
  table, _, data_set = name.partition("/")
  if name == trained.SHIPPED:
    return trained.digits()
  if name == "synthetic":
    return synthetic.synthetic()
  if table == "nasbench201" and data_set:
    accuracies = tabular.load_nasbench201(data_set, directory=data_dir)
    with_costs = hardware.with_hardware(accuracies, data_dir)
    return robustness.with_robustness(with_costs, data_dir)
  if name == nasbench101.NAME:
    return nasbench101.load_nasbench101(directory=data_dir)
  if name in surrogate.KNOWN:
    return surrogate.load_known(name, directory=data_dir)
  if table == "trained" and data_set:
    return trained.load_trained(data_set, directory=data_dir)
  if table == "zerocost" and "@" in data_set:
    objective = importlib.import_module("nagjax.candidates.objective")
    score, _, space = data_set.partition("@")
    return objective.zerocost(score, space, key=jax.random.key(0))
  known = ", ".join(benchmark_names(data_dir))
  raise ValueError(f"benchmark must be one of {known}, got {name!r}.")


def make_search(
  name: str,
  benchmark: Benchmark,
  *,
  budget: int,
  num_constraints: int = 0,
  variant: str = "",
  options: Mapping[str, Any] | None = None,
  data_dir: str | None = None,
) -> Search:
  """Builds an algorithm for a benchmark.

  Args:
    name: the algorithm.
    benchmark: what will be searched; gives the space and published presets.
    budget: queries of a search; sizes archives.
    num_constraints: limits of the problem, for algorithms that learn them.
    variant: "" or a published variant such as "reference".
    options: fields of the algorithm's Config, as values or as text.
    data_dir: where the user's own pretrained weights are; see
      `benchmarks.data_directory`.

  Returns:
    The algorithm, its params, the resolved Config, its round limit and whether
    it runs on the host.

  Raises:
    FileNotFoundError: if the algorithm needs weights that nobody trained.
    ValueError: if a name or an option is unknown or has a wrong value.
  """
  _require(name, algorithm_names(), "algorithm")
  _require(variant, variant_names(name), f"variant of {name}")
  entry = _ALGORITHMS[name, variant]
  module = importlib.import_module(f"nagjax.algorithms.{entry.module}")
  preset = getattr(module, "preset", None)
  chosen = dict(preset(benchmark.name, budget)) if preset else {}
  if "num_constraints" in {f.name for f in dataclasses.fields(module.Config)}:
    chosen["num_constraints"] = num_constraints
  chosen.update(entry.options)
  for option, value in (options or {}).items():
    if option == "num_constraints":
      raise ValueError(
        "num_constraints follows the problem's constraints; it is no option."
      )
    chosen[option] = parse_option(module.Config, name, option, value)
  config = module.Config(**chosen)
  builder: Callable[..., Algorithm] = getattr(module, entry.builder)
  space, directory = benchmark.space, data_directory(data_dir)
  params: Params = ()
  arguments: dict[str, Any] = {}
  if hasattr(module, "weights"):
    params, arguments = module.weights(space, directory)
  elif hasattr(module, "params"):
    params = module.params(space, config, directory)
  algorithm = builder(space, config, **arguments)
  rounds = getattr(module, "num_rounds", _default_rounds)
  on_host = getattr(module, "on_host", None)
  return Search(
    algorithm=algorithm,
    params=params,
    config=config,
    num_rounds=rounds(config, algorithm, budget),
    on_host=on_host is not None and on_host(config),
  )


def _default_rounds(config: Any, algorithm: Algorithm, budget: int) -> int:
  """Room for nineteen free repeats of every charged query."""
  del config
  return -(-20 * budget // algorithm.batch_size)


def _require(name: str, known: list[str], what: str) -> None:
  if name not in known:
    names = ", ".join(repr(k) if not k else k for k in known)
    raise ValueError(f"{what} must be one of {names}, got {name!r}.")


_KINDS = {
  bool: "true or false",
  float: "a number",
  int: "a whole number",
}
"""What a value of an option can be read as; any text is text."""


def parse_option(config: type, name: str, option: str, value: Any) -> Any:
  """Turns the text of an option into the type of its Config field.

  Args:
    config: the Config.
    name: of whose options it has, for errors.
    option: the field.
    value: as text; anything else is the result.

  Raises:
    ValueError: if there is no such field, or the text is no value of it.
  """
  fields = {field.name for field in dataclasses.fields(config)}
  if option not in fields:
    raise ValueError(
      f"{name} has the options {', '.join(sorted(fields))}, got {option!r}."
    )
  if not isinstance(value, str):
    return value
  hint = get_type_hints(config)[option]
  kinds = [k for k in getattr(hint, "__args__", (hint,)) if k is not type(None)]
  if value.lower() == "none" and len(kinds) < len(
    getattr(hint, "__args__", (hint,))
  ):
    return None
  kind = kinds[0]
  try:
    if kind is bool:
      return {"true": True, "false": False}[value.lower()]
    if kind in (int, float, str):
      return kind(value)
  except (KeyError, ValueError):
    raise ValueError(
      f"{name}.{option} must be {_KINDS[kind]}, got {value!r}."
    ) from None
  raise ValueError(
    f"{name}.{option} is a function; set it in Python, not as text."
  )
