# %% [markdown]
"""An evaluator that is not JAX: trainings on a cluster, say.

  python -m experiments.examples.on_a_cluster

A search asks for architectures in batches; `evaluate` gets the fresh ones of a
batch and may take hours for them. The search is saved after every batch: killed
and started again with the same directory, it goes on. Swap the body of
`train_one` for what submits a job and waits for it; here it looks a cell up,
and some "jobs" fail, which costs a query and never wins.
"""

# %%
from concurrent import futures
import tempfile

import jax
import numpy as np

from experiments.support import share_plots
import nagjax
from nagjax.search import Result

PICTURE = "on_a_cluster.png"
table = nagjax.make_benchmark("digits")
lookup = jax.jit(table.query)


# %% What runs elsewhere: one architecture in, its numbers out.
def train_one(arch: np.ndarray) -> float:
  """A job; NaN says that it failed."""
  failed = arch.sum() % 20 == 0
  accuracy = lookup(arch[None])[table.objective][0]
  return float("nan") if failed else float(accuracy)


def evaluate(archs: np.ndarray) -> dict[str, list[float]]:
  """All fresh architectures of a batch, side by side."""
  with futures.ThreadPoolExecutor(max_workers=8) as pool:
    return {table.objective: list(pool.map(train_one, archs))}


# %%
def search(directory: str, budget: int = 40) -> Result:
  """One search, which continues from what is in the directory."""
  host = nagjax.HostBenchmark(table.space, evaluate, (table.objective,))
  made = nagjax.make_search("ednag", nagjax.Problem(host), budget=budget)
  return nagjax.run_on_host(jax.random.key(0), made, directory=directory)


# %%
if __name__ == "__main__":
  with tempfile.TemporaryDirectory() as directory:
    found = search(directory)
  trace = jax.tree.map(lambda leaf: np.asarray(leaf)[None], found.trace)
  jobs = {"jobs": found._replace(trace=trace)}
  share_plots.draw_results(PICTURE, jobs, nagjax.Problem(table))
