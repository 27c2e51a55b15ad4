"""Measures whether AG-Net's generator concentrates on good architectures.

  python -m experiments.concentration --benchmark=nasbench201/cifar10 \\
    --num_seeds=100 --budget=192

Every seed is a search. What its generator decodes is compared after the first
and after the last round of retraining, from the same latent vectors and with
the same draws: the mean true objective of what is valid (looked up for this
report only, the search never sees it), the share that is valid, and the share
of the seeds whose mean rises.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

from collections.abc import Callable
import functools
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax import search
from nagjax.algorithms import agnet
from nagjax.problem import Problem
from nagjax.proposers import generator
from nagjax.spaces.base import require_layout
from nagjax.types import Key

from .support import flags
from .support import machine
from .support.errors import user_errors
from .support.program import binary


class Decoded(NamedTuple):
  """What the generators of some searches decode.

  Attributes:
    objective: `f32[S]` mean true objective of what is valid, NaN if nothing is.
    validity: `f32[S]` share that is valid.
  """

  objective: np.ndarray
  validity: np.ndarray


def _run(values: flags.Values) -> None:
  machine.start_jax(values.compilation_cache_dir)
  with user_errors():
    options = flags.read_options(values.set, ["agnet"])["agnet"]
    benchmark = registry.make_benchmark(values.benchmark, values.data_dir)
    made = registry.make_search(
      "agnet",
      Problem(benchmark),
      budget=values.budget,
      options=options,
      data_dir=values.data_dir,
    )
    num_rounds = rounds(made.config, values.budget)
  keys = jax.random.split(jax.random.key(0), values.num_seeds)
  first, last = measure(keys, made, num_rounds)
  for name, decoded in (("first", first), ("last", last)):
    print(
      f"{name} round: mean objective {np.mean(decoded.objective):.2f}, valid "
      f"{100 * np.mean(decoded.validity):.1f} %"
    )
  risen = np.mean(last.objective > first.objective)
  print(f"risen in {100 * risen:.1f} % of {values.num_seeds} seeds")


def rounds(config: agnet.Config, budget: int) -> int:
  """Rounds of full batches that a budget pays for.

  Raises:
    ValueError: if there are not two.
  """
  num = (budget - config.num_initial) // config.batch_size
  if num < 2:
    raise ValueError(
      "--budget must pay for two rounds, "
      f"{config.num_initial + 2 * config.batch_size} queries, got {budget}."
    )
  return num


def measure(
  keys: Key, made: search.Search, num_rounds: int
) -> tuple[Decoded, Decoded]:
  """Decodes after the first and after the last round.

  Args:
    keys: `key[S]` of the searches.
    made: AG-Net.
    num_rounds: the number of the last round.
  """

  asked = functools.partial(_asked, made)
  start = _over_seeds(lambda key, p: search.start(key, asked(p)).state)
  advance = _over_seeds(
    lambda state, p: search.advance(state, asked(p), num_rounds=1).state
  )
  decode_all = _over_seeds(lambda at, p: decode(at[0], at[1], asked(p)))
  search_keys, decode_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
  state, decoded = start(search_keys, made.problem), []
  for number in range(num_rounds):
    state = advance(state, made.problem)
    if number in (0, num_rounds - 1):
      outcome = decode_all((decode_keys, state), made.problem)
      decoded.append(Decoded(*map(np.asarray, outcome)))
  return decoded[0], decoded[-1]


def _asked(made: search.Search, problem: Problem) -> search.Search:
  """The search, its problem an argument of a program instead of a constant."""
  return made._replace(problem=problem)


def _over_seeds(fn: Callable) -> Callable:
  return jax.jit(jax.vmap(fn, (0, None)))


def decode(
  key: Key, state: search.SearchState, made: search.Search
) -> tuple[jax.Array, jax.Array]:
  """Mean true objective and share of what is valid, of one search's generator.

  Args:
    key: random key, consumed.
    state: where the search stands.
    made: AG-Net.
  """
  problem, config = made.problem, made.config.proposer
  archs, valid = generator.generate(
    key,
    state.algorithm.proposer.params,
    made.params.proposer,
    require_layout(problem.space),
    config,
  )
  valid &= problem.space.is_valid(archs)
  objective = jnp.where(valid, problem.evaluate(archs).objective, jnp.nan)
  return jnp.nanmean(objective), jnp.mean(valid)


main = binary(
  _run,
  flags.common(
    "data_dir",
    "set",
    benchmark="nasbench201/cifar10",
    num_seeds=100,
    budget=192,
  ),
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
