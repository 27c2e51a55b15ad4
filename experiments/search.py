"""Runs searches over many seeds and writes what they found.

  python -m experiments.search --algorithm=ednag,local_search \\
    --benchmark=nasbench201/cifar10 --num_seeds=1000 --budget=200 \\
    --workdir=results/cifar10

Writes into --workdir:
  summary.json       a list, one object for each algorithm; null is unknown
  trace.npz          every evaluation, [seed, round, slot, ...]: archs, status,
                     objective, objectives, violations, test, feasible, paid;
                     charged, [seed, round]; what the algorithm tells of every
                     round, info/..., [seed, round, ...]. With several
                     algorithms the names are local_search/archs,
                     ednag:reference/archs and so on
  architectures.csv  the best distinct architectures; also a valid --warm_start
  curve.png, and pareto.png where there are constraints
  front.csv, front.png where there are several --objective: what no other row
                     dominates, and how far the searches are from the exact
                     front; trace.npz then has hypervolume and igd_plus,
                     [seed, query], front and reference

The seeds are numbered; --seed_start and --num_seeds choose a range of them, and
--merge combines runs of disjoint ranges into the run of all their seeds.

--surrogate, --proposer and --acquisition replace the parts of all algorithms
that are made of them, --set=ednag.surrogate=gcn those of one. --transfer=digits
lets a search whose surrogate is a Gaussian process begin with what was learned
on other tables; --budget=1 is then what they say of the best architecture.

--variant=zero_shot (EDNAG, DiffusionNAG) generates architectures under a
predictor that has read --images, and then goes down its ranking: nothing is
queried before.

Where a benchmark has fidelities, such as fewer epochs, --fidelity=12 searches
at that one and evaluates --promote of what it found best fully, while
successive_halving and hyperband use all. A budget is then in full evaluations,
and trace.npz has the fidelity and the cost of every evaluation, [seed, round,
slot].

Where several algorithms run, the table and the curve.png of the first appear as
soon as it has ended.

Seeds run --batch_size_seeds at a time; searches that cannot be compiled
(--algorithm=agnet --surrogate=xgb) run one after the other. What is done is
kept in WORKDIR/unfinished until the results are written: the same command goes
on after an interruption.

`experiments.train_top` trains the best of what was found.

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
import sys
from typing import Any

import jax
import numpy as np

from nagjax import arrays
from nagjax import benchmarks
from nagjax import search as search_lib
from nagjax.problem import Constraint
from nagjax.problem import Optimum
from nagjax.problem import Problem
from nagjax.search import checkpoint

from .support import distributed
from .support import fidelities
from .support import flags
from .support import front_plots
from .support import fronts
from .support import machine
from .support import outputs
from .support import planning
from .support import plots
from .support import progress
from .support import records
from .support import results
from .support.errors import UsageError
from .support.program import binary
from .support.program import memory_errors
from .support.program import require_extra

_MERGE_FLAGS = (
  "merge workdir overwrite data_dir compilation_cache_dir module"
).split()
"""Flags that have a meaning beside --merge."""

UNFINISHED = "unfinished"
"""Folder of what is done, until the results are written."""


def _run(values: flags.Values) -> None:
  if values.list:
    planning.print_names(values.data_dir)
    return
  require_extra("rich", "matplotlib")
  distributed.join(values)
  devices = machine.start_jax(values.compilation_cache_dir)
  with distributed.together():
    if not distributed.is_first():
      shared = planning.make_plan(values)
      places = _places(shared, pathlib.Path(values.workdir))
      run_plan(shared, devices, places)
      return
    plan = None
    if values.merge:
      problem, runs = _merge(values)
    else:
      plan = planning.make_plan(values)
      problem = plan.problem
    with outputs.claimed_workdir(
      values.workdir, [records.SUMMARY], overwrite=values.overwrite
    ) as workdir:
      places = [] if plan is None else _places(plan, workdir)
      if plan is not None:
        on_first = functools.partial(_show_first, workdir, plan)
        runs = run_plan(plan, devices, places, on_first)
      _write(workdir, problem, runs)
      _remove_unfinished(places)


def run_plan(
  plan: planning.Plan,
  devices: Sequence[jax.Device],
  places: Sequence[pathlib.Path],
  on_first: Callable[[records.Run], None] | None = None,
) -> list[records.Run]:
  """Runs every algorithm of a plan.

  Seed `i` has the key `split(key(0), n)[i]` for every `n > i`.

  Args:
    plan: what to run.
    devices: the devices, for the record.
    places: of every algorithm, where what is done is saved and found again.
    on_first: called with the first run, if others follow it.

  Returns:
    The run of each algorithm.
  """
  runs: list[records.Run] = []
  advice = f"lower --batch_size_seeds below {plan.batch_size_seeds}"
  shows = progress.progress if distributed.is_first() else progress.silence
  with memory_errors(advice):
    for entry, place in zip(plan.entries, places, strict=True):
      with shows() as report:
        runs.append(_run_entry(plan, entry, devices, place, report))
      if len(runs) == 1 < len(plan.entries) and on_first is not None:
        on_first(runs[0])
  return runs


def _run_entry(
  plan: planning.Plan,
  entry: planning.Entry,
  devices: Sequence[jax.Device],
  place: pathlib.Path,
  report: progress.ReportFn,
) -> records.Run:
  """Runs one algorithm of a plan; see `run_plan`."""
  end = plan.first_seed + plan.num_seeds
  keys = jax.random.split(jax.random.key(0), end)[plan.first_seed :]
  record = _record(plan, entry, devices)
  on_progress = progress.of_sweep(report, record.name)
  if is_on_host(entry.search):
    if jax.process_count() > 1:
      raise UsageError(
        f"{record.name} runs on the host, in one process: give each its "
        "--seed_start and --workdir, and --merge what they find."
      )
    sweep = search_lib.sweep_on_host(
      keys,
      entry.search,
      directories=[
        place / f"seed_{seed}" for seed in range(plan.first_seed, end)
      ],
      warm_start=plan.warm_start,
      on_progress=on_progress,
    )
  else:
    sweep = search_lib.sweep(
      keys,
      entry.search,
      warm_start=plan.warm_start,
      batch_size_seeds=plan.batch_size_seeds,
      keeps_state=False,
      directory=place,
      on_progress=on_progress,
    )
  record = record._replace(
    compile_seconds=sweep.compile_seconds,
    run_seconds=sweep.run_seconds,
    peak_memory_mb=machine.peak_memory_mb(devices),
  )
  return records.make_run(record, sweep)


def is_on_host(search: search_lib.Search) -> bool:
  """Whether its algorithm or its benchmark is Python that cannot be traced."""
  on_host = benchmarks.is_on_host(search.problem.benchmark)
  return on_host or search.algorithm.on_host


def _record(
  plan: planning.Plan, entry: planning.Entry, devices: Sequence[jax.Device]
) -> records.Record:
  """What an algorithm is asked, before it is known what that takes."""
  problem, start = plan.problem, plan.warm_start
  config = records.describe_config(entry.search.config)
  if entry.sources:
    config["transfer"] = list(entry.sources)
  config |= entry.about
  # What boosted trees make of data depends on their library.
  libraries = ["xgboost"] if entry.search.algorithm.on_host else []
  return records.Record(
    algorithm=entry.algorithm,
    variant=entry.variant,
    benchmark=problem.benchmark.name,
    objective=", ".join(
      plots.with_unit(problem, name) for name in problem.objective_names
    ),
    objectives=list(problem.objective_names),
    constraints=[limit._asdict() for limit in problem.constraints],
    budget=entry.search.budget,
    config=config,
    warm_start=planning.describe_warm_start(start and np.asarray(start.archs)),
    seed_ranges=[[plan.first_seed, plan.first_seed + plan.num_seeds]],
    compile_seconds=0.0,
    run_seconds=0.0,
    peak_memory_mb=None,
    versions=machine.versions(*libraries),
    device=machine.describe_devices(devices),
    given_reference=plan.reference,
    fidelities=fidelities.of_search(entry.search),
  )


def _place(plan: planning.Plan, entry: planning.Entry) -> str:
  """Folder of an algorithm's searches: another one if anything differs."""
  record = _record(plan, entry, jax.local_devices())
  asked = record._replace(seed_ranges=[], device="")._asdict()
  # The same names may hold other weights or another table by now.
  held = arrays.digest((entry.search.params, plan.problem))
  text = json.dumps([asked, held], sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:16]
  return "-".join(filter(None, (entry.algorithm, entry.variant, digest)))


