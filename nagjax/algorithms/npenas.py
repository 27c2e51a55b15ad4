"""NPENAS: evolution whose children a graph network selects.

Wei, Niu, Tang, Wang, Hu and Liang, "NPENAS: Neural Predictor Guided Evolution
for Neural Architecture Search", https://arxiv.org/abs/2003.12857 (NPENAS-NP).

The loop is that of `predictor_search`; a candidate's score is the prediction of
one graph convolutional network.

Differs from the paper: graph convolutions along and against the edges
(`networks.gcn`, as in NASLib) instead of an isomorphism network, fitted by
AdamW to normal scores of the ranks with `fitting.proxy_loss` for 200
minibatches, because one setting has to serve every objective and a fit is
repeated in every round of every seed; initial design, batch, candidates and
parents are BANANAS's, so that the two differ in what predicts alone.
"""

import dataclasses

import jax
import jax.numpy as jnp

from nagjax.algorithms import predictor_search
from nagjax.algorithms.predictor_search import Info
from nagjax.algorithms.predictor_search import State
from nagjax.algorithms.predictor_search import num_rounds
from nagjax.networks import gcn
from nagjax.spaces.base import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Key

__all__ = ["Config", "Info", "State", "npenas", "num_rounds", "preset"]


@dataclasses.dataclass(frozen=True)
class Config(predictor_search.Config):
  """Static options; see `predictor_search.Config`."""


def npenas(space: SearchSpace, config: Config | None = None) -> Algorithm:
  """Builds the search; it has no params."""
  config = config or Config()
  network = gcn.gcn(
    space.num_nodes, space.num_labels, gcn.Config(config.hidden_size)
  )

  def mean(key: Key, predictions: jax.Array) -> jax.Array:
    del key
    return jnp.mean(predictions, axis=0)

  return predictor_search.predictor_search(
    space, config, network, space.to_graph, mean
  )


def preset(benchmark_name: str, budget: int) -> dict[str, int]:
  """One setting for every benchmark; the archive need not exceed the budget."""
  del benchmark_name
  return predictor_search.preset(Config(), budget)
