"""Training the score model of a space, and telling what it generates.

An et al., "DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943, sections
3.1 and 4.2. No accuracy is read: samples are random architectures.
"""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import arrays
from nagjax import checks
from nagjax.diffusion import samplers
from nagjax.generation import resumable
from nagjax.generation import sampling
from nagjax.generation import score_models
from nagjax.generation import score_steps
from nagjax.generation.pretrained_scores import TrainedScore
from nagjax.generation.resumable import short
from nagjax.generation.score_models import ScoreModel
from nagjax.networks.base import ScoreNetwork
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

PRESETS = ("cpu", "paper")
NUM_REPORTS = 3
"""How often architectures are generated at the end."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options; `preset` has what belongs together.

  Attributes:
    model: of the score model.
    optimizer: of the steps.
    sampler: of what is reported.
    num_steps: of the training; up to whole chunks.
    batch_size: samples of a step.
    chunk_size: steps between two states that are saved.
    training_share: share of the space that is trained on, of an enumerable one.
    num_reported: architectures that are generated after every chunk, and three
      times at the end.
  """

  model: score_models.Config = score_models.Config()
  optimizer: score_steps.Config = score_steps.Config()
  sampler: sampling.Config = sampling.Config()
  num_steps: int = 2000
  batch_size: int = 256
  chunk_size: int = 250
  training_share: float = 1.0
  num_reported: int = 1000

  def __post_init__(self) -> None:
    checks.sizes(self)
    if not 0 < self.training_share <= 1:
      raise ValueError(
        f"training_share must be in (0, 1], got {self.training_share}."
      )

  @property
  def num_chunks(self) -> int:
    """Chunks of the training."""
    return -(-self.num_steps // self.chunk_size)


def preset(
  space: SearchSpace,
  name: str = "cpu",
  *,
  num_steps: int | None = None,
  chunk_size: int = 250,
) -> Config:
  """Options that belong together.

  Args:
    space: the space.
    name: `cpu`, nagjax's model, which a CPU trains in minutes; or `paper`, the
      published network, loss and training, for an accelerator.
    num_steps: of the training; what was published, or what a CPU does in
      minutes, if None.
    chunk_size: steps between two states that are saved.

  Raises:
    ValueError: if the name is another one.
  """
  if name not in PRESETS:
    raise ValueError(f"preset must be one of {PRESETS}, got {name!r}.")
  chain, paper = space.name == "mobilenetv3", name == "paper"
  defaults = (250_000, 1_000_000) if paper else (2000, 8000)
  config = Config(
    sampler=sampling.Config(corrector=sampling.has_corrector(space.name)),
    num_steps=num_steps or defaults[chain],
    chunk_size=chunk_size,
  )
  if paper:
    return dataclasses.replace(config, model=score_models.published(space.name))
  optimizer = score_steps.Config(
    learning_rate=2e-3,
    warmup_steps=100,
    decay_steps=config.num_chunks * chunk_size,
    ema_decay=0.999,
    central=True,
  )
  return dataclasses.replace(config, optimizer=optimizer)


def train_score_model(
  space: SearchSpace,
  config: Config | None = None,
  *,
  network: ScoreNetwork | None = None,
  seed: int = 0,
  directory: str | os.PathLike[str] | None = None,
  on_progress: resumable.ProgressFn | None = None,
) -> TrainedScore:
  """Trains the score model of a space, DiffusionNAG's.

  Any space has one, a user's own as well. With a directory the state is saved
  there after every chunk, and the same call goes on from it after an
  interruption of any kind, to the same bits.

  Args:
    space: what is generated.
    config: see `Config`; `preset(space)` if not given.
    network: a score network of the user's, see `score_models.score_model`.
    seed: of everything random.
    directory: for the state, and `metrics.csv`.
    on_progress: called at the beginning and after every chunk.

  Returns:
    The model's options, the averaged parameters, and notes: the settings, and
    the measures of `report`.

  Raises:
    ValueError: if a share is asked for of a space that is not enumerable, or
      the directory holds the training of other settings.
    FloatingPointError: if the training diverges, or the sampler does.
  """
  config = config or preset(space)
  model = score_models.score_model(space, config.model, network)
  targets = choose_targets(space, config.training_share, seed)
  train_key, report_key = jax.random.split(jax.random.key(seed))
  init_key, chunks_key = jax.random.split(train_key)

  def first() -> score_steps.TrainState:
    return score_steps.start(model.init(init_key), config.optimizer)

  @jax.jit
  def program(
    chunk: jax.Array, state: score_steps.TrainState
  ) -> tuple[score_steps.TrainState, jax.Array, sampling.Generated]:
    chunk_key = jax.random.fold_in(chunks_key, chunk)
    target_key, step_key, trial_key = jax.random.split(chunk_key, 3)
    state, losses = score_steps.train(
      step_key,
      model,
      state,
      _draw_targets(target_key, space, targets, config),
      config.optimizer,
      dropout=config.model.dropout > 0,
    )
    trial = sampling.generate(
      trial_key, model, state.average, config.num_reported, config.sampler
    )
    return state, jnp.mean(losses), trial

  def advance(
    chunk: jax.Array, state: score_steps.TrainState
  ) -> tuple[score_steps.TrainState, dict[str, Any]]:
    state, loss, trial = program(chunk, state)
    measures = _measure(space, targets, trial)
    return state, {
      "loss": loss,
      "validity": measures.validity,
      "uniqueness": np.nan_to_num(measures.uniqueness),
    }

  settings = {
    "space": space.name,
    "model": dataclasses.asdict(config.model),
    "training": dataclasses.asdict(config.optimizer),
    "num_steps": config.num_chunks * config.chunk_size,
    "batch_size": config.batch_size,
    "checkpoint_every": config.chunk_size,
    "training_share": config.training_share,
    "seed": seed,
  }
  if network is not None:
    settings["network"] = "own"
  saved = resumable.run(
    first,
    advance,
    config.num_chunks,
    measures=("loss", "validity", "uniqueness"),
    chunk_size=config.chunk_size,
    settings={
      **settings,
      "sampler": dataclasses.asdict(config.sampler),
      "num_reported": config.num_reported,
    },
    directory=directory,
    on_progress=on_progress,
  )
  params = saved.state.average
  notes = {
    **settings,
    "final_loss": short(saved.history["loss"][-1]),
    **report(report_key, space, model, params, config, targets),
  }
  return TrainedScore(config.model, params, notes)


def report(
  key: Key,
  space: SearchSpace,
  model: ScoreModel,
  params: Params,
  config: Config,
  targets: np.ndarray | None = None,
) -> dict[str, Any]:
  """Generates several times, and measures.

  Args:
    key: random key, consumed.
    space: what is generated.
    model: the score model.
    params: its averaged parameters.
    config: how many, and by which sampler.
    targets: `int32[M, L]` what was trained on; None for the whole space.

  Returns:
    Mean and standard deviation (ddof 1) of every measure, in [0, 1], as JSON;
    None for what there is not.

  Raises:
    FloatingPointError: if the sampler meets what is not finite.
  """
  program = jax.jit(
    lambda key, params: sampling.generate(
      key, model, params, config.num_reported, config.sampler
    )
  )
  found = []
  for report_key in jax.random.split(key, NUM_REPORTS):
    generated = program(report_key, params)
    samplers.check_finite(generated.bad_step)
    found.append(_measure(space, targets, generated))
  notes: dict[str, Any] = {
    "num_reported": config.num_reported,
    "sampler": config.sampler.sampler,
    "sample_steps": config.sampler.num_steps,
  }
  for name in sampling.Measures._fields:
    values = np.asarray([getattr(measures, name) for measures in found])
    missing = bool(np.isnan(values).any())
    notes[name] = None if missing else short(values.mean())
    notes[f"{name}_std"] = None if missing else short(values.std(ddof=1))
  return notes


def choose_targets(
  space: SearchSpace, share: float, seed: int
) -> np.ndarray | None:
  """A random share of a space, `int32[M, L]`, or None for all of it.

  Raises:
    ValueError: if the space has no list.
  """
  if share == 1:
    return None
  archs = space.all_architectures()
  order = np.random.default_rng(seed).permutation(len(archs))
  return archs[order[: round(share * len(archs))]]


def _draw_targets(
  key: Key, space: SearchSpace, targets: np.ndarray | None, config: Config
) -> Archs:
  """`int32[steps, batch, L]` random architectures."""
  shape = (config.chunk_size, config.batch_size)
  if targets is None:
    return jax.lax.map(
      lambda key: space.sample(key, config.batch_size),
      jax.random.split(key, config.chunk_size),
    )
  return jnp.asarray(targets)[jax.random.randint(key, shape, 0, len(targets))]


def _measure(
  space: SearchSpace, targets: np.ndarray | None, generated: sampling.Generated
) -> sampling.Measures:
  training = None
  if targets is not None:
    training = arrays.key_numbers(space.keys(jnp.asarray(targets)))
  return sampling.measure(
    arrays.key_numbers(space.keys(generated.archs)),
    np.asarray(generated.valid),
    training,
  )
