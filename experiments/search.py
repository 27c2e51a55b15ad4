"""Runs searches over many seeds and writes what they found.

  python -m experiments.search --algorithm=ednag,local_search \\
    --benchmark=nasbench201/cifar10 --num_seeds=1000 --budget=200 \\
    --workdir=results/cifar10

Writes into --workdir:
  summary.json       a list, one object for each algorithm; null is unknown
  trace.npz          every evaluation, [seed, round, slot, ...]: archs, status,
                     objective, test, feasible, paid; charged, [seed, round].
                     With several algorithms the names are local_search/archs,
                     ednag:reference/archs and so on
  architectures.csv  the best distinct architectures; also a valid --prior
  curve.png, and pareto.png where there are constraints

The seeds are numbered; --seed_start and --num_seeds choose a range of them, and
--merge combines runs of disjoint ranges into the run of all their seeds.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import hashlib
import math
import pathlib
import textwrap
from typing import Any
from typing import NamedTuple

from absl import flags
import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from experiments import plots
from experiments import results
from experiments import train_top
from nagjax import registry
from nagjax import search as search_lib
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import data_directory
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
  f" by default {DEFAULT_BUDGET}, or all rows for a variant, which ends by"
  " itself."
)
_BATCH = "Searches at a time; bounds the memory and changes no result."
_PRESET = "Network and recipe of --train_top."
_MERGE_FLAGS = (
  "merge workdir overwrite data_dir compilation_cache_dir"
  " train_top images train_preset"
).split()
"""Flags that have a meaning beside --merge."""


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


def main(argv: Sequence[str]) -> int:
  """Runs the binary.

  Args:
    argv: the command line, program name first.

  Returns:
    The exit code.
  """
  return common.run_main(lambda: _run(argv), written="no summary")


def _run(argv: Sequence[str]) -> None:
  values = _define_flags()
  if common.read_flags(values, argv, __doc__):
    return
  if values.list:
    _print_names(values.data_dir)
    return
  common.require_extra("rich", "matplotlib")
  devices = common.start_jax(values.compilation_cache_dir)
  workdir = pathlib.Path(values.workdir)
  make_task = functools.partial(
    train_top.make_task,
    num=values.train_top,
    images=values.images,
    preset=values.train_preset,
  )
  names = [*results.FILES, train_top.TRAINED]
  prepare = functools.partial(common.prepare_workdir, workdir, names)
  if values.merge:
    problem, runs = _merge(values)
    task = make_task(problem.space)
    prepare(overwrite=values.overwrite)
  else:
    plan = make_plan(values)
    problem = plan.problem
    task = make_task(problem.space)
    prepare(overwrite=values.overwrite)
    runs = run_plan(plan, devices)
  founds = _write(workdir, problem, runs)
  if task is not None:
    archs = train_top.best_distinct(founds, problem.space)
    train_top.train_top(task, problem.space, archs, workdir)


def _define_flags() -> flags.FlagValues:
  """This binary's flags, apart from those of other binaries in the process."""
  values = flags.FlagValues()
  plain: list[tuple[Callable, str, Any, str]] = [
    (flags.DEFINE_list, "algorithm", DEFAULT_ALGORITHMS, "Names; see --list."),
    (flags.DEFINE_string, "variant", "", "Of every algorithm that has it."),
    (flags.DEFINE_multi_string, "set", [], _SET),
    (flags.DEFINE_string, "benchmark", "synthetic", "Name; see --list."),
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
  flags.DEFINE_enum(
    "train_preset",
    "small",
    list(train_top.PRESETS),
    _PRESET,
    flag_values=values,
  )
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
  options = common.read_options(values.set, names)
  problem = _make_problem(values.benchmark, values.data_dir, values.constraint)
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


def run_plan(
  plan: Plan, devices: Sequence[jax.Device]
) -> list[tuple[results.Record, search_lib.Trace]]:
  """Runs every algorithm of a plan.

  Seed `i` has the key `split(key(0), n)[i]` for every `n > i`.

  Args:
    plan: what to run.
    devices: the devices, for the record.

  Returns:
    Record and trace of each algorithm.
  """
  end = plan.first_seed + plan.num_seeds
  keys = jax.random.split(jax.random.key(0), end)[plan.first_seed :]
  runs = []
  advice = f"lower --batch_size_seeds below {plan.batch_size_seeds}"
  with common.memory_errors(advice), common.progress() as report:
    for entry in plan.entries:
      name = results.full_name(entry.algorithm, entry.variant)
      report(name, None)
      sweep = search_lib.sweep(
        keys,
        entry.search.algorithm,
        plan.problem,
        entry.search.params,
        budget=entry.budget,
        num_rounds=entry.search.num_rounds,
        prior=plan.prior,
        batch_size_seeds=plan.batch_size_seeds,
        on_progress=functools.partial(report, name),
      )
      record = results.Record(
        algorithm=entry.algorithm,
        variant=entry.variant,
        benchmark=plan.problem.benchmark.name,
        objective=plots.with_unit(
          plan.problem, plan.problem.objective_names[0]
        ),
        constraint=_constraint_text(plan.problem),
        budget=entry.budget,
        config=common.describe_config(entry.search.config),
        prior=_describe_prior(plan.prior),
        seed_ranges=[[plan.first_seed, end]],
        compile_seconds=sweep.compile_seconds,
        run_seconds=sweep.run_seconds,
        peak_memory_mb=common.peak_memory_mb(devices),
        versions=common.versions(),
        device=common.describe_devices(devices),
      )
      runs.append((record, results.tidy(sweep.trace)))
  return runs


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


def _make_problem(
  name: str, data_dir: str | None, constraints: Sequence[str]
) -> Problem:
  with common.user_errors("--benchmark: "):
    benchmark = registry.make_benchmark(name, data_dir)
  with common.user_errors("--constraint: "):
    limits = tuple(Constraint.parse(text) for text in constraints)
    for limit, text in zip(limits, constraints, strict=True):
      if not math.isfinite(limit.limit):
        raise ValueError(f"a limit must be finite, got {text!r}.")
    return Problem(benchmark, constraints=limits).validate()


def _default_budget(variant: str, benchmark: Benchmark) -> int:
  if not variant:
    return min(DEFAULT_BUDGET, benchmark.num_rows or DEFAULT_BUDGET)
  if benchmark.num_rows is None:
    raise common.UsageError(f"{benchmark.name} needs a --budget.")
  return benchmark.num_rows


def _merge(
  values: flags.FlagValues,
) -> tuple[Problem, list[tuple[results.Record, search_lib.Trace]]]:
  """Reads and combines the runs of `--merge`."""
  for name in values:
    if values[name].present and name not in _MERGE_FLAGS:
      raise common.UsageError(
        f"--merge takes everything from its directories; leave out --{name}."
      )
  places = [values.workdir, *values.merge]
  if len({pathlib.Path(place).resolve() for place in places}) < len(places):
    raise common.UsageError(
      "--workdir and the directories of --merge must differ, got "
      f"{', '.join(places)}."
    )
  runs = {name: results.read_run(pathlib.Path(name)) for name in values.merge}
  merged = results.merge(runs)
  record = merged[0][0]
  constraints = record.constraint.split(", ") if record.constraint else []
  return _make_problem(record.benchmark, values.data_dir, constraints), merged


def _write(
  workdir: pathlib.Path,
  problem: Problem,
  runs: Sequence[tuple[results.Record, search_lib.Trace]],
) -> list[results.Found]:
  """Writes all files, `summary.json` last, and prints the table.

  Returns:
    The distinct rows that each algorithm found.
  """
  benchmark = problem.benchmark
  optimum = results.optimum_of(problem)
  founds = {r.name: results.distinct_rows(t, benchmark) for r, t in runs}
  summaries = [
    results.summarise(r, t, founds[r.name], benchmark, optimum) for r, t in runs
  ]
  record = runs[0][0]
  caption = plots.caption_of([r for r, _ in runs])
  for name in (results.SUMMARY, results.PARETO):
    (workdir / name).unlink(missing_ok=True)
  results.write_traces(workdir / results.TRACE, {r.name: t for r, t in runs})
  plots.write_architectures(workdir / results.ARCHITECTURES, founds, benchmark)
  plots.draw_curves(
    workdir / results.CURVE,
    [plots.make_curve(r.name, results.history(t), optimum) for r, t in runs],
    caption=caption,
    objective=record.objective,
    optimum=optimum,
  )
  if problem.constraints:
    plots.draw_pareto(
      workdir / results.PARETO,
      plots.make_clouds(founds, problem),
      caption=caption,
      objective=record.objective,
    )
  results.write_summary(workdir / results.SUMMARY, summaries)
  plots.print_table(caption, summaries)
  if optimum is not None:
    print(f"Optimum {optimum.objective:.3f}, test {optimum.test:.3f} there.")
  written = [name for name in results.FILES if (workdir / name).exists()]
  print(f"Wrote {', '.join(written)} to {workdir}.")
  return list(founds.values())


def _constraint_text(problem: Problem) -> str | None:
  """The limits as `_make_problem` reads them, separated by commas."""
  texts = [
    f"{limit.column}<={repr(limit.limit).removesuffix('.0')}"
    for limit in problem.constraints
  ]
  return ", ".join(texts) or None


def _describe_prior(prior: search_lib.Prior | None) -> dict[str, Any] | None:
  """Number and SHA-256 of the architectures, by which runs are compared."""
  if prior is None:
    return None
  archs = np.asarray(prior.archs, "<i4")
  digest = hashlib.sha256(archs.tobytes()).hexdigest()
  return {"num_architectures": len(archs), "sha256": digest}


def _print_names(data_dir: str | None) -> None:
  """Prints all names and options."""
  with common.user_errors("--data_dir: "):
    benchmarks = registry.benchmark_names(data_dir)
  print(f"Spaces: {', '.join(registry.space_names())}")
  print(f"Benchmarks, with files from {data_directory(data_dir)}:")
  for name in benchmarks:
    print(f"  {name}")
  print("Algorithms, and what --set changes:")
  benchmark = registry.make_benchmark("synthetic")
  for name in registry.algorithm_names():
    for variant in registry.variant_names(name):
      found = registry.make_search(
        name, benchmark, budget=DEFAULT_BUDGET, variant=variant
      )
      print(f"  {name}{f' --variant={variant}' if variant else ''}")
      options = common.describe_config(found.config).items()
      text = ", ".join(f"{option}={value}" for option, value in options)
      if text:
        print(textwrap.indent(textwrap.fill(text, 74), " " * 6))


if __name__ == "__main__":
  common.run_program(main)
