"""Generating architectures with a score model, and what they are worth.

An et al., "DiffusionNAG", ICLR 2024, https://arxiv.org/abs/2305.16943, sections
3.2 and 4.3.
"""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.diffusion import samplers
from nagjax.diffusion.guidance import ScoreFn
from nagjax.generation.score_models import ScoreModel
from nagjax.types import Key
from nagjax.types import Params

SAMPLERS = ("few_step", "predictor_corrector", "probability_flow")


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    sampler: one of `SAMPLERS`.
    num_steps: of the sampler; the published one takes 1,000, of two scores.
    batch_size: samples side by side.
    corrector: whether the predictor has a corrector, as for NAS-Bench-201.
  """

  sampler: str = "few_step"
  num_steps: int = 30
  batch_size: int = 250
  corrector: bool = True

  def __post_init__(self) -> None:
    checks.choices(self, sampler=SAMPLERS)
    checks.sizes(self, num_steps=2)


def has_corrector(space_name: str) -> bool:
  """Whether the published sampler of a space corrects."""
  return space_name != "mobilenetv3"


class Generated(NamedTuple):
  """Architectures.

  Attributes:
    archs: `int32[num, L]`.
    valid: `bool[num]` whether each is one.
    bad_step: `int32[]` first step of a sampler that was not finite, or -1.
  """

  archs: jax.Array
  valid: jax.Array
  bad_step: jax.Array


class Measures(NamedTuple):
  """Shares in [0, 1]; NaN where there is nothing to share.

  Attributes:
    validity: valid among all.
    uniqueness: distinct among the valid.
    novelty: distinct valid ones that were not trained on, among the distinct
      valid ones; the program's definition.
    sample_novelty: the same among all valid ones; the paper's wording.
  """

  validity: float
  uniqueness: float
  novelty: float
  sample_novelty: float


def generate(
  key: Key,
  model: ScoreModel,
  params: Params,
  num: int,
  config: Config | None = None,
  *,
  steer: Callable[[ScoreFn], ScoreFn] = lambda score_fn: score_fn,
) -> Generated:
  """Generates architectures, in batches one after another.

  Args:
    key: random key, consumed.
    model: the score model.
    params: its weights.
    num: how many; the last batch is cut.
    config: sampler, and how many at a time.
    steer: what becomes of the score, such as `diffusion.guidance.guided`.
  """
  config = config or Config()
  score_fn = steer(model.score_fn(params))
  size = min(config.batch_size, num)

  def batch(key: Key) -> tuple[jax.Array, jax.Array, jax.Array]:
    start_key, step_key = jax.random.split(key)
    start = samplers.draw_prior(start_key, model.sde, (size, *model.shape))
    if config.sampler == "few_step":
      sampled = samplers.few_step(score_fn, model.sde, start, config.num_steps)
    elif config.sampler == "probability_flow":
      sampled = samplers.probability_flow(
        score_fn, model.sde, start, config.num_steps
      )
    else:
      options = samplers.Config(
        num_steps=config.num_steps,
        corrector="langevin" if config.corrector else "none",
      )
      sampled = samplers.predictor_corrector(
        score_fn, model.sde, start, step_key, options
      )
    return *model.from_data(sampled.x), sampled.bad_step

  keys = jax.random.split(key, -(-num // size))
  archs, valid, bad = jax.lax.map(batch, keys)
  return Generated(
    archs.reshape(-1, archs.shape[-1])[:num],
    valid.reshape(-1)[:num],
    jnp.max(bad),
  )


def measure(
  names: np.ndarray, valid: np.ndarray, training: np.ndarray | None = None
) -> Measures:
  """Validity, uniqueness and novelty of samples, on the host.

  Args:
    names: `[num]` one number for every architecture, such as its index.
    valid: `bool[num]`.
    training: `[M]` numbers of those trained on; novelty is NaN without.
  """
  alive = names[valid]
  distinct = np.unique(alive)

  def share(part: Any, whole: int) -> float:
    return float(part / whole) if whole else float("nan")

  def new(values: np.ndarray) -> float:
    if training is None:
      return float("nan")
    return share(np.sum(~np.isin(values, training)), len(values))

  return Measures(
    validity=share(len(alive), len(names)),
    uniqueness=share(len(distinct), len(alive)),
    novelty=new(distinct),
    sample_novelty=new(alive),
  )
