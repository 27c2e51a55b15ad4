"""The parts that have a name on the command line."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

from nagjax.algorithms.spec import PartSpec
from nagjax.networks import gat
from nagjax.networks import gcn
from nagjax.networks import lstm
from nagjax.networks import mlp
from nagjax.networks.base import GraphNetwork
from nagjax.proposers import denoising
from nagjax.proposers import diffusion
from nagjax.proposers import generator
from nagjax.proposers import gradient
from nagjax.proposers import mutation
from nagjax.proposers import random
from nagjax.proposers.base import Proposer
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import boosted
from nagjax.surrogates import ensemble
from nagjax.surrogates import gaussian_process
from nagjax.surrogates.base import Surrogate


def _graph_networks(
  network_fn: Callable[..., GraphNetwork],
  options_fn: Callable[..., Any],
) -> PartSpec:
  """An ensemble of one of the networks over graphs."""

  def build(
    space: SearchSpace,
    config: ensemble.Config,
    num_constraints: int,
    archive_size: int,
  ) -> Surrogate:
    del archive_size
    return ensemble.graph_networks(
      space, config, num_constraints, build=network_fn, options=options_fn
    )

  return PartSpec(build, ensemble.Config(), ensemble.TINY)


def _paths(
  space: SearchSpace,
  config: ensemble.Config,
  num_constraints: int,
  archive_size: int,
) -> Surrogate:
  del archive_size
  return ensemble.path_networks(space, config, num_constraints)


def _gaussian_process(
  space: SearchSpace,
  config: gaussian_process.Config,
  num_constraints: int,
  archive_size: int,
  transfers: Sequence[gaussian_process.Transfer] = (),
) -> Surrogate:
  return gaussian_process.gaussian_process(
    space,
    config,
    num_constraints,
    archive_size=archive_size,
    transfers=transfers,
  )


def _boosted(
  space: SearchSpace,
  config: boosted.SurrogateConfig,
  num_constraints: int,
  archive_size: int,
) -> Surrogate:
  del archive_size
  return boosted.boosted_trees(space, config, num_constraints)


def _ranking(
  space: SearchSpace,
  config: boosted.SurrogateConfig,
  num_constraints: int,
  archive_size: int,
) -> Surrogate:
  config = dataclasses.replace(config, guides=True)
  return _boosted(space, config, num_constraints, archive_size)


def _without_files(build: Callable[..., Proposer]) -> Callable[..., Proposer]:
  """A proposer that needs no weights."""
  return lambda space, config, directory: build(space, config)


def _with_files(build: Callable[..., Proposer]) -> Callable[..., Proposer]:
  return lambda space, config, directory: build(
    space, config, directory=directory
  )


GAT = _graph_networks(gat.gat, gat.Config)
GCN = _graph_networks(gcn.gcn, gcn.Config)
LSTM = _graph_networks(lstm.lstm, lstm.Config)
MLP = _graph_networks(mlp.mlp, mlp.Config)
PATHS = PartSpec(_paths, ensemble.Config(hidden_size=64), ensemble.TINY)
GP = PartSpec(
  _gaussian_process,
  gaussian_process.Config(),
  gaussian_process.TINY,
  takes_transfers=True,
)
XGB = PartSpec(_boosted, boosted.SurrogateConfig(), boosted.TINY)
XGB_RANK = PartSpec(_ranking, boosted.SurrogateConfig(), boosted.TINY)

DENOISING = PartSpec(
  _without_files(denoising.denoising), denoising.Config(), denoising.TINY
)
DIFFUSION = PartSpec(
  _with_files(diffusion.diffusion), diffusion.Config(), diffusion.TINY
)
GENERATOR = PartSpec(
  _with_files(generator.generator), generator.Config(), generator.TINY
)
GRADIENT = PartSpec(
  _without_files(gradient.gradient), gradient.Config(), gradient.TINY
)
MUTATION = PartSpec(
  _without_files(mutation.mutation), mutation.Config(), mutation.TINY
)
RANDOM = PartSpec(_without_files(random.random), random.Config(), random.TINY)
