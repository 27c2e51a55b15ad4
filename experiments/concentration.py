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

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from absl import flags
import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from nagjax import registry
from nagjax import search
from nagjax.algorithms import agnet
from nagjax.algorithms import agnet_steps
from nagjax.problem import Problem
from nagjax.spaces.base import require_layout
from nagjax.types import Key
from nagjax.types import Params


class Decoded(NamedTuple):
  """What the generators of some searches decode.

  Attributes:
    objective: `f32[S]` mean true objective of what is valid, NaN if nothing is.
    validity: `f32[S]` share that is valid.
  """

  objective: np.ndarray
  validity: np.ndarray


def main(argv: Sequence[str]) -> int:
  """Runs the binary.

  Args:
    argv: the command line, program name first.

  Returns:
    The exit code.
  """
  return common.run_main(lambda: _run(argv))


def _run(argv: Sequence[str]) -> None:
  values = _define_flags()
  if common.read_flags(values, argv, __doc__):
    return
  common.start_jax(values.compilation_cache_dir)
  with common.user_errors():
    options = common.read_options(values.set, ["agnet"])["agnet"]
    if options.get("surrogate") in agnet_steps.BOOSTED:
      raise ValueError("Boosted trees are not measured; leave out surrogate.")
    benchmark = registry.make_benchmark(values.benchmark, values.data_dir)
    chosen = registry.make_search(
      "agnet",
      benchmark,
      budget=values.budget,
      options=options,
      data_dir=values.data_dir,
    )
    num_rounds = rounds(chosen.config, values.budget)
  keys = jax.random.split(jax.random.key(0), values.num_seeds)
  first, last = measure(
    keys, chosen, Problem(benchmark), values.budget, num_rounds
  )
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
  keys: Key,
  chosen: registry.Search,
  problem: Problem,
  budget: int,
  num_rounds: int,
) -> tuple[Decoded, Decoded]:
  """Decodes after the first and after the last round.

  Args:
    keys: `key[S]` of the searches.
    chosen: AG-Net.
    problem: the question.
    budget: queries of a search.
    num_rounds: the number of the last round.
  """
  config, params = chosen.config, chosen.params
  layout = require_layout(problem.space)

  def decode(key: Key, state: search.SearchState) -> tuple[jax.Array, ...]:
    archs, valid = agnet.generate(
      key, state.algorithm.trained.params, params, config, layout
    )
    valid &= problem.space.is_valid(archs)
    objective = jnp.where(valid, problem.evaluate(archs).objective, jnp.nan)
    return jnp.nanmean(objective), jnp.mean(valid)

  def one(key: Key, problem: Problem, params: Params):
    search_key, decode_key = jax.random.split(key)
    asked = (chosen.algorithm, problem, params)
    state, _ = search.start(search_key, *asked, budget=budget)
    state, _ = search.advance(state, *asked, budget=budget, num_rounds=1)
    first = decode(decode_key, state)
    state, _ = search.advance(
      state, *asked, budget=budget, num_rounds=num_rounds - 1
    )
    return first, decode(decode_key, state)

  outcome = jax.jit(jax.vmap(one, (0, None, None)))(keys, problem, params)
  first, last = jax.tree.map(np.asarray, outcome)
  return Decoded(*first), Decoded(*last)


def _define_flags() -> flags.FlagValues:
  """This binary's flags, apart from those of other binaries in the process."""
  values = flags.FlagValues()
  plain: list[tuple[Any, str, Any, str]] = [
    (flags.DEFINE_string, "benchmark", "nasbench201/cifar10", "What is asked."),
    (flags.DEFINE_string, "data_dir", None, "Where the user's files are."),
    (flags.DEFINE_multi_string, "set", [], "Such as agnet.guidance=0."),
    (flags.DEFINE_string, "compilation_cache_dir", None, "For programs."),
    (flags.DEFINE_boolean, "help", False, "Print this text."),
  ]
  for define, name, default, text in plain:
    define(name, default, text, flag_values=values)
  for name, number, text in (
    ("num_seeds", 100, "Searches."),
    ("budget", 192, "Queries of each."),
  ):
    flags.DEFINE_integer(name, number, text, 1, flag_values=values)
  return values


if __name__ == "__main__":
  common.run_program(main)
