"""Fitting predictors that read noisy architectures, for guidance.

An et al., "DiffusionNAG: Predictor-guided Neural Architecture Generation with
Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943, section 3.3: a
predictor is trained on pairs of perturbed architectures and scores, at all
levels of noise.

Few evaluations are no training set for that. So what a sampler is guided by is
distilled: a predictor of clean architectures, fitted to the evaluations, says
which of many architectures are good, and the noisy one learns from these. A
classifier's log-likelihood of "good" turns the sampler into one of good
architectures exactly, where both are exact (Dhariwal and Nichol, "Diffusion
Models Beat GANs on Image Synthesis", NeurIPS 2021, section 4).
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from nagjax import checks
from nagjax.diffusion import score_matching
from nagjax.diffusion.guidance import ValueFn
from nagjax.diffusion.sde import NUM_SCALES
from nagjax.diffusion.sde import Sde
from nagjax.networks import descent
from nagjax.networks.base import GuideNetwork
from nagjax.networks.descent import TrainState
from nagjax.types import Key
from nagjax.types import Params

LOSSES = ("classification", "regression")


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options of a fit.

  Attributes:
    num_steps: minibatches.
    batch_size: rows of a minibatch, drawn with replacement.
    learning_rate: at the start of every fit; falls to 0 by a cosine.
    clip_norm: largest norm of a gradient.
    loss: `classification` of labels in [0, 1], or `regression`.
  """

  num_steps: int = 200
  batch_size: int = 128
  learning_rate: float = 3e-3
  clip_norm: float = 1.0
  loss: str = "classification"

  def __post_init__(self) -> None:
    checks.sizes(self)
    checks.positive(self, "learning_rate", "clip_norm")
    checks.choices(self, loss=LOSSES)


def init(key: Key, network: GuideNetwork, config: Config) -> TrainState:
  """A predictor at its random start; the key is consumed.

  Example:
    >>> from nagjax.networks.guides import gcn_guide
    >>> network = gcn_guide(4, 3, hidden_size=8)
    >>> start = lambda key: init(key, network, Config())
    >>> state = jax.eval_shape(start, jax.random.key(0))
  """
  return descent.begin(network.init(key), _optimizer(config))


def fit(
  key: Key,
  network: GuideNetwork,
  state: TrainState,
  data: jax.Array,
  labels: jax.Array,
  adjacency: jax.Array,
  sde: Sde,
  occurs: jax.Array,
  config: Config,
) -> TrainState:
  """Goes on fitting a predictor to perturbed data.

  Args:
    key: random key, consumed.
    network: the predictor.
    state: where to start.
    data: `f32[M, n, F]` clean samples.
    labels: `f32[M]`.
    adjacency: `f32[n, n]` of all samples.
    sde: perturbs them.
    occurs: see `score_matching.log_probabilities`.
    config: minibatches, optimizer and loss of this fit.
  """
  optimizer = _optimizer(config)
  row_key, time_key, noise_key = jax.random.split(key, 3)
  shape = (config.num_steps, config.batch_size)
  rows = jax.random.randint(row_key, shape, 0, labels.shape[0])
  times = jax.random.uniform(time_key, shape, minval=sde.end_time)
  keys = jax.random.split(noise_key, config.num_steps)
  rates = optax.cosine_decay_schedule(1.0, config.num_steps)

  def step(
    state: TrainState, inputs: tuple[jax.Array, ...]
  ) -> tuple[TrainState, None]:
    number, rows, t, key = inputs
    noise = jax.random.normal(key, (config.batch_size, *data.shape[1:]))
    x = sde.perturb(data[rows], t, noise)

    def loss(params: Params) -> jax.Array:
      values = value_fn(network, params, adjacency, sde, occurs)(x, t)
      if config.loss == "regression":
        return jnp.mean((values - labels[rows]) ** 2)
      losses = optax.sigmoid_binary_cross_entropy(values, labels[rows])
      return jnp.mean(losses)

    rate = rates(number.astype(jnp.float32))
    return descent.descend(state, loss, optimizer, rate), None

  inputs = (jnp.arange(config.num_steps), rows, times, keys)
  return jax.lax.scan(step, state, inputs)[0]


def value_fn(
  network: GuideNetwork,
  params: Params,
  adjacency: jax.Array,
  sde: Sde,
  occurs: jax.Array,
) -> ValueFn:
  """What a fitted predictor says of perturbed samples, `f32[B]`.

  It reads `score_matching.flat_posterior`: what the noise does is known, and
  need not be learnt.
  """

  def value(x: jax.Array, t: jax.Array) -> jax.Array:
    rows = score_matching.flat_posterior(x, t, sde, occurs)
    return network.apply(params, rows, (NUM_SCALES - 1) * t, adjacency)

  return value


def published_value_fn(
  network: GuideNetwork,
  params: Params,
  adjacency: jax.Array,
  sde: Sde,
  code: jax.Array | None = None,
) -> ValueFn:
  """What a published predictor says: it reads the noisy sample and its noise.

  With `guidance.guided` and `guidance.published_scale` the program's guidance.

  Args:
    network: of `networks.noisy`.
    params: such as `convert.diffusionnag.surrogate_params(...).predictor`.
    adjacency: `f32[n, n]`.
    sde: the equation.
    code: of the data set, see `networks.set_encoder`; None if there is only
      one.
  """

  def value(x: jax.Array, t: jax.Array) -> jax.Array:
    return network.apply(params, x, sde.condition(t), adjacency, code=code)

  return value


def _optimizer(config: Config) -> optax.GradientTransformation:
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adam(config.learning_rate),
  )
