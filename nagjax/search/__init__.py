"""Running searches: one compiled loop, sweeps of it, and the same on a host."""

from nagjax.search.checkpoint import load
from nagjax.search.checkpoint import save
from nagjax.search.driver import Prior
from nagjax.search.driver import SearchState
from nagjax.search.driver import Trace
from nagjax.search.driver import advance
from nagjax.search.driver import run
from nagjax.search.driver import start
from nagjax.search.on_host import HostPrior
from nagjax.search.on_host import HostResult
from nagjax.search.on_host import run_on_host
from nagjax.search.sweeping import Progress
from nagjax.search.sweeping import Sweep
from nagjax.search.sweeping import sweep

__all__ = [
  "HostPrior",
  "HostResult",
  "Prior",
  "Progress",
  "SearchState",
  "Sweep",
  "Trace",
  "advance",
  "load",
  "run",
  "run_on_host",
  "save",
  "start",
  "sweep",
]

from typing import Any  # TEMPORARY
from typing import NamedTuple  # TEMPORARY


class Search(NamedTuple):
  algorithm: Any
  params: Any
  config: Any
  problem: Any
  budget: int
  num_rounds: int
