# %% [markdown]
"""What "denoising an architecture" looks like: a population, step after step.

  python -m experiments.examples.denoising

The published EDNAG starts from Gaussian noise and moves every individual
towards what is fit. Swap the key, or `variant="reference"` for nothing to see
our own version, which denoises in every round of a search.
"""

# %%
import jax
import numpy as np

from experiments.support import population_plots
import nagjax

PICTURE = "denoising.png"
problem = nagjax.Problem(nagjax.make_benchmark("digits"))


# %% Every round of the trace is the population of one denoising step.
def populations(steps: tuple[int, ...] = (0, 10, 30, 60, 99)) -> dict:
  """Cells and their objective after so many steps, by title."""
  made = nagjax.make_search("ednag", problem, budget=15625, variant="reference")
  trace = jax.device_get(nagjax.run(jax.random.key(0), made).trace)
  found = np.where(np.isfinite(trace.objective), trace.objective, np.nan)
  return {f"step {i}": (trace.archs[i], found[i]) for i in steps}


# %%
if __name__ == "__main__":
  population_plots.draw_populations(PICTURE, populations())
