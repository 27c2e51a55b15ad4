"""Makes a tabular benchmark: trains the cells of a space on images.

  python -m experiments.build_benchmark --images=photos.npz \\
    --output=trained_photos.npz --workdir=results/photos

Trains one representative of each class of isomorphic cells with several seeds
and copies the result to the others. --images is `digits` (of scikit-learn) or a
.npz file with `x` (uint8 or float, [n, height, width, channels]) and `y`
(labels from 0). Put the table into the data directory and search it as
--benchmark=trained/photos. Of NAS-Bench-201, 6,466 cells are trained, each with
--num_seeds seeds; --num_representatives=64 for a trial shows how long it takes,
and makes a table of a part of the cells.

--epochs=1,2,3,5,10,20 also keeps what networks are worth after these epochs of
the same training: fidelities of a search, see `experiments.search --fidelity`.

Finished chunks lie in --workdir; after an interruption of any kind the same
command continues there and gives the same table, bit for bit. Writes, beside
--output, NAME.manifest.json (command, versions, device, dates, checksum) and
NAME.timings.csv.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

import contextlib
import dataclasses
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax import statistics
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import trained
from nagjax.candidates import cells
from nagjax.candidates import images as images_lib
from nagjax.candidates import train
from nagjax.spaces import SearchSpace

from .support import building
from .support import flags
from .support import images as image_files
from .support import machine
from .support import outputs
from .support.errors import user_errors
from .support.program import binary
from .support.program import memory_errors
from .support.program import require_extra

ORDER_SEED = 0


def _run(values: flags.Values) -> None:
  require_extra("rich")
  devices = machine.start_jax(values.compilation_cache_dir)
  other = None
  if values.compare is not None:
    with user_errors("--compare: "):
      other = registry.make_benchmark(values.compare, values.data_dir)
      if other.space.name != values.space or other.test is None:
        raise ValueError(f"{other.name} has no test column of {values.space}.")
  with contextlib.ExitStack() as claims:
    job = make_job(values, claims)
    with memory_errors("lower --batch_size, or the size of the images"):
      building.train_chunks(job, devices)
    arrays = building.assemble(job)
    building.write_table(job, arrays, flags.command(values))
  print(f"Wrote {job.output}, its manifest and its timings.")
  for line in describe(arrays, other):
    print(line)


def make_job(
  values: flags.Values, claims: contextlib.ExitStack
) -> building.Job:
  """Checks all values and images before any computing starts.

  Args:
    values: the flags.
    claims: keeps other runs from the output and the workdir.

  Raises:
    UsageError: if any is wrong.
  """
  with user_errors("--space: "):
    space = registry.make_space(values.space)
    if space.name != "nasbench201":
      raise ValueError(f"no trainable networks for {space.name}.")
  images = image_files.read(values.images)
  with user_errors():
    recipe = building.recipe_of(values)
    epochs = building.epochs_of(values.epochs, recipe.num_epochs)
    height, width, channels = images.x.shape[1:]
    config = cells.Config(
      image_shape=(height, width, channels),
      num_classes=images.num_classes,
      num_channels=values.num_channels,
      num_cells=values.num_cells,
    )
    num_train, num_valid = images_lib.default_sizes(len(images.y))
    num_train = values.num_train or num_train
    num_valid = values.num_valid or num_valid
    prepared = images_lib.split(
      jax.random.key(image_files.SPLIT_SEED),
      images,
      num_train=num_train,
      num_valid=num_valid,
      recipe=recipe,
      num_views=values.num_views,
    )
  settings = {
    "space": space.name,
    "images": pathlib.Path(values.images).name,
    "images_sha256": image_files.digest(images.x, images.y),
    "num_seeds": values.num_seeds,
    "num_train": num_train,
    "num_valid": num_valid,
    "num_views": values.num_views,
    "chunk_size": values.chunk_size,
    "num_representatives": values.num_representatives,
    "config": dataclasses.asdict(config),
    "recipe": dataclasses.asdict(recipe),
  }
  if epochs:
    settings["epochs"] = list(epochs)
  outputs.make_parent(values.output)
  output = claims.enter_context(
    outputs.claimed_output(values.output, overwrite=values.overwrite)
  )
  workdir = claims.enter_context(outputs.claimed_workdir(values.workdir))
  with user_errors():
    building.claim(workdir, settings)
  return building.Job(
    space=space,
    classes=_representatives(space, values.num_representatives),
    split=prepared.split,
    config=config,
    recipe=recipe,
    epochs=epochs,
    num_seeds=values.num_seeds,
    chunk_size=values.chunk_size,
    output=output,
    workdir=workdir,
    settings=settings,
  )


def describe(
  arrays: dict[str, np.ndarray], other: Benchmark | None = None
) -> list[str]:
  """Lines that tell what a table holds.

  Args:
    arrays: the table.
    other: a benchmark whose test column is rank-correlated with each metric.

  Returns:
    The lines. Numbers are over the table's cells, and in brackets over the
    trained ones, of which some have more isomorphic copies than others. The
    reliability is that of the mean over seeds, over the better half, see
    `statistics.reliability`; of cells with a failed training it is not known.
  """
  _, first = np.unique(arrays["isomorph"], return_index=True)
  works = ~arrays["failed"]
  lines = [
    f"{len(works):,} cells, {len(first):,} trained, "
    f"{int((~works[first]).sum())} trainings failed"
  ]
  everything = np.arange(len(works))
  theirs: np.ndarray | None = None
  if other is not None and other.test is not None:
    archs = jnp.asarray(arrays["ops"], jnp.int32)
    theirs = np.asarray(other.report(archs)[other.test])
  for name in trained.METRICS:
    mean = trained.mean_over_seeds(arrays[name], works)
    low, middle, high = np.nanpercentile(mean, [25, 50, 75])
    line = f"  {name}: quartiles {low:.4g} / {middle:.4g} / {high:.4g}"
    mean *= -1 if name.endswith("cross_entropy") else 1
    if works.shape[1] > 1:

      def reliability(
        rows: np.ndarray, name: str = name, mean: np.ndarray = mean
      ) -> float:
        better = mean[rows] >= np.nanmedian(mean[rows])
        chosen = rows[better & works[rows].all(axis=1)]
        return statistics.reliability(arrays[name][chosen])

      line += f", reliability {reliability(everything):.2f}"
      line += f" ({reliability(first):.2f})"
    if other is not None and theirs is not None:
      whole, part = (
        statistics.rank_correlation(mean[rows], theirs[rows]).spearman
        for rows in (everything, first)
      )
      line += f", Spearman with {other.name} {whole:.2f} ({part:.2f})"
    lines.append(line)
  return lines


def _representatives(space: SearchSpace, limit: int) -> np.ndarray:
  """Indices of the representatives in a random order, the first `limit`."""
  archs = jnp.asarray(space.all_architectures())
  found = np.unique(np.asarray(space.index(space.canonicalize(archs))))
  order = np.random.default_rng(ORDER_SEED).permutation(found)
  return order[:limit] if limit else order


main = binary(
  _run,
  [
    *flags.common(
      "space",
      "data_dir",
      "overwrite",
      images="digits",
      output="trained_digits.npz",
      workdir="results/trained_digits",
      num_seeds=3,
      batch_size=train.SMALL.batch_size,
      learning_rate=train.SMALL.learning_rate,
    ),
    flags.text(
      "compare", None, "Benchmark whose test column the table is held against."
    ),
    flags.whole("num_train", 0, "Images to learn from; 0: three fifths.", 0),
    flags.whole(
      "num_valid", 0, "Images to choose by; the rest judges. 0: a fifth.", 0
    ),
    flags.whole(
      "num_views", 2, "Augmented copies of those; 0 for plain images.", 0
    ),
    flags.whole("num_channels", 8, "Channels of the first stage."),
    flags.whole("num_cells", 1, "Cells of a stage."),
    flags.whole(
      "num_epochs", train.SMALL.num_epochs, "Passes over the images."
    ),
    flags.items("epochs", "", "Before the last, to evaluate after as well."),
    flags.whole("shift", train.SMALL.shift, "Pixels by which images move.", 0),
    flags.whole("chunk_size", 32, "Representatives that are saved together."),
    flags.whole(
      "num_representatives", 0, "Train only so many, for a trial; 0: all.", 0
    ),
    flags.number(
      "clutter", train.SMALL.clutter, "Largest weight of an image on another."
    ),
    flags.number(
      "noise", train.SMALL.noise, "Deviation of the noise on images."
    ),
    flags.switch("flips", train.SMALL.flips, "Mirror images at random."),
  ],
  __doc__,
  written="every finished chunk, not all of the table",
)

if __name__ == "__main__":
  sys.exit(main())
