"""The work of `experiments.train_score`: chunks of steps, and measures."""

import csv
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from nagjax import files
from nagjax.diffusion import samplers
from nagjax.generation import sampling
from nagjax.generation import score_models
from nagjax.generation import score_training
from nagjax.search import Progress
from nagjax.search import checkpoint
from nagjax.spaces import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

STATE = "state.npz"
METRICS = "metrics.csv"
TRIAL = 1000
"""Architectures that are generated after every chunk."""
NUM_REPORTS = 3
"""How often as many are generated at the end."""


class State(NamedTuple):
  """A training between two chunks.

  Attributes:
    num_chunks: `int32[]` chunks that are done.
    trained: the model.
    loss: `f32[chunks]` mean over each chunk; 0 where there is none yet.
    validity, uniqueness: `f32[chunks]` of the trial after each.
  """

  num_chunks: jax.Array
  trained: score_steps.TrainState
  loss: jax.Array
  validity: jax.Array
  uniqueness: jax.Array


class Job(NamedTuple):
  """A training, checked.

  Attributes:
    space: what is generated.
    targets: `int32[M, L]` what is trained on, or None for the whole space.
    model_config: of the score model.
    training_config: of the training.
    sampling_config: of what is reported.
    batch_size: samples of a step.
    chunk_size: steps of a chunk.
    num_chunks: in all.
    workdir: for the state.
    settings: what the weights depend on, as JSON.
  """

  space: SearchSpace
  targets: np.ndarray | None
  model_config: score_models.Config
  training_config: score_training.Config
  sampling_config: sampling.Config
  batch_size: int
  chunk_size: int
  num_chunks: int
  workdir: pathlib.Path
  settings: dict[str, Any]


def choose_targets(
  space: SearchSpace, share: float, seed: int
) -> np.ndarray | None:
  """A random share of a space, `int32[M, L]`, or None for all of it.

  Raises:
    ValueError: if the share is not in (0, 1], or the space has no list.
  """
  if not 0 < share <= 1:
    raise ValueError(f"--training_share must be in (0, 1], got {share}.")
  if share == 1:
    return None
  archs = space.all_architectures()
  order = np.random.default_rng(seed).permutation(len(archs))
  return archs[order[: round(share * len(archs))]]


def train(key: Key, job: Job) -> tuple[Params, dict[str, Any]]:
  """Trains on from the state in the workdir.

  Args:
    key: random key, consumed.
    job: what to do.

  Returns:
    The averaged weights, and notes on how they came about.

  Raises:
    UsageError: if the state cannot be read, or the training diverges.
  """
  path = job.workdir / STATE
  model = score_models.score_model(job.space, job.model_config)
  init_key, chunks_key = jax.random.split(key)

  def first() -> State:
    params = model.init(init_key)
    none = jnp.zeros(job.num_chunks)
    return State(
      jnp.int32(0),
      score_training.start(params, job.training_config),
      none,
      none,
      none,
    )

  @jax.jit
  def advance(state: State) -> tuple[State, sampling.Generated]:
    chunk_key = jax.random.fold_in(chunks_key, state.num_chunks)
    target_key, step_key, trial_key = jax.random.split(chunk_key, 3)
    trained, losses = score_training.train(
      step_key,
      model,
      state.trained,
      _draw_targets(target_key, job),
      job.training_config,
      dropout=job.model_config.dropout > 0,
    )
    trial = sampling.generate(
      trial_key, model, trained.average, TRIAL, job.sampling_config
    )
    loss = state.loss.at[state.num_chunks].set(jnp.mean(losses))
    return state._replace(
      num_chunks=state.num_chunks + 1, trained=trained, loss=loss
    ), trial

  state = jax.jit(first)()
  if path.exists():
    with common.user_errors("--workdir: "):
      state = checkpoint.load(path, state)
  with common.progress() as progress:
    progress("training", None)
    for chunk in range(int(state.num_chunks), job.num_chunks):
      state, trial = advance(state)
      if not np.isfinite(state.loss[chunk]):
        raise common.UsageError(
          f"The training diverged in chunk {chunk + 1}; choose another "
          "--workdir and model."
        )
      measures = _measure(job, trial)
      state = state._replace(
        validity=state.validity.at[chunk].set(measures.validity),
        uniqueness=state.uniqueness.at[chunk].set(
          np.nan_to_num(measures.uniqueness)
        ),
      )
      checkpoint.save(path, state)
      _write_metrics(job, state)
      done = chunk + 1
      steps, all_steps = done * job.chunk_size, job.num_chunks * job.chunk_size
      share = done / job.num_chunks
      progress(
        "training", Progress(chunk, job.num_chunks, steps, all_steps, share)
      )
  notes = {**job.settings, "final_loss": _short(state.loss[-1])}
  return state.trained.average, notes


