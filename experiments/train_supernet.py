"""Trains a super-network, which evaluates the networks of a whole space.

  python -m experiments.train_supernet --network=mobilenetv3/small32 \\
    --images=photos.npz --output=supernet_photos.npz --workdir=results/photos

Put the file into the data directory and search it as
--benchmark=supernet/photos: a query is the accuracy of a sub-network with the
weights that it inherits, of one compiled program. --images is `digits` (of
scikit-learn) or a .npz file with `x` (uint8 or float, [n, height, width,
channels]) and `y` (labels from 0). A sixth of the images is to choose by, and a
sixth judges, unless --num_train and --num_valid say so.

--preset=cpu trains for minutes, by the sandwich rule; --preset=paper as
published (MobileNetV3: progressive shrinking; AutoFormer: single paths), for an
accelerator. --rule, --num_epochs and so on replace those of a preset of one
phase; its warm-up is shorter than all.

--weights names a file of converted weights (`experiments.convert`), or one of
this program: nothing is trained then, and --images replaces its images.

After every epoch the training lies in --workdir; after an interruption of any
kind the same command continues there and gives the same file, bit for bit.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Mapping
import dataclasses
import functools
import json
import pathlib
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import elastic
from nagjax.candidates import images as images_lib
from nagjax.candidates import supernet
from nagjax.candidates import supernet_benchmark as benchmark
from nagjax.candidates import train
from nagjax.generation import resumable

from .support import flags
from .support import images as image_files
from .support import machine
from .support import outputs
from .support import progress
from .support import subnetworks
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary
from .support.program import memory_errors
from .support.program import require_extra

NUM_RANDOM = 8
"""Sub-networks whose accuracies are printed, besides the smallest and the
largest."""


def _run(values: flags.Values) -> None:
  require_extra("rich")
  flags.require(values, "images", "output")
  machine.start_jax(values.compilation_cache_dir)
  images = image_files.read(values.images)
  outputs.make_parent(values.output)
  with outputs.claimed_output(
    values.output, overwrite=values.overwrite
  ) as output:
    if values.weights is not None:
      found, notes = given(values, images)
    else:
      found, notes = trained(values, images)
    benchmark.save(output, found, notes)
  print(f"Wrote {output}: {output.stat().st_size:,} bytes.")
  for line in describe(found):
    print(line)


def given(
  values: flags.Values, images: images_lib.Labeled
) -> tuple[benchmark.SuperNet, dict[str, Any]]:
  """The weights of --weights with other images, normalized as it says.

  Raises:
    UsageError: if the file is none, or the images do not suit it.
  """
  found = subnetworks.read(values.weights, images)
  with user_errors():
    prepared = divide(values, images)
  mean, deviation = np.asarray(found.mean), np.asarray(found.deviation)
  prepared = prepared._replace(mean=mean, deviation=deviation)
  weights = pathlib.Path(values.weights).name
  notes = {"weights": weights, "versions": machine.versions()}
  made = supernet_of(values, found.card, images, prepared, found.weights)
  return made, notes


def trained(
  values: flags.Values, images: images_lib.Labeled
) -> tuple[benchmark.SuperNet, dict[str, Any]]:
  """Trains a super-network, or goes on with it.

  Raises:
    UsageError: if a flag is wrong, or the images do not suit the network.
  """
  flags.require(values, "workdir")
  with user_errors():
    card, recipe = make_card(values, images), make_recipe(values)
    prepared = divide(values, images)
  num_train = len(prepared.split.train.y)
  if num_train < recipe.batch_size:
    raise UsageError(
      f"--batch_size must be at most the {num_train} images to learn from, "
      f"got {recipe.batch_size}."
    )
  settings = {
    "card": card._asdict(),
    "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
    "images": pathlib.Path(values.images).name,
    "images_sha256": image_files.digest(images.x, images.y),
    "num_train": num_train,
    "num_valid": len(prepared.split.valid.y),
    "seed": values.seed,
  }
  began = time.process_time()
  with (
    outputs.claimed_workdir(values.workdir) as directory,
    progress.of_training() as on_progress,
    user_errors("--workdir: "),
    memory_errors("lower --batch_size, or the size of the images"),
  ):
    state = fit(
      jax.random.key(values.seed),
      card.make(),
      recipe,
      prepared.split.train,
      settings=settings,
      directory=directory,
      on_progress=on_progress,
    )
  seconds = time.process_time() - began
  print(f"This run's training took {seconds:,.0f} seconds of processors.")
  notes = {"settings": settings, "versions": machine.versions()}
  return supernet_of(values, card, images, prepared, state.weights), notes


def make_card(
  values: flags.Values, images: images_lib.Labeled
) -> benchmark.Card:
  """The network for the images.

  Raises:
    ValueError: if they are not square, or do not suit it.
  """
  height, width, channels = images.x.shape[1:]
  if height != width:
    raise ValueError(
      f"--images: they must be square, got {height} x {width} pixels."
    )
  card = benchmark.Card(
    values.network, height, channels, images.num_classes, values.width
  )
  card.make()
  return card


def make_recipe(values: flags.Values) -> supernet.Recipe:
  """How the network is trained.

  Raises:
    ValueError: if a flag is wrong, or not for a preset of several phases.
  """
  family = values.network.partition("/")[0]
  recipe = supernet.PRESETS[family, values.preset]
  changes: dict[str, Any] = {}
  if values.rule is not None:
    changes["rule"] = values.rule
  if values.batch_size is not None:
    changes["batch_size"] = values.batch_size
  phase = {
    name: getattr(values, name)
    for name in ("num_epochs", "learning_rate", "num_random")
    if getattr(values, name) is not None
  }
  if (phase or "rule" in changes) and len(recipe.phases) > 1:
    raise ValueError(
      f"--preset={values.preset} has {len(recipe.phases)} phases; --rule, "
      "--num_epochs, --learning_rate and --num_random are for one phase."
    )
  if phase:
    changed = recipe.phases[0]._replace(**phase)
    warmup = min(changed.warmup_epochs, changed.num_epochs - 1)
    changes["phases"] = (changed._replace(warmup_epochs=warmup),)
  return dataclasses.replace(recipe, **changes)


def divide(
  values: flags.Values, images: images_lib.Labeled
) -> images_lib.Prepared:
  """Images to learn from, to choose by and to judge by.

  Raises:
    ValueError: if a part would be empty.
  """
  sixth = len(images.y) // 6
  num_valid = values.num_valid or sixth
  num_train = values.num_train or len(images.y) - num_valid - sixth
  return images_lib.split(
    jax.random.key(image_files.SPLIT_SEED),
    images,
    num_train=num_train,
    num_valid=num_valid,
    recipe=train.Recipe(),
    num_views=0,
  )


def fit(
  key: jax.Array,
  network: elastic.Elastic,
  recipe: supernet.Recipe,
  images: train.Images,
  *,
  settings: Mapping[str, Any],
  directory: pathlib.Path,
  on_progress: resumable.ProgressFn | None = None,
) -> supernet.State:
  """Trains on from what the directory has; see `resumable.run`.

  Args:
    key: random key, consumed.
    network: the super-network.
    recipe: how it is trained.
    images: what it learns from.
    settings: all that the result depends on, as JSON.
    directory: for the state.
    on_progress: called after every epoch.
  """
  first_key, epochs_key = jax.random.split(key)

  @functools.partial(jax.jit, static_argnames="phase")
  def advance(
    number: jax.Array,
    place: jax.Array,
    state: supernet.State,
    images: train.Images,
    phase: int,
  ) -> tuple[supernet.State, jax.Array]:
    epoch_key = jax.random.fold_in(epochs_key, number)
    return supernet.epoch(
      epoch_key, place, state, images, network, recipe, phase
    )

  def advance_fn(
    number: jax.Array, state: Any
  ) -> tuple[Any, dict[str, jax.Array]]:
    phase, place = recipe.place(int(number))
    state, loss = advance(number, jnp.int32(place), state, images, phase)
    return state, {"loss": loss}

  saved = resumable.run(
    lambda: supernet.begin(first_key, network, recipe),
    advance_fn,
    recipe.num_epochs,
    measures=("loss",),
    chunk_size=len(images.y) // recipe.batch_size,
    settings=dict(settings),
    directory=directory,
    on_progress=on_progress,
  )
  return saved.state


def supernet_of(
  values: flags.Values,
  card: benchmark.Card,
  images: images_lib.Labeled,
  prepared: images_lib.Prepared,
  weights: elastic.Weights,
) -> benchmark.SuperNet:
  """The benchmark of a trained super-network, with raw images."""
  num_train, num_valid, _ = (len(part.y) for part in prepared.split)
  order = images_lib.order_of(
    jax.random.key(image_files.SPLIT_SEED), len(images.y)
  )
  x, y = images_lib.as_bytes(images.x[order]), images.y[order]
  most = values.num_queried or len(y)

  def part(start: int, size: int) -> train.Images:
    rows = slice(start, start + min(size, most))
    return train.Images(jnp.asarray(x[rows]), jnp.asarray(y[rows]))

  num = min(values.num_calibration, num_train)
  if not jax.tree.leaves(weights.statistics):
    num = 0
  end = num_train + num_valid
  return benchmark.SuperNet(
    weights=weights,
    valid_images=part(num_train, num_valid),
    test_images=part(end, len(y) - end),
    calibration=jnp.asarray(x[:num]),
    mean=jnp.asarray(prepared.mean),
    deviation=jnp.asarray(prepared.deviation),
    latencies={},
    name="supernet",
    card=card,
  )


def describe(found: benchmark.SuperNet) -> list[str]:
  """Lines with the accuracies of some sub-networks."""
  network = found.card.make()
  drawn = found.space.sample(jax.random.key(0), NUM_RANDOM)
  ends = jnp.asarray(np.stack([network.smallest, network.largest]))
  queried, reported = jax.jit(benchmark.SuperNet.query_and_report)(
    found, jnp.concatenate([ends, drawn])
  )
  columns = jax.device_get({**queried, **reported})
  lines = []
  for row, name in enumerate(("smallest", "largest")):
    lines.append(
      f"  {name}: {columns['valid_accuracy'][row]:.1f} % to choose by, "
      f"{columns['test_accuracy'][row]:.1f} % to judge by, "
      f"{columns['params_m'][row]:.3f} million parameters"
    )
  middle = columns["valid_accuracy"][2:]
  lines.append(
    f"  {NUM_RANDOM} random: {middle.min():.1f} to {middle.max():.1f} %"
  )
  return lines


FLAGS = (
  *flags.common(
    *("images", "output", "workdir", "overwrite", "seed"),
    *("batch_size", "learning_rate"),
  ),
  flags.choice(
    "network", "mobilenetv3/small32", elastic.NETWORKS, "Super-network."
  ),
  flags.path("weights", None, "A file of weights, which are not trained."),
  flags.choice("preset", "cpu", ("cpu", "paper"), "How it is trained."),
  flags.choice("rule", None, supernet.RULES, "Which networks a step trains."),
  flags.whole("num_epochs", None, "Passes over the images."),
  flags.whole("num_random", None, "Random networks of a step."),
  flags.number("width", 1.0, "Factor of the channels; of mobilenetv3.", 0.1, 4),
  flags.whole("num_train", 0, "Images to learn from; 0: two thirds.", 0),
  flags.whole("num_valid", 0, "Images to choose by; 0: a sixth.", 0),
  flags.whole(
    "num_queried",
    500,
    "Images to choose by, and to judge by, of every sub-network in a search; 0 "
    "for all of them.",
    0,
  ),
  flags.whole(
    "num_calibration",
    200,
    "Images by which a sub-network's batch statistics are made at every query; "
    "0 for those of the training.",
    0,
  ),
)

main = binary(
  _run,
  FLAGS,
  __doc__,
  FloatingPointError,
  written="no file, but the state after the last epoch",
)

if __name__ == "__main__":
  sys.exit(main())
