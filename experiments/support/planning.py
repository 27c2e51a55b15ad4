"""What `experiments.search` is asked: its flags, and the plan they make."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import textwrap
from typing import Any
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nagjax import assembling
from nagjax import files
from nagjax import options as options_lib
from nagjax import registry
from nagjax import search as search_lib
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import data_directory
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.spaces.base import SearchSpace
from nagjax.transfer import Transfer

from . import distributed
from . import fidelities
from . import flags
from . import fronts
from . import predicting
from .errors import UsageError
from .errors import user_errors

DEFAULT_ALGORITHMS = "ednag,local_search,regularized_evolution,random"
DEFAULT_BUDGET = 150

PARTS = ("surrogate", "proposer", "acquisition")
"""Of which searches with a surrogate are made."""

_BUDGET = (
  "Distinct rows that one search may read, initial design and warm start"
  f" included; by default {DEFAULT_BUDGET}, or all rows for"
  " --variant=reference, which ends by itself."
)
_OBJECTIVE = (
  "Column that is maximized, or -column; repeatable: several make a search of"
  " several objectives. The benchmark's own by default."
)
_REFERENCE = (
  "Point above which the hypervolume of several objectives counts, a number for"
  " each of their columns, such as 10,50; by default the worst feasible values"
  " of the table."
)
_WARM_START = (
  "CSV file with a column `architecture` of official strings: every search"
  " reads them first, in the place of its initial design."
)

FLAGS = (
  *flags.common(
    "benchmark",
    "data_dir",
    "overwrite",
    "set",
    "num_seeds",
    "seed_start",
    "batch_size_seeds",
    workdir="results/search",
    budget=(None, _BUDGET),
  ),
  flags.items("algorithm", DEFAULT_ALGORITHMS, "Names; see --list."),
  flags.text("variant", "", "Of every algorithm that has it."),
  *(
    flags.text(part, None, f"The {part} of all algorithms; see --list.")
    for part in PARTS
  ),
  flags.repeated(
    "transfer",
    "What was learned on other tables: a name such as digits, or a file of "
    "experiments.fit_transfer; repeatable. For searches whose surrogate is gp.",
  ),
  *flags.common(
    images=(
      None,
      "For --variant=zero_shot: `digits`, or a .npz file with x and y, which a "
      "predictor reads.",
    )
  ),
  *predicting.FLAGS,
  flags.switch(
    "joint", None, "Whether agnet ranks by objective and limits at once."
  ),
  flags.repeated("objective", _OBJECTIVE),
  flags.repeated(
    "constraint", "Limit on a column, such as 'params_m<=0.5'; repeatable."
  ),
  flags.items("reference", "", _REFERENCE),
  *fidelities.FLAGS,
  flags.path("warm_start", None, _WARM_START),
  flags.paths("merge", "Directory of a run to combine; repeatable."),
  flags.switch("list", False, "Print all names and options."),
  *distributed.FLAGS,
)


class Entry(NamedTuple):
  """One algorithm of a plan, ready to run.

  Attributes:
    algorithm, variant: names.
    search: what runs.
    sources: tables that its transfers were learned from.
    about: what a predictor of images has read, and what it is.
  """

  algorithm: str
  variant: str
  search: search_lib.Search
  sources: Sequence[str] = ()
  about: Mapping[str, Any] = {}


class Plan(NamedTuple):
  """Everything that a run needs, checked.

  Attributes:
    problem: the question.
    entries: the algorithms.
    first_seed, num_seeds: the range of seeds.
    warm_start: what every search begins with, or None.
    batch_size_seeds: searches that run at a time.
    reference: the user's point for the hypervolume, or None.
  """

  problem: Problem
  entries: list[Entry]
  first_seed: int
  num_seeds: int
  warm_start: search_lib.WarmStart | None
  batch_size_seeds: int
  reference: list[float] | None = None


def make_plan(values: flags.Values) -> Plan:
  """Checks all names and values, and builds what they name.

  Raises:
    UsageError: if any is wrong.
  """
  names, known = values.algorithm, registry.algorithm_names()
  if not names or set(names) - set(known) or len(set(names)) < len(names):
    raise UsageError(
      f"--algorithm must name some of {', '.join(known)} once each, got "
      f"{','.join(names)!r}."
    )
  variants = _variants(names, values.variant)
  options = flags.read_options(_settings(values), names)
  problem = make_problem(
    values.benchmark, values.data_dir, values.objective, values.constraint
  )
  with user_errors("--reference: "):
    exact = problem.front() if values.reference else None
    reference = fronts.reference_of(problem, exact, values.reference)
  archs = warm_start = None
  if values.warm_start is not None:
    archs = read_warm_start(values.warm_start, problem.space)
    warm_start = search_lib.WarmStart(jnp.asarray(archs))
  transfers = _transfers(values, problem)
  reading = _reading(values, variants, problem)
  lower = fidelities.of_flags(values, variants, problem)
  entries = []
  for name in names:
    variant = variants[name]
    budget = values.budget or _default_budget(variant, problem.benchmark)
    about: Mapping[str, Any] = {}
    with user_errors(f"{name}: "):
      given: dict[str, Any] = _parts(values, name, options[name])
      if (
        reading is not None
        and registry.algorithm_spec(name, variant).needs_surrogate
      ):
        about = reading.about
        # Another one by name is refused.
        given.setdefault(
          "surrogate", reading.surrogate(len(problem.constraints))
        )
      search = registry.make_search(
        name,
        problem,
        budget=budget,
        variant=variant,
        options=options[name],
        transfer=transfers or None,
        **lower[name],
        data_dir=values.data_dir,
        **given,
      )
      driver.check_budget(
        search.algorithm, problem, budget=budget, warm_start=warm_start
      )
      if archs is not None and len(archs) >= budget:
        raise ValueError(
          f"a budget of {budget} must exceed the {len(archs)} architectures of "
          "--warm_start."
        )
    entries.append(Entry(name, variant, search, _sources(transfers), about))
  return Plan(
    problem=problem,
    entries=entries,
    first_seed=values.seed_start,
    num_seeds=values.num_seeds,
    warm_start=warm_start,
    batch_size_seeds=values.batch_size_seeds,
    reference=reference,
  )


def _transfers(values: flags.Values, problem: Problem) -> tuple[Transfer, ...]:
  """The transfers of --transfer, which may serve the problem.

  Raises:
    UsageError: if one is unknown, damaged, of another space, or learned from
      the table that is searched.
  """
  with user_errors("--transfer: "):
    return assembling.find_transfers(
      values.transfer, data_directory(values.data_dir), problem
    )


def _reading(
  values: flags.Values, variants: Mapping[str, str], problem: Problem
) -> predicting.Reading | None:
  """The predictor of --predictor that has read --images, where one is needed.

  Raises:
    UsageError: if there are none, or nobody needs them.
  """
  needing = [
    name
    for name, variant in variants.items()
    if registry.algorithm_spec(name, variant).needs_surrogate
  ]
  if not needing:
    for name in ("images", "predictor", "coreset"):
      if getattr(values, name):
        raise UsageError(f"--{name} is for --variant=zero_shot.")
    return None
  if not values.images:
    raise UsageError(
      f"{needing[0]} --variant={variants[needing[0]]} needs --images, which "
      "its predictor reads."
    )
  return predicting.read(
    values.images,
    problem.space,
    predictor=values.predictor,
    coreset=values.coreset,
    data_dir=values.data_dir,
  )


def _sources(transfers: Sequence[Transfer]) -> list[str]:
  """What results say of transfers: the tables and what was read of them."""
  return [
    f"{source.name} {source.objective} {source.digest[:16]}"
    for transfer in transfers
    for source in transfer.sources
  ]


def _parts(
  values: flags.Values, name: str, options: dict[str, str]
) -> dict[str, str]:
  """Parts of an algorithm by flags, or by options, which are taken out.

  Raises:
    ValueError: if the two differ.
  """
  old = options.pop("candidates", None) if name == "diffusionnag" else None
  if old is not None:
    # Proposers have names of their own since; this one had another.
    options["proposer"] = "diffusion" if old == "guided" else old
  parts = {}
  for part in PARTS:
    flag, option = getattr(values, part), options.pop(part, None)
    if None not in (flag, option) and flag != option:
      raise ValueError(
        f"--{part}={flag} and --set={name}.{part}={option} contradict each "
        "other; leave out one."
      )
    chosen = option if flag is None else flag
    if chosen is not None:
      parts[part] = chosen
  return parts


def _settings(values: flags.Values) -> list[str]:
  """The values of --set, and the one that --joint stands for.

  Raises:
    UsageError: if agnet does not run or --set says something else.
  """
  settings = list(values.set)
  if values.joint is None:
    return settings
  if "agnet" not in values.algorithm:
    raise UsageError(
      "--joint is an option of agnet, which is not in "
      f"--algorithm={','.join(values.algorithm)}."
    )
  option, text = "agnet.joint=", str(values.joint).lower()
  for other in settings:
    if other.startswith(option) and other.lower() != option + text:
      raise UsageError(
        f"--joint and --set={other} contradict each other; leave out one."
      )
  return [*settings, option + text]


def _variants(names: Sequence[str], variant: str) -> dict[str, str]:
  """The variant of every algorithm: the one asked for where it exists."""
  has = {name: variant in registry.variant_names(name) for name in names}
  if not any(has.values()):
    known = [
      f"{name} has {other}"
      for name in registry.algorithm_names()
      for other in registry.variant_names(name)
      if other
    ]
    raise UsageError(
      f"--variant={variant}: none of {', '.join(names)} has it; "
      f"{', '.join(known)}."
    )
  return {name: variant if has[name] else "" for name in names}


def make_problem(
  name: str,
  data_dir: str | None,
  objectives: Sequence[str],
  constraints: Sequence[Any],
) -> Problem:
  """Loads a benchmark, and asks for these columns of it.

  Args:
    name: of the benchmark.
    data_dir: where its file is.
    objectives: columns to maximize; the benchmark's own if there is none.
    constraints: limits on columns: `Constraint`, or such as `params_m<=0.5`.

  Raises:
    UsageError: if a name is unknown or a file is missing.
  """
  with user_errors("--benchmark: "):
    benchmark = registry.make_benchmark(name, data_dir)
  with user_errors():
    # Those of the benchmark itself are not traded off: the first sums them up.
    own = tuple(objectives) == tuple(getattr(benchmark, "objectives", ()))
    columns = () if own else tuple(objectives)
    return Problem(benchmark, columns, tuple(constraints))


def read_warm_start(path: str, space: SearchSpace) -> np.ndarray:
  """Reads the column `architecture` of a CSV file.

  Args:
    path: the file.
    space: to which its official strings belong.

  Returns:
    `int32[P, L]`, the distinct ones in their order.

  Raises:
    UsageError: naming the file and the row at fault.
  """
  archs: dict[tuple[int, ...], None] = {}
  with user_errors("--warm_start: "):
    names, rows = files.read_csv(path)
    if "architecture" not in names:
      raise ValueError(
        f"{path}: expected a header with the column architecture, got "
        f"{','.join(names)[:80]!r}."
      )
    for number, row in enumerate(rows, 1):
      try:
        archs[tuple(space.from_string(row["architecture"]).tolist())] = None
      except ValueError as error:
        raise ValueError(f"{path}: row {number}: {error}") from error
    if not archs:
      raise ValueError(f"{path}: expected one architecture or more, got none.")
  return np.asarray(list(archs), np.int32)


def describe_warm_start(archs: np.ndarray | None) -> dict[str, Any] | None:
  """Number and SHA-256 of architectures, by which runs are compared."""
  if archs is None:
    return None
  digest = hashlib.sha256(np.asarray(archs, "<i4").tobytes()).hexdigest()
  return {"num_architectures": len(archs), "sha256": digest}


def _default_budget(variant: str, benchmark: Benchmark) -> int:
  if variant != "reference":
    return min(DEFAULT_BUDGET, benchmark.num_rows or DEFAULT_BUDGET)
  if benchmark.num_rows is None:
    raise UsageError(f"{benchmark.name} needs a --budget.")
  return benchmark.num_rows


def part_note(benchmark: Benchmark) -> str:
  """How much of its space a benchmark holds; nothing if that is all."""
  space = benchmark.space
  if space.name not in registry.space_names():
    return ""
  num = space.num_architectures
  whole = registry.make_space(space.name).num_architectures
  return "" if num == whole else f"{num:,} of {whole:,} architectures"


def print_names(data_dir: str | None) -> None:
  """Prints all names and options."""
  with user_errors("--data_dir: "):
    benchmarks = registry.benchmark_names(data_dir)
    notes = {
      name: part_note(registry.make_benchmark(name, data_dir))
      for name in benchmarks
      if registry.may_hold_a_part(name)
    }
  print(f"Spaces: {', '.join(registry.space_names())}")
  print(f"Benchmarks, with files from {data_directory(data_dir)}:")
  for name in benchmarks:
    print(f"  {name} ({notes[name]})" if notes.get(name) else f"  {name}")
  for part in PARTS:
    names = getattr(registry, f"{part}_names")()
    print(f"--{part}: {', '.join(names)}")
  print(f"  of {', '.join(registry.made_of_parts())}")
  print("Algorithms, and what --set changes:")
  for name in registry.algorithm_names():
    for variant in registry.variant_names(name):
      print(f"  {name} --variant={variant}" if variant else f"  {name}")
      config = registry.algorithm_spec(name, variant).config
      options = options_lib.leaves(config)
      if texts := [f"{option}={value}" for option, value in options]:
        filled = textwrap.fill(", ".join(texts), 74, break_long_words=False)
        print(textwrap.indent(filled, " " * 6))
