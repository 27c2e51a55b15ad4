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

import pathlib
import sys
from typing import Any

from nagjax import make_benchmark
from nagjax import make_search
from nagjax import problem as problem_lib
from nagjax import registry

from .support import flags
from .support import machine
from .support import outputs
from .support import progress
from .support import tables
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary

TABLE = "combinations.csv"
PROPOSERS = "denoising gradient generator diffusion mutation random".split()
SURROGATES = "gp gcn paths".split()
_NAMES = ("benchmark", "proposer", "surrogate")


def _run(values: flags.Values) -> None:
  at = tables.read_at(values.at)
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
    rows = tables.read_rows(workdir / TABLE, _NAMES)
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
            tables.write_rows(workdir / TABLE, _NAMES, rows)
  for pair, row in rows.items():
    print(" | ".join([*pair, *row.values()]))


def measure(
  problem: problem_lib.Problem,
  algorithm: str,
  parts: dict[str, str],
  at: list[int],
  values: flags.Values,
  on_progress: Any,
) -> tables.Row:
  """The figures of one pair, or why it cannot work."""
  try:
    search = tables.check(
      make_search(
        algorithm,
        problem,
        budget=at[-1],
        data_dir=values.data_dir,
        **parts,  # type: ignore[arg-type]
      )
    )
  except (ValueError, FileNotFoundError) as error:
    return tables.refused(error)
  found = tables.measure(
    search, values.num_seeds, values.batch_size_seeds, on_progress
  )
  row = tables.figures(found.best, at, problem.optimum())
  return {**row, "cpu_seconds": f"{found.cpu_seconds:.3f}"}


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
