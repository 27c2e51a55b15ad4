"""BANANAS: an ensemble on path encodings, and Thompson sampling.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural
Architectures for Neural Architecture Search", AAAI 2021,
https://arxiv.org/abs/1910.11858 (algorithm 1), with the settings of NASLib.

The loop is that of `predictor_search`; a candidate's score is one draw from the
normal distribution with its predictions' mean and deviation (independent
Thompson sampling).

Differs from NASLib: networks of two layers of width 64 instead of twenty of 20,
fitted by AdamW to normal scores of the ranks with `fitting.proxy_loss` instead
of to accuracies with absolute errors, for 200 minibatches instead of 500
epochs, because one setting has to serve every objective and a fit is repeated
in every round of every seed.
"""

import dataclasses

import jax
import jax.numpy as jnp

from nagjax.algorithms import acquisition
from nagjax.algorithms import predictor_search
from nagjax.algorithms.predictor_search import Info
from nagjax.algorithms.predictor_search import State
from nagjax.algorithms.predictor_search import num_rounds
from nagjax.networks import mlp
from nagjax.networks import path_encoding
from nagjax.networks.base import Network
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Key

__all__ = [
  "Config",
  "Info",
  "State",
  "bananas",
  "num_rounds",
  "predictor",
  "preset",
  "thompson",
]


@dataclasses.dataclass(frozen=True)
class Config(predictor_search.Config):
  """Static options; see `predictor_search.Config` for the others.

  Attributes:
    max_features: limit of the path encoding, which leaves out longer paths.
  """

  num_members: int = 3
  hidden_size: int = 64
  max_features: int = 400


def bananas(space: SearchSpace, config: Config | None = None) -> Algorithm:
  """Builds the search; it has no params.

  Raises:
    ValueError: if the space has no path within `config.max_features`.
  """
  config = config or Config()
  network, view = predictor(space, config)
  return predictor_search.predictor_search(
    space, config, network, view, thompson
  )


def predictor(
  space: SearchSpace, config: Config
) -> tuple[Network, predictor_search.ViewFn]:
  """One member of the ensemble, and the encoding of architectures it reads."""
  everything = jnp.ones((space.num_variables, space.num_options), jnp.float32)
  paths = path_encoding.possible_paths(
    space.to_soft_graph(everything), config.max_features
  )
  options = mlp.Config(hidden_size=config.hidden_size)

  def view(archs: Archs) -> Graph:
    encoding = path_encoding.path_encoding(space.to_graph(archs), paths)
    return path_encoding.as_graph(encoding)

  return path_encoding.path_mlp(paths, options), view


def thompson(key: Key, predictions: jax.Array) -> jax.Array:
  """Independent Thompson sampling, `f32[members, C] -> f32[C]`.

  One draw for every candidate from `N(mean, deviation^2)`; the deviation is
  that of the members (ddof 1; 0 of a single one).
  """
  mean, deviation = acquisition.moments(predictions)
  return mean + deviation * jax.random.normal(key, mean.shape)


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """One setting for every benchmark; the archive need not exceed the budget."""
  del benchmark_name
  return predictor_search.preset(Config(), budget)
