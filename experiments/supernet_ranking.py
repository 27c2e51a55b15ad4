"""Tells whether a super-network ranks networks as trainings alone do.

  python -m experiments.supernet_ranking --weights=supernet_photos.npz \\
    --images=photos.npz --workdir=results/ranking

--weights is a file of `experiments.train_supernet`, --images what it was made
with; others of the same size and classes are trained on alone. --num random
sub-networks, drawn as trainings draw them (depths equally often), are trained
from scratch one by one, by the recipe that trained the super-network, but by
the labels alone. Printed are the rank correlations of the accuracy, and of the
mean probability of the true class, with inherited weights on the images to
choose by, with those after the training alone on the images to judge by; and
how much either differs among the networks: a space whose networks do not differ
cannot be ranked.

--num_epochs shortens the trainings alone. Writes trained.csv into --workdir,
one row a network; after an interruption of any kind the same command goes on
with the next one, and one of a larger --num adds networks.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
import sys
import time
from typing import Any

import jax
import numpy as np
from scipy import stats

from nagjax import statistics
from nagjax.candidates import elastic
from nagjax.candidates import supernet_benchmark as benchmark

from .support import flags
from .support import machine
from .support import outputs
from .support import subnetworks
from .support import training
from .support.program import binary
from .support.program import memory_errors

INHERITED = ("inherited_accuracy", "inherited_probability")
ALONE = ("alone_accuracy", "alone_probability")


def _run(values: flags.Values) -> None:
  flags.require(values, "weights", "images")
  machine.start_jax(values.compilation_cache_dir)
  task = subnetworks.make_task(values.weights, values.images, values.num_epochs)
  digest = task.digest(values.seed)
  keys = jax.random.split(jax.random.key(values.seed), values.num)
  with (
    outputs.claimed_workdir(values.workdir) as workdir,
    memory_errors("use smaller images"),
  ):
    rows = training.begin(workdir, digest, overwrite=values.overwrite)
    for number in range(len(rows), values.num):
      row = row_of(task, keys[number])
      rows.append(row)
      training.remember(workdir, digest, rows)
      training.write(workdir / training.TRAINED, rows)
      print(
        f"  {number + 1} of {values.num}: {row[ALONE[0]]:.1f} % alone, "
        f"{row[INHERITED[0]]:.1f} % inherited, {row['params_m']:.3f} million "
        f"parameters, {row['seconds']:.0f} s",
        flush=True,
      )
  for line in describe(rows[: values.num]):
    print(line)


def row_of(task: subnetworks.Task, key: jax.Array) -> dict[str, Any]:
  """Draws a sub-network, trains it alone, compares it with inherited weights.

  Args:
    task: how it is trained.
    key: random key, consumed.
  """
  began = time.monotonic()
  draw_key, fit_key = jax.random.split(key)
  draw = task.table.card.make().draw
  arch = draw(draw_key, 1, elastic.Options())[0]
  found = subnetworks.judge(task.table, arch)
  trained = subnetworks.fit(fit_key, arch, task)
  judged = subnetworks.judge(trained, arch)
  return {
    "architecture": task.table.space.to_string(arch.tolist()),
    "params_m": found["params_m"],
    INHERITED[0]: found[benchmark.VALID_ACCURACY],
    INHERITED[1]: found[benchmark.VALID_PROBABILITY],
    ALONE[0]: judged[benchmark.TEST_ACCURACY],
    ALONE[1]: judged[benchmark.TEST_PROBABILITY],
    "seconds": time.monotonic() - began,
  }


def describe(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Lines with the correlations and the spreads."""
  columns = {
    name: np.asarray([row[name] for row in rows])
    for name in (*INHERITED, *ALONE, "params_m")
  }
  lines = [f"{len(rows)} sub-networks, Spearman correlations:"]
  pairs = [(i, a) for i in (*INHERITED, "params_m") for a in ALONE]
  for first, second in pairs:
    rank = statistics.rank_correlation(columns[first], columns[second])
    low, high = spearman_interval(rank.spearman, rank.num)
    lines.append(
      f"  {first} with {second}: {rank.spearman:.3f}, 95 % interval "
      f"{low:.3f} to {high:.3f}"
    )
  for name in (INHERITED[0], ALONE[0]):
    column = columns[name]
    lines.append(
      f"  {name}: {column.min():.1f} to {column.max():.1f} %, standard "
      f"deviation {column.std(ddof=1):.2f}"
    )
  return lines


def spearman_interval(rho: float, num: int) -> tuple[float, float]:
  """95 % interval by Fisher's transformation; NaN for fewer than four pairs.

  Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall
  and Spearman correlations", 2000: its variance is (1 + rho^2 / 2) / (num - 3).
  """
  if num < 4 or not abs(rho) < 1:
    return math.nan, math.nan
  half = stats.norm.ppf(0.975) * math.sqrt((1 + rho**2 / 2) / (num - 3))
  return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


FLAGS = (
  *flags.common("images", "overwrite", "seed", workdir="results/ranking"),
  flags.path("weights", None, "A file of experiments.train_supernet."),
  flags.whole("num", 24, "Sub-networks that are trained alone.", 4),
  flags.whole(
    "num_epochs", None, "Of the trainings alone; the recipe's if not given."
  ),
)

main = binary(
  _run,
  FLAGS,
  __doc__,
  written="the networks that were trained, not all of them",
)

if __name__ == "__main__":
  sys.exit(main())
