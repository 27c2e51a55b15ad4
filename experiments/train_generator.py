"""Trains the graph generator of AG-Net for a space.

  python -m experiments.train_generator --space=nasbench101 \\
    --output=DATA_DIR/agnet_nasbench101.npz --workdir=results/generator

Targets are uniformly random architectures of the space, or, with --recipes, the
cells of a NAS-Bench-NLP log (nbnlp_*.json); no accuracy is read. Searches look
for the file in the data directory, and then in the package.

The state is saved in --workdir after every chunk of steps; after an
interruption of any kind the same command continues there and gives the same
weights, bit for bit. --from_checkpoint converts a published best.model instead
of training (needs the extra `convert`).

At the end 10,000 latent vectors are decoded once each. Printed, and written
into the file, are the reconstruction loss, the validity, the uniqueness (share
of distinct ones among the valid) and, unless the targets were as many as the
space has architectures, the novelty (share of distinct valid ones that were no
target).

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import arrays
from nagjax import files
from nagjax import registry
from nagjax.convert import ConversionError
from nagjax.convert import agnet
from nagjax.generation import pretrained
from nagjax.generation import pretraining
from nagjax.spaces import SearchSpace
from nagjax.spaces import nasbench_nlp
from nagjax.spaces.base import require_layout
from nagjax.types import Params

from .support import flags
from .support import machine
from .support import outputs
from .support import progress
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary


def _run(values: flags.Values) -> None:
  with user_errors("--space: "):
    space = registry.make_space(values.space)
    require_layout(space)
  with user_errors():
    config = _config(values, space)
  name = values.output or pretrained.file_name(space)
  outputs.check_output(name, overwrite=values.overwrite)
  targets = _targets(values, space)
  machine.start_jax(values.compilation_cache_dir)
  with outputs.claimed_output(name, overwrite=values.overwrite) as output:
    if values.from_checkpoint is None:
      params, notes = _train(values, space, config, targets)
    else:
      params, notes = from_checkpoint(values.from_checkpoint, space)
      _, report_key = jax.random.split(jax.random.key(values.seed))
      notes |= pretraining.measure(
        report_key, space, params, config.num_reported
      )
    notes["versions"] = machine.versions()
    pretrained.save(output, space, pretrained.Pretrained(params, notes))
  print(f"Wrote {output}.")
  print(describe(notes))


def _config(values: flags.Values, space: SearchSpace) -> pretraining.Config:
  default = pretraining.default_config(space)
  return pretraining.Config(
    num_instances=values.num_instances or default.num_instances,
    batch_size=values.batch_size,
    chunk_size=values.checkpoint_every,
    learning_rate=values.learning_rate,
    num_reported=values.num_reported,
    num_trials=min(default.num_trials, values.num_reported),
  )


def _train(
  values: flags.Values,
  space: SearchSpace,
  config: pretraining.Config,
  targets: np.ndarray | None,
) -> pretrained.Pretrained:
  workdir = values.workdir or f"results/agnet_{space.name}"
  with (
    outputs.claimed_workdir(workdir) as directory,
    progress.of_training() as on_progress,
    user_errors("--workdir: "),
  ):
    return pretraining.pretrain(
      space,
      config,
      seed=values.seed,
      targets=targets,
      directory=directory,
      on_progress=on_progress,
    )


def from_checkpoint(
  path: str, space: SearchSpace
) -> tuple[Params, dict[str, Any]]:
  """Reads a published generator; all graphs of an architecture share it.

  Raises:
    ConversionError: if it cannot be read.
    UsageError: if it is that of another space.
  """
  params = agnet.generator_file(path)
  num_graphs = require_layout(space).num_graphs
  params = jax.tree.map(lambda leaf: jnp.stack([leaf] * num_graphs), params)
  with user_errors("--from_checkpoint: "):
    pretrained.check_params(params, space)
  notes = {
    "from_checkpoint": pathlib.Path(path).name,
    "sha256": files.sha256(path),
  }
  return params, notes


def describe(notes: dict[str, Any]) -> str:
  """One line with the measures."""
  shares = [
    f"{name} {100 * notes[name]:.2f} %"
    if notes[name] is not None
    else f"{name} n/a"
    for name in ("validity", "uniqueness", "novelty")
  ]
  return (
    f"Of {notes['num_reported']:,} latent vectors: reconstruction loss "
    f"{notes['reconstruction_loss']:.4f}, {', '.join(shares)}."
  )


def read_recipes(path: str) -> np.ndarray:
  """Cells of a NAS-Bench-NLP log, `int32[M, 88]`, each once.

  Recipes that the space does not hold, such as those of more than 21 nodes, are
  left out. Differs from the program, which leaves out those of 14 and more,
  because its surrogate benchmark cannot read them.

  Raises:
    UsageError: if there are none.
  """
  space = nasbench_nlp.nasbench_nlp()
  with user_errors("--recipes: "):
    content = files.read_json(path, allow_nan=True)
    if not isinstance(content, list):
      raise ValueError(f"{path} must be a list of records.")
  cells = []
  for record in content:
    try:
      cells.append(nasbench_nlp.from_recipe(record["recepie"]))
    except (KeyError, TypeError, ValueError):
      continue
  if not cells:
    raise UsageError(f"--recipes: {path} holds no recipe of the space.")
  archs = np.asarray(cells, np.int32)
  _, first = np.unique(
    arrays.key_numbers(space.keys(jnp.asarray(archs))), return_index=True
  )
  print(
    f"{len(content):,} records, {len(cells):,} of them cells of the space, "
    f"{len(first):,} different."
  )
  return archs[np.sort(first)]


def _targets(values: flags.Values, space: SearchSpace) -> np.ndarray | None:
  """All targets, where they are few."""
  if values.recipes is None:
    return None
  if space.name != "nasbench_nlp":
    raise UsageError("--recipes is for --space=nasbench_nlp.")
  return read_recipes(values.recipes)


main = binary(
  _run,
  [
    *flags.common(
      *("space", "output", "workdir", "seed", "overwrite", "checkpoint_every"),
      batch_size=(32, "Targets of a step."),
      learning_rate=(1e-3, "At the start; it falls to 0 along a cosine."),
    ),
    flags.path("recipes", None, "nasbench_nlp: a log whose cells are targets."),
    flags.path("from_checkpoint", None, "A best.model to convert instead."),
    flags.whole("num_instances", None, "Targets, with repeats."),
    flags.whole("num_reported", 10_000, "Latent vectors decoded at the end."),
  ],
  __doc__,
  ConversionError,
  FloatingPointError,
  written="no file, but the state after the last chunk",
)

if __name__ == "__main__":
  sys.exit(main())
