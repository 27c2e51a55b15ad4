"""Evolution as denoising: EDNAG's mathematics on arrays."""

from nagjax.evolution import fitness
from nagjax.evolution.denoising import bayes_estimate
from nagjax.evolution.denoising import normalize
from nagjax.evolution.mutation import polynomial_mutation
from nagjax.evolution.selection import diverse
from nagjax.evolution.selection import diversity
from nagjax.evolution.selection import elite
from nagjax.evolution.selection import gumbel_top_k
from nagjax.evolution.selection import roulette

__all__ = [
  "bayes_estimate",
  "diverse",
  "diversity",
  "elite",
  "fitness",
  "gumbel_top_k",
  "normalize",
  "polynomial_mutation",
  "roulette",
]
