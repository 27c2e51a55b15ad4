"""Trains a small network that makes features of images, for predictors.

  python -m experiments.train_extractor --images=animals.npz \\
    --images=letters.npz --output=extractor.npz

Learns to tell apart all classes of all image files together, at resolutions
from 8 to 32 and partly in gray, and keeps what lies before the classifier. A
tenth of every file is held out; what of it is told apart is printed. --images
is `digits` (of scikit-learn) or a .npz file with `x` and `y`; repeatable.

The sources and the figures stand in the file: a predictor on these features
must not be judged by these images.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

import dataclasses
import functools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from nagjax.candidates import extractor_training as training
from nagjax.candidates import extractors
from nagjax.candidates import images as images_lib
from nagjax.candidates import train
from nagjax.candidates.layers import Norm

from .support import flags
from .support import images as image_files
from .support import machine
from .support import outputs
from .support.errors import user_errors
from .support.program import binary
from .support.program import memory_errors
from .support.program import require_extra
from .support.progress import progress

HELD_OUT = 10
"""Every so many-th image is not learned from."""


def _run(values: flags.Values) -> None:
  require_extra("rich")
  flags.require(values, "images")
  machine.start_jax(values.compilation_cache_dir)
  with user_errors("--widths: "):
    widths = tuple(int(width) for width in values.widths)
  with user_errors():
    config = training.Config(
      widths=widths,
      num_epochs=values.num_epochs,
      batch_size=values.batch_size,
      learning_rate=values.learning_rate,
    )
  outputs.make_parent(values.output)
  with outputs.claimed_output(
    values.output, overwrite=values.overwrite
  ) as output:
    parts, sources, num_classes = [], [], 0
    for name in values.images:
      images = image_files.read(name)
      sources.append(
        {
          "name": pathlib.Path(name).name,
          "sha256": image_files.digest(images.x, images.y),
        }
      )
      parts.append(images_lib.Labeled(ready(images.x), images.y + num_classes))
      num_classes += images.num_classes
    held = [np.arange(len(part.y)) % HELD_OUT == 0 for part in parts]
    learned = [
      images_lib.Labeled(part.x[~out], part.y[~out])
      for part, out in zip(parts, held, strict=True)
    ]
    began = time.perf_counter()
    with memory_errors("fewer or smaller files of --images"):
      model = fit(
        jax.random.key(values.seed),
        images_lib.Labeled(
          np.concatenate([part.x for part in learned]),
          np.concatenate([part.y for part in learned]),
        ),
        num_classes,
        config,
      )
    seconds = time.perf_counter() - began
    figures = {}
    for source, part, out in zip(sources, parts, held, strict=True):
      shares = accuracies(model, images_lib.Labeled(part.x[out], part.y[out]))
      figures[source["name"]] = shares
      told = ", ".join(f"{v:.1f} % at {size}" for size, v in shares.items())
      print(f"  {source['name']}: of a tenth held out told apart {told}")
    extractors.save_small(
      output,
      training.fold(model),
      extractors.SMALL if output.stem == "extractor" else output.stem,
      tuple(sources),
      {
        "config": dataclasses.asdict(config) | {"widths": list(config.widths)},
        "seed": values.seed,
        "num_classes": num_classes,
        "held_out_accuracy": figures,
      },
    )
  print(
    f"Wrote {output}: {output.stat().st_size:,} bytes, {num_classes} classes, "
    f"{sum(config.widths)} features, trained in {seconds:,.0f} s."
  )


def ready(x: np.ndarray) -> np.ndarray:
  """Images as the network reads them, `f32[n, 32, 32, 3]`."""
  read = jax.jit(
    functools.partial(extractors.as_input, size=extractors.SMALL_SIZE)
  )
  stretched = extractors.pixels(x)
  return np.concatenate([read(stretched[part]) for part in _parts(len(x))])


def fit(
  key: jax.Array,
  images: images_lib.Labeled,
  num_classes: int,
  config: training.Config,
) -> training.Model:
  """Trains, epoch by epoch, with progress.

  Args:
    key: random key, consumed.
    images: on the host.
    num_classes: of all files together.
    config: how it is trained.
  """
  num_steps = len(images.y) // config.batch_size * config.num_epochs
  tx = training.optimizer(config, max(1, num_steps))
  start_key, epochs_key = jax.random.split(key)
  state = training.start(start_key, num_classes, config, tx)
  learned = train.Images(jnp.asarray(images.x), jnp.asarray(images.y))
  run = jax.jit(lambda k, s, images: training.epoch(k, s, images, config, tx))
  with progress() as report:
    report("training", None, "compiling")
    for number, epoch_key in enumerate(
      jax.random.split(epochs_key, config.num_epochs)
    ):
      state, loss = run(epoch_key, state, learned)
      detail = f"epoch {number + 1}, cross-entropy {float(loss):.3f}"
      report("training", (number + 1) / config.num_epochs, detail)
  return state.model


def accuracies(
  model: training.Model, images: images_lib.Labeled
) -> dict[str, float]:
  """Percent that are told apart, by the resolution at which they are seen."""
  classify = jax.jit(lambda x: training.apply(model, x, Norm.RUNNING)[0])
  found = {}
  for size in (min(training.RESOLUTIONS), max(training.RESOLUTIONS)):
    hits = []
    for part in _parts(len(images.y)):
      seen = training.seen_at(size, jnp.asarray(images.x[part]))
      said = np.argmax(np.asarray(classify(seen)), axis=-1)
      hits.append(said == images.y[part])
    found[str(size)] = round(100 * float(np.mean(np.concatenate(hits))), 1)
  return found


def _parts(num: int) -> list[slice]:
  """Some images at a time."""
  return [slice(start, start + 1000) for start in range(0, num, 1000)]


main = binary(
  _run,
  [
    *flags.common(
      "overwrite",
      "seed",
      output="extractor.npz",
      batch_size=training.Config().batch_size,
      learning_rate=training.Config().learning_rate,
    ),
    flags.paths("images", "A .npz file with x and y, or `digits`; repeatable."),
    flags.items(
      "widths", [str(w) for w in training.Config().widths], "Of the layers."
    ),
    flags.whole(
      "num_epochs", training.Config().num_epochs, "Passes over the images."
    ),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
