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

from collections.abc import Sequence
import functools
import hashlib
import json
import pathlib
from typing import Any

from absl import flags
import jax
import jax.numpy as jnp
import numpy as np

from experiments import building
from experiments import common
from experiments import pretraining
from nagjax import registry
from nagjax.convert import ConversionError
from nagjax.convert import agnet
from nagjax.generation import pretrained
from nagjax.generation import retraining
from nagjax.spaces import SearchSpace
from nagjax.spaces import nasbench_nlp
from nagjax.spaces.base import require_layout
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

NUM_INSTANCES = {"darts": 96_000, "nasbench201": 200_000}
"""Targets unless --num_instances says otherwise."""
OTHERWISE = 400_000


def main(argv: Sequence[str]) -> int:
  """Runs the binary.

  Args:
    argv: the command line, program name first.

  Returns:
    The exit code.
  """
  return common.run_main(
    lambda: _run(argv),
    ConversionError,
    written="no file, but the state after the last chunk",
  )


def _run(argv: Sequence[str]) -> None:
  values = _define_flags()
  if common.read_flags(values, argv, __doc__):
    return
  common.require_extra("rich")
  common.start_jax(values.compilation_cache_dir)
  with common.user_errors("--space: "):
    space = registry.make_space(values.space)
    require_layout(space)
  output = _check_output(values, space)
  sample_fn, archs = _targets(values, space)
  train_key, report_key = jax.random.split(jax.random.key(values.seed))
  if values.from_checkpoint is None:
    job = make_job(values, space, sample_fn, archs, train_key)
    params, notes = pretraining.train(job)
    names = functools.partial(pretraining.target_names, job)
  else:
    params, notes = from_checkpoint(values.from_checkpoint, space)
    names = None
  notes |= pretraining.measure(
    report_key, space, sample_fn, params, values.num_reported, names
  )
  notes["versions"] = common.versions()
  pretrained.save(output, space, pretrained.Pretrained(params, notes))
  print(f"Wrote {output}.")
  print(describe(notes))


def _define_flags() -> flags.FlagValues:
  """This binary's flags, apart from those of other binaries in the process."""
  values = flags.FlagValues()
  strings = [
    ("space", "nasbench201", "Name of the space."),
    ("output", None, "The file to write; agnet_<space>.npz unless given."),
    ("workdir", None, "For the state; results/agnet_<space> unless given."),
    ("recipes", None, "nasbench_nlp: a log whose cells are the targets."),
    ("from_checkpoint", None, "Convert this best.model instead of training."),
    ("compilation_cache_dir", None, "Where compiled programs are kept."),
  ]
  for name, default, text in strings:
    flags.DEFINE_string(name, default, text, flag_values=values)
  integers: list[tuple[str, int, int | None, str]] = [
    ("num_instances", 1, None, "Targets, with repeats; up to whole chunks."),
    ("batch_size", 1, 32, "Targets of a step."),
    ("checkpoint_every", 1, 250, "Steps of a chunk."),
    ("num_reported", 1, 10_000, "Latent vectors that are decoded at the end."),
    ("seed", 0, 0, "Of everything random."),
  ]
  for name, lowest, number, text in integers:
    flags.DEFINE_integer(name, number, text, lowest, flag_values=values)
  flags.DEFINE_float(
    "learning_rate",
    1e-3,
    "At the start; it falls to 0 along a cosine.",
    0.0,
    flag_values=values,
  )
  booleans = [
    ("overwrite", False, "Replace an existing file."),
    ("help", False, "Print this text."),
  ]
  for name, value, text in booleans:
    flags.DEFINE_boolean(name, value, text, flag_values=values)
  return values


def make_job(
  values: flags.FlagValues,
  space: SearchSpace,
  sample_fn: pretraining.SampleFn,
  targets: np.ndarray | None,
  key: Key,
) -> pretraining.Job:
  """Checks all values before any computing starts, and claims the workdir.

  Raises:
    UsageError: if any is wrong.
  """
  num_instances = values.num_instances or NUM_INSTANCES.get(
    space.name, OTHERWISE
  )
  num_chunks = -(
    -num_instances // (values.batch_size * values.checkpoint_every)
  )
  with common.user_errors():
    config = retraining.Config(
      learning_rate=values.learning_rate,
      decay_steps=num_chunks * values.checkpoint_every,
    )
  settings = {
    "space": space.name,
    "instances": num_chunks * values.checkpoint_every * values.batch_size,
    "batch_size": values.batch_size,
    "checkpoint_every": values.checkpoint_every,
    "learning_rate": values.learning_rate,
    "seed": values.seed,
    "targets": "uniform" if targets is None else _digest(targets),
  }
  workdir = pathlib.Path(values.workdir or f"results/agnet_{space.name}")
  with common.user_errors("--workdir: "):
    workdir.mkdir(parents=True, exist_ok=True)
    building.claim(workdir, settings)
  return pretraining.Job(
    space=space,
    sample_fn=sample_fn,
    targets=targets,
    config=config,
    key=key,
    batch_size=values.batch_size,
    chunk_size=values.checkpoint_every,
    num_chunks=num_chunks,
    workdir=workdir,
    settings=settings,
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
  with common.user_errors("--from_checkpoint: "):
    pretrained.check_params(params, space)
  content = pathlib.Path(path).read_bytes()
  notes = {
    "from_checkpoint": pathlib.Path(path).name,
    "sha256": hashlib.sha256(content).hexdigest(),
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
  with common.user_errors("--recipes: "):
    content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, list):
      raise ValueError(f"{path} must be a list of records.")
  cells = []
  for record in content:
    try:
      cells.append(nasbench_nlp.from_recipe(record["recepie"]))
    except (KeyError, TypeError, ValueError):
      continue
  if not cells:
    raise common.UsageError(f"--recipes: {path} holds no recipe of the space.")
  archs = np.asarray(cells, np.int32)
  _, first = np.unique(
    common.key_numbers(space.keys(jnp.asarray(archs))), return_index=True
  )
  print(
    f"{len(content):,} records, {len(cells):,} of them cells of the space, "
    f"{len(first):,} different."
  )
  return archs[np.sort(first)]


def _targets(
  values: flags.FlagValues, space: SearchSpace
) -> tuple[pretraining.SampleFn, np.ndarray | None]:
  """What draws targets, and all of them where they are few."""
  if values.recipes is None:
    return space.sample, None
  if space.name != "nasbench_nlp":
    raise common.UsageError("--recipes is for --space=nasbench_nlp.")
  archs = read_recipes(values.recipes)

  def sample(key: Key, num: int) -> Archs:
    return jnp.asarray(archs)[jax.random.randint(key, (num,), 0, len(archs))]

  return sample, archs


def _check_output(values: flags.FlagValues, space: SearchSpace) -> pathlib.Path:
  output = common.check_table_path(
    values.output or pretrained.file_name(space), values.overwrite
  )
  with common.user_errors("--output: "):
    output.parent.mkdir(parents=True, exist_ok=True)
  return output


def _digest(archs: np.ndarray) -> str:
  return hashlib.sha256(archs.tobytes()).hexdigest()


if __name__ == "__main__":
  common.run_program(main)
