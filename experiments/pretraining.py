"""The work of `experiments.train_generator`: chunks of steps, and measures."""

from collections.abc import Callable
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from nagjax import generation
from nagjax.generation import retraining
from nagjax.networks import generator as generator_lib
from nagjax.search import Progress
from nagjax.search import checkpoint
from nagjax.spaces import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

STATE = "state.npz"
TRIAL = 1000
"""Latent vectors that are decoded after every chunk."""
_TOGETHER = 250
"""Latent vectors that are decoded side by side, for the sake of memory."""

SampleFn = Callable[[Key, int], Archs]
"""`(key, num) -> int32[num, L]`, random targets."""


class State(NamedTuple):
  """A training between two chunks.

  Attributes:
    num_chunks: `int32[]` chunks that are done.
    trained: the generators.
    loss, validity: `f32[chunks]` after each chunk; 0 where there is none yet.
  """

  num_chunks: jax.Array
  trained: retraining.TrainState
  loss: jax.Array
  validity: jax.Array


class Job(NamedTuple):
  """A training, checked.

  Attributes:
    space: what is generated.
    sample_fn: gives targets.
    targets: `int32[M, L]` all of them, or None for the whole space.
    config: of the optimizer.
    key: from which all is drawn.
    batch_size: targets of a step.
    chunk_size: steps of a chunk.
    num_chunks: in all.
    workdir: for the state.
    settings: what the weights depend on, as JSON.
  """

  space: SearchSpace
  sample_fn: SampleFn
  targets: np.ndarray | None
  config: retraining.Config
  key: Key
  batch_size: int
  chunk_size: int
  num_chunks: int
  workdir: pathlib.Path
  settings: dict[str, Any]


class Outcome(NamedTuple):
  """What latent vectors give.

  Attributes:
    loss: `f32[...]` of a random target, summed over its graphs.
    valid: `bool[...]` whether the decoded architecture is one.
    name: `uint32[..., 2]` its key.
  """

  loss: jax.Array
  valid: jax.Array
  name: jax.Array


def train(job: Job) -> tuple[Params, dict[str, Any]]:
  """Trains on from the state in the workdir.

  Returns:
    The weights, leading axis `C`, and notes on how they came about.

  Raises:
    UsageError: if the state cannot be read, or the training diverges.
  """
  path = job.workdir / STATE
  layout = require_layout(job.space)
  network = retraining.make_generator(layout)

  def first() -> State:
    init_key, _ = jax.random.split(job.key)
    keys = jax.random.split(init_key, layout.num_graphs)
    trained = retraining.start(jax.vmap(network.init)(keys), job.config)
    none = jnp.zeros(job.num_chunks)
    return State(jnp.int32(0), trained, none, none)

  @jax.jit
  def advance(state: State) -> State:
    target_key, latent_key, trial_key = _chunk_keys(job, state.num_chunks)
    shape = (job.chunk_size, job.batch_size)
    latents = jax.random.normal(
      latent_key, (*shape, layout.num_graphs, generator_lib.LATENT_SIZE)
    )
    archs = _chunk_targets(job, target_key)
    trained = retraining.train(
      network, state.trained, layout.encode(archs), latents, job.config
    )
    trial = decode_many(
      trial_key, job.space, job.sample_fn, trained.params, TRIAL
    )
    return State(
      state.num_chunks + 1,
      trained,
      state.loss.at[state.num_chunks].set(jnp.mean(trial.loss)),
      state.validity.at[state.num_chunks].set(jnp.mean(trial.valid)),
    )

  state = jax.jit(first)()
  if path.exists():
    with common.user_errors("--workdir: "):
      state = checkpoint.load(path, state)
  with common.progress() as report:
    report("training", None)
    for chunk in range(int(state.num_chunks), job.num_chunks):
      state = advance(state)
      if not np.isfinite(state.loss[chunk]):
        raise common.UsageError(
          f"The training diverged in chunk {chunk + 1}; choose a smaller "
          "--learning_rate and another --workdir."
        )
      checkpoint.save(path, state)
      done = chunk + 1
      steps, all_steps = done * job.chunk_size, job.num_chunks * job.chunk_size
      share = done / job.num_chunks
      report(
        "training", Progress(chunk, job.num_chunks, steps, all_steps, share)
      )
  return state.trained.params, {**job.settings, "history": _history(job, state)}


