# %% [markdown]
"""What one table teaches the next: the same search without and with it.

  python -m experiments.examples.transfer

`nagjax.transfer.fit` learns a kernel and a mean from whole tables; the transfer
that ships, "digits", was learned on the shipped table of trained cells. Here it
serves another table of the same space, `synthetic`, and is refused on its own.
Swap in a table of yours, or a file that `experiments.fit_transfer` wrote.
"""

# %%
import jax

from experiments.support import share_plots
import nagjax
from nagjax.search import Result

PICTURE = "transfer.png"
problem = nagjax.Problem(nagjax.make_benchmark("synthetic"))


# %% Nothing but the argument `transfer` differs.
def compare(num_seeds: int = 64, budget: int = 60) -> dict[str, Result]:
  """Searches without and with the transfer, from the same keys."""
  keys = jax.random.split(jax.random.key(0), num_seeds)
  results = {}
  for name, transfer in (("without", None), ("after digits", "digits")):
    made = nagjax.make_search(
      "ednag", problem, budget=budget, transfer=transfer
    )
    results[name] = nagjax.sweep(keys, made)
  return results


# %%
if __name__ == "__main__":
  share_plots.draw_results(PICTURE, compare(), problem)
