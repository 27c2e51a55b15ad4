"""Relaxed architectures and their optimization: OptiProxy-NAS's mathematics."""

from nagjax.relaxation import proxy_search
from nagjax.relaxation.gumbel import binary_concrete
from nagjax.relaxation.gumbel import gumbel_softmax
from nagjax.relaxation.gumbel import linear_temperatures
from nagjax.relaxation.gumbel import one_gumbel_sigmoid
from nagjax.relaxation.latin_hypercube import latin_hypercube
from nagjax.relaxation.latin_hypercube import maximin_latin_hypercube

__all__ = [
  "binary_concrete",
  "gumbel_softmax",
  "latin_hypercube",
  "linear_temperatures",
  "maximin_latin_hypercube",
  "one_gumbel_sigmoid",
  "proxy_search",
]
