"""Generators and score models: their training, their files, what they give."""

from nagjax.generation.decoding import choose
from nagjax.generation.decoding import one_hot_graphs
from nagjax.generation.decoding import relaxed_graphs
from nagjax.generation.latents import quantile_latents
from nagjax.generation.latents import uniform_latents
from nagjax.generation.pretrained import Pretrained
from nagjax.generation.pretrained import load_pretrained
from nagjax.generation.pretrained import save_pretrained
from nagjax.generation.pretrained_scores import TrainedScore
from nagjax.generation.pretrained_scores import load_trained_score
from nagjax.generation.pretrained_scores import save_trained_score
from nagjax.generation.pretraining import pretrain
from nagjax.generation.retraining import rank_weights
from nagjax.generation.score_models import ScoreModel
from nagjax.generation.score_models import score_model
from nagjax.generation.score_training import train_score_model

__all__ = [
  "Pretrained",
  "ScoreModel",
  "TrainedScore",
  "choose",
  "load_pretrained",
  "load_trained_score",
  "one_hot_graphs",
  "pretrain",
  "quantile_latents",
  "rank_weights",
  "relaxed_graphs",
  "save_pretrained",
  "save_trained_score",
  "score_model",
  "train_score_model",
  "uniform_latents",
]
