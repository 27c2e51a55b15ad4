"""Search algorithms: a module each, with Config, State, Info and a builder."""

from nagjax.algorithms import acquisition
from nagjax.algorithms import agnet
from nagjax.algorithms import agnet_boosted
from nagjax.algorithms import agnet_steps
from nagjax.algorithms import agnet_training_free
from nagjax.algorithms import archive
from nagjax.algorithms import bananas
from nagjax.algorithms import choosing
from nagjax.algorithms import diffusionnag
from nagjax.algorithms import diffusionnag_pool
from nagjax.algorithms import ednag
from nagjax.algorithms import ednag_pool
from nagjax.algorithms import ednag_reference
from nagjax.algorithms import local_search
from nagjax.algorithms import npenas
from nagjax.algorithms import optiproxy
from nagjax.algorithms import optiproxy_reference
from nagjax.algorithms import predictor_search
from nagjax.algorithms import random_search
from nagjax.algorithms import regularized_evolution

__all__ = [
  "acquisition",
  "agnet",
  "agnet_boosted",
  "agnet_steps",
  "agnet_training_free",
  "archive",
  "bananas",
  "choosing",
  "diffusionnag",
  "diffusionnag_pool",
  "ednag",
  "ednag_pool",
  "ednag_reference",
  "local_search",
  "npenas",
  "optiproxy",
  "optiproxy_reference",
  "predictor_search",
  "random_search",
  "regularized_evolution",
]
