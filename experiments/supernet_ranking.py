"""Tells whether a super-network ranks networks as trainings alone do.

  python -m experiments.supernet_ranking --weights=supernet_photos.npz \\
    --images=photos.npz --workdir=results/ranking

--weights is a file of `experiments.train_supernet`, --images what it was made
with. --num random sub-networks, drawn as trainings draw them (depths equally
often), are trained from scratch one by one, by the recipe and the images that
trained the super-network, but by the labels alone. Printed are the rank
correlations of the accuracy, and of the mean probability of the true class,
with inherited weights on the images to choose by, with the accuracy after the
training alone on the images to judge by; and how much either differs among the
networks: a space whose networks do not differ cannot be ranked.

--num_epochs shortens the trainings alone. Writes trained.csv into --workdir,
one row a network; after an interruption of any kind the same command goes on
with the next one.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
import json
import math
import sys
import time
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from nagjax import files
from nagjax import statistics
from nagjax.candidates import alone
from nagjax.candidates import elastic
from nagjax.candidates import images as images_lib
from nagjax.candidates import supernet
from nagjax.candidates import supernet_benchmark as benchmark
from nagjax.candidates import train

from .support import flags
from .support import images as image_files
from .support import machine
from .support import outputs
from .support import training
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary
from .support.program import memory_errors

INHERITED = ("inherited_accuracy", "inherited_probability")
ALONE = ("alone_accuracy", "alone_probability")


class Task(NamedTuple):
  """What the trainings need, checked.

  Attributes:
    table: the super-network, with all images that it did not learn from.
    images: normalized, to learn from.
    recipe: of the trainings alone.
    archs: `int32[n, L]`, what is trained.
    digest: SHA-256 of what the trainings depend on.
  """

  table: benchmark.SuperNet
  images: train.Images
  recipe: supernet.Recipe
  archs: jax.Array
  digest: str


def _run(values: flags.Values) -> None:
  flags.require(values, "weights", "images")
  machine.start_jax(values.compilation_cache_dir)
  task = make_task(values)
  with (
    outputs.claimed_workdir(values.workdir) as workdir,
    memory_errors("use smaller images"),
  ):
    rows = training.begin(workdir, task.digest, overwrite=values.overwrite)
    for row in train_rest(task, rows):
      rows.append(row)
      training.remember(workdir, task.digest, rows)
      training.write(workdir / training.TRAINED, rows)
      print(
        f"  {len(rows)} of {len(task.archs)}: {row[ALONE[0]]:.1f} % alone, "
        f"{row[INHERITED[0]]:.1f} % inherited, {row['params_m']:.3f} million "
        f"parameters, {row['seconds']:.0f} s",
        flush=True,
      )
    (workdir / training.UNFINISHED).unlink(missing_ok=True)
  for line in describe(rows):
    print(line)


def make_task(values: flags.Values) -> Task:
  """Checks everything before a training begins.

  Raises:
    UsageError: if the file or the images are wrong.
  """
  with user_errors("--weights: "):
    table = benchmark.load(values.weights, name="given")
    header = files.read_header(values.weights, benchmark.KIND)
  settings = header["notes"].get("settings")
  if settings is None:
    raise UsageError(
      f"--weights: {values.weights} does not say how it was trained; take a "
      "file that experiments.train_supernet trained."
    )
  images = image_files.read(values.images)
  if image_files.digest(*images) != settings["images_sha256"]:
    raise UsageError(
      f"--images: expected those of {settings['images']}, by which "
      f"{values.weights} was trained, got others."
    )
  recipe = recipe_of(settings["recipe"], values.num_epochs)
  num_train, num_valid = settings["num_train"], settings["num_valid"]
  key = jax.random.key(image_files.SPLIT_SEED)
  prepared = images_lib.split(
    *(key, images),
    num_train=num_train,
    num_valid=num_valid,
    recipe=train.Recipe(),
    num_views=0,
  )
  rest = images_lib.order_of(key, len(images.y))[num_train:]
  x, y = jnp.asarray(images.x[rest]), jnp.asarray(images.y[rest])
  network = table.card.make()
  archs = network.draw(
    jax.random.key(values.seed), values.num, elastic.Options()
  )
  asked = [settings, json.loads(json.dumps(dataclasses.asdict(recipe)))]
  text = json.dumps([*asked, archs.tolist(), values.seed], sort_keys=True)
  return Task(
    dataclasses.replace(
      table,
      valid_images=train.Images(x[:num_valid], y[:num_valid]),
      test_images=train.Images(x[num_valid:], y[num_valid:]),
    ),
    prepared.split.train,
    recipe,
    archs,
    hashlib.sha256(text.encode()).hexdigest(),
  )


def recipe_of(
  settings: Mapping[str, Any], num_epochs: int | None
) -> supernet.Recipe:
  """The recipe that a file was trained by, perhaps shorter."""
  phases = tuple(
    supernet.Phase(*row)._replace(options=elastic.Options())
    for row in settings["phases"]
  )
  if num_epochs is not None:
    warmup = min(phases[0].warmup_epochs, num_epochs - 1)
    first = phases[0]._replace(num_epochs=num_epochs, warmup_epochs=warmup)
    phases = (first,)
  return supernet.Recipe(**{**settings, "phases": phases})


def train_rest(
  task: Task, rows: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
  """Yields the rows that are missing.

  Args:
    task: what is trained.
    rows: those that are there.
  """
  network, space = task.table.card.make(), task.table.space

  @jax.jit
  def judge(table: benchmark.SuperNet, arch: jax.Array) -> dict[str, jax.Array]:
    queried, reported = table.query_and_report(arch[None])
    return jax.tree.map(lambda column: column[0], {**queried, **reported})

  @jax.jit
  def fit(
    key: jax.Array, arch: jax.Array, images: train.Images
  ) -> elastic.Weights:
    return alone.train_alone(key, arch, images, network, task.recipe)

  for number in range(len(rows), len(task.archs)):
    arch, began = task.archs[number], time.monotonic()
    weights = fit(jax.random.key(number), arch, task.images)
    own = dataclasses.replace(task.table, weights=weights)
    found, trained = judge(task.table, arch), judge(own, arch)
    yield {
      "architecture": space.to_string(arch.tolist()),
      "params_m": float(found["params_m"]),
      INHERITED[0]: float(found[benchmark.VALID_ACCURACY]),
      INHERITED[1]: float(found[benchmark.VALID_PROBABILITY]),
      ALONE[0]: float(trained[benchmark.TEST_ACCURACY]),
      ALONE[1]: float(trained[benchmark.TEST_PROBABILITY]),
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
