# %% [markdown]
"""From images to a benchmark to a trained network.

  python -m experiments.examples.own_images

A handful of cells is trained for a few epochs on the images, their accuracies
become a benchmark, a search walks it, and the best cell is drawn. Swap `x` and
`y` for yours. `experiments.build_benchmark` trains all 6,466 distinct cells and
goes on where it was killed; `experiments.from_images` asks a predictor instead
and trains only the best.
"""

# %%
import jax
import numpy as np

from experiments.support import cell_plots
import nagjax
from nagjax.candidates import cells
from nagjax.candidates import images
from nagjax.candidates import train

PICTURE = "own_images.png"
SPACE = nagjax.make_space("nasbench201")
NETWORK = cells.Config((8, 8, 1), 2, num_channels=4, num_cells=1)


# %% Images `[n, height, width, channels]` and labels: stripes and stripes.
def stripes(num: int = 300) -> images.Labeled:
  """Two classes that a convolution can tell apart, in noise."""
  rng = np.random.default_rng(0)
  y = np.arange(num) % 2
  x = rng.normal(0, 2.0, (num, 8, 8)) + np.sin(2.0 * np.arange(8))
  x[y == 1] = x[y == 1].swapaxes(1, 2)
  return images.check(x[..., None], y)


# %% A benchmark: what every cell came to, on images that it did not learn.
def build(num_cells: int = 16, num_epochs: int = 8) -> nagjax.Tabular:
  """Trains random cells; the table knows them and no others."""
  cell_key, split_key, key = jax.random.split(jax.random.key(0), 3)
  archs = np.unique(SPACE.sample(cell_key, num_cells), axis=0)
  recipe = train.Recipe(num_epochs, batch_size=60, flips=False, shift=0)
  parts = images.split(
    split_key, stripes(), num_train=180, num_valid=60, recipe=recipe
  ).split
  assess = jax.jit(train.assess_many, static_argnums=(3, 4))
  found = assess(key[None], archs, parts, NETWORK, recipe)
  columns = {"valid_accuracy": found.valid.accuracy[:, 0]}
  return nagjax.Tabular(queried=columns, space=SPACE, archs=archs)


# %% A search of it. `experiments.train_top` trains the best one for longer.
if __name__ == "__main__":
  made = nagjax.make_search("random", nagjax.Problem(build()), budget=10)
  trace = nagjax.run(jax.random.key(1), made).trace
  best = np.asarray(trace.archs.reshape(-1, 6)[trace.objective.argmax()])
  cell_plots.draw_cells(PICTURE, [best], [f"{trace.objective.max():.0f} %"])
