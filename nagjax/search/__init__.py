"""Running searches: one compiled loop, sweeps of it, and the same on a host."""

from nagjax.search.checkpoint import load
from nagjax.search.checkpoint import save
from nagjax.search.driver import SearchState
from nagjax.search.driver import WarmStart
from nagjax.search.host_sweeping import sweep_on_host
from nagjax.search.on_host import run_on_host
from nagjax.search.running import Search
from nagjax.search.running import advance
from nagjax.search.running import run
from nagjax.search.running import start
from nagjax.search.sweeping import Progress
from nagjax.search.sweeping import sweep
from nagjax.search.traces import CostedTrace
from nagjax.search.traces import Result
from nagjax.search.traces import Trace
from nagjax.search.traces import extend
from nagjax.search.traces import tidy

__all__ = [
  "CostedTrace",
  "Progress",
  "Result",
  "Search",
  "SearchState",
  "Trace",
  "WarmStart",
  "advance",
  "extend",
  "load",
  "run",
  "run_on_host",
  "save",
  "start",
  "sweep",
  "sweep_on_host",
  "tidy",
]
