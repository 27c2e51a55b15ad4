"""Running searches: one compiled loop, sweeps of it, and the same on a host."""

from nagjax.search.driver import Prior
from nagjax.search.driver import SearchState
from nagjax.search.driver import Trace
from nagjax.search.driver import advance
from nagjax.search.driver import run
from nagjax.search.driver import start

__all__ = ["Prior", "SearchState", "Trace", "advance", "run", "start"]
