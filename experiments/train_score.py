"""Trains the score model of DiffusionNAG for a space.

  python -m experiments.train_score --space=nasbench201 \\
    --output=DATA_DIR/score_nasbench201.npz --workdir=results/score

--preset=cpu is nagjax's model, which a CPU trains in minutes; --preset=paper is
the published network, loss and training (256 x 250,000 samples; MobileNetV3
1,000,000 steps), for an accelerator. --set=model.width=32 changes an option of
`nagjax.generation.score_training.Config`; where only one has its name, width=32
is enough.

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

import dataclasses
import sys
from typing import Any

from nagjax import options
from nagjax import registry
from nagjax.generation import pretrained_scores
from nagjax.generation import sampling
from nagjax.generation import score_models
from nagjax.generation import score_training
from nagjax.spaces import SearchSpace

from .support import flags
from .support import machine
from .support import outputs
from .support import progress
from .support.errors import user_errors
from .support.program import binary


def _run(values: flags.Values) -> None:
  with user_errors("--space: "):
    space = registry.make_space(values.space)
  with user_errors():
    config = make_config(values, space)
    # What the space cannot be asked for is said before anything is made.
    score_models.score_model(space, config.model)
    score_training.choose_targets(space, config.training_share, values.seed)
  name = values.output or pretrained_scores.file_name(space)
  workdir = values.workdir or f"results/score_{space.name}"
  machine.start_jax(values.compilation_cache_dir)
  with outputs.claimed_output(name, overwrite=values.overwrite) as output:
    with (
      outputs.claimed_workdir(workdir) as directory,
      progress.of_training() as on_progress,
      user_errors("--workdir: "),
    ):
      trained = score_training.train_score_model(
        space,
        config,
        seed=values.seed,
        directory=directory,
        on_progress=on_progress,
      )
    trained.notes["preset"] = values.preset
    trained.notes["versions"] = machine.versions()
    pretrained_scores.save(output, space, trained)
  print(f"Wrote {output}.")
  print(describe(trained.notes))


def make_config(
  values: flags.Values, space: SearchSpace
) -> score_training.Config:
  """What the flags ask for.

  Raises:
    ValueError: if any is wrong.
  """
  config = score_training.preset(
    space,
    values.preset,
    num_steps=values.num_steps,
    chunk_size=values.checkpoint_every,
  )
  config = dataclasses.replace(
    config,
    sampler=dataclasses.replace(
      config.sampler, sampler=values.sampler, num_steps=values.sample_steps
    ),
    batch_size=values.batch_size,
    training_share=values.training_share,
    num_reported=values.num_reported,
  )
  changes = flags.read_options(values.set, ("training",), "training")
  return options.with_options(config, changes["training"], "training")


def describe(notes: dict[str, Any]) -> str:
  """One line with the measures."""
  shares = [
    f"{name} {100 * notes[name]:.2f} +- {100 * notes[name + '_std']:.2f} %"
    if notes[name] is not None
    else f"{name} n/a"
    for name in sampling.Measures._fields
  ]
  return (
    f"Of {score_training.NUM_REPORTS} x {notes['num_reported']:,} "
    f"architectures: {', '.join(shares)}."
  )


FLAGS = (
  *flags.common(
    *("space", "output", "workdir", "seed", "overwrite", "checkpoint_every"),
    "num_steps",
    batch_size=256,
    set=([], "Option such as model.width=32 or width=32; repeatable."),
  ),
  flags.choice("preset", "cpu", score_training.PRESETS, "Model and training."),
  flags.choice(
    "sampler", "few_step", sampling.SAMPLERS, "Of what is reported."
  ),
  flags.whole("sample_steps", 30, "Of the sampler.", 2),
  flags.whole("num_reported", 1000, "Architectures of a report."),
  flags.number(
    "training_share", 1.0, "Share of the space that is trained on.", 0.0, 1.0
  ),
)

main = binary(
  _run,
  FLAGS,
  __doc__,
  FloatingPointError,
  written="no file, but the state after the last chunk",
)

if __name__ == "__main__":
  sys.exit(main())
