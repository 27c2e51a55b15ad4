"""Networks over architecture graphs, as pure pairs of `init` and `apply`."""

from nagjax.networks import gat
from nagjax.networks import gcn
from nagjax.networks import generator
from nagjax.networks import guides
from nagjax.networks import lstm
from nagjax.networks import mlp
from nagjax.networks import noisy
from nagjax.networks import path_encoding
from nagjax.networks import score
from nagjax.networks import set_encoder
from nagjax.networks import transformer
from nagjax.networks.base import Network
from nagjax.networks.wrapping import flatten

__all__ = [
  "Network",
  "flatten",
  "gat",
  "gcn",
  "generator",
  "guides",
  "lstm",
  "mlp",
  "noisy",
  "path_encoding",
  "score",
  "set_encoder",
  "transformer",
]
