"""Networks that search spaces describe: training and training-free scores."""

from nagjax.candidates import cells
from nagjax.candidates import images
from nagjax.candidates import objective
from nagjax.candidates import store
from nagjax.candidates import train
from nagjax.candidates import zerocost

__all__ = ["cells", "images", "objective", "store", "train", "zerocost"]
