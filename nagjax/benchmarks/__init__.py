"""Benchmarks: pytrees of arrays that evaluate architectures."""

from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular
from nagjax.benchmarks import trained
from nagjax.benchmarks.base import Benchmark
from nagjax.benchmarks.base import data_directory
from nagjax.benchmarks.tabular import Tabular
from nagjax.benchmarks.tabular import search_on_test_accuracy

__all__ = [
  "Benchmark",
  "Tabular",
  "data_directory",
  "search_on_test_accuracy",
  "synthetic",
  "tabular",
  "trained",
]
