"""A score network of your own, in DiffusionNAG.

  python -m experiments.examples.own_score_network

Swap `Rows` for any module of flax, or for two plain functions. It works because
`nagjax.Network(init, apply)` is all that training, sampling and searching know
of a network: they give it noisy architectures and a noise level, and expect an
output of the same shape. Nothing about it is saved here; weights that another
process needs are yours to keep, since only you can build the network again.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

import nagjax
from nagjax import generation
from nagjax.generation import score_training
from nagjax.proposers.diffusion import diffusion
from nagjax.search import Result


class Rows(nn.Module):
  """All rows of an architecture at once, through two dense layers."""

  @nn.compact
  def __call__(self, x, noise_level):
    rows = x.reshape(*x.shape[:-2], -1)
    level = jnp.broadcast_to(jnp.log(noise_level), rows.shape[:-1])
    hidden = jnp.concatenate([rows, level[..., None]], axis=-1)
    for _ in range(2):
      hidden = nn.silu(nn.Dense(128)(hidden))
    return nn.Dense(rows.shape[-1])(hidden).reshape(x.shape)


def apply(params, x, condition, mask, *, dropout_key=None):
  """The convention of score networks, `nagjax.networks.ScoreApply`."""
  del mask, dropout_key  # Who reads all rows needs no mask; nothing is dropped.
  return Rows().apply(params, x, condition)


def train_and_search(
  num_steps: int = 250, num_seeds: int = 4, budget: int = 40, **more
) -> tuple[generation.TrainedScore, Result]:
  """Trains the network without accuracies, then searches with it.

  `more` is for `make_search`.
  """
  problem = nagjax.Problem(nagjax.make_benchmark("digits"))
  space = problem.space
  x = jnp.zeros((1, *space.feature_shape))
  network = nagjax.Network(lambda key: Rows().init(key, x, jnp.ones(1)), apply)
  trained = generation.train_score_model(
    space, score_training.preset(space, num_steps=num_steps), network=network
  )
  # The trained weights in the network they belong to, as source of candidates.
  model = generation.score_model(space, trained.config, network)
  proposer = diffusion(space, model=model, params=trained.params)
  search = nagjax.make_search(
    "diffusionnag", problem, budget=budget, proposer=proposer, **more
  )
  keys = jax.random.split(jax.random.key(0), num_seeds)
  return trained, nagjax.sweep(keys, search)


if __name__ == "__main__":
  trained, result = train_and_search()
  best = result.trace.objective.max(axis=(1, 2))
  print(f"valid architectures: {100 * trained.notes['validity']:.1f} %")
  print(f"mean best accuracy: {best.mean():.3f} %")
