"""Networks over architecture graphs, as pure pairs of `init` and `apply`."""

from nagjax.networks import dag_gru
from nagjax.networks import descent
from nagjax.networks import gat
from nagjax.networks import gcn
from nagjax.networks import generator
from nagjax.networks import guides
from nagjax.networks import layers
from nagjax.networks import lstm
from nagjax.networks import meta_predictor
from nagjax.networks import mlp
from nagjax.networks import noisy
from nagjax.networks import path_encoding
from nagjax.networks import score
from nagjax.networks import set_encoder
from nagjax.networks import transformer
from nagjax.networks.base import GraphApply
from nagjax.networks.base import GraphNetwork
from nagjax.networks.base import GuideApply
from nagjax.networks.base import GuideNetwork
from nagjax.networks.base import Network
from nagjax.networks.base import ScoreApply
from nagjax.networks.base import ScoreNetwork
from nagjax.networks.layers import flatten

__all__ = [
  "GraphApply",
  "GraphNetwork",
  "GuideApply",
  "GuideNetwork",
  "Network",
  "ScoreApply",
  "ScoreNetwork",
  "dag_gru",
  "descent",
  "flatten",
  "gat",
  "gcn",
  "generator",
  "guides",
  "layers",
  "lstm",
  "meta_predictor",
  "mlp",
  "noisy",
  "path_encoding",
  "score",
  "set_encoder",
  "transformer",
]
