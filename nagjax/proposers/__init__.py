"""Proposers: where the candidates of a search come from."""

from nagjax.proposers import denoising
from nagjax.proposers import diffusion
from nagjax.proposers import generator
from nagjax.proposers import gradient
from nagjax.proposers import mutation
from nagjax.proposers import random
from nagjax.proposers.base import Belief
from nagjax.proposers.base import Needs
from nagjax.proposers.base import Proposer

__all__ = [
  "Belief",
  "Needs",
  "Proposer",
  "denoising",
  "diffusion",
  "generator",
  "gradient",
  "mutation",
  "random",
]
