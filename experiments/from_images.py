"""From images to a network: cells for data that nobody has searched on.

  python -m experiments.from_images --images=photos.npz --workdir=results/photos

--images is a .npz file with `x` (uint8 or float, [n, height, width, channels])
and `y` (labels from 0), or `digits` (of scikit-learn; not for the predictor
that ships, which has learned from a table of them). A meta-learned predictor
reads some of the images to learn from, EDNAG (or DiffusionNAG, --algorithm)
generates cells of NAS-Bench-201 under it without a single training, and the
best --num_top are trained with three seeds each (--num_top=0: none is) and
judged by images that nothing else has seen.

Trainings of many or large images take long on a CPU: --num_images=2000
--resolution=16 uses fewer and smaller ones for everything.

--compare trains, beside the top 3, --num_random random cells, the residual cell
of NAS-Bench-201's paper and what the transfer `digits` alone would choose, and
says what each way to a network came to and took. Where one of several cells is
chosen, images choose it that do not judge.

Writes into --workdir:
  ranked.csv         the generated cells, the best first, as predicted
  trained.csv        one row a trained cell, as of experiments.train_top
  network_1.npz ...  which `nagjax.candidates.store` loads
  summary.csv        with --compare: what is printed
  cells.png          a picture of the cells

After an interruption of any kind the same command continues with the next cell.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import options as options_lib
from nagjax import registry
from nagjax.benchmarks import data_directory
from nagjax.candidates import images as images_lib
from nagjax.spaces import SearchSpace
from nagjax.surrogates import meta
from nagjax.types import AnyProposal
from nagjax.types import Key
from nagjax.types import Params

from .support import cell_plots
from .support import comparing
from .support import flags
from .support import images as image_files
from .support import machine
from .support import outputs
from .support import predicting
from .support import training
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary
from .support.program import memory_errors
from .support.program import require_extra

VARIANT = "zero_shot"
SPACE = "nasbench201"

RANKED = "ranked.csv"
SUMMARY = "summary.csv"
CELLS = "cells.png"

_NUM_COMPARED = 3
"""Generated cells that --compare trains."""
_NUM_SHOWN = 10
"""Generated cells that are printed."""
_SPARE = 4
"""Cells that are generated for each one: many are the same network."""
_NUM_DRAWN = 12
"""Cells of the picture."""


def generate(
  algorithm: str,
  space: SearchSpace,
  reading: predicting.Reading,
  num: int,
  *,
  seed: int = 0,
  data_dir: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Generates cells under a predictor that has read images.

  Args:
    algorithm: of the registry, with a variant `VARIANT`.
    space: the search space.
    reading: the predictor and the images' codes.
    num: cells, at most.
    seed: of the generation.
    data_dir: where weights of the user's own are.

  Returns:
    `int32[n, L]` distinct networks, the best prediction first, and the
    predictions `f32[n]`.
  """
  spec = registry.algorithm_spec(algorithm, VARIANT)
  spare = _SPARE * num
  config = options_lib.with_options(
    spec.config, {**spec.preset("", spare), "batch_size": spare}, algorithm
  )
  more = {"directory": data_directory(data_dir)} if spec.needs_directory else {}
  found = spec.build(space, config, surrogate=reading.surrogate(), **more)

  @jax.jit
  def propose(key: Key, params: Params) -> AnyProposal:
    init_key, ask_key = jax.random.split(key)
    state = found.init(init_key, params)
    return found.ask(ask_key, state, params)[0]

  proposal = propose(jax.random.key(seed), found.params)
  archs = np.asarray(proposal.archs)[np.asarray(proposal.valid)]
  value = np.asarray(
    meta.predict(reading.predictor, reading.codes, jnp.asarray(archs))
  )
  order = np.argsort(-value, kind="stable")
  archs, value = archs[order], value[order]
  forms = np.asarray(space.canonicalize(jnp.asarray(archs)))
  _, first = np.unique(forms, axis=0, return_index=True)
  first = np.sort(first)[:num]
  return archs[first], value[first]


