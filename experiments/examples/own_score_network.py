# %% [markdown]
"""A score network of your own, in DiffusionNAG.

  python -m experiments.examples.own_score_network

Swap `Rows` for any module of flax, or for two plain functions. It works because
`nagjax.Network(init, apply)` is all that training, sampling and searching know
of a network: they give it noisy architectures and a noise level, and expect an
output of the same shape. Nothing about it is saved here; weights that another
process needs are yours to keep, since only you can build the network again.
"""

# %%
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from experiments.support import share_plots
import nagjax
from nagjax import generation
from nagjax.generation import score_training
from nagjax.proposers.diffusion import diffusion
from nagjax.search import Search

PICTURE = "own_score_network.png"


# %% The network that is our own.
class Rows(nn.Module):
  """All rows of an architecture at once, through a hidden layer.

  The arguments are the convention of score networks, `networks.ScoreApply`.
  Who reads all rows needs no mask of neighbors, and nothing is dropped here.
  """

  @nn.compact
  def __call__(self, x, condition, mask, *, dropout_key=None):
    level = jnp.broadcast_to(jnp.log(condition), x.shape[:-2])
    rows = x.reshape(*level.shape, -1)
    hidden = jnp.concatenate([rows, level[..., None]], axis=-1)
    hidden = nn.silu(nn.Dense(128)(hidden))
    return nn.Dense(rows.shape[-1])(hidden).reshape(x.shape)


ROWS: Any = Rows()


# %% Training, and a search that draws its candidates from what was trained.
def train(steps: int = 250, **more) -> Search:
  """Trains the network without accuracies, for a search that uses it.

  `more` is for `make_search`, such as `budget`.
  """
  digits = nagjax.Problem(nagjax.make_benchmark("digits"))
  space = digits.space
  example = (jnp.zeros(space.feature_shape), jnp.ones(()), None)
  network = nagjax.Network(lambda key: ROWS.init(key, *example), ROWS.apply)
  config = score_training.preset(space, num_steps=steps, chunk_size=steps)
  trained = generation.train_score_model(space, config, network=network)
  print(f"valid architectures: {100 * trained.notes['validity']:.1f} %")
  # Candidates come from the trained weights in the network they belong to.
  model = generation.score_model(space, trained.config, network)
  own = diffusion(space, model=model, params=trained.params)
  return nagjax.make_search("diffusionnag", digits, proposer=own, **more)


# %%
if __name__ == "__main__":
  made = train(budget=40)
  result = nagjax.sweep(jax.random.split(jax.random.key(0), 4), made)
  share_plots.draw_results(PICTURE, {"own network": result}, made.problem)
