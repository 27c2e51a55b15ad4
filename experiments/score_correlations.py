"""Tells how training-free scores rank the cells of a table.

  python -m experiments.score_correlations --benchmark=nasbench201/cifar10 \\
    --images=digits

Scores --num random cells on one batch of --images (`digits`, or a .npz file
with x and y; smooth noise by default), one after another, and prints the rank
correlation of each score with the objective of the benchmark. What is smaller
where it is better is negated, so that good scores correlate positively.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax import statistics
from nagjax.candidates import objective
from nagjax.candidates import train
from nagjax.problem import Problem

from .support import flags
from .support import images as images_lib
from .support import machine
from .support.errors import user_errors
from .support.program import binary


def _run(values: flags.Values) -> None:
  machine.start_jax(values.compilation_cache_dir)
  with user_errors():
    problem = Problem(
      registry.make_benchmark(values.benchmark, values.data_dir)
    )
    space = problem.space
    if space.name not in objective.space_names():
      known = ", ".join(objective.space_names())
      raise ValueError(f"--benchmark must be of {known}, got {space.name}.")
    images = None
    if values.images is not None:
      images = read_batch(values.images, values.num_images)
    key = jax.random.key(0)
    scores = [
      objective.zerocost(name, space.name, key=key, images=images)
      for name in values.scores or objective.score_names(space.name)
    ]
  archs = space.sample(jax.random.key(1), values.num)
  truth = np.asarray(jax.jit(Problem.evaluate)(problem, archs).objective)
  print(f"{values.num} random cells, {problem.benchmark.name}:")
  for score in scores:
    print(describe(score, archs, truth), flush=True)


def read_batch(name: str, num: int) -> train.Images:
  """Random images, normalized by channel.

  Raises:
    UsageError: if the images are refused.
    ValueError: if there are fewer.
  """
  labeled = images_lib.read(name)
  if len(labeled.y) < num:
    raise ValueError(
      f"--num_images must be at most {len(labeled.y)}, got {num}."
    )
  chosen = np.random.default_rng(0).permutation(len(labeled.y))[:num]
  x, y = labeled.x[chosen], labeled.y[chosen]
  deviation = x.std(axis=(0, 1, 2))
  x = (x - x.mean(axis=(0, 1, 2))) / np.where(deviation > 0, deviation, 1)
  return train.Images(jnp.asarray(x), jnp.asarray(y))


def describe(
  score: objective.ZeroCost, archs: jax.Array, truth: np.ndarray
) -> str:
  """One line: rank correlations of a score, and what scoring took.

  Args:
    score: the score.
    archs: `int32[N, L]` cells.
    truth: `f32[N]` what they are worth; NaN where nobody knows.
  """
  query = jax.jit(lambda score, archs: score.query(archs)[score.objective])
  began = time.perf_counter()
  program = query.lower(score, archs).compile()
  compile_seconds = time.perf_counter() - began
  began = time.perf_counter()
  found = np.asarray(program(score, archs))
  seconds = time.perf_counter() - began
  rank = statistics.rank_correlation(found, truth)
  return (
    f"  {score.objective:14s} Spearman {rank.spearman:6.3f}, Kendall "
    f"{rank.kendall:6.3f}, {rank.num} cells in {seconds:.1f} s after "
    f"{compile_seconds:.1f} s of compilation"
  )


main = binary(
  _run,
  [
    *flags.common("data_dir", "images", benchmark="nasbench201/cifar10"),
    flags.items("scores", [], "Names; all of the space by default."),
    flags.whole("num", 300, "Random cells.", 2),
    flags.whole("num_images", 64, "Images of the batch.", 2),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
