"""Networks that search spaces describe: training and training-free scores."""

from nagjax.candidates import alone
from nagjax.candidates import cells
from nagjax.candidates import darts_cells
from nagjax.candidates import darts_scores
from nagjax.candidates import elastic
from nagjax.candidates import elastic_scores
from nagjax.candidates import images
from nagjax.candidates import mobilenet
from nagjax.candidates import objective
from nagjax.candidates import store
from nagjax.candidates import supernet
from nagjax.candidates import supernet_benchmark
from nagjax.candidates import train
from nagjax.candidates import vit
from nagjax.candidates import zerocost

__all__ = [
  "alone",
  "cells",
  "darts_cells",
  "darts_scores",
  "elastic",
  "elastic_scores",
  "images",
  "mobilenet",
  "objective",
  "store",
  "supernet",
  "supernet_benchmark",
  "train",
  "vit",
  "zerocost",
]
