"""Measures samplers of score models: speed, validity, and what they sample.

  python -m experiments.samplers --space=nasbench201 --model=published \\
    --samplers=few_step:30 --num=256

Every item of --samplers is a sampler and its steps; few_step takes one
evaluation of the network a step, predictor_corrector, the published one, two
(one without a corrector, as for MobileNetV3), probability_flow two. Compilation
and run time are measured apart.

--model=shipped has trained weights; published is the network of the paper with
random weights, whose speed alone means anything.

With --benchmark the true objectives of what the samplers give are compared with
those of the first one: the p-value of the two-sample Kolmogorov-Smirnov test.
Where every vector is an architecture, the frequencies of the options of every
variable are tested against uniform ones; the least p-value is printed, times
their number (Bonferroni).

Exit codes: 0; 2 for anything the user can mend, with one line on stderr.
"""

import math
import sys
import time

import jax
import numpy as np
from scipy import stats

from nagjax import registry
from nagjax.benchmarks.base import data_directory
from nagjax.diffusion import samplers
from nagjax.generation import pretrained_scores
from nagjax.generation import sampling
from nagjax.generation import score_models
from nagjax.problem import Problem
from nagjax.spaces import SearchSpace
from nagjax.types import Key
from nagjax.types import Params

from .support import flags
from .support import machine
from .support.errors import user_errors
from .support.program import binary


def _run(values: flags.Values) -> None:
  machine.start_jax(values.compilation_cache_dir)
  with user_errors():
    problem = None
    if values.benchmark:
      benchmark = registry.make_benchmark(values.benchmark, values.data_dir)
      problem, space = Problem(benchmark), benchmark.space
    else:
      space = registry.make_space(values.space)
    configs = [
      read_sampler(text, values.batch_size, space) for text in values.samplers
    ]
    if not configs:
      raise ValueError("--samplers must name one sampler at least.")
    model, params = make_model(space, values.model, values.data_dir)
  device = machine.describe_devices(jax.devices())
  print(f"{device}, {values.num} samples, {values.model} model")
  first = None
  for position, config in enumerate(configs):
    # Every sampler has noise of its own: the comparison is of two samples.
    key = jax.random.fold_in(jax.random.key(1), position)
    generated, line = measure(key, model, params, values.num, config)
    archs = generated.archs[np.asarray(generated.valid)]
    if values.model == "shipped" and len(archs):
      distinct = len(np.unique(archs, axis=0))
      line += (
        f", {distinct} distinct{describe_uniformity(space, np.asarray(archs))}"
      )
    if problem is not None and len(archs):
      objective = np.asarray(jax.jit(Problem.evaluate)(problem, archs)[0])
      line += f", mean objective {objective.mean():.2f}"
      if first is None:
        first = objective
      else:
        p_value = stats.ks_2samp(first, objective).pvalue
        line += f", distributed as the first: p = {p_value:.2f}"
    print(line)


def measure(
  key: Key,
  model: score_models.ScoreModel,
  params: Params,
  num: int,
  config: sampling.Config,
) -> tuple[sampling.Generated, str]:
  """Compiles a sampler, runs it twice, and tells how long the second took.

  Args:
    key: random key of the second run, consumed.
    model: the score model.
    params: its weights.
    num: samples of a run.
    config: the sampler.

  Raises:
    FloatingPointError: if the sampler meets what is not finite.
  """
  program = jax.jit(
    lambda key, params: sampling.generate(key, model, params, num, config)
  )
  began = time.perf_counter()
  compiled = program.lower(key, params).compile()
  compile_seconds = time.perf_counter() - began
  jax.block_until_ready(compiled(jax.random.key(0), params))
  began, cpu = time.perf_counter(), time.process_time()
  generated = jax.block_until_ready(compiled(key, params))
  seconds = time.perf_counter() - began
  cpu = time.process_time() - cpu
  samplers.check_finite(generated.bad_step)
  validity = float(np.mean(np.asarray(generated.valid)))
  return generated, (
    f"{config.sampler}:{config.num_steps} compiled in {compile_seconds:.1f} s, "
    f"ran {seconds:.2f} s ({cpu:.2f} CPU seconds, {num / seconds:.1f} samples "
    f"a second), validity {100 * validity:.1f} %"
  )


def describe_uniformity(space: SearchSpace, archs: np.ndarray) -> str:
  """Whether options are as frequent as in uniform architectures; "" elsewhere.

  Args:
    space: the space.
    archs: `int[N, L]` samples.
  """
  if space.num_architectures != math.prod(space.cardinalities):
    return ""
  p_values = [
    stats.chisquare(np.bincount(column, minlength=cardinality)).pvalue
    for column, cardinality in zip(archs.T, space.cardinalities, strict=True)
  ]
  least = min(1.0, len(p_values) * min(p_values))
  return f", options uniform: p = {least:.2f}"


def make_model(
  space: SearchSpace, name: str, data_dir: str | None
) -> tuple[score_models.ScoreModel, Params]:
  """A model and weights: those that ship, or random ones of the paper's."""
  if name == "shipped":
    trained = pretrained_scores.load_trained_score(
      space, data_directory(data_dir)
    )
    return score_models.score_model(space, trained.config), trained.params
  model = score_models.score_model(space, score_models.published(space.name))
  return model, jax.jit(model.init)(jax.random.key(0))


def read_sampler(
  text: str, batch_size: int, space: SearchSpace
) -> sampling.Config:
  """Reads `few_step:30`.

  Raises:
    ValueError: if it is of another form.
  """
  name, _, steps = text.partition(":")
  if not steps.isdigit():
    raise ValueError(f"A sampler looks like few_step:30, got {text!r}.")
  return sampling.Config(
    sampler=name,
    num_steps=int(steps),
    batch_size=batch_size,
    corrector=sampling.has_corrector(space.name),
  )


main = binary(
  _run,
  [
    *flags.common(
      "space", "data_dir", benchmark=None, num=1000, batch_size=256
    ),
    flags.items("samplers", ["few_step:30"], "Samplers and their steps."),
    flags.choice("model", "shipped", ("shipped", "published"), "Model."),
  ],
  __doc__,
  FloatingPointError,
)

if __name__ == "__main__":
  sys.exit(main())
