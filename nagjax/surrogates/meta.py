"""What images say of architectures: a meta-learned predictor as a value.

`networks.meta_predictor` with the weights of its members, what it was learned
from, and how its outputs become percent; files of all this; and the predictor
as a surrogate that knows already, for searches without a single training
(EDNAG's and DiffusionNAG's transfer to data sets that nobody has searched on).

The best of many predictions is by selection one that is too high. Two things
keep the top of a ranking honest: the mean of several members, which err apart,
and a prior, what is known of the architectures whatever the images, to which
the members add what images change. The published predictors are ensembles of
one, without a prior.

What concerns the images is done once, on the host:

    predictor = meta.load("predictor.npz", nasbench201.nasbench201())
    rows = meta.draw_rows(np.random.default_rng(0), labels)  # or
    rows = coreset.coreset(features, labels)[None]
    codes = meta.encode_images(predictor, features, rows)
    surrogate = meta.surrogate(predictor, codes)
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from importlib import resources
import math
import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.networks import meta_predictor
from nagjax.networks.meta_predictor import NUM_IMAGES
from nagjax.networks.meta_predictor import Config
from nagjax.networks.meta_predictor import MetaNetwork
from nagjax.spaces import mobilenetv3
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates.base import Surrogate
from nagjax.surrogates.coreset import by_class
from nagjax.surrogates.fixed import fixed
from nagjax.types import Archs
from nagjax.types import Graph
from nagjax.types import Params

KIND = "nagjax meta predictor"
GIVEN = "given"
"""The extractor of features that a user brings."""
NUM_SUBSETS = 10
"""Draws of images over which the published programs average a prediction."""

_MAX_BYTES = 256 << 20

# The chain of the nodes and the data flow, of input, e0..e5, output.
_NASBENCH201_EDGES = (
  *((0, 1), (1, 2), (1, 3), (1, 5), (2, 3), (2, 6)),
  *((3, 4), (3, 6), (4, 5), (5, 6), (6, 7)),
)
_MOBILENETV3_LABELS = 2 + len(mobilenetv3.DEPTHS) * len(mobilenetv3.TYPES)


class Source(NamedTuple):
  """Images that a predictor or its extractor has learned from.

  Attributes:
    name: of the images.
    sha256: of their content, see `experiments`; "" if unknown.
  """

  name: str
  sha256: str = ""


class Prior(NamedTuple):
  """What is known of the architectures of a space, whatever the images.

  Attributes:
    names: of what it was learned from, such as `digits`.
    weight: of the scores in an output.
    scores: `f32[N]` of every architecture by its index, about of mean 0 and
      deviation 1.
  """

  names: str
  weight: float
  scores: np.ndarray


class MetaPredictor(NamedTuple):
  """A trained predictor of images and architectures.

  Attributes:
    space: the search space.
    config: sizes of the network.
    params: weights of its members, with a leading axis `M`; see `stack`.
    extractor: name of what makes features of images; `GIVEN` if the user does.
    scale, offset: an output `y`, the mean over members and the prior's share,
      stands for `offset + scale y` percent.
    prior: what members add to; None for nothing.
    sources: images that it, its extractor or its prior has learned from; it
      must not be judged by them.
    notes: what else is known, such as seeds, as JSON.
  """

  space: SearchSpace
  config: Config
  params: meta_predictor.Params
  extractor: str
  scale: float = 1.0
  offset: float = 0.0
  prior: Prior | None = None
  sources: tuple[Source, ...] = ()
  notes: dict[str, Any] = {}


class View(NamedTuple):
  """The graphs of a space, as the predictor reads them.

  Attributes:
    num_nodes: `N`.
    num_labels: `K`, types of nodes.
    to_graph: `int32[..., L]` to nodes `f32[..., N, K]` and adjacency `[N, N]`
      or `[..., N, N]`.
  """

  num_nodes: int
  num_labels: int
  to_graph: Callable[[Archs], Graph]


def view(space: SearchSpace) -> View:
  """The graphs of the published predictors; of others `space.to_graph`."""
  if space.name == "nasbench201":
    return View(*space.feature_shape, nasbench201_graph)
  if space.name == "mobilenetv3":
    num_nodes = mobilenetv3.NUM_LAYERS + 2
    return View(num_nodes, _MOBILENETV3_LABELS, mobilenetv3_graph)
  return View(space.num_nodes, space.num_labels, space.to_graph)


def nasbench201_graph(archs: Archs) -> Graph:
  """MetaD2A's graph of a cell, nodes `f32[..., 8, 7]` of `to_features`.

  The edges are the same for all cells: the data flow of the six operations, and
  the chain of the nodes in their order.
  """
  adjacency = np.zeros((8, 8), np.float32)
  adjacency[tuple(zip(*_NASBENCH201_EDGES, strict=True))] = 1
  return Graph(nasbench201.to_features(archs), jnp.asarray(adjacency))


def mobilenetv3_graph(archs: Archs) -> Graph:
  """MetaD2A's chain of input, 20 layers, output, `int32[..., 20]`.

  A layer has one of 27 types: depth of its stage, kernel and expansion. One
  that does not exist has the first kernel and expansion.
  """
  num_types, none = len(mobilenetv3.TYPES), mobilenetv3.NONE
  stages = archs.reshape(*archs.shape[:-1], mobilenetv3.NUM_STAGES, -1)
  depths = jnp.sum(stages != none, axis=-1, keepdims=True)
  places = depths - mobilenetv3.DEPTHS[0]
  types = 2 + places * num_types + jnp.where(stages == none, 0, stages)
  layers = jax.lax.collapse(types, types.ndim - 2)
  ends = jnp.broadcast_to(jnp.asarray([0, 1]), (*archs.shape[:-1], 2))
  types = jnp.concatenate([ends[..., :1], layers, ends[..., 1:]], axis=-1)
  nodes = jax.nn.one_hot(types, _MOBILENETV3_LABELS, dtype=jnp.float32)
  return Graph(nodes, jnp.eye(mobilenetv3.NUM_LAYERS + 2, k=1))


def network(space: SearchSpace, config: Config) -> MetaNetwork:
  """The network of a space, of these sizes."""
  found = view(space)
  return meta_predictor.meta_predictor(
    found.num_nodes, found.num_labels, config
  )


def stack(members: Sequence[meta_predictor.Params]) -> meta_predictor.Params:
  """The weights of an ensemble, of those of its members."""
  return jax.tree.map(lambda *leaves: np.stack(leaves), *members)


def draw_rows(
  rng: np.random.Generator,
  labels: np.ndarray,
  *,
  num_images: int = NUM_IMAGES,
  num_subsets: int = NUM_SUBSETS,
) -> np.ndarray:
  """Draws images of every class, without replacement where it has enough.

  Args:
    rng: of NumPy; advanced.
    labels: `int[n]` classes from 0 without a gap.
    num_images: of a class, `S`.
    num_subsets: draws, `R`.

  Returns:
    `int[R, C, S]` positions.

  Raises:
    ValueError: if there is one class, or a class with fewer than two images.
  """
  members = by_class(labels)
  return np.stack(
    [
      [
        rng.choice(rows, num_images, replace=len(rows) < num_images)
        for rows in members
      ]
      for _ in range(num_subsets)
    ]
  )


def encode_images(
  predictor: MetaPredictor, features: np.ndarray, rows: np.ndarray
) -> jax.Array:
  """Codes of a data set, of some of its images, by every member.

  Args:
    predictor: gives the encoder.
    features: `f32[n, F]` of all images.
    rows: `int[R, C, S]` which images of each class make each code: of
      `draw_rows`, or of a coreset.

  Returns:
    `f32[M, R, Z]`.

  Raises:
    ValueError: if the features have another width than those that the predictor
      has learned from, or are not finite.
  """
  features, rows = np.asarray(features, np.float32), np.asarray(rows)
  size = predictor.config.image_size
  if features.ndim != 2 or features.shape[1] != size:
    raise ValueError(
      f"features must have the shape [n, {size}], as the predictor has learned "
      f"from ({predictor.extractor}), got {features.shape}."
    )
  if not np.isfinite(features).all():
    raise ValueError("features must be finite, got NaN or infinite values.")
  if rows.ndim != 3:
    raise ValueError(f"rows must have the shape [R, C, S], got {rows.shape}.")
  encode = jax.jit(encode_fn(predictor))
  return jnp.stack(
    [encode(predictor.params, jnp.asarray(features[one])) for one in rows],
    axis=1,
  )


def encode_fn(predictor: MetaPredictor) -> Callable[..., jax.Array]:
  """The members' `meta_predictor.Encode`, for programs: `f32[M, Z]`."""
  encode = network(predictor.space, predictor.config).encode

  def of_members(
    params: meta_predictor.Params,
    images: jax.Array,
    present: jax.Array | None = None,
  ) -> jax.Array:
    return jax.vmap(lambda member: encode(member, images, present))(params)

  return of_members


