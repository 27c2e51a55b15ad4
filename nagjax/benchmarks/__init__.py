"""Benchmarks: pytrees of arrays that evaluate architectures."""

from nagjax.benchmarks import analog
from nagjax.benchmarks import beside
from nagjax.benchmarks import columns
from nagjax.benchmarks import encodings
from nagjax.benchmarks import fcnet
from nagjax.benchmarks import hardware
from nagjax.benchmarks import hwgpt
from nagjax.benchmarks import mobilenet_latency
from nagjax.benchmarks import nasbench101
from nagjax.benchmarks import nats_size
from nagjax.benchmarks import robustness
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular
from nagjax.benchmarks import trained
from nagjax.benchmarks import trees
from nagjax.benchmarks.analog import with_analog
from nagjax.benchmarks.base import Benchmark
from nagjax.benchmarks.base import data_directory
from nagjax.benchmarks.base import is_on_host
from nagjax.benchmarks.hardware import with_hardware
from nagjax.benchmarks.host import HostBenchmark
from nagjax.benchmarks.robustness import with_robustness
from nagjax.benchmarks.tabular import Tabular
from nagjax.benchmarks.tabular import search_on_test_accuracy

__all__ = [
  "Benchmark",
  "HostBenchmark",
  "Tabular",
  "analog",
  "beside",
  "columns",
  "data_directory",
  "encodings",
  "fcnet",
  "hardware",
  "hwgpt",
  "is_on_host",
  "mobilenet_latency",
  "nasbench101",
  "nats_size",
  "robustness",
  "search_on_test_accuracy",
  "surrogate",
  "synthetic",
  "tabular",
  "trained",
  "trees",
  "with_analog",
  "with_hardware",
  "with_robustness",
]
