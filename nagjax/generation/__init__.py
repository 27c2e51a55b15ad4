"""Graph generators at work: latent vectors, decoding, weighted retraining."""

from nagjax.generation.decoding import choose
from nagjax.generation.decoding import one_hot_graphs
from nagjax.generation.decoding import relaxed_graphs
from nagjax.generation.latents import quantile_latents
from nagjax.generation.latents import uniform_latents
from nagjax.generation.pretrained import Pretrained
from nagjax.generation.pretrained import load_pretrained
from nagjax.generation.retraining import rank_weights

__all__ = [
  "Pretrained",
  "choose",
  "load_pretrained",
  "one_hot_graphs",
  "quantile_latents",
  "rank_weights",
  "relaxed_graphs",
  "uniform_latents",
]
