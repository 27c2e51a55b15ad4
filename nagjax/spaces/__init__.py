"""Search spaces: static descriptions of sets of architectures."""

from nagjax.spaces import autoformer
from nagjax.spaces import autoformer_counts
from nagjax.spaces import darts
from nagjax.spaces import fcnet
from nagjax.spaces import hwgpt
from nagjax.spaces import mobilenetv3
from nagjax.spaces import mobilenetv3_counts
from nagjax.spaces import nasbench101
from nagjax.spaces import nasbench201
from nagjax.spaces import nasbench_nlp
from nagjax.spaces import nats_size
from nagjax.spaces import transnas_counts
from nagjax.spaces import transnas_macro
from nagjax.spaces import transnas_micro
from nagjax.spaces.base import SearchSpace

__all__ = [
  "SearchSpace",
  "autoformer",
  "autoformer_counts",
  "darts",
  "fcnet",
  "hwgpt",
  "mobilenetv3",
  "mobilenetv3_counts",
  "nasbench101",
  "nasbench201",
  "nasbench_nlp",
  "nats_size",
  "transnas_counts",
  "transnas_macro",
  "transnas_micro",
]