def _run(values: flags.Values) -> None:
  flags.require(values, "images")
  require_extra("matplotlib")
  machine.start_jax(values.compilation_cache_dir)
  space = registry.make_space(SPACE)
  with user_errors("--predictor: "):
    predictor = meta.find(values.predictor, space)
  with (
    outputs.claimed_workdir(values.workdir) as workdir,
    memory_errors("use fewer or smaller images, or --preset=small"),
  ):
    print(f"Reading {values.images}", flush=True)
    start = time.monotonic()
    everything = image_files.read(values.images)
    labeled, rows = image_files.shrink(
      everything, resolution=values.resolution, num_images=values.num_images
    )
    task = training.task_of(space, labeled, values.preset)
    reading = _read(values, predictor, everything, labeled, rows)
    about = reading.about["images"]
    print(
      f"Read {len(labeled.y):,} images of {labeled.num_classes} classes; the "
      f"predictor looked at {about['num_read']:,} of those to learn from "
      f"({time.monotonic() - start:.1f} s).",
      flush=True,
    )
    print("Generating cells under the predictor", flush=True)
    start = time.monotonic()
    archs, predicted = generate(
      values.algorithm,
      space,
      reading,
      values.num,
      seed=values.seed,
      data_dir=values.data_dir,
    )
    if not len(archs):
      raise UsageError(f"{values.algorithm} generated no cell; try --seed=1.")
    ranked = [
      {
        "rank": rank,
        "architecture": space.to_string(arch.tolist()),
        "predicted": f"{value:.6g}",
      }
      for rank, (arch, value) in enumerate(
        zip(archs, predicted, strict=True), 1
      )
    ]
    training.write(workdir / RANKED, ranked)
    print(f"Generated {len(ranked)} cells ({time.monotonic() - start:.1f} s):")
    for row in ranked[:_NUM_SHOWN]:
      print(f"  {row['rank']:>3}  {row['architecture']}  {row['predicted']}")
    num_top = values.num_top
    if values.compare:
      num_top = max(num_top, _NUM_COMPARED)
    chosen = comparing.candidates(
      space,
      archs[: max(num_top, 1)],
      num_random=values.num_random if values.compare else 0,
      rivals=values.compare,
    )
    drawn = chosen[:_NUM_DRAWN]
    cell_plots.draw_cells(
      workdir / CELLS,
      [one.arch for one in drawn],
      [", ".join(one.origins) for one in drawn],
    )
    written = [RANKED, CELLS]
    if num_top:
      trained = comparing.train(
        task, space, chosen, workdir, overwrite=values.overwrite
      )
      written += [training.TRAINED, "the networks"]
    if values.compare:
      lines = comparing.summarize(trained)
      comparing.print_summary(lines)
      training.write(workdir / SUMMARY, [line._asdict() for line in lines])
      written.append(SUMMARY)
  print(f"Wrote {', '.join(written)} to {workdir}.")


def _read(
  values: flags.Values,
  predictor: meta.MetaPredictor,
  everything: images_lib.Labeled,
  labeled: images_lib.Labeled,
  rows: np.ndarray,
) -> predicting.Reading:
  """The predictor reads images to learn from, none that choose or judge.

  Args:
    values: the flags.
    predictor: the predictor.
    everything: the images of the file.
    labeled, rows: what `images.shrink` made of them.
  """
  num = len(labeled.y)
  order = images_lib.order_of(jax.random.key(image_files.SPLIT_SEED), num)
  num_train, _ = images_lib.default_sizes(num)
  features_fn = predicting.features_of(
    predictor,
    labeled.x,
    values.images,
    values.data_dir,
    (rows, len(everything.y)),
  )
  return predicting.read_labeled(
    predictor,
    labeled,
    features_fn,
    images=values.images,
    sha256=image_files.digest(*everything),
    coreset=values.coreset,
    among=np.sort(order[:num_train]),
  )


main = binary(
  _run,
  [
    *flags.common(
      "data_dir", "overwrite", "images", "seed", workdir="results/images"
    ),
    *flags.common(num=(20, "Generated cells, at most.")),
    *predicting.FLAGS,
    flags.choice(
      "algorithm", "ednag", ["ednag", "diffusionnag"], "What generates."
    ),
    flags.whole("num_top", 1, "How many of the best cells are trained.", 0),
    flags.switch("compare", False, "Train the rivals as well."),
    flags.whole("num_random", 10, "Random cells of --compare.", 0),
    flags.whole(
      "resolution",
      None,
      "Most pixels of a side; larger images are resized, for quick trainings.",
      4,
    ),
    flags.whole(
      "num_images",
      None,
      "Most images, as many of every class; all by default.",
      4,
    ),
    flags.choice(
      "preset", "small", training.PRESETS, "Network and how it is trained."
    ),
  ],
  __doc__,
  written="the cells that were trained, not all of the table",
)

if __name__ == "__main__":
  sys.exit(main())
