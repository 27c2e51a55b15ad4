"""nagjax: neural architecture generation in JAX."""

from nagjax import algorithms
from nagjax import benchmarks
from nagjax import candidates
from nagjax import diffusion
from nagjax import evolution
from nagjax import networks
from nagjax import predictors
from nagjax import relaxation
from nagjax import spaces
from nagjax import statistics
from nagjax.benchmarks import HostBenchmark
from nagjax.problem import Constraint
from nagjax.problem import Problem
from nagjax.registry import algorithm_names
from nagjax.registry import benchmark_names
from nagjax.registry import make_benchmark
from nagjax.registry import make_search
from nagjax.registry import make_space
from nagjax.registry import space_names
from nagjax.search import Result
from nagjax.search import Search
from nagjax.search import Trace
from nagjax.search import WarmStart
from nagjax.search import advance
from nagjax.search import run
from nagjax.search import run_on_host
from nagjax.search import start
from nagjax.search import sweep
from nagjax.search import sweep_on_host
from nagjax.spaces import SearchSpace
from nagjax.types import Algorithm
from nagjax.types import Evaluation
from nagjax.types import Proposal
from nagjax.types import Status

__all__ = [
  "Algorithm",
  "Constraint",
  "Evaluation",
  "HostBenchmark",
  "Problem",
  "Proposal",
  "Result",
  "Search",
  "SearchSpace",
  "Status",
  "Trace",
  "WarmStart",
  "advance",
  "algorithm_names",
  "algorithms",
  "benchmark_names",
  "benchmarks",
  "candidates",
  "diffusion",
  "evolution",
  "make_benchmark",
  "make_search",
  "make_space",
  "networks",
  "predictors",
  "relaxation",
  "run",
  "run_on_host",
  "space_names",
  "spaces",
  "start",
  "statistics",
  "sweep",
  "sweep_on_host",
]
