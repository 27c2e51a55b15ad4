"""Trains the best networks that searches found.

  python -m experiments.train_top --runs=results/search --num_top=3 \
    --images=photos.npz --workdir=results/top

Every --runs is the working directory of an `experiments.search` of one and the
same question. The best distinct cells of all of them are trained with three
seeds each, and judged by images by which neither they nor the searched table
were chosen. --images is `digits` (of scikit-learn) or a .npz file with `x`
(uint8 or float, [n, height, width, channels]) and `y` (labels from 0).
--preset=nasbench201 is the network and the recipe of NAS-Bench-201.

After searches of `supernet/<name>` sub-networks are trained, by the recipe of
the super-network (--num_epochs replaces its length), from scratch or, with
--inherit, from the weights that they share.

Writes into --workdir trained.csv, one row a cell, and network_1.npz and so on,
which `nagjax.candidates.store` loads; sub-networks, `supernet_benchmark`. After
an interruption of any kind the same command continues with the next cell.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

import pathlib
import sys

import numpy as np

from nagjax import registry
from nagjax.benchmarks import trained
from nagjax.candidates import supernet_benchmark
from nagjax.problem import Constraint
from nagjax.spaces import SearchSpace

from .support import flags
from .support import machine
from .support import outputs
from .support import planning
from .support import records
from .support import results
from .support import subnetworks
from .support import training
from .support.errors import UsageError
from .support.program import binary
from .support.program import memory_errors

_SAME = ("benchmark", "objectives", "constraints")


def _run(values: flags.Values) -> None:
  flags.require(values, "runs", "images")
  machine.start_jax(values.compilation_cache_dir)
  space, archs, benchmark = read_best(values.runs, values.data_dir)
  if not len(archs):
    raise UsageError("--runs: the searches found nothing feasible to train.")
  archs = archs[: values.num_top]
  if benchmark.startswith(supernet_benchmark.TABLE_PREFIX):
    _train_sub_networks(values, benchmark, archs)
    return
  task = training.make_task(
    space,
    values.images,
    values.preset,
    trained.settings(benchmark, directory=values.data_dir),
  )
  with (
    outputs.claimed_workdir(values.workdir) as workdir,
    memory_errors("use smaller images, or --preset=small"),
  ):
    training.train_top(
      task,
      space,
      archs,
      workdir,
      overwrite=values.overwrite,
    )
  print(f"Wrote {training.TRAINED} and the networks to {workdir}.")


def _train_sub_networks(
  values: flags.Values, name: str, archs: np.ndarray
) -> None:
  """Trains those of a super-network."""
  path = supernet_benchmark.path_of(name, values.data_dir)
  task = subnetworks.make_task(path, values.images, values.num_epochs)
  with (
    outputs.claimed_workdir(values.workdir) as workdir,
    memory_errors("use smaller images"),
  ):
    subnetworks.train_top(
      task,
      archs,
      workdir,
      inherits=values.inherit,
      overwrite=values.overwrite,
    )
  print(f"Wrote {training.TRAINED} and the networks to {workdir}.")


def read_best(
  directories: list[str], data_dir: str | None
) -> tuple[SearchSpace, np.ndarray, str]:
  """The distinct architectures that finished searches found, the best first.

  Args:
    directories: of the searches.
    data_dir: where the file of their benchmark is.

  Returns:
    The space, `int32[n, L]` feasible architectures, and the name of the table.

  Raises:
    UsageError: if a directory holds no search, or one of another question.
  """
  runs = [
    (name, run)
    for name in directories
    for run in records.read_run(pathlib.Path(name))
  ]
  first_name, first = runs[0][0], runs[0][1].record
  for name, run in runs:
    for field in _SAME:
      if getattr(run.record, field) != getattr(first, field):
        raise UsageError(f"{first_name} and {name} differ in {field}.")
  limits = [Constraint(**limit) for limit in first.constraints]
  problem = planning.make_problem(
    first.benchmark, data_dir, first.objectives, limits
  )
  records.check_archs([run for _, run in runs], problem.space)
  founds = [
    results.distinct_rows(run.trace, problem.benchmark, run.record.fidelities)
    for _, run in runs
  ]
  archs = training.best_distinct(founds, problem.space)
  table = first.benchmark.removeprefix(registry.TEST_ACCURACY_PREFIX)
  return problem.space, archs, table


main = binary(
  _run,
  [
    *flags.common("data_dir", "overwrite", "images", workdir="results/top"),
    flags.paths("runs", "Directory of a finished search; repeatable."),
    flags.whole("num_top", 3, "How many of the best cells are trained."),
    flags.choice(
      "preset", "small", training.PRESETS, "Network and how it is trained."
    ),
    flags.whole(
      "num_epochs", None, "Of sub-networks; the recipe's by default."
    ),
    flags.switch(
      "inherit", False, "Whether sub-networks begin with shared weights."
    ),
  ],
  __doc__,
  written="the cells that were trained, not all of the table",
)

if __name__ == "__main__":
  sys.exit(main())
