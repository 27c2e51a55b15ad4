"""Names of spaces, benchmarks, algorithms and parts, and what they stand for.

A new one is one file and one line here. A user's own is one call of
`register_*`, and then reaches every algorithm, training command and binary.
Modules are imported when a name is used.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import importlib
from typing import Any
from typing import TypeVar

from nagjax import assembling
from nagjax.acquisition import Acquisition
from nagjax.algorithms.spec import PartSpec
from nagjax.algorithms.spec import Spec
from nagjax.benchmarks import base as benchmarks_base
from nagjax.benchmarks import catalog
from nagjax.benchmarks import tabular
from nagjax.benchmarks.base import Benchmark
from nagjax.problem import Problem
from nagjax.proposers.base import Proposer
from nagjax.search import Search
from nagjax.search import driver
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates.base import Surrogate

TEST_ACCURACY_PREFIX = "search-on-test-accuracy:"
"""Before a benchmark's name: the search reads the test accuracy. Results do not
generalize; for the reproduction of published numbers only."""

_Entry = TypeVar("_Entry")


# A text is `module:attribute`, imported when it is used.
_SPACES: dict[str, str | Callable[[], SearchSpace]] = {
  "autoformer/base": "nagjax.spaces.autoformer:base_size",
  **{
    f"autoformer/{size}": f"nagjax.spaces.autoformer:{size}"
    for size in ("small", "small32", "tiny")
  },
  **{f"hwgpt_{s}": f"nagjax.spaces.hwgpt:hwgpt_{s}" for s in ("s", "m", "l")},
  **{
    name: f"nagjax.spaces.{name}:{name}"
    for name in (
      *("darts", "fcnet", "mobilenetv3", "nasbench101", "nasbench201"),
      *("nasbench_nlp", "nats_size", "transnas_macro", "transnas_micro"),
    )
  },
}
_TABLES: dict[str, str | catalog.Table] = {
  "digits": "nagjax.benchmarks.catalog:DIGITS",
  "supernet": "nagjax.candidates.supernet_benchmark:TABLE",
  "synthetic": "nagjax.benchmarks.catalog:SYNTHETIC",
  **{
    name: f"nagjax.benchmarks.catalog:{name.upper().replace('-', '_')}"
    for name in (
      *("digits-epochs", "nasbench101", "nasbench201", "nasbench201-hp12"),
      *("trained", "nasbench301", "nasbench-nlp", "fcnet", "hwgpt"),
      *("nats-size", "transnas-micro", "transnas-macro"),
    )
  },
  "zerocost": "nagjax.candidates.objective:TABLE",
}
_ALGORITHMS: dict[tuple[str, str], str | Spec] = {
  ("agnet", ""): "nagjax.algorithms.agnet:SPEC",
  ("agnet", "training_free"): "nagjax.algorithms.agnet_training_free:SPEC",
  ("bananas", ""): "nagjax.algorithms.bananas:SPEC",
  ("diffusionnag", ""): "nagjax.algorithms.diffusionnag:SPEC",
  ("diffusionnag", "pool"): "nagjax.algorithms.diffusionnag:POOL",
  ("diffusionnag", "zero_shot"): "nagjax.algorithms.diffusionnag:ZERO_SHOT",
  ("ednag", ""): "nagjax.algorithms.ednag:SPEC",
  ("ednag", "reference"): "nagjax.algorithms.ednag_reference:SPEC",
  ("ednag", "zero_shot"): "nagjax.algorithms.ednag_pool:ZERO_SHOT",
  ("hyperband", ""): "nagjax.algorithms.halving:HYPERBAND",
  ("local_search", ""): "nagjax.algorithms.local_search:SPEC",
  ("local_search_all", ""): "nagjax.algorithms.local_search:READ_ALL",
  ("npenas", ""): "nagjax.algorithms.npenas:SPEC",
  ("nsga2", ""): "nagjax.algorithms.nsga2:SPEC",
  ("optiproxy", ""): "nagjax.algorithms.optiproxy:SPEC",
  ("optiproxy", "reference"): "nagjax.algorithms.optiproxy_reference:SPEC",
  ("random", ""): "nagjax.algorithms.random_search:SPEC",
  ("regularized_evolution", ""): "nagjax.algorithms.regularized_evolution:SPEC",
  ("successive_halving", ""): "nagjax.algorithms.halving:SUCCESSIVE_HALVING",
}
_SURROGATES: dict[str, str | PartSpec] = {
  name: f"nagjax.algorithms.parts:{name.upper()}"
  for name in ("gat", "gcn", "gp", "lstm", "mlp", "paths", "xgb", "xgb_rank")
}
_PROPOSERS: dict[str, str | PartSpec] = {
  name: f"nagjax.algorithms.parts:{name.upper()}"
  for name in "denoising diffusion generator gradient mutation random".split()
}
_ACQUISITIONS: dict[str, str | Acquisition] = {
  "ei": "nagjax.acquisition:expected_improvement",
  "its": "nagjax.acquisition:independent_thompson",
  "mean": "nagjax.acquisition:mean",
  "pi": "nagjax.acquisition:probability_of_improvement",
  "ts": "nagjax.acquisition:thompson",
  "ucb": "nagjax.acquisition:upper_confidence_bound",
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


def surrogate_names() -> list[str]:
  """Names of all surrogates."""
  return sorted(_SURROGATES)


def proposer_names() -> list[str]:
  """Names of all proposers."""
  return sorted(_PROPOSERS)


def acquisition_names() -> list[str]:
  """Names of all acquisitions."""
  return sorted(_ACQUISITIONS)


def benchmark_names(data_dir: str | None = None) -> list[str]:
  """Names of the benchmarks that can be loaded now."""
  return [
    name
    for table in _TABLES.values()
    for name in _loaded(table).names(data_dir)
  ]


def may_hold_a_part(name: str) -> bool:
  """Whether the file of a benchmark may hold a part of its space only."""
  table = _TABLES.get(name) or _TABLES[name.partition("/")[0]]
  return _loaded(table).holds_parts


def register_space(
  name: str, space: SearchSpace | Callable[[], SearchSpace]
) -> None:
  """Gives a space of your own a name, which must be `space.name`.

  Args:
    name: such as `my_space`.
    space: the space, or a function that makes it.

  Raises:
    ValueError: if the name is taken or the space has another.
  """
  if isinstance(space, SearchSpace):
    if space.name != name:
      raise ValueError(f"The space is called {space.name!r}, got {name!r}.")
    found = space
    _register(_SPACES, name, lambda: found, "space")
  else:
    _register(_SPACES, name, space, "space")


def register_benchmark(
  name: str, benchmark: Benchmark | Callable[[], Benchmark]
) -> None:
  """Gives a benchmark of your own a name.

  Args:
    name: such as `my_table`; `--benchmark` then takes it.
    benchmark: the benchmark, or a function that loads it.

  Raises:
    ValueError: if the name is taken, or begins like those of a table.
  """

  def load(data_dir: str | None) -> Any:
    del data_dir
    is_one = hasattr(benchmark, "query")
    return benchmark if is_one else benchmark()  # type: ignore[operator]

  if str(name).partition("/")[0] in _TABLES:
    raise ValueError(f"benchmark names like {name!r} are taken.")
  _register(_TABLES, name, catalog.single(name, load), "benchmark")


def register_algorithm(
  name: str,
  algorithm: Spec | Callable[..., Any],
  *,
  config: Any = None,
  variant: str = "",
) -> None:
  """Gives an algorithm of your own a name.

  Args:
    name: such as `my_search`.
    algorithm: a `Spec`, or a builder `(space, config) -> Algorithm`.
    config: the builder's default options, a frozen dataclass.
    variant: "" or the name of a variant.

  Raises:
    ValueError: if the name is taken, or a builder comes without options.
  """
  if not isinstance(algorithm, Spec):
    if not dataclasses.is_dataclass(config):
      raise ValueError(
        "config must be the default options of the builder, a dataclass, got "
        f"{config!r}."
      )
    algorithm = Spec(build=algorithm, config=config)
  if not name or (name, variant) in _ALGORITHMS:
    raise ValueError(
      "An algorithm needs a name and a variant that are not taken, got "
      f"{name!r} and {variant!r}."
    )
  _ALGORITHMS[name, variant] = algorithm


def register_surrogate(name: str, part: PartSpec) -> None:
  """Gives a surrogate of your own a name, for `--surrogate`.

  Raises:
    ValueError: if the name is taken.
  """
  _register(_SURROGATES, name, part, "surrogate")


def register_proposer(name: str, part: PartSpec) -> None:
  """Gives a proposer of your own a name, for `--proposer`.

  Raises:
    ValueError: if the name is taken.
  """
  _register(_PROPOSERS, name, part, "proposer")


def register_acquisition(name: str, acquisition: Acquisition) -> None:
  """Gives an acquisition of your own a name, for `--acquisition`.

  Raises:
    ValueError: if the name is taken.
  """
  _register(_ACQUISITIONS, name, acquisition, "acquisition")


def make_space(name: str) -> SearchSpace:
  """Returns a search space.

  Raises:
    ValueError: if there is no space of this name.
  """
  return _look_up(_SPACES, name, "space")()


def make_benchmark(name: str, data_dir: str | None = None) -> Benchmark:
  """Loads a benchmark.

  Args:
    name: such as `digits` or `nasbench201/cifar10`.
    data_dir: where its file is; see `benchmarks.data_directory`.

  Raises:
    FileNotFoundError: if its file is absent.
    ValueError: if there is no benchmark of this name, or the file is damaged.
  """
  name = str(name)
  if name.startswith(TEST_ACCURACY_PREFIX):
    inner = make_benchmark(name.removeprefix(TEST_ACCURACY_PREFIX), data_dir)
    if not isinstance(inner, tabular.Tabular):
      raise ValueError(f"{inner.name} is computed and has no test column.")
    return tabular.search_on_test_accuracy(inner)
  table = _TABLES.get(name) or _TABLES.get(name.partition("/")[0])
  found = None if table is None else _loaded(table).load(name, data_dir)
  if found is None:
    known = ", ".join(benchmark_names(data_dir))
    raise ValueError(f"benchmark must be one of {known}, got {name!r}.")
  return found


def algorithm_spec(name: str, variant: str = "") -> Spec:
  """What is known of an algorithm.

  Raises:
    ValueError: if there is none of this name, or no such variant.
  """
  _require(name, algorithm_names(), "algorithm")
  _require(variant, variant_names(name), f"variant of {name}")
  return _loaded(_ALGORITHMS[name, variant])


def surrogate_spec(name: str) -> PartSpec:
  """What is known of a surrogate.

  Raises:
    ValueError: if there is none of this name.
  """
  return _look_up(_SURROGATES, name, "surrogate")


def proposer_spec(name: str) -> PartSpec:
  """What is known of a proposer.

  Raises:
    ValueError: if there is none of this name.
  """
  return _look_up(_PROPOSERS, name, "proposer")


def make_search(
  name: str,
  problem: Problem,
  *,
  budget: int,
  variant: str = "",
  options: Mapping[str, Any] | None = None,
  surrogate: str | Surrogate | None = None,
  proposer: str | Proposer | None = None,
  acquisition: str | Acquisition | None = None,
  transfer: Any = None,
  fidelity: str | None = None,
  promote: int | None = None,
  data_dir: str | None = None,
) -> Search:
  """Builds an algorithm for a problem.

  Args:
    name: the algorithm.
    problem: the question; its benchmark gives the space and published presets.
    budget: queries of a search, or full evaluations; sizes archives.
    variant: "" or a published variant such as "reference".
    options: fields of its Config by dotted name; see `options.with_options`.
    surrogate, proposer, acquisition: others, by name or as a value; `options`
      of a value are set where it is made. "zero_shot" needs a surrogate so.
    transfer: a `Transfer`, a name or a file of one, or a sequence of them.
    fidelity: name of a lower one to search at, see `algorithms.low_fidelity`.
    promote: full evaluations of the best at least; half the budget if None.
    data_dir: where weights of your own are; see `benchmarks.data_directory`.

  Returns:
    The algorithm with everything that `run`, `sweep` and `run_on_host` need.

  Raises:
    FileNotFoundError: if the algorithm needs weights that nobody trained.
    ValueError: if a name or an option is unknown or has a wrong value, parts
      cannot work together, or the problem is none.

  Example:
    problem = nagjax.Problem(nagjax.make_benchmark("digits"))
    search = nagjax.make_search("ednag", problem, budget=100)
    result = nagjax.sweep(jax.random.split(jax.random.key(0), 64), search)
  """
  spec, whole = algorithm_spec(name, variant), budget
  driver.check_count("budget", budget, least=1)
  if not isinstance(problem, Problem):
    raise ValueError(
      "problem must be a Problem, such as Problem(benchmark), got a "
      f"{type(problem).__name__}."
    )
  given = dict(surrogate=surrogate, proposer=proposer, acquisition=acquisition)
  parts = {part: value for part, value in given.items() if value is not None}
  called = f"{name}{' ' + variant if variant else ''}"
  asked = parts if transfer is None else {**parts, "transfer": transfer}
  assembling.check_parts(spec, asked, called, made_of_parts)
  directory = benchmarks_base.data_directory(data_dir)
  transfers = assembling.find_transfers(transfer, directory, problem)
  if transfers and "surrogate" not in parts and spec.parts is not None:
    parts["surrogate"] = spec.parts[0]
  tables: dict[str, Mapping[str, Any]] = {
    "surrogate": _SURROGATES,
    "proposer": _PROPOSERS,
    "acquisition": _ACQUISITIONS,
  }
  resolved = {
    part: _look_up(tables[part], value, part)
    if isinstance(value, str)
    else value
    for part, value in parts.items()
  }
  if transfers:
    assembling.check_takes(
      resolved["surrogate"],
      parts["surrogate"]
      if isinstance(parts["surrogate"], str)
      else "a surrogate that is a value",
    )
  plan = assembling.plan_of(problem, fidelity, promote, budget)
  if plan is not None:
    budget = plan.num_low
  space = problem.space
  config = assembling.configured(
    spec, problem, budget, name, resolved, bool(transfers), options
  )
  arguments = assembling.built(resolved, space, config, directory, transfers)
  if spec.needs_directory:
    arguments["directory"] = directory
  algorithm = spec.build(space, config, **arguments)
  search = Search(
    algorithm=algorithm,
    params=algorithm.params,
    config=config,
    problem=problem,
    budget=budget,
    num_rounds=spec.num_rounds(config, algorithm, budget),
  )
  if plan is None:
    return search
  return assembling.at_low_fidelity(search, plan, whole)


def made_of_parts() -> list[str]:
  """Names of the algorithms whose parts can be replaced."""
  entries = _ALGORITHMS.items()
  return sorted({name for (name, _), entry in entries if _loaded(entry).parts})


def _register(table: dict, name: str, entry: Any, what: str) -> None:
  if not isinstance(name, str) or not name or name in table:
    raise ValueError(
      f"A {what} needs a name that is not taken, got {name!r}; there are "
      f"{', '.join(sorted(table))}."
    )
  table[name] = entry


def _look_up(table: Mapping[str, Any], name: str, what: str) -> Any:
  _require(name, sorted(table), what)
  return _loaded(table[name])


def _loaded(entry: str | _Entry) -> _Entry:
  """An entry, imported if it is a text."""
  if not isinstance(entry, str):
    return entry
  module, attribute = entry.split(":")
  return getattr(importlib.import_module(module), attribute)


def _require(name: str, known: list[str], what: str) -> None:
  if name not in known:
    names = ", ".join(repr(k) if not k else k for k in known)
    raise ValueError(f"{what} must be one of {names}, got {name!r}.")
