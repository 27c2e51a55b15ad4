"""Makes triplets for meta-learning: tasks of images, cells, trainings.

  python -m experiments.build_meta --images=animals.npz --images=letters.npz \\
    --output=triplets.npz --workdir=results/triplets

A task is drawn from one of the image files in turn: some classes, some of their
images, a resolution, gray or colored. Some cells of NAS-Bench-201 are trained
on it for a short time and judged by others of its images. What comes out,
(task, cell, accuracy), is what `experiments.train_predictor` learns from.

--images is a .npz file with `x` (uint8 or float, [n, height, width, channels])
and `y` (labels from 0), or `digits` (of scikit-learn); repeatable. Images whose
neighbors are near-duplicates, such as frames of videos, leak from those that a
task learns from into those that it is judged by.

Finished tasks lie in --workdir; after an interruption of any kind the same
command continues there and gives the same triplets, and one with a larger
--num_tasks goes on where a smaller one ended.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

import dataclasses
import pathlib
import sys

import numpy as np

from nagjax import registry
from nagjax.candidates import tasks
from nagjax.candidates import train
from nagjax.candidates import triplets

from .support import building
from .support import flags
from .support import images as image_files
from .support import machine
from .support import meta_building
from .support import outputs
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary
from .support.program import memory_errors
from .support.program import require_extra


def _run(values: flags.Values) -> None:
  require_extra("rich")
  flags.require(values, "images")
  devices = machine.start_jax(values.compilation_cache_dir)
  with user_errors("--resolutions: "):
    resolutions = tuple(sorted(int(r) for r in set(values.resolutions)))
  with user_errors():
    limits = tasks.Limits(
      resolutions=resolutions,
      min_classes=values.min_classes,
      max_classes=values.max_classes,
      min_train=values.min_train,
      max_train=values.max_train,
      max_valid=values.max_valid,
      gray_share=values.gray_share,
    )
    recipe = building.recipe_of(values)
  names = [pathlib.Path(name).name for name in values.images]
  if len(set(names)) < len(names):
    raise UsageError(f"--images: every file once, got {', '.join(names)}.")
  images = [image_files.read(name) for name in values.images]
  sources = [
    {"name": name, "sha256": image_files.digest(one.x, one.y)}
    for name, one in zip(names, images, strict=True)
  ]
  settings = {
    "sources": sources,
    "seed": values.seed,
    "num_archs": values.num_archs,
    "num_channels": values.num_channels,
    "num_cells": values.num_cells,
    "limits": dataclasses.asdict(limits) | {"resolutions": list(resolutions)},
    "recipe": dataclasses.asdict(recipe),
  }
  outputs.make_parent(values.output)
  with (
    outputs.claimed_output(values.output, overwrite=values.overwrite) as output,
    outputs.claimed_workdir(values.workdir) as workdir,
  ):
    with user_errors():
      building.claim(workdir, settings)
    job = meta_building.Job(
      space=registry.make_space("nasbench201"),
      images=images,
      limits=limits,
      num_channels=values.num_channels,
      num_cells=values.num_cells,
      recipe=recipe,
      num_tasks=values.num_tasks,
      num_archs=values.num_archs,
      seed=values.seed,
      workdir=workdir,
    )
    with user_errors("--images: "):
      for number in range(job.num_tasks):
        meta_building.draw(job, number)
    with memory_errors("lower --max_train, or the resolutions"):
      meta_building.train_tasks(job, devices)
    found, seconds = meta_building.assemble(job)
    triplets.save(output, found, {**settings, "seconds": round(seconds, 1)})
  for line in describe(found, names):
    print(line)
  print(
    f"Wrote {output}: {len(found.task):,} triplets of {len(found.tasks):,} "
    f"tasks, trained in {seconds:,.0f} s."
  )


def describe(found: triplets.Triplets, names: list[str]) -> list[str]:
  """A line for each source: its tasks and their accuracies."""
  lines = []
  for number, name in enumerate(names):
    of_source = np.flatnonzero(found.source == number)
    spreads, medians = [], []
    for task in of_source:
      accuracy = found.valid_accuracy[(found.task == task) & ~found.failed]
      if len(accuracy) > 1:
        medians.append(np.median(accuracy))
        spreads.append(np.std(accuracy))
    if medians:
      lines.append(
        f"  {name}: {len(of_source)} tasks, median accuracies "
        f"{min(medians):.1f} to {max(medians):.1f} %, deviation within a task "
        f"{np.mean(spreads):.1f} on average"
      )
  return lines


main = binary(
  _run,
  [
    *flags.common(
      "overwrite",
      "seed",
      output="triplets.npz",
      workdir="results/triplets",
      batch_size=32,
      learning_rate=train.SMALL.learning_rate,
    ),
    flags.paths("images", "A .npz file with x and y, or `digits`; repeatable."),
    flags.whole("num_tasks", 150, "Tasks, of each image file in turn."),
    flags.whole("num_archs", 20, "Cells of a task.", 2),
    flags.items("resolutions", ["8", "12", "16"], "Pixels of a side."),
    flags.whole("min_classes", 4, "Of a task.", 2),
    flags.whole("max_classes", 10, "Of a task.", 2),
    flags.whole("min_train", 250, "Images that a task learns from."),
    flags.whole("max_train", 400, "Images that a task learns from."),
    flags.whole("max_valid", 1000, "Images that a task is judged by."),
    flags.number("gray_share", 0.25, "Of colored tasks seen gray.", most=1.0),
    flags.whole("num_channels", 8, "Channels of the first stage."),
    flags.whole("num_cells", 1, "Cells of a stage."),
    flags.whole("num_epochs", 12, "Passes over the images."),
    flags.whole("shift", train.SMALL.shift, "Pixels by which images move.", 0),
    flags.number("clutter", 0.0, "Largest weight of an image on another."),
    flags.number("noise", 0.0, "Deviation of the noise on images."),
    flags.switch("flips", train.SMALL.flips, "Mirror images at random."),
  ],
  __doc__,
  written="every finished task, not all of the triplets",
)

if __name__ == "__main__":
  sys.exit(main())