def _places(plan: planning.Plan, workdir: pathlib.Path) -> list[pathlib.Path]:
  """Where the searches of every algorithm are kept until they are written."""
  return [workdir / UNFINISHED / _place(plan, e) for e in plan.entries]


def _remove_unfinished(places: Sequence[pathlib.Path]) -> None:
  """What was written cannot be lost any more; the rest is of other searches."""
  for place in places:
    shutil.rmtree(place, ignore_errors=True)
    with contextlib.suppress(OSError):
      place.parent.rmdir()


def _merge(values: flags.Values) -> tuple[Problem, list[records.Run]]:
  """Reads and combines the runs of `--merge`."""
  for name in values:
    if values[name].present and name not in _MERGE_FLAGS:
      raise UsageError(
        f"--merge takes everything from its directories; leave out --{name}."
      )
  places = [values.workdir, *values.merge]
  if len({pathlib.Path(place).absolute() for place in places}) < len(places):
    raise UsageError(
      "--workdir and the directories of --merge must differ, got "
      f"{', '.join(places)}."
    )
  merged = records.merge(
    {name: records.read_run(pathlib.Path(name)) for name in values.merge}
  )
  record = merged[0].record
  limits = [Constraint(**limit) for limit in record.constraints]
  problem = planning.make_problem(
    record.benchmark, values.data_dir, record.objectives, limits
  )
  records.check_archs(merged, problem.space)
  return problem, merged


