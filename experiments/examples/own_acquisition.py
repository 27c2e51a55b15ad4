# %% [markdown]
"""An acquisition function of your own, in EDNAG.

  python -m experiments.examples.own_acquisition

Swap `higher_aims` for any function of the same arguments, and "ednag" for any
algorithm that is made of parts. It works because a search hands its acquisition
nothing but numbers: what the surrogate predicts of every candidate, the best
that was observed, and how daring each place in the batch should be. One line,
`nagjax.register_acquisition("higher_aims", higher_aims)`, gives it a name for
the command line.
"""

# %%
import jax
from jax.scipy.stats import norm

from experiments.support import share_plots
import nagjax
from nagjax.search import Result

PICTURE = "own_acquisition.png"
problem = nagjax.Problem(nagjax.make_benchmark("digits"))


# %% The part that is our own.
def higher_aims(key, prediction, best, optimism):
  """The chance to reach an aim, which is higher for every place in the batch.

  The first place is content with any improvement; the last hopes for one of 0.4
  standard deviations of what was observed. Returns `f32[B, C]`, one row of `C`
  candidates for each of `B` places; only their order within a row matters.
  """
  del key  # An acquisition may draw; this one does not.
  aims = best + 0.1 * optimism[:, None]
  return norm.logcdf((prediction.mean[None] - aims) / prediction.std[None])


# %% Both searches differ in nothing else.
def compare(num_seeds: int = 64, budget: int = 60) -> dict[str, Result]:
  """Searches with the default acquisition and with ours, from the same keys."""
  keys = jax.random.split(jax.random.key(0), num_seeds)
  results = {}
  for name, acquisition in (("default", None), ("own", higher_aims)):
    search = nagjax.make_search(
      "ednag", problem, budget=budget, acquisition=acquisition
    )
    results[name] = nagjax.sweep(keys, search)
  return results


# %%
if __name__ == "__main__":
  found = compare()
  for name, result in found.items():
    best = result.trace.objective.max(axis=(1, 2))
    print(f"{name}: mean best accuracy {best.mean():.3f} %")
  share_plots.draw_results(PICTURE, found, problem)
