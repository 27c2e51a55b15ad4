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

Searches that cannot be compiled (--algorithm=agnet --surrogate=xgb) run one
after the other. They are kept in WORKDIR/unfinished until the results are
written: the same command continues them after an interruption.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import functools
import hashlib
import json
import pathlib
import shutil
from typing import Any

from absl import flags
import jax
import numpy as np

from experiments import common
from experiments import host_sweep
from experiments import planning
from experiments import plots
from experiments import results
from experiments import train_top
from nagjax import registry
from nagjax import search as search_lib
from nagjax.benchmarks import trained
from nagjax.problem import Problem
from nagjax.search import checkpoint

_MERGE_FLAGS = (
  "merge workdir overwrite data_dir compilation_cache_dir"
  " train_top images train_preset"
).split()
"""Flags that have a meaning beside --merge."""

UNFINISHED = "unfinished"
"""Folder of searches on the host, until the results are written."""


def main(argv: Sequence[str]) -> int:
  """Runs the binary.

  Args:
    argv: the command line, program name first.

  Returns:
    The exit code.
  """
  trainings: list[Callable[[], None]] = []
  code = common.run_main(
    lambda: trainings.extend(_run(argv)),
    FloatingPointError,
    checkpoint.CheckpointError,
    written="no summary",
  )
  for train in trainings:
    code = common.run_main(
      train, written="the search, and no table of trained cells"
    )
  return code


def _run(argv: Sequence[str]) -> list[Callable[[], None]]:
  """Runs the searches, and returns what trains their best, if that is asked."""
  values = planning.define_flags()
  if common.read_flags(values, argv, __doc__):
    return []
  if values.list:
    planning.print_names(values.data_dir)
    return []
  common.require_extra("rich", "matplotlib")
  devices = common.start_jax(values.compilation_cache_dir)
  workdir = pathlib.Path(values.workdir)

  def make_task(problem: Problem) -> train_top.Task | None:
    if not values.train_top:
      return None
    name = problem.benchmark.name.removeprefix(registry.TEST_ACCURACY_PREFIX)
    return train_top.make_task(
      problem.space,
      values.train_top,
      values.images,
      values.train_preset,
      trained.settings(name, directory=values.data_dir),
    )

  names = [*results.FILES, *train_top.written(workdir)]
  prepare = functools.partial(common.prepare_workdir, workdir, names)
  unfinished: list[str] = []
  if values.merge:
    problem, runs = _merge(values)
    task = make_task(problem)
    prepare(overwrite=values.overwrite)
  else:
    plan = planning.make_plan(values)
    problem = plan.problem
    task = make_task(problem)
    prepare(overwrite=values.overwrite)
    runs = run_plan(plan, devices, workdir)
    unfinished += [_place(plan, e) for e in plan.entries if e.search.on_host]
  train_top.remove(workdir)
  founds = _write(workdir, problem, runs)
  # Kept until now: what was written cannot be lost any more. What else is there
  # belongs to other searches.
  for place in unfinished:
    shutil.rmtree(workdir / UNFINISHED / place, ignore_errors=True)
  with contextlib.suppress(OSError):
    (workdir / UNFINISHED).rmdir()
  if task is None:
    return []
  archs = train_top.best_distinct(founds, problem.space)

  def train() -> None:
    with common.memory_errors("use smaller images, or --train_preset=small"):
      train_top.train_top(task, problem.space, archs, workdir)

  return [train]


def run_plan(
  plan: planning.Plan, devices: Sequence[jax.Device], workdir: pathlib.Path
) -> list[tuple[results.Record, search_lib.Trace]]:
  """Runs every algorithm of a plan.

  Seed `i` has the key `split(key(0), n)[i]` for every `n > i`.

  Args:
    plan: what to run.
    devices: the devices, for the record.
    workdir: where searches on the host are saved and found again.

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
      on_progress = functools.partial(report, name)
      if entry.search.on_host:
        place = workdir / UNFINISHED / _place(plan, entry)
        sweep = host_sweep.sweep_on_host(
          keys,
          entry.search,
          plan.problem,
          budget=entry.budget,
          directories=[
            place / f"seed_{seed}" for seed in range(plan.first_seed, end)
          ],
          prior=plan.prior,
          on_progress=on_progress,
        )
      else:
        sweep = search_lib.sweep(
          keys,
          entry.search.algorithm,
          plan.problem,
          entry.search.params,
          budget=entry.budget,
          num_rounds=entry.search.num_rounds,
          prior=plan.prior,
          batch_size_seeds=plan.batch_size_seeds,
          on_progress=on_progress,
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
        versions=_versions(entry),
        device=common.describe_devices(devices),
      )
      runs.append((record, results.tidy(sweep.trace)))
  return runs


def _versions(entry: planning.Entry) -> dict[str, str]:
  """Of what an algorithm's results depend on: on the host, boosted trees."""
  return common.versions(*(["xgboost"] if entry.search.on_host else []))


def _place(plan: planning.Plan, entry: planning.Entry) -> str:
  """Folder of an algorithm's searches: another one if anything differs."""
  asked = {
    "benchmark": plan.problem.benchmark.name,
    "constraint": _constraint_text(plan.problem),
    "budget": entry.budget,
    "config": common.describe_config(entry.search.config),
    "prior": _describe_prior(plan.prior),
    "versions": _versions(entry),
  }
  digested = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
  # The same names may hold other weights or another table by now.
  for leaf in jax.tree.leaves((entry.search.params, plan.problem)):
    digested.update(np.asarray(leaf).tobytes())
  digest = digested.hexdigest()[:16]
  return "-".join(filter(None, (entry.algorithm, entry.variant, digest)))


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
  return planning.make_problem(
    record.benchmark, values.data_dir, constraints
  ), merged


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
    results.summarize(r, t, founds[r.name], benchmark, optimum) for r, t in runs
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
  """The limits as `planning.make_problem` reads them, separated by commas."""
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


if __name__ == "__main__":
  common.run_program(main)
