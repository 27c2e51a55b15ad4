# %% [markdown]
"""OptiProxy-NAS with a Gaussian process in the place of its networks.

  python -m experiments.examples.gradient_on_gp

Swap "gp" for any name of `nagjax.registry.surrogate_names()`, or for a
`nagjax.Surrogate` of your own. It works because the proposer of OptiProxy-NAS
asks for one thing, a prediction that is differentiable in the weights of the
options, and the kernel of this Gaussian process is. Of a surrogate without it
(boosted trees, path encodings) `make_search` says so before anything runs.
"""

# %%
import jax

from experiments.support import share_plots
import nagjax
from nagjax.search import Result

PICTURE = "gradient_on_gp.png"
problem = nagjax.Problem(nagjax.make_benchmark("digits"))


# %% None is the algorithm's own: an ensemble of graph convolutional networks.
def compare(num_seeds: int = 16, budget: int = 60) -> dict[str, Result]:
  """Searches with both surrogates, from the same keys."""
  keys = jax.random.split(jax.random.key(0), num_seeds)
  results = {}
  for name, surrogate in (("networks", None), ("Gaussian process", "gp")):
    search = nagjax.make_search(
      "optiproxy", problem, budget=budget, surrogate=surrogate
    )
    results[name] = nagjax.sweep(keys, search)
  return results


# %%
if __name__ == "__main__":
  found = compare()
  for name, result in found.items():
    best = result.trace.objective.max(axis=(1, 2))
    seconds = result.run_seconds / len(best)
    print(
      f"{name}: mean best accuracy {best.mean():.3f} %, "
      f"{seconds:.3f} s a search"
    )
  share_plots.draw_results(PICTURE, found, problem)