def decode_many(
  key: Key, space: SearchSpace, sample_fn: SampleFn, params: Params, num: int
) -> Outcome:
  """Decodes standard normal latent vectors, each once.

  Args:
    key: random key, consumed.
    space: what is generated.
    sample_fn: gives the targets of the reconstruction loss.
    params: of the generators, leading axis `C`.
    num: latent vectors.

  Returns:
    `f32[num]` losses, `bool[num]` validity, `uint32[num, 2]` keys.
  """
  layout = require_layout(space)
  network = retraining.make_generator(layout)

  def one(key: Key) -> Outcome:
    latent_key, node_key, edge_key, target_key = jax.random.split(key, 4)
    shape = (layout.num_graphs, generator_lib.LATENT_SIZE)
    scores = retraining.generate(
      network, params, jax.random.normal(latent_key, shape)
    )
    written = generation.choose(
      scores,
      jax.random.gumbel(node_key, scores.nodes.shape),
      jax.random.logistic(edge_key, scores.edges.shape),
    )
    arch, valid = layout.decode(written, scores.edges)
    target = layout.encode(sample_fn(target_key, 1)[0])
    losses = generator_lib.reconstruction_loss(
      scores, target.labels, target.edges
    )
    return Outcome(
      jnp.sum(losses), valid & space.is_valid(arch), space.keys(arch)
    )

  return jax.lax.map(one, jax.random.split(key, num), batch_size=_TOGETHER)


def measure(
  key: Key,
  space: SearchSpace,
  sample_fn: SampleFn,
  params: Params,
  num: int,
  target_names_fn: Callable[[], np.ndarray | None] | None = None,
) -> dict[str, Any]:
  """Tells what generators generate.

  Args:
    key: random key, consumed.
    space: what is generated.
    sample_fn: gives the targets of the reconstruction loss.
    params: of the generators, leading axis `C`.
    num: latent vectors.
    target_names_fn: see `target_names`; without it the novelty is not known.

  Returns:
    The module's measures, in [0, 1], as JSON; None for what there is not.
  """
  outcome = jax.device_get(
    jax.jit(
      lambda key, params: decode_many(key, space, sample_fn, params, num)
    )(key, params)
  )
  names = np.unique(common.key_numbers(outcome.name[outcome.valid]))
  targets = target_names_fn() if target_names_fn is not None else None
  novelty = None
  if targets is not None and len(names):
    novelty = _short(np.mean(~np.isin(names, targets)))
  num_valid = int(outcome.valid.sum())
  return {
    "num_reported": num,
    "reconstruction_loss": _short(outcome.loss.mean()),
    "validity": _short(num_valid / num),
    "uniqueness": _short(len(names) / num_valid) if num_valid else None,
    "novelty": novelty,
  }


def target_names(job: Job) -> np.ndarray | None:
  """Keys of all targets of a training, `uint64[...]`; drawn once more.

  None if they were as many as the space has architectures.
  """
  if job.targets is not None:
    return common.key_numbers(job.space.keys(jnp.asarray(job.targets)))
  num_targets = job.num_chunks * job.chunk_size * job.batch_size
  if num_targets >= job.space.num_architectures:
    return None

  @jax.jit
  def of_chunk(chunk: jax.Array) -> jax.Array:
    target_key, _, _ = _chunk_keys(job, chunk)
    return job.space.keys(_chunk_targets(job, target_key))

  chunks = jnp.arange(job.num_chunks)
  return np.unique(
    np.concatenate([common.key_numbers(of_chunk(c)) for c in chunks])
  )


def _chunk_keys(job: Job, chunk: jax.Array) -> jax.Array:
  """Keys of a chunk: for targets, latent vectors and the trial."""
  _, chunks_key = jax.random.split(job.key)
  return jax.random.split(jax.random.fold_in(chunks_key, chunk), 3)


def _chunk_targets(job: Job, key: Key) -> Archs:
  """`int32[steps, batch, L]`, step by step for the sake of memory."""
  return jax.lax.map(
    lambda key: job.sample_fn(key, job.batch_size),
    jax.random.split(key, job.chunk_size),
  )


def _history(job: Job, state: State) -> list[dict[str, float]]:
  """About ten points of the training."""
  rows = []
  for tenth in range(1, 11):
    chunk = -(-tenth * job.num_chunks // 10)
    rows.append(
      {
        "instances": chunk * job.chunk_size * job.batch_size,
        "loss": _short(state.loss[chunk - 1]),
        "validity": _short(state.validity[chunk - 1]),
      }
    )
  return rows


def _short(value: Any) -> float:
  return round(float(value), 6)
