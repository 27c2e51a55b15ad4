# %% [markdown]
"""A search space and a table of your own, for every algorithm.

  python -m experiments.examples.own_space
  python -m experiments.search --module=experiments.examples.own_space \\
    --benchmark=my_table --algorithm=ednag --num_seeds=16 --budget=60

Swap the cardinalities and the column for yours. It works because the number of
options of every variable is all that a space must say: its graphs, its one-hot
rows, its names and its generator follow from that, and each can be replaced in
`nagjax.SearchSpace`. AG-Net and DiffusionNAG also need weights of the space,
which `train` trains on random architectures, before the table is read.
"""

# %%
import jax
import numpy as np

from experiments.support import share_plots
import nagjax
from nagjax import generation
from nagjax.generation import pretraining
from nagjax.generation import score_models
from nagjax.generation import score_training
from nagjax.search import Result

PICTURE = "own_space.png"

# %%
# Four variables: a width, a depth, a kernel and an activation, say.
SPACE = nagjax.SearchSpace(name="mine", cardinalities=(4, 4, 4, 3))

# A number for each of the 192 architectures, in the order of `SPACE.index`; a
# table without some of them brings its `archs` along.
ACCURACY = 80 + 9 * np.sin(SPACE.all_architectures() @ [0.5, 0.7, 1.1, 1.3])
TABLE = nagjax.Tabular(queried={"acc": ACCURACY}, space=SPACE, name="my_table")

# %%
# The names work in every binary that is given this module. Run as a program it
# may be imported under a second name, but registers once.
if SPACE.name not in nagjax.space_names():
  nagjax.register_space(SPACE.name, SPACE)
  nagjax.register_benchmark(TABLE.name, TABLE)

# %%
# Small trainings and a small network are enough for a small space.
GENERATOR = pretraining.Config(8000, num_trials=100, num_reported=100)
MODEL = score_models.Config(num_layers=1, width=16)
SCORE = score_training.Config(MODEL, num_steps=250, num_reported=100)


def train(data_dir: str, generator=GENERATOR, score=SCORE) -> None:
  """Trains the weights of the space, and saves them where searches look."""
  pretrained = generation.pretrain(SPACE, generator)
  generation.save_pretrained(SPACE, pretrained, data_dir)
  trained = generation.train_score_model(SPACE, score)
  generation.save_trained_score(SPACE, trained, data_dir)


def search(name: str, num_seeds: int = 2, budget: int = 30, **more) -> Result:
  """Searches the table with one algorithm; `more` is for `make_search`."""
  made = nagjax.make_search(name, nagjax.Problem(TABLE), budget=budget, **more)
  return nagjax.sweep(jax.random.split(jax.random.key(0), num_seeds), made)


# %% AG-Net and DiffusionNAG join once `train("DIR")` has run, which takes some
# minutes, by `search(name, data_dir="DIR")`.
if __name__ == "__main__":
  names = ("ednag", "npenas", "random")
  found = {name: search(name, num_seeds=16) for name in names}
  share_plots.draw_results(PICTURE, found, nagjax.Problem(TABLE))