def predict(
  predictor: MetaPredictor, codes: jax.Array, archs: Archs
) -> jax.Array:
  """Percent by the images, the mean over members and their codes.

  Args:
    predictor: the predictor.
    codes: `f32[M, R, Z]`.
    archs: `int32[..., L]`.

  Returns:
    `f32[...]`; what is no architecture is not looked for.
  """
  return value_fn(predictor)((predictor.params, codes), archs)


def value_fn(predictor: MetaPredictor) -> Callable[[Params, Archs], jax.Array]:
  """`predict` as a function of `((weights, codes), archs)`, `f32[...]`."""
  space, prior = predictor.space, predictor.prior
  apply = network(space, predictor.config).apply
  to_graph = view(space).to_graph
  scale, offset = predictor.scale, predictor.offset

  def value(params: Params, archs: Archs) -> jax.Array:
    weights, codes = params
    graph = to_graph(archs)

    def of_member(
      member: meta_predictor.Params, its_codes: jax.Array
    ) -> jax.Array:
      # Codes differ, the graphs do not: these are read once.
      return jax.vmap(lambda code: apply(member, graph, code))(its_codes)

    output = jnp.mean(jax.vmap(of_member)(weights, codes), axis=(0, 1))
    if prior is not None:
      scores = jnp.asarray(prior.scores)[space.index(archs)]
      output = output + prior.weight * scores
    return offset + scale * output

  return value


