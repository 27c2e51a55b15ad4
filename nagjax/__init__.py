"""nagjax: neural architecture generation in JAX."""

import importlib.metadata

from nagjax import acquisition
from nagjax import algorithms
from nagjax import benchmarks
from nagjax import candidates
from nagjax import diffusion
from nagjax import evolution
from nagjax import generation
from nagjax import networks
from nagjax import pareto
from nagjax import proposers
from nagjax import registry
from nagjax import relaxation
from nagjax import search
from nagjax import spaces
from nagjax import statistics
from nagjax import surrogates
from nagjax import transfer
from nagjax.acquisition import Acquisition
from nagjax.algorithms.agnet import agnet
from nagjax.algorithms.bananas import bananas
from nagjax.algorithms.diffusionnag import diffusionnag
from nagjax.algorithms.ednag import ednag
from nagjax.algorithms.local_search import local_search
from nagjax.algorithms.npenas import npenas
from nagjax.algorithms.nsga2 import nsga2
from nagjax.algorithms.optiproxy import optiproxy
from nagjax.algorithms.random_search import random as random_search
from nagjax.algorithms.regularized_evolution import regularized_evolution
from nagjax.algorithms.surrogate_search import surrogate_search
from nagjax.archive import Archive
from nagjax.benchmarks import Benchmark
from nagjax.benchmarks import HostBenchmark
from nagjax.benchmarks import Tabular
from nagjax.networks import Network
from nagjax.problem import Constraint
from nagjax.problem import Problem
from nagjax.proposers import Proposer
from nagjax.registry import algorithm_names
from nagjax.registry import benchmark_names
from nagjax.registry import make_benchmark
from nagjax.registry import make_search
from nagjax.registry import make_space
from nagjax.registry import register_acquisition
from nagjax.registry import register_algorithm
from nagjax.registry import register_benchmark
from nagjax.registry import register_proposer
from nagjax.registry import register_space
from nagjax.registry import register_surrogate
from nagjax.registry import space_names
from nagjax.search import Result
from nagjax.search import Search
from nagjax.search import Trace
from nagjax.search import WarmStart
from nagjax.search import run
from nagjax.search import run_on_host
from nagjax.search import sweep
from nagjax.search import sweep_on_host
from nagjax.spaces import SearchSpace
from nagjax.surrogates import Surrogate
from nagjax.transfer import Transfer
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Prediction
from nagjax.types import Proposal
from nagjax.types import Status

try:
  __version__ = importlib.metadata.version("nagjax")
except importlib.metadata.PackageNotFoundError:
  __version__ = "source tree"

__all__ = [
  "Acquisition",
  "Algorithm",
  "Archive",
  "Benchmark",
  "Constraint",
  "Evaluation",
  "HostBenchmark",
  "Network",
  "Prediction",
  "Problem",
  "Proposal",
  "Proposer",
  "Result",
  "Search",
  "SearchSpace",
  "Status",
  "Surrogate",
  "Tabular",
  "Trace",
  "Transfer",
  "WarmStart",
  "__version__",
  "acquisition",
  "agnet",
  "algorithm_names",
  "algorithms",
  "bananas",
  "benchmark_names",
  "benchmarks",
  "candidates",
  "diffusion",
  "diffusionnag",
  "ednag",
  "evolution",
  "generation",
  "local_search",
  "make_benchmark",
  "make_search",
  "make_space",
  "networks",
  "npenas",
  "nsga2",
  "optiproxy",
  "pareto",
  "proposers",
  "random_search",
  "register_acquisition",
  "register_algorithm",
  "register_benchmark",
  "register_proposer",
  "register_space",
  "register_surrogate",
  "registry",
  "regularized_evolution",
  "relaxation",
  "run",
  "run_on_host",
  "search",
  "space_names",
  "spaces",
  "statistics",
  "surrogate_search",
  "surrogates",
  "sweep",
  "sweep_on_host",
  "transfer",
]
