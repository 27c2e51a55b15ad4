"""What a guided diffusion generates, beside what it is compared with.

  python -m experiments.pool_statistics --benchmark=nasbench201/cifar10

Table 1 of DiffusionNAG (An et al., ICLR 2024): a predictor learns from
--num_train random architectures, whose evaluations are the queries of this
experiment; then --num_generated architectures come from each of

  guided     the diffusion guided by the predictor;
  sorted     the best predictions of ten times as many unguided ones;
  unguided   the diffusion alone;
  random     uniform draws;
  training   what the predictor learnt from;
  oracle     the best test metrics of the benchmark, if it can be listed.

Printed are means over seeds and their standard deviations: the share of valid
architectures, the number of distinct ones, and of their test metric the mean,
the first percentile, the smallest and the largest; the same numbers of every
seed are in WORKDIR/pool.json, where null is unknown.

--train_on=poor leaves the best tenth of the benchmark out of the training set
(figure 3), and prints in which share of the seeds the guided pool's best, and
its median, exceed those of the training set.

--objective=COLUMN guides by another column of the benchmark, and -COLUMN by a
small value of it (table 4); --columns=a,b prints the means of these, too.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

from collections.abc import Callable
import dataclasses
import json
import math
import sys
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import archive as archive_lib
from nagjax import files
from nagjax import options as options_lib
from nagjax import registry
from nagjax.algorithms import diffusionnag
from nagjax.algorithms import surrogate_search
from nagjax.benchmarks.base import Benchmark
from nagjax.benchmarks.base import data_directory
from nagjax.diffusion import samplers
from nagjax.problem import Problem
from nagjax.proposers import Proposer
from nagjax.proposers import diffusion
from nagjax.surrogates import Surrogate
from nagjax.surrogates import ensemble
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Proposal
from nagjax.types import Status

from .support import flags
from .support import machine
from .support import outputs
from .support import records
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary

SOURCES = ("guided", "sorted", "unguided", "random", "training")
"""Pools that are made for every seed."""
POOR_SHARE = 0.9
"""Share of a benchmark that is poor."""
RECORD = "pool.json"
_UNGUIDED = 10
"""Unguided architectures for one of the sorted pool, as published."""


class Pool(NamedTuple):
  """Architectures of one source.

  Attributes:
    archs: `int32[N, L]`.
    valid: `bool[N]`.
  """

  archs: jax.Array
  valid: jax.Array


class Plan(NamedTuple):
  """An experiment, checked.

  Attributes:
    problem: what guides.
    config: of the search whose parts generate.
    surrogate: what learns from the training set.
    guided: the diffusion with its guide.
    unguided: the same without, ten times as many architectures.
    columns: whose means are printed besides.
    allowed: `int32[A, L]` what training sets are drawn from; None for all.
  """

  problem: Problem
  config: diffusionnag.Config
  surrogate: Surrogate
  guided: Proposer
  unguided: Proposer
  columns: list[str]
  allowed: np.ndarray | None


def _run(values: flags.Values) -> None:
  machine.start_jax(values.compilation_cache_dir)
  plan = make_plan(values)
  with outputs.claimed_workdir(
    values.workdir, [RECORD], overwrite=values.overwrite
  ) as workdir:
    rows = _measure(plan, values.num_seeds, values.num_generated)
    record = {
      "benchmark": values.benchmark,
      "objective": list(plan.problem.objective_names),
      "num_train": plan.config.num_initial,
      "train_on": values.train_on,
      "config": records.describe_config(plan.config),
      "versions": machine.versions(),
      "rows": rows,
    }
    with files.atomic_path(workdir / RECORD) as temporary:
      temporary.write_text(json.dumps(_plain(record), indent=2) + "\n")
  for line in describe(rows):
    print(line)
  if values.train_on == "poor":
    for name in ("max", "median"):
      share = np.mean(
        [
          new[name] > old[name]
          for new, old in zip(rows["guided"], rows["training"], strict=True)
        ]
      )
      print(f"{name} above that of the training set: {share:.2f} of the seeds")


def _measure(
  plan: Plan, num_seeds: int, num_generated: int
) -> dict[str, list[dict[str, float]]]:
  """The numbers of every seed, by source."""
  program = jax.jit(lambda key, problem: make_pools(key, plan, problem))
  rows: dict[str, list[dict[str, float]]] = {name: [] for name in SOURCES}
  for key in jax.random.split(jax.random.key(0), num_seeds):
    pools, bad_step = program(key, plan.problem)
    samplers.check_finite(bad_step)
    for name, pool in pools.items():
      rows[name].append(statistics(plan, pool))
  best = oracle(plan, num_generated)
  if best is not None:
    rows["oracle"] = [statistics(plan, best)]
  return rows


def _plain(value: Any) -> Any:
  """JSON has no NaN: null."""
  if isinstance(value, dict):
    return {name: _plain(item) for name, item in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  unknown = isinstance(value, float) and not math.isfinite(value)
  return None if unknown else value


def make_pools(
  key: Key, plan: Plan, problem: Problem
) -> tuple[dict[str, Pool], jax.Array]:
  """Trains a predictor and generates, for one seed.

  Args:
    key: random key, consumed.
    plan: what to do.
    problem: the plan's, as an argument of a compiled program.

  Returns:
    A pool for each of `SOURCES`, and the first step of a sampler that was not
    finite, or -1.
  """
  space, config = problem.space, plan.config
  num, surrogate = config.proposer.num_candidates, plan.surrogate
  names = ("train", "init", "fit", "guided", "unguided", "random")
  keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
  training = _training_set(keys["train"], plan, problem)
  everything = jnp.ones(len(training), bool)
  answer = problem.evaluate(training)
  archive = archive_lib.add(
    archive_lib.empty(space, config.archive_size, 0),
    space,
    Proposal(training, everything),
    Evaluation(
      jnp.full(len(training), Status.FRESH, jnp.int8),
      answer.objective,
      answer.objectives,
      answer.violations,
      answer.feasible,
    ),
  )
  fitted = surrogate.fit(
    keys["fit"], surrogate.init(keys["init"], surrogate.params), archive
  )
  belief = surrogate_search.make_belief(surrogate, fitted, config.penalty)

  def propose(
    name: str, proposer: Proposer
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    init_key, propose_key = jax.random.split(keys[name])
    state = proposer.init(init_key, proposer.params)
    archs, valid, state = proposer.propose(
      propose_key, state, proposer.params, belief, archive
    )
    return archs, valid, proposer.failed_step(state)  # type: ignore[misc]

  guided, guided_valid, bad_step = propose("guided", plan.guided)
  unguided, unguided_valid, other_step = propose("unguided", plan.unguided)
  promise = belief.predict(unguided).mean
  order = jnp.argsort(
    jnp.where(unguided_valid, promise, -jnp.inf), descending=True
  )[:num]
  pools = {
    "guided": Pool(guided, guided_valid),
    "sorted": Pool(unguided[order], unguided_valid[order]),
    "unguided": Pool(unguided[:num], unguided_valid[:num]),
    "random": Pool(space.sample(keys["random"], num), jnp.ones(num, bool)),
    "training": Pool(training, everything),
  }
  return pools, jnp.maximum(bad_step, other_step)


def oracle(plan: Plan, num: int) -> Pool | None:
  """The best architectures by the test metric; None if there is no list."""
  archs = plan.problem.benchmark.architectures()
  if archs is None:
    return None
  test = np.asarray(_test(plan.problem, archs))
  best = np.argsort(-np.nan_to_num(test, nan=-np.inf))[:num]
  return Pool(jnp.asarray(archs[best]), jnp.ones(len(best), bool))


def statistics(plan: Plan, pool: Pool) -> dict[str, float]:
  """Numbers of a pool: of its valid architectures but `valid` itself.

  What the benchmark does not know is left out.

  Raises:
    UsageError: if none is valid, or none is known.
  """
  problem = plan.problem
  valid = np.asarray(pool.valid)
  if not valid.any():
    raise UsageError(
      f"None of {len(valid)} generated architectures is valid: train the score "
      "model of the space for longer, or lower guidance."
    )
  archs = np.asarray(pool.archs)[valid]
  test = np.asarray(_test(problem, jnp.asarray(archs)))
  known = test[~np.isnan(test)]
  if not len(known):
    raise UsageError("The benchmark knows no generated architecture.")
  columns = _columns(problem.benchmark, jnp.asarray(archs))
  return {
    "valid": float(valid.mean()),
    "distinct": len(np.unique(archs, axis=0)),
    **{name: float(reduce(known)) for name, reduce in _REDUCTIONS.items()},
    **{name: _mean(np.asarray(columns[name])) for name in plan.columns},
  }


_REDUCTIONS: dict[str, Callable[[np.ndarray], Any]] = {
  "mean": np.mean,
  "percentile_1": lambda values: np.percentile(values, 1),
  "min": np.min,
  "median": np.median,
  "max": np.max,
}


def _mean(values: np.ndarray) -> float:
  """Of what is known; NaN if nothing is."""
  known = values[~np.isnan(values)]
  return float(known.mean()) if len(known) else math.nan


@jax.jit
def _test(problem: Problem, archs: Archs) -> jax.Array:
  """The reader's metric; the objective where there is none."""
  if problem.benchmark.test is None:
    return problem.evaluate(archs).objective
  return problem.test(archs)


