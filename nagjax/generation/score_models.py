"""Score models: a network, an equation and a space, ready to sample from.

An et al., "DiffusionNAG: Predictor-guided Neural Architecture Generation with
Diffusion Models", ICLR 2024, https://arxiv.org/abs/2305.16943, sections 3.1 and
3.2.

Differs from the paper by default, because it learns the same distribution in a
hundredth of the steps: the network's output is added to the log-odds that the
noise itself gives, and read as the probabilities of what a row can be (see
`diffusion.score_matching`); rows attend to their neighbors both ways.
`published()` gives the options of the program.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import checks
from nagjax.diffusion import score_matching
from nagjax.diffusion import sde as sde_lib
from nagjax.diffusion.guidance import ScoreFn
from nagjax.diffusion.sde import Sde
from nagjax.networks import score as score_lib
from nagjax.networks.base import ScoreNetwork
from nagjax.spaces import graphs
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs
from nagjax.types import Key
from nagjax.types import Params

_NUM_SEEN = 16_384
"""Random architectures that show what rows there are: one of the networks of a
single layer, a 7,000th of the smallest transformers, is among them."""

OUTPUTS = ("rows", "score")
MASKS = (
  "neighbors",
  "all",
  "adjacency",
  "closure",
  "published",
  "published_closure",
)


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options.

  Attributes:
    num_layers, width, num_heads, feed_forward, head_width, dropout: of the
      network, see `networks.score`.
    sde: `ve`, `vp` or `subvp`.
    sde_low, sde_high: its `sigma` or `beta` at times 0 and 1.
    output: what the network's output is: log-odds of `rows`, or a `score` as
      published.
    mask: what a row attends to: itself and its `neighbors` both ways, `all`,
      its successors by the `adjacency`, itself and everything behind it
      (`closure`), or as published: the successors (`published`), with which the
      program trains, or everything behind a row but not itself
      (`published_closure`), with which it transfers to data sets.
    position_code: whether rows know their place, that in their stage for
      MobileNetV3.
    row_support: whether the probabilities of `rows` are zero where no random
      architecture has a one in the row; else where none has in any row. It
      tells rows apart, as the position does.
    tied_init: start with equal blocks, as published.
  """

  num_layers: int = 4
  width: int = 48
  num_heads: int = 4
  feed_forward: int = 96
  head_width: int = 128
  dropout: float = 0.0
  sde: str = "ve"
  sde_low: float = 0.1
  sde_high: float = 20.0
  output: str = "rows"
  mask: str = "neighbors"
  position_code: bool = True
  row_support: bool = True
  tied_init: bool = False

  def __post_init__(self) -> None:
    checks.choices(self, output=OUTPUTS, mask=MASKS)
    sde_lib.make(self.sde, self.sde_low, self.sde_high)
    _network_config(self)


def published(space_name: str) -> Config:
  """The program's options; of MobileNetV3 `sigma` ends at 1, else at 5."""
  return Config(
    num_layers=12,
    width=64,
    num_heads=8,
    feed_forward=128,
    head_width=0,
    dropout=0.1,
    sde_high=1.0 if space_name == "mobilenetv3" else 5.0,
    output="score",
    mask="published",
    tied_init=True,
  )


class ScoreModel(NamedTuple):
  """A pure set of functions; `params` are the network's.

  Attributes:
    sde: the equation.
    shape: `(n, F)` of a sample.
    occurs: `bool[n, F + 1]` whether a row is ever empty, and which columns it
      ever has.
    init: `key -> params`; the key is consumed.
    score: `(params, x f32[B, n, F], t f32[B]) -> f32[B, n, F]`.
    loss: `(params, archs int32[B, L], t f32[B], noise f32[B, n, F],
      dropout_key) -> f32[B]`; no dropout without a key.
    to_data: `int32[..., L] -> f32[..., n, F]`, architectures as samples.
    from_data: `f32[..., n, F] -> (archs, valid)`, see `decode`.
  """

  sde: Sde
  shape: tuple[int, int]
  occurs: jax.Array
  init: Callable[[Key], Params]
  score: Callable[[Params, jax.Array, jax.Array], jax.Array]
  loss: Callable[..., jax.Array]
  to_data: Callable[[Archs], jax.Array]
  from_data: Callable[[jax.Array], tuple[Archs, jax.Array]]

  def score_fn(self, params: Params) -> ScoreFn:
    """The score of given weights, as samplers take it."""
    return lambda x, t: self.score(params, x, t)


