"""Training the graph generators of a space before any search.

Lukasik, Jung and Keuper, "Learning Where To Look - Generative NAS is
Surprisingly Efficient", ECCV 2022, https://arxiv.org/abs/2203.08734, section
3.1. No accuracy is read: targets are random architectures.
"""

from collections.abc import Callable
import dataclasses
import hashlib
import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import arrays
from nagjax import checks
from nagjax.generation import decoding
from nagjax.generation import resumable
from nagjax.generation import retraining
from nagjax.generation.pretrained import Pretrained
from nagjax.generation.resumable import short
from nagjax.networks import generator as generator_lib
from nagjax.spaces.base import SearchSpace
from nagjax.spaces.base import require_layout
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

_NUM_INSTANCES = {"darts": 96_000, "nasbench201": 200_000}
_TOGETHER = 250
"""Latent vectors that are decoded side by side, for the sake of memory."""


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_instances: targets, with repeats; up to whole chunks.
    batch_size: targets of a step.
    chunk_size: steps between two states that are saved.
    learning_rate: at the start; it falls to 0 along a cosine.
    num_trials: latent vectors that are decoded after every chunk.
    num_reported: latent vectors that are decoded at the end.
  """

  num_instances: int = 400_000
  batch_size: int = 32
  chunk_size: int = 250
  learning_rate: float = 1e-3
  num_trials: int = 1000
  num_reported: int = 10_000

  def __post_init__(self) -> None:
    checks.sizes(self)
    _optimizer_config(self)

  @property
  def num_chunks(self) -> int:
    """Chunks of the training."""
    return -(-self.num_instances // (self.batch_size * self.chunk_size))


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


def default_config(space: SearchSpace) -> Config:
  """As many targets as the weights in the package were trained on."""
  return Config(num_instances=_NUM_INSTANCES.get(space.name, 400_000))


def pretrain(
  space: SearchSpace,
  config: Config | None = None,
  *,
  seed: int = 0,
  targets: np.ndarray | None = None,
  directory: str | os.PathLike[str] | None = None,
  on_progress: resumable.ProgressFn | None = None,
) -> Pretrained:
  """Trains the generators of a space, AG-Net's, and tells what they generate.

  Any space with a `layout` has them, a user's own as well. With a directory the
  state is saved there after every chunk, and the same call goes on from it
  after an interruption of any kind, to the same bits.

  Args:
    space: what is generated.
    config: see `Config`; `default_config` if not given.
    seed: of everything random.
    targets: `int32[M, L]`, from which targets are drawn; uniformly random
      architectures of the space if None.
    directory: for the state, and `metrics.csv`.
    on_progress: called at the beginning and after every chunk.

  Returns:
    Parameters, leading axis `C`, and notes: the settings, the course of the
    training, and the measures of `measure`.

  Raises:
    ValueError: if the space has no layout, or the directory holds the training
      of other settings.
    FloatingPointError: if the training diverges.

  Example:
    >>> from nagjax.spaces import nasbench201
    >>> tiny = Config(2, 2, 1, num_trials=1, num_reported=1)
    >>> pretrain(nasbench201.nasbench201(), tiny).notes["instances"]
    2
  """
  config = config or default_config(space)
  layout = require_layout(space)
  network = retraining.make_generator(layout)
  train_config = _optimizer_config(config)
  train_key, report_key = jax.random.split(jax.random.key(seed))
  init_key, chunks_key = jax.random.split(train_key)
  sample_fn = _sample_fn(space, targets)

  def first() -> retraining.TrainState:
    keys = jax.random.split(init_key, layout.num_graphs)
    return retraining.start(jax.vmap(network.init)(keys), train_config)

  @jax.jit
  def advance(
    chunk: jax.Array, state: retraining.TrainState
  ) -> tuple[retraining.TrainState, dict[str, jax.Array]]:
    target_key, latent_key, trial_key = _chunk_keys(chunks_key, chunk)
    latents = jax.random.normal(
      latent_key,
      (
        *(config.chunk_size, config.batch_size, layout.num_graphs),
        generator_lib.LATENT_SIZE,
      ),
    )
    archs = _chunk_targets(target_key, sample_fn, config)
    state = retraining.train(
      network, state, layout.encode(archs), latents, train_config
    )
    trial = decode_many(
      trial_key, space, sample_fn, state.params, config.num_trials
    )
    measures = {"loss": jnp.mean(trial.loss), "validity": jnp.mean(trial.valid)}
    return state, measures

  instances = config.num_chunks * config.chunk_size * config.batch_size
  settings = {
    "space": space.name,
    "instances": instances,
    "batch_size": config.batch_size,
    "checkpoint_every": config.chunk_size,
    "learning_rate": config.learning_rate,
    "seed": seed,
    "targets": "uniform" if targets is None else _digest(targets),
  }
  saved = resumable.run(
    first,
    advance,
    config.num_chunks,
    measures=("loss", "validity"),
    chunk_size=config.chunk_size,
    settings={**settings, "num_trials": config.num_trials},
    directory=directory,
    on_progress=on_progress,
  )
  names = target_names(space, config, seed=seed, targets=targets)
  params = saved.state.params
  measures = measure(
    report_key, space, params, config.num_reported, sample_fn, names
  )
  history = _history(saved, config.chunk_size * config.batch_size)
  return Pretrained(params, {**settings, "history": history, **measures})


def decode_many(
  key: Key,
  space: SearchSpace,
  sample_fn: Callable[[Key, int], Archs],
  params: Params,
  num: int,
) -> Outcome:
  """Decodes standard normal latent vectors, each once.

  Args:
    key: random key, consumed.
    space: what is generated.
    sample_fn: `(key, num) -> int32[num, L]`, targets of the reconstruction
      loss.
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
    logits = retraining.generate(
      network, params, jax.random.normal(latent_key, shape)
    )
    graphs = decoding.choose(
      logits,
      jax.random.gumbel(node_key, logits.nodes.shape),
      jax.random.logistic(edge_key, logits.edges.shape),
    )
    arch, valid = layout.decode(graphs, logits.edges)
    target = layout.encode(sample_fn(target_key, 1)[0])
    losses = generator_lib.reconstruction_loss(
      logits, target.labels, target.edges
    )
    return Outcome(
      jnp.sum(losses), valid & space.is_valid(arch), space.keys(arch)
    )

  return jax.lax.map(one, jax.random.split(key, num), batch_size=_TOGETHER)