@jax.jit
def _columns(benchmark: Benchmark, archs: Archs) -> dict[str, jax.Array]:
  """What a search may read and what is for the reader."""
  return {**benchmark.query(archs), **benchmark.report(archs)}


def describe(rows: dict[str, list[dict[str, float]]]) -> list[str]:
  """One line for every source: means over seeds, deviations in brackets."""
  lines = []
  for source, seeds in rows.items():
    parts = []
    for name in seeds[0]:
      values = np.asarray([row[name] for row in seeds])
      text = f"{name} {values.mean():.2f}"
      if len(values) > 1:
        text += f" ({values.std(ddof=1):.2f})"
      parts.append(text)
    lines.append(f"{source:9s} {', '.join(parts)}")
  return lines


def make_plan(values: flags.Values) -> Plan:
  """Checks all values before any computing starts.

  Raises:
    UsageError: if any is wrong.
  """
  with user_errors():
    benchmark = registry.make_benchmark(values.benchmark, values.data_dir)
    objectives = (values.objective,) if values.objective else ()
    problem = Problem(benchmark, objectives)
    config = dataclasses.replace(
      diffusionnag.POOL_CONFIG,
      num_initial=values.num_train,
      batch_size=1,
      archive_size=2 * values.num_train,
    )
    options = flags.read_options(values.set, ["diffusionnag"])["diffusionnag"]
    if "num_constraints" in options:
      raise ValueError("num_constraints is 0 in a pool; leave it out.")
    config = options_lib.with_options(config, options, "diffusionnag")
    proposer = dataclasses.replace(
      config.proposer, num_candidates=values.num_generated
    )
    config = dataclasses.replace(config, proposer=proposer)
    plain = dataclasses.replace(
      proposer, guidance=0.0, num_candidates=_UNGUIDED * values.num_generated
    )
    guided, unguided = (
      diffusion.diffusion(
        problem.space, each, directory=data_directory(values.data_dir)
      )
      for each in (proposer, plain)
    )
    allowed = _poor(problem) if values.train_on == "poor" else None
    if allowed is not None and len(allowed) < config.num_initial:
      raise ValueError(
        f"--num_train must be at most the {len(allowed)} poor architectures, "
        f"got {config.num_initial}."
      )
    one = jnp.zeros((1, benchmark.space.num_variables), jnp.int32)
    known = {*benchmark.query(one), *benchmark.report(one)}
    if set(values.columns) - known:
      raise ValueError(
        f"--columns must name some of {', '.join(sorted(known))}, got "
        f"{','.join(values.columns)}."
      )
  surrogate = ensemble.graph_networks(problem.space, config.surrogate)
  return Plan(
    problem, config, surrogate, guided, unguided, values.columns, allowed
  )


