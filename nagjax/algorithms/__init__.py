"""Search algorithms: a module each, with Config, State, Info and a builder."""

from nagjax.algorithms import ednag
from nagjax.algorithms import ednag_pool
from nagjax.algorithms import ednag_reference
from nagjax.algorithms import local_search
from nagjax.algorithms import random_search
from nagjax.algorithms import regularized_evolution

__all__ = [
  "ednag",
  "ednag_pool",
  "ednag_reference",
  "local_search",
  "random_search",
  "regularized_evolution",
]
