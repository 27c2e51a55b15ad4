"""Networks that search spaces describe: training and training-free scores."""

from nagjax.candidates import cells
from nagjax.candidates import images
from nagjax.candidates import store
from nagjax.candidates import train

__all__ = ["cells", "images", "store", "train"]