def _training_set(key: Key, plan: Plan, problem: Problem) -> Archs:
  num = plan.config.num_initial
  if plan.allowed is None:
    return problem.space.sample(key, num)
  rows = jax.random.choice(key, len(plan.allowed), (num,), replace=False)
  return jnp.asarray(plan.allowed)[rows]


def _poor(problem: Problem) -> np.ndarray:
  """All but the best tenth by the objective, `int32[A, L]`."""
  archs = problem.benchmark.architectures()
  if archs is None:
    raise ValueError("--train_on=poor needs a benchmark that can be listed.")
  objective = np.asarray(jax.jit(Problem.evaluate)(problem, archs).objective)
  return archs[objective <= np.quantile(objective, POOR_SHARE)]


main = binary(
  _run,
  [
    *flags.common(
      "benchmark",
      "data_dir",
      "overwrite",
      "set",
      workdir="results/pool",
      num_seeds=3,
    ),
    flags.text("objective", None, "Column that guides, or -column."),
    flags.items("columns", [], "Columns whose means are printed."),
    flags.whole("num_train", 200, "What the predictor learns from.", 2),
    flags.whole("num_generated", 1000, "Architectures of a pool."),
    flags.choice("train_on", "all", ("all", "poor"), "Training set."),
  ],
  __doc__,
  FloatingPointError,
)

if __name__ == "__main__":
  sys.exit(main())
