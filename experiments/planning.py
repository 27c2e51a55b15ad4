"""What `experiments.search` is asked: its flags, and the plan they make."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
import textwrap
from typing import Any
from typing import NamedTuple

from absl import flags
import jax.numpy as jnp

from experiments import common
from experiments import train_top
from nagjax import registry
from nagjax import search as search_lib
from nagjax.algorithms import agnet_steps
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import data_directory
from nagjax.benchmarks import trained
from nagjax.problem import Constraint
from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.search import sweeping

DEFAULT_ALGORITHMS = "ednag,local_search,regularized_evolution,random"
DEFAULT_BUDGET = 150
_LARGEST = 10_000_000
"""Of every number of seeds or queries."""

_SET = "Option such as ednag.population_size=20; repeatable."
_CONSTRAINT = "Limit on a column, such as 'params_m<=0.5'; repeatable."
_PRIOR = (
  "CSV file with a column `architecture` of official strings: every search"
  " reads them first, in the place of its initial design."
)
_CACHE = "Where compiled programs are kept between runs."
_BUDGET = (
  "Distinct rows that one search may read, initial design and prior included;"
  f" by default {DEFAULT_BUDGET}, or all rows for --variant=reference, which"
  " ends by itself."
)
_BATCH = "Searches at a time; bounds the memory and changes no result."
_PRESET = "Network and recipe of --train_top."
_SURROGATE = "What agnet learns from, as --set=agnet.surrogate."
_JOINT = "Whether agnet ranks by objective and limits, as --set=agnet.joint."


class Entry(NamedTuple):
  """One algorithm of a plan, ready to run."""

  algorithm: str
  variant: str
  search: registry.Search
  budget: int


class Plan(NamedTuple):
  """Everything that a run needs, checked.

  Attributes:
    problem: the question.
    entries: the algorithms.
    first_seed, num_seeds: the range of seeds.
    prior: what every search begins with, or None.
    batch_size_seeds: searches that run at a time.
  """

  problem: Problem
  entries: list[Entry]
  first_seed: int
  num_seeds: int
  prior: search_lib.Prior | None
  batch_size_seeds: int


def define_flags() -> flags.FlagValues:
  """This binary's flags, apart from those of other binaries in the process."""
  values = flags.FlagValues()
  plain: list[tuple[Callable, str, Any, str]] = [
    (flags.DEFINE_list, "algorithm", DEFAULT_ALGORITHMS, "Names; see --list."),
    (flags.DEFINE_string, "variant", "", "Of every algorithm that has it."),
    (flags.DEFINE_multi_string, "set", [], _SET),
    (flags.DEFINE_boolean, "joint", None, _JOINT),
    (flags.DEFINE_string, "benchmark", trained.SHIPPED, "Name; see --list."),
    (flags.DEFINE_string, "data_dir", None, "Where benchmark files are."),
    (flags.DEFINE_multi_string, "constraint", [], _CONSTRAINT),
    (flags.DEFINE_string, "prior", None, _PRIOR),
    (flags.DEFINE_string, "workdir", "results/search", "For the results."),
    (flags.DEFINE_boolean, "overwrite", False, "Replace results there."),
    (flags.DEFINE_list, "merge", [], "Directories of runs to combine."),
    (flags.DEFINE_string, "images", None, "For --train_top; digits or .npz."),
    (flags.DEFINE_string, "compilation_cache_dir", None, _CACHE),
    (flags.DEFINE_boolean, "list", False, "Print all names and options."),
    (flags.DEFINE_boolean, "help", False, "Print this text."),
  ]
  for define_fn, name, default, text in plain:
    define_fn(name, default, text, flag_values=values)
  integers: list[tuple[str, int, int | None, str]] = [
    ("num_seeds", 1, 200, "Number of searches of every algorithm."),
    ("seed_start", 0, 0, "The first seed."),
    ("budget", 1, None, _BUDGET),
    ("train_top", 0, 0, "Then train so many of the best cells on --images."),
    ("batch_size_seeds", 1, sweeping.DEFAULT_BATCH_SIZE, _BATCH),
  ]
  enums: list[tuple[str, str | None, Sequence[str], str]] = [
    ("train_preset", "small", list(train_top.PRESETS), _PRESET),
    ("surrogate", None, agnet_steps.SURROGATES, _SURROGATE),
  ]
  for name, choice, choices, text in enums:
    flags.DEFINE_enum(name, choice, choices, text, flag_values=values)
  for name, lowest, number, text in integers:
    flags.DEFINE_integer(
      name, number, text, lowest, _LARGEST, flag_values=values
    )
  return values