def score_model(
  space: SearchSpace,
  config: Config | None = None,
  network: ScoreNetwork | None = None,
) -> ScoreModel:
  """Builds the model of a space.

  A space whose rows of features nobody has connected is seen as its variables,
  one-hot; all of them are neighbors, and other masks there are none.

  Args:
    space: the space.
    config: see `Config`; nagjax's own if not given.
    network: `Network(init, apply)` with `apply` as in `networks.ScoreApply`, of
      samples of the model's `shape`; `networks.score` if not given. What the
      config says of the network then has no meaning. Its output is added to the
      log-odds of rows, or is the score, as `Config.output` says.

  Raises:
    ValueError: if the mask needs connections that the space lacks.
  """
  config = config or Config()
  shape, positions = _rows(space)
  mask = jnp.asarray(_mask(space, config.mask), jnp.float32)
  occurs = jnp.asarray(_occurs(space))
  if not config.row_support:
    occurs = jnp.broadcast_to(jnp.any(occurs, axis=0), occurs.shape)
  equation = sde_lib.make(config.sde, config.sde_low, config.sde_high)
  if network is None:
    network = score_lib.score(
      *shape,
      _network_config(config),
      positions=positions if config.position_code else None,
    )

  def logits(
    params: Params, x: jax.Array, t: jax.Array, dropout_key: Key | None
  ) -> jax.Array:
    inputs = score_matching.network_inputs(x, t, equation)
    output = network.apply(params, *inputs, mask, dropout_key=dropout_key)
    return score_matching.row_logits(output, x, t, equation)

  def published_score(
    params: Params, x: jax.Array, t: jax.Array, dropout_key: Key | None
  ) -> jax.Array:
    output = network.apply(
      params, x, equation.condition(t), mask, dropout_key=dropout_key
    )
    return score_matching.published_score(output, t, equation)

  def score(params: Params, x: jax.Array, t: jax.Array) -> jax.Array:
    if config.output == "score":
      return published_score(params, x, t, None)
    clean = score_matching.denoise(logits(params, x, t, None), occurs)
    return score_matching.score_of_mean(clean, x, t, equation)

  def to_data(archs: Archs) -> jax.Array:
    return score_matching.scale(_features(space, archs))

  def loss(
    params: Params,
    archs: Archs,
    t: jax.Array,
    noise: jax.Array,
    dropout_key: Key | None = None,
  ) -> jax.Array:
    features = _features(space, archs)
    x = equation.perturb(score_matching.scale(features), t, noise)
    if config.output == "score":
      return score_matching.score_loss(
        published_score(params, x, t, dropout_key), noise, equation.std(t)
      )
    return score_matching.row_loss(
      logits(params, x, t, dropout_key), features, occurs
    )

  return ScoreModel(
    sde=equation,
    shape=shape,
    occurs=occurs,
    init=network.init,
    score=score,
    loss=loss,
    to_data=to_data,
    from_data=lambda x: decode(space, x),
  )


def decode(space: SearchSpace, x: jax.Array) -> tuple[Archs, jax.Array]:
  """Reads samples as the program does: entries of 0.5 or more are ones.

  A sample is valid if its zeros and ones are those of an architecture: of
  NAS-Bench-201, that every row is one-hot, the first is the input, the last the
  output, and no other is either; of MobileNetV3, that no row has two ones, the
  first two layers of a stage exist and the fourth only with the third.

  Args:
    space: the space.
    x: `f32[..., n, F]` samples; not a number is no one.

  Returns:
    `int32[..., L]` and `bool[...]`; where not valid, some architecture.
  """
  ones = score_matching.unscale(x) >= 0.5
  if space.feature_graph is None:
    archs = jnp.argmax(ones, axis=-1).astype(jnp.int32)
  else:
    archs, _ = space.from_features(ones.astype(jnp.float32))
  same = (_features(space, archs) > 0.5) == ones
  return archs, jnp.all(same, axis=(-2, -1)) & space.is_valid(archs)


def _rows(space: SearchSpace) -> tuple[tuple[int, int], tuple[int, ...]]:
  """Shape of a sample and positions of its rows."""
  if space.feature_graph is None:
    shape = (space.num_variables, space.num_options)
    return shape, tuple(range(space.num_variables))
  return space.feature_shape, space.feature_graph.positions


@functools.cache
def _occurs(space: SearchSpace) -> np.ndarray:
  """See `ScoreModel.occurs`; of features, from many random architectures."""
  if space.feature_graph is None:
    options = np.arange(-1, space.num_options)[None]
    cardinalities = np.asarray(space.cardinalities)[:, None]
    return (options >= 0) & (options < cardinalities)
  with jax.ensure_compile_time_eval():
    archs = space.sample(jax.random.key(0), _NUM_SEEN)
    features = score_matching.with_empty(_features(space, archs))
    return np.asarray(jnp.any(features > 0.5, axis=0))


def _features(space: SearchSpace, archs: Archs) -> jax.Array:
  if space.feature_graph is None:
    return space.one_hot(archs)
  return space.to_features(archs)


def _mask(space: SearchSpace, name: str) -> np.ndarray:
  (num_nodes, _), _ = _rows(space)
  if name == "all" or (name == "neighbors" and space.feature_graph is None):
    return np.ones((num_nodes, num_nodes))
  if space.feature_graph is None:
    raise ValueError(
      f"The mask {name!r} needs to know how the rows of {space.name} are "
      "connected, which nobody has said; use 'all'."
    )
  published = name.startswith("published")
  adjacency = space.feature_graph.adjacency
  if published:
    adjacency = space.feature_graph.published_adjacency
  if name in ("adjacency", "published"):
    return adjacency
  if name == "neighbors":
    return adjacency + adjacency.T + np.eye(num_nodes)
  reached = np.asarray(graphs.closure(jnp.asarray(adjacency > 0)))
  # The program's closure never holds a node itself.
  return reached & ~np.eye(num_nodes, dtype=bool) if published else reached


def _network_config(config: Config) -> score_lib.Config:
  return score_lib.Config(
    num_layers=config.num_layers,
    width=config.width,
    num_heads=config.num_heads,
    feed_forward=config.feed_forward,
    head_width=config.head_width,
    dropout=config.dropout,
    tied_init=config.tied_init,
  )
