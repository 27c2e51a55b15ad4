"""Search algorithms: a module each, with Config, State, Info and a builder."""

from nagjax.algorithms import agnet
from nagjax.algorithms import agnet_training_free
from nagjax.algorithms import bananas
from nagjax.algorithms import diffusionnag
from nagjax.algorithms import ednag
from nagjax.algorithms import ednag_pool
from nagjax.algorithms import ednag_reference
from nagjax.algorithms import ednag_reference_presets
from nagjax.algorithms import halving
from nagjax.algorithms import local_search
from nagjax.algorithms import low_fidelity
from nagjax.algorithms import npenas
from nagjax.algorithms import nsga2
from nagjax.algorithms import optiproxy
from nagjax.algorithms import optiproxy_reference
from nagjax.algorithms import random_search
from nagjax.algorithms import regularized_evolution
from nagjax.algorithms import surrogate_search

__all__ = [
  "agnet",
  "agnet_training_free",
  "bananas",
  "diffusionnag",
  "ednag",
  "ednag_pool",
  "ednag_reference",
  "ednag_reference_presets",
  "halving",
  "local_search",
  "low_fidelity",
  "npenas",
  "nsga2",
  "optiproxy",
  "optiproxy_reference",
  "random_search",
  "regularized_evolution",
  "surrogate_search",
]
