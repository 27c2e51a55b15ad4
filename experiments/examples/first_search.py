# %% [markdown]
"""A first search: three algorithms on the table that ships, and a picture.

  python -m experiments.examples.first_search

A query is a distinct row of the table. Swap "digits" for any name that
`python -m experiments.search --list` prints, and the algorithms likewise.
"""

# %%
import jax

from experiments.support import share_plots
import nagjax
from nagjax.search import Result

PICTURE = "first_search.png"
problem = nagjax.Problem(nagjax.make_benchmark("digits"))


# %% One call runs a search for every key, as one compiled program.
def compare(num_seeds: int = 64, budget: int = 100) -> dict[str, Result]:
  """Searches with each algorithm, from the same keys."""
  keys = jax.random.split(jax.random.key(0), num_seeds)
  return {
    name: nagjax.sweep(keys, nagjax.make_search(name, problem, budget=budget))
    for name in ("ednag", "regularized_evolution", "random")
  }


# %% The left panel is how much accuracy is missing, the right one how often
# the best architecture of the table has been found.
if __name__ == "__main__":
  results = compare()
  for name, result in results.items():
    best = result.trace.objective.max(axis=(1, 2))
    print(f"{name}: mean best {best.mean():.2f} %")
  share_plots.draw_results(PICTURE, results, problem)