def make_plan(values: flags.FlagValues) -> Plan:
  """Checks all names and values, and builds what they name.

  Raises:
    UsageError: if any is wrong.
  """
  names, known = values.algorithm, registry.algorithm_names()
  if not names or set(names) - set(known) or len(set(names)) < len(names):
    raise common.UsageError(
      f"--algorithm must name some of {', '.join(known)} once each, got "
      f"{','.join(names)!r}."
    )
  variants = _variants(names, values.variant)
  options = common.read_options(_settings(values, variants), names)
  problem = make_problem(values.benchmark, values.data_dir, values.constraint)
  prior = None
  if values.prior is not None:
    archs = common.read_prior(values.prior, problem.space)
    prior = search_lib.Prior(jnp.asarray(archs))
  entries = []
  for name in names:
    variant = variants[name]
    budget = values.budget or _default_budget(variant, problem.benchmark)
    with common.user_errors(f"{name}: "):
      found = registry.make_search(
        name,
        problem.benchmark,
        budget=budget,
        num_constraints=len(problem.constraints),
        variant=variant,
        options=options[name],
        data_dir=values.data_dir,
      )
      driver.validate_budget(
        found.algorithm, problem, budget=budget, prior=prior
      )
      if prior is not None and len(prior.archs) >= budget:
        raise ValueError(
          f"a budget of {budget} must exceed the {len(prior.archs)} "
          "architectures of --prior."
        )
    entries.append(Entry(name, variant, found, budget))
  return Plan(
    problem=problem,
    entries=entries,
    first_seed=values.seed_start,
    num_seeds=values.num_seeds,
    prior=prior,
    batch_size_seeds=values.batch_size_seeds,
  )


def _settings(
  values: flags.FlagValues, variants: Mapping[str, str]
) -> list[str]:
  """The values of --set, and those that flags of one algorithm stand for.

  Raises:
    UsageError: if the algorithm does not run or --set says something else.
  """
  settings = list(values.set)
  for name in ("surrogate", "joint"):
    if values[name].value is None:
      continue
    option, text = f"agnet.{name}=", str(values[name].value).lower()
    if "agnet" not in values.algorithm:
      raise common.UsageError(
        f"--{name} is an option of agnet, which is not in "
        f"--algorithm={','.join(values.algorithm)}."
      )
    if variants["agnet"]:
      raise common.UsageError(
        f"--{name} is an option of AG-Net's own search, not of "
        f"--variant={variants['agnet']}."
      )
    for other in values.set:
      if other.startswith(option) and other.lower() != option + text:
        raise common.UsageError(
          f"--{name} and --set={other} contradict each other; leave out one."
        )
    settings.append(option + text)
  return settings


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
    raise common.UsageError(
      f"--variant={variant}: none of {', '.join(names)} has it; "
      f"{', '.join(known)}."
    )
  return {name: variant if has[name] else "" for name in names}


def make_problem(
  name: str, data_dir: str | None, constraints: Sequence[str]
) -> Problem:
  with common.user_errors("--benchmark: "):
    benchmark = registry.make_benchmark(name, data_dir)
  with common.user_errors("--constraint: "):
    limits = tuple(Constraint.parse(text) for text in constraints)
    for limit, text in zip(limits, constraints, strict=True):
      if not math.isfinite(limit.limit):
        raise ValueError(f"a limit must be finite, got {text!r}.")
    # A training-free benchmark may have several; the first sums them up.
    several = getattr(benchmark, "objectives", ())
    return Problem(benchmark, several, limits).validate()


def _default_budget(variant: str, benchmark: Benchmark) -> int:
  if variant != "reference":
    return min(DEFAULT_BUDGET, benchmark.num_rows or DEFAULT_BUDGET)
  if benchmark.num_rows is None:
    raise common.UsageError(f"{benchmark.name} needs a --budget.")
  return benchmark.num_rows


def print_names(data_dir: str | None) -> None:
  """Prints all names and options."""
  with common.user_errors("--data_dir: "):
    benchmarks = registry.benchmark_names(data_dir)
    searches = _every_search(data_dir)
  print(f"Spaces: {', '.join(registry.space_names())}")
  print(f"Benchmarks, with files from {data_directory(data_dir)}:")
  for name in benchmarks:
    print(f"  {name}")
  print("Algorithms, and what --set changes:")
  for title, config in searches:
    print(f"  {title}")
    options = common.describe_config(config).items()
    text = ", ".join(f"{option}={value}" for option, value in options)
    if text:
      print(textwrap.indent(textwrap.fill(text, 74), " " * 6))


def _every_search(data_dir: str | None) -> list[tuple[str, Any]]:
  """Algorithms and their variants, with the Config of each on `synthetic`."""
  benchmark = registry.make_benchmark("synthetic")
  searches = []
  for name in registry.algorithm_names():
    for variant in registry.variant_names(name):
      found = registry.make_search(
        name,
        benchmark,
        budget=DEFAULT_BUDGET,
        variant=variant,
        data_dir=data_dir,
      )
      title = f"{name} --variant={variant}" if variant else name
      searches.append((title, found.config))
  return searches