def report(key: Key, job: Job, params: Params) -> dict[str, Any]:
  """Generates several times, and measures.

  Args:
    key: random key, consumed.
    job: what was trained.
    params: averaged weights.

  Returns:
    Mean and standard deviation (ddof 1) of every measure, in [0, 1], as JSON;
    None for what there is not.

  Raises:
    FloatingPointError: if the sampler meets what is not finite.
  """
  model = score_models.score_model(job.space, job.model_config)
  program = jax.jit(
    lambda key: sampling.generate(
      key, model, params, TRIAL, job.sampling_config
    )
  )
  found = []
  for report_key in jax.random.split(key, NUM_REPORTS):
    generated = program(report_key)
    samplers.check_finite(generated.bad_step)
    found.append(_measure(job, generated))
  notes: dict[str, Any] = {
    "num_reported": TRIAL,
    "sampler": job.sampling_config.sampler,
    "sample_steps": job.sampling_config.num_steps,
  }
  for name in sampling.Measures._fields:
    values = np.asarray([getattr(measures, name) for measures in found])
    missing = bool(np.isnan(values).any())
    notes[name] = None if missing else _short(values.mean())
    notes[f"{name}_std"] = None if missing else _short(values.std(ddof=1))
  return notes


def describe(notes: dict[str, Any]) -> str:
  """One line with the measures."""
  shares = [
    f"{name} {100 * notes[name]:.2f} +- {100 * notes[name + '_std']:.2f} %"
    if notes[name] is not None
    else f"{name} n/a"
    for name in sampling.Measures._fields
  ]
  return (
    f"Of {NUM_REPORTS} x {notes['num_reported']:,} architectures: "
    f"{', '.join(shares)}."
  )


def _draw_targets(key: Key, job: Job) -> Archs:
  """`int32[steps, batch, L]` random architectures."""
  shape = (job.chunk_size, job.batch_size)
  if job.targets is None:
    return jax.lax.map(
      lambda key: job.space.sample(key, job.batch_size),
      jax.random.split(key, job.chunk_size),
    )
  rows = jax.random.randint(key, shape, 0, len(job.targets))
  return jnp.asarray(job.targets)[rows]


def _measure(job: Job, generated: sampling.Generated) -> sampling.Measures:
  training = None
  if job.targets is not None:
    training = common.key_numbers(job.space.keys(jnp.asarray(job.targets)))
  return sampling.measure(
    common.key_numbers(job.space.keys(generated.archs)),
    np.asarray(generated.valid),
    training,
  )


def _write_metrics(job: Job, state: State) -> None:
  """All chunks so far; the file is always complete."""
  with files.atomic_path(job.workdir / METRICS) as temporary:
    with open(temporary, "w", newline="", encoding="utf-8") as file:
      writer = csv.writer(file)
      writer.writerow(["step", "loss", "validity", "uniqueness"])
      for chunk in range(int(state.num_chunks)):
        row = (state.loss, state.validity, state.uniqueness)
        numbers = [_short(column[chunk]) for column in row]
        writer.writerow([(chunk + 1) * job.chunk_size, *numbers])


def _short(value: Any) -> float:
  return round(float(value), 6)