def surrogate(
  predictor: MetaPredictor, codes: jax.Array, *, num_constraints: int = 0
) -> Surrogate:
  """The predictor of a data set as a surrogate that knows already.

  Args:
    predictor: the predictor.
    codes: `f32[M, R, Z]` of the data set's images.
    num_constraints: of the search; see `fixed.fixed`.
  """
  return fixed(
    value_fn(predictor),
    (predictor.params, codes),
    num_constraints=num_constraints,
  )


def save(path: str | os.PathLike[str], predictor: MetaPredictor) -> None:
  """Writes a predictor; the file exists only when it is complete.

  Raises:
    OSError: if it cannot be written.
  """
  prior = predictor.prior
  header = {
    "kind": KIND,
    "space": predictor.space.name,
    "config": dataclasses.asdict(predictor.config),
    "num_members": len(jax.tree.leaves(predictor.params)[0]),
    "extractor": predictor.extractor,
    "scale": float(predictor.scale),
    "offset": float(predictor.offset),
    "prior": prior and {"names": prior.names, "weight": float(prior.weight)},
    "sources": [source._asdict() for source in predictor.sources],
    "notes": predictor.notes,
  }
  tree: dict[str, Any] = {"members": predictor.params}
  if prior:
    tree["prior"] = prior.scores
  arrays = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), tree)
  files.save_tree(path, arrays, header, compress=True)


def load(path: str | os.PathLike[str], space: SearchSpace) -> MetaPredictor:
  """Reads what `save` wrote.

  Args:
    path: the file.
    space: of which it must predict.

  Raises:
    FileError: if the file is missing, damaged or something else.
  """
  header = files.read_header(path, KIND)
  with files.reading(path, KIND):
    if header["space"] != space.name:
      found = files.one_line(repr(header["space"]))
      raise ValueError(f"it predicts of the space {found}, not {space.name}")
    config = Config(**header["config"])
    shapes = jax.eval_shape(network(space, config).init, jax.random.key(0))
    num, prior = int(header["num_members"]), header["prior"]
    if num < 1:
      raise ValueError(f"it must have a member or more, not {num}")
    like = {
      "members": jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((num, *leaf.shape), np.float32),
        shapes,
      )
    }
    if prior:
      size = (math.prod(space.cardinalities),)
      like["prior"] = jax.ShapeDtypeStruct(size, np.float32)
    tree, _ = files.load_tree(path, like, kind=KIND, max_bytes=_MAX_BYTES)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)):
      raise ValueError("some of its weights are not finite")
    return MetaPredictor(
      space=space,
      config=config,
      params=tree["members"],
      extractor=str(header["extractor"]),
      scale=float(header["scale"]),
      offset=float(header["offset"]),
      prior=prior
      and Prior(str(prior["names"]), float(prior["weight"]), tree["prior"]),
      sources=tuple(
        Source(str(entry["name"]), str(entry["sha256"]))
        for entry in header["sources"]
      ),
      notes=dict(header["notes"]),
    )


def find(
  path: str | os.PathLike[str] | None, space: SearchSpace
) -> MetaPredictor:
  """Loads a predictor: a file, or the one that the package ships for a space.

  Args:
    path: the file; None for the shipped one.
    space: of which it must predict.

  Raises:
    FileError: if the file is missing, damaged or something else.
    ValueError: if none is shipped.

  Example:
    >>> predictor = find(None, nasbench201.nasbench201())
    >>> check_unseen(predictor, sha256="0" * 64)  # Or it says what it has seen.
    >>> images = np.ones((10, 20, predictor.config.image_size))
    >>> jax.eval_shape(encode_fn(predictor), predictor.params, images).shape
    (3, 16)
  """
  if path is not None:
    return load(path, space)
  shipped = resources.files("nagjax.surrogates").joinpath("data")
  entry = shipped / f"meta_{space.name}.npz"
  if not entry.is_file():
    raise ValueError(
      f"No predictor of images is shipped for {space.name}; name a file of "
      "experiments.train_predictor."
    )
  with resources.as_file(entry) as shipped_path:
    return load(shipped_path, space)


def check_unseen(predictor: MetaPredictor, sha256: str) -> None:
  """Checks that a predictor has not learned from the images it is asked about.

  Raises:
    ValueError: if they are one of its sources.
  """
  names = [s.name for s in predictor.sources if s.sha256 == sha256]
  if names:
    raise ValueError(
      f"The predictor has learned from these images ({', '.join(names)}): what "
      "it says of them would prove nothing; use another predictor or others."
    )