def measure(
  key: Key,
  space: SearchSpace,
  params: Params,
  num: int,
  sample_fn: Callable[[Key, int], Archs] | None = None,
  names: np.ndarray | None = None,
) -> dict[str, Any]:
  """Tells what generators generate.

  Args:
    key: random key, consumed.
    space: what is generated.
    params: of the generators, leading axis `C`.
    num: latent vectors.
    sample_fn: see `decode_many`; `space.sample` if not given.
    names: `uint64[...]` keys of all targets of the training; without them the
      novelty is not known.

  Returns:
    `num_reported`; `reconstruction_loss` in nats; in [0, 1] `validity`,
    `uniqueness` (distinct ones among the valid) and `novelty` (distinct valid
    ones that were no target); None for what there is not.
  """
  sample_fn = sample_fn or space.sample
  outcome = jax.device_get(
    jax.jit(
      lambda key, params: decode_many(key, space, sample_fn, params, num)
    )(key, params)
  )
  found = np.unique(arrays.key_numbers(outcome.name[outcome.valid]))
  novelty = None
  if names is not None and len(found):
    novelty = short(np.mean(~np.isin(found, names)))
  num_valid = int(outcome.valid.sum())
  return {
    "num_reported": num,
    "reconstruction_loss": short(outcome.loss.mean()),
    "validity": short(num_valid / num),
    "uniqueness": short(len(found) / num_valid) if num_valid else None,
    "novelty": novelty,
  }


def target_names(
  space: SearchSpace,
  config: Config,
  *,
  seed: int = 0,
  targets: np.ndarray | None = None,
) -> np.ndarray | None:
  """Keys of all targets of a training, `uint64[...]`; drawn once more.

  None if they were as many as the space has architectures. See `pretrain`.
  """
  if targets is not None:
    return arrays.key_numbers(space.keys(jnp.asarray(targets)))
  num = config.num_chunks * config.chunk_size * config.batch_size
  if num >= space.num_architectures:
    return None
  _, chunks_key = jax.random.split(jax.random.split(jax.random.key(seed))[0])

  @jax.jit
  def of_chunk(chunk: jax.Array) -> jax.Array:
    target_key, _, _ = _chunk_keys(chunks_key, chunk)
    return space.keys(_chunk_targets(target_key, space.sample, config))

  found = [
    arrays.key_numbers(of_chunk(c)) for c in jnp.arange(config.num_chunks)
  ]
  return np.unique(np.concatenate(found))


def _sample_fn(
  space: SearchSpace, targets: np.ndarray | None
) -> Callable[[Key, int], Archs]:
  if targets is None:
    return space.sample
  rows = jnp.asarray(targets)
  return lambda key, num: rows[jax.random.randint(key, (num,), 0, len(rows))]


def _optimizer_config(config: Config) -> retraining.Config:
  return retraining.Config(
    learning_rate=config.learning_rate,
    decay_steps=config.num_chunks * config.chunk_size,
  )


def _chunk_keys(key: Key, chunk: jax.Array) -> jax.Array:
  """Keys of a chunk: for targets, latent vectors and the trial."""
  return jax.random.split(jax.random.fold_in(key, chunk), 3)


def _chunk_targets(
  key: Key, sample_fn: Callable[[Key, int], Archs], config: Config
) -> Archs:
  """`int32[steps, batch, L]`, step by step for the sake of memory."""
  return jax.lax.map(
    lambda key: sample_fn(key, config.batch_size),
    jax.random.split(key, config.chunk_size),
  )


def _history(
  saved: resumable.Saved, chunk_instances: int
) -> list[dict[str, float]]:
  """About ten points of the training."""
  history = jax.device_get(saved.history)
  num_chunks = int(saved.num_chunks)
  rows = []
  for tenth in range(1, 11):
    chunk = -(-tenth * num_chunks // 10)
    rows.append(
      {
        "instances": chunk * chunk_instances,
        **{name: short(values[chunk - 1]) for name, values in history.items()},
      }
    )
  return rows


def _digest(targets: np.ndarray) -> str:
  return hashlib.sha256(targets.tobytes()).hexdigest()
