"""Trains the score model of DiffusionNAG for a space.

  python -m experiments.train_score --space=nasbench201 \\
    --output=DATA_DIR/score_nasbench201.npz --workdir=results/score

--preset=cpu is nagjax's model, which a CPU trains in minutes; --preset=paper is
the published network, loss and training (256 x 250,000 samples; MobileNetV3
1,000,000 steps), for an accelerator. --set=field=value changes an option of the
model (`nagjax.generation.score_models.Config`), such as position_code=false.

Training samples are uniformly random architectures. With --training_share=0.5
they are a random half of the space, which must be enumerable, and the novelty
says how many generated ones are of the other half.

The state is saved in --workdir after every chunk of steps, with metrics.csv;
after an interruption of any kind the same command continues there and gives the
same weights, bit for bit.

At the end three times 1,000 architectures are generated. Printed, and written
into the file, are the validity, the uniqueness and the novelty with their
standard deviations.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from absl import flags
import jax

from experiments import building
from experiments import common
from experiments import score_training as work
from nagjax import registry
from nagjax.generation import pretrained_scores
from nagjax.generation import sampling
from nagjax.generation import score_models
from nagjax.generation import score_training
from nagjax.spaces import SearchSpace

PRESETS = ("cpu", "paper")


def main(argv: Sequence[str]) -> int:
  """Runs the binary.

  Args:
    argv: the command line, program name first.

  Returns:
    The exit code.
  """
  return common.run_main(
    lambda: _run(argv),
    FloatingPointError,
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
  output = common.check_table_path(
    values.output or pretrained_scores.file_name(space), values.overwrite
  )
  with common.user_errors("--output: "):
    output.parent.mkdir(parents=True, exist_ok=True)
  job = make_job(values, space)
  train_key, report_key = jax.random.split(jax.random.key(values.seed))
  params, notes = work.train(train_key, job)
  notes |= work.report(report_key, job, params)
  notes["versions"] = common.versions()
  pretrained_scores.save(
    output,
    space,
    pretrained_scores.TrainedScore(job.model_config, params, notes),
  )
  print(f"Wrote {output}.")
  print(work.describe(notes))


def make_job(values: flags.FlagValues, space: SearchSpace) -> work.Job:
  """Checks all values before any computing starts, and claims the workdir.

  Raises:
    UsageError: if any is wrong.
  """
  paper = values.preset == "paper"
  num_steps = values.num_steps or _default_steps(space, paper)
  num_chunks = -(-num_steps // values.checkpoint_every)
  with common.user_errors():
    model_config = (
      score_models.published(space.name) if paper else score_models.Config()
    )
    for text in values.set:
      name, _, value = text.partition("=")
      model_config = dataclasses.replace(
        model_config,
        **{
          name: registry.parse_option(
            type(model_config), "the model", name, value
          )
        },
      )
    score_models.score_model(space, model_config)
    training_config = (
      score_training.Config()
      if paper
      else score_training.Config(
        learning_rate=2e-3,
        warmup_steps=100,
        decay_steps=num_chunks * values.checkpoint_every,
        ema_decay=0.999,
        central=True,
      )
    )
    sampling_config = sampling.Config(
      sampler=values.sampler,
      num_steps=values.sample_steps,
      corrector=sampling.has_corrector(space.name),
    )
    targets = work.choose_targets(space, values.training_share, values.seed)
  settings = {
    "space": space.name,
    "preset": values.preset,
    "model": dataclasses.asdict(model_config),
    "training": dataclasses.asdict(training_config),
    "num_steps": num_chunks * values.checkpoint_every,
    "batch_size": values.batch_size,
    "checkpoint_every": values.checkpoint_every,
    "training_share": values.training_share,
    "seed": values.seed,
  }
  workdir = pathlib.Path(values.workdir or f"results/score_{space.name}")
  with common.user_errors("--workdir: "):
    workdir.mkdir(parents=True, exist_ok=True)
    building.claim(workdir, settings)
  return work.Job(
    space=space,
    targets=targets,
    model_config=model_config,
    training_config=training_config,
    sampling_config=sampling_config,
    batch_size=values.batch_size,
    chunk_size=values.checkpoint_every,
    num_chunks=num_chunks,
    workdir=workdir,
    settings=settings,
  )


def _default_steps(space: SearchSpace, paper: bool) -> int:
  """Published, or what a CPU does in minutes."""
  chain = space.name == "mobilenetv3"
  if paper:
    return 1_000_000 if chain else 250_000
  return 8000 if chain else 2000


def _define_flags() -> flags.FlagValues:
  """This binary's flags, apart from those of other binaries in the process."""
  values = flags.FlagValues()
  flags.DEFINE_enum(
    "preset", "cpu", PRESETS, "Model and training.", flag_values=values
  )
  flags.DEFINE_enum(
    "sampler",
    "few_step",
    sampling.SAMPLERS,
    "That generates what is reported.",
    flag_values=values,
  )
  flags.DEFINE_multi_string(
    "set", [], "An option of the model, field=value.", flag_values=values
  )
  strings: list[tuple[str, Any, str]] = [
    ("space", "nasbench201", "Name of the space."),
    ("output", None, "The file to write; score_<space>.npz unless given."),
    ("workdir", None, "For the state; results/score_<space> unless given."),
    ("compilation_cache_dir", None, "Where compiled programs are kept."),
  ]
  for name, default, text in strings:
    flags.DEFINE_string(name, default, text, flag_values=values)
  integers: list[tuple[str, int, int | None, str]] = [
    ("num_steps", 1, None, "Of the training; up to whole chunks."),
    ("batch_size", 1, 256, "Samples of a step."),
    ("checkpoint_every", 1, 250, "Steps of a chunk."),
    ("sample_steps", 2, 30, "Of the sampler."),
    ("seed", 0, 0, "Of everything random."),
  ]
  for name, lowest, number, text in integers:
    flags.DEFINE_integer(name, number, text, lowest, flag_values=values)
  flags.DEFINE_float(
    "training_share",
    1.0,
    "Share of the space that is trained on.",
    0.0,
    1.0,
    flag_values=values,
  )
  booleans = [
    ("overwrite", False, "Replace an existing file."),
    ("help", False, "Print this text."),
  ]
  for name, value, text in booleans:
    flags.DEFINE_boolean(name, value, text, flag_values=values)
  return values


if __name__ == "__main__":
  common.run_program(main)