def _summarize(
  problem: Problem, optimum: Optimum | None, runs: Sequence[records.Run]
) -> tuple[dict[str, results.Found], list[dict[str, Any]]]:
  """What every run found, by its name, and its object of `summary.json`."""
  benchmark = problem.benchmark
  founds, summaries = {}, []
  for record, trace, _ in runs:
    found = results.distinct_rows(trace, benchmark, record.fidelities)
    founds[record.name] = found
    summaries.append(
      results.summarize(record, trace, found, benchmark, optimum)
    )
  return founds, summaries


def _draw_curve(
  workdir: pathlib.Path, optimum: Optimum | None, runs: Sequence[records.Run]
) -> None:
  plots.draw_curves(
    workdir / records.CURVE,
    [
      plots.make_curve(
        run.record.name,
        results.history(run.trace, run.record.fidelities),
        optimum,
      )
      for run in runs
    ],
    caption=plots.caption_of([run.record for run in runs]),
    objective=runs[0].record.objective,
    optimum=optimum,
  )


def _show_first(
  workdir: pathlib.Path, plan: planning.Plan, run: records.Run
) -> None:
  """Prints and draws the first run while others follow; `_write` does it again.

  Results that are to be overwritten stay whole until all runs have ended.
  """
  optimum = plan.problem.optimum()
  plots.print_table(
    plots.caption_of([run.record]), _summarize(plan.problem, optimum, [run])[1]
  )
  rest = [records.full_name(e.algorithm, e.variant) for e in plan.entries[1:]]
  told = f"Still to come: {', '.join(rest)}."
  if not (workdir / records.SUMMARY).exists():
    _draw_curve(workdir, optimum, [run])
    told = f"Drawn in {workdir / records.CURVE}. {told}"
  print(told, flush=True)


def _write(
  workdir: pathlib.Path, problem: Problem, runs: Sequence[records.Run]
) -> None:
  """Writes all files, `summary.json` last, and prints the table."""
  benchmark = problem.benchmark
  optimum = problem.optimum()
  founds, summaries = _summarize(problem, optimum, runs)
  record = runs[0].record
  caption = plots.caption_of([run.record for run in runs])
  for name in (records.SUMMARY, records.PARETO, *records.FRONT_FILES):
    (workdir / name).unlink(missing_ok=True)
  several = fronts.compare(runs, problem) if problem.num_tradeoffs else None
  if several is not None:
    summaries = [
      summary | more
      for summary, more in zip(summaries, several.summaries, strict=True)
    ]
  records.write_traces(
    workdir / records.TRACE, runs, several.arrays if several else ()
  )
  results.write_architectures(
    workdir / records.ARCHITECTURES, founds, benchmark
  )
  _draw_curve(workdir, optimum, runs)
  if problem.constraints:
    plots.draw_pareto(
      workdir / records.PARETO,
      plots.make_clouds(founds, problem),
      caption=caption,
      objective=record.objective,
    )
  if several is not None:
    fronts.write_front(workdir / records.FRONT, runs, problem)
    front_plots.draw_fronts(
      workdir / records.FRONT_PLOT, several, problem, caption=caption
    )
  records.write_summary(workdir / records.SUMMARY, summaries)
  plots.print_table(caption, summaries)
  if optimum is not None:
    best = plots.number(optimum.objective, optimum.objective)
    print(f"Optimum {best}, test {plots.number(optimum.test)} there.")
  if several is not None:
    print("\n".join(fronts.lines(summaries, problem)))
  if note := planning.part_note(benchmark):
    print(f"{benchmark.name} holds {note}; others were never proposed.")
  written = [name for name in records.FILES if (workdir / name).exists()]
  print(f"Wrote {', '.join(written)} to {workdir}.")


main = binary(
  _run,
  planning.FLAGS,
  __doc__,
  FloatingPointError,
  checkpoint.CheckpointError,
  written="no summary",
)

if __name__ == "__main__":
  sys.exit(main())
