"""Every proposer with every surrogate, in one loop: which parts matter.

  python -m experiments.combinations --benchmarks=nasbench201/cifar10 \\
    --num_seeds=100 --workdir=results/combinations

Runs the loop of --algorithm with each pair of --proposers and --surrogates, and
prints the share of seeds at the optimum and the mean best objective after each
number of --at queries, and the CPU seconds of a search without compilation. A
pair that cannot work is a row that says so. Every pair is a line of
WORKDIR/combinations.csv as soon as it is done; the same command goes on with
those that are missing.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

import csv
import pathlib
import sys
import time
from typing import Any

import jax
import numpy as np

from nagjax import files
from nagjax import make_benchmark
from nagjax import make_search
from nagjax import problem as problem_lib
from nagjax import registry
from nagjax import statistics
from nagjax import sweep

from .support import flags
from .support import machine
from .support import outputs
from .support import progress
from .support import results
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary

TABLE = "combinations.csv"
PROPOSERS = "denoising gradient generator diffusion mutation random".split()
SURROGATES = "gp gcn paths".split()
_NAMES = ("benchmark", "proposer", "surrogate")


def _run(values: flags.Values) -> None:
  with user_errors("--at: "):
    at = sorted(int(text) for text in values.at)
    if not at or at[0] < 1:
      raise ValueError(f"expected queries from 1 on, got {values.at}")
  for flag, named, known in (
    ("algorithm", [values.algorithm], registry.made_of_parts()),
    ("proposers", values.proposers, registry.proposer_names()),
    ("surrogates", values.surrogates, registry.surrogate_names()),
  ):
    if not named or set(named) - set(known):
      raise UsageError(
        f"--{flag} must name some of {', '.join(known)}, got {named}."
      )
  machine.start_jax(values.compilation_cache_dir)
  with user_errors("--benchmarks: "):
    problems = {
      name: problem_lib.Problem(make_benchmark(name, values.data_dir))
      for name in values.benchmarks
    }
  workdir = pathlib.Path(values.workdir)
  with outputs.claimed_workdir(workdir), progress.progress() as report:
    rows = _read(workdir / TABLE)
    for name, problem in problems.items():
      for proposer in values.proposers:
        for surrogate in values.surrogates:
          pair: tuple[str, ...] = (name, proposer, surrogate)
          if pair not in rows:
            title = "/".join(pair)
            rows[pair] = measure(
              problem,
              values.algorithm,
              {"proposer": proposer, "surrogate": surrogate},
              at,
              values,
              progress.of_sweep(report, title),
            )
            _write(workdir / TABLE, rows)
  for pair, row in rows.items():
    print(" | ".join([*pair, *row.values()]))


def measure(
  problem: problem_lib.Problem,
  algorithm: str,
  parts: dict[str, str],
  at: list[int],
  values: flags.Values,
  on_progress: Any,
) -> dict[str, str]:
  """The figures of one pair, or why it cannot work."""
  try:
    search = make_search(
      algorithm,
      problem,
      budget=at[-1],
      data_dir=values.data_dir,
      **parts,  # type: ignore[arg-type]
    )
  except (ValueError, FileNotFoundError) as error:
    return {"num_seeds": "0", "note": str(error)}
  if search.algorithm.on_host:
    return {"num_seeds": "0", "note": "runs on the host alone"}
  began = time.process_time()
  result = sweep(
    jax.random.split(jax.random.key(0), values.num_seeds),
    search,
    batch_size_seeds=values.batch_size_seeds,
    on_progress=on_progress,
    keeps_state=False,
  )
  cpu_seconds = time.process_time() - began
  share = result.run_seconds / (result.run_seconds + result.compile_seconds)
  past = results.history(result.trace)
  best = statistics.best_so_far(past.objective, past.charged, at[-1])
  optimum = problem.optimum()
  row = {"num_seeds": str(values.num_seeds)}
  for queries in at:
    now = best[:, queries - 1]
    if optimum is not None:
      bound = optimum.objective - problem_lib.tolerance(optimum.objective)
      row[f"share_{queries}"] = f"{np.mean(now >= bound):.2f}"
    row[f"mean_{queries}"] = f"{now.mean():.3f}"
  row["cpu_seconds"] = f"{cpu_seconds * share / values.num_seeds:.3f}"
  return row


def _read(path: pathlib.Path) -> dict[tuple[str, ...], dict[str, str]]:
  """The pairs that are done."""
  if not path.exists():
    return {}
  names, rows = files.read_csv(path)
  if tuple(names[:3]) != _NAMES:
    raise UsageError(f"{path} is no table of combinations; choose another.")
  return {
    tuple(row[name] for name in _NAMES): {
      name: text for name, text in row.items() if text and name not in _NAMES
    }
    for row in rows
  }


def _write(
  path: pathlib.Path, rows: dict[tuple[str, ...], dict[str, str]]
) -> None:
  fields = list(dict.fromkeys(k for row in rows.values() for k in row))
  with files.atomic_path(path) as temporary:
    with open(temporary, "w", newline="", encoding="utf-8") as file:
      writer = csv.DictWriter(file, [*_NAMES, *fields])
      writer.writeheader()
      for pair, row in rows.items():
        writer.writerow({**dict(zip(_NAMES, pair, strict=True)), **row})


main = binary(
  _run,
  [
    *flags.common(
      "data_dir",
      "batch_size_seeds",
      num_seeds=100,
      workdir="results/combinations",
    ),
    flags.items("benchmarks", ["digits"], "Names; see experiments.search."),
    flags.items("proposers", PROPOSERS, "Names of proposers."),
    flags.items("surrogates", SURROGATES, "Names of surrogates."),
    flags.text("algorithm", "optiproxy", "Whose loop runs."),
    flags.items("at", ["50", "64", "100"], "Charged queries."),
  ],
  __doc__,
  written="what was finished",
)

if __name__ == "__main__":
  sys.exit(main())
