"""Super-networks as benchmarks: `supernet/<name>`.

A query is the accuracy of a sub-network with its inherited weights on a fixed
set of images; nothing is trained. Files are made by
`experiments.train_supernet`: the weights, the images to choose and to judge by,
those by which batch statistics are calibrated, and a header with the network.
"""

from collections.abc import Mapping
import dataclasses
import math
import os
import pathlib
from typing import Any
from typing import NamedTuple

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import files
from nagjax.benchmarks import mobilenet_latency
from nagjax.benchmarks.catalog import Table
from nagjax.benchmarks.catalog import data_directory
from nagjax.candidates import elastic
from nagjax.candidates.elastic import Elastic
from nagjax.candidates.elastic import Weights
from nagjax.candidates.train import Images
from nagjax.spaces.base import SearchSpace
from nagjax.types import Archs

KIND = "nagjax super-network"
PREFIX = "supernet_"
"""Of the files in the data directory."""
TABLE_PREFIX = "supernet/"
"""Of the benchmarks."""
VALID_ACCURACY = "valid_accuracy"
VALID_PROBABILITY = "valid_probability"
TEST_ACCURACY = "test_accuracy"
TEST_PROBABILITY = "test_probability"
DTYPES = ("float32", "bfloat16")
PIXELS = ("uint8", "float32")
"""Types of images."""
_VALID = (VALID_ACCURACY, VALID_PROBABILITY)
_TEST = (TEST_ACCURACY, TEST_PROBABILITY)
_MEASURED = "mobilenetv3/imagenet"
"""The network whose latencies were measured on devices."""
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
"""Of pixels from 0 to 255."""
_MILLIONS = ("params_m", "saved_params_m", "macs_m")


class Card(NamedTuple):
  """Which super-network it is; see `elastic.elastic` for its sizes.

  Attributes:
    network: its name.
  """

  network: str
  image_size: int
  channels: int
  num_classes: int
  width: float = 1.0

  def make(self) -> Elastic:
    """The network.

    Raises:
      ValueError: if there is none such.
    """
    sizes = self._asdict()
    return elastic.elastic(sizes.pop("network"), **sizes)


@struct.dataclass
class SuperNet:
  """A `Benchmark` whose answers are those of sub-networks.

  Columns: `valid_probability` (mean of the true class, the objective: it ranks
  like the accuracy, and is smooth), `valid_accuracy`, `params_m`, `macs_m`, and
  `saved_params_m`, parameters fewer than the largest network's (limits on both
  make a range); of the once-for-all network for ImageNet `<device>_<batch>_ms`,
  see `mobilenet_latency`. For the reader `test_accuracy`, `test_probability`.

  Sub-networks are evaluated one after another, those of searches side by side
  too, so memory does not grow; or `batch_size` at once, for an accelerator.

  Attributes:
    weights: of the super-network.
    valid_images, test_images: raw images, uint8 or f32.
    calibration: `[n, H, W, C]` raw images for `elastic.calibrated`, for every
      sub-network; with none the statistics of the training stand.
    mean, deviation: by which images are normalized, `f32[channels]` each.
    latencies: models of devices, by column.
    name: of the benchmark.
    card: the network.
    batch_size: how many are evaluated side by side; None for one.
    dtype: one of `DTYPES`, of weights and images.
  """

  weights: Weights
  valid_images: Images
  test_images: Images
  calibration: jax.Array
  mean: jax.Array
  deviation: jax.Array
  latencies: dict[str, mobilenet_latency.Latency]
  name: str = struct.field(pytree_node=False)
  card: Card = struct.field(pytree_node=False)
  batch_size: int | None = struct.field(pytree_node=False, default=None)
  dtype: str = struct.field(pytree_node=False, default="float32")

  @property
  def space(self) -> SearchSpace:
    """The sub-networks."""
    return self.card.make().space

  @property
  def objective(self) -> str:
    """The mean probability of the true class."""
    return VALID_PROBABILITY

  @property
  def objectives(self) -> tuple[str, ...]:
    """The objective alone."""
    return (self.objective,)

  @property
  def test(self) -> str:
    """The column that judges the result."""
    return TEST_ACCURACY

  @property
  def units(self) -> tuple[tuple[str, str], ...]:
    """Percent, millions and milliseconds."""
    return (
      *((name, "%") for name in (*_VALID, *_TEST)),
      *((name, "million") for name in _MILLIONS),
      *((name, "ms") for name in sorted(self.latencies)),
    )

  @property
  def num_rows(self) -> None:
    """There are no rows: every architecture of the space has an answer."""
    return None

  def identities(self, archs: Archs) -> jax.Array:
    """Keys of the space, `int32[..., L] -> uint32[..., 2]`."""
    return self.space.keys(archs)

  def query(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns that a search may read, each `f32[...]`."""
    (found,) = self._judge(archs, self.valid_images)
    queried = dict(zip(_VALID, found, strict=True))
    queried.update(self.costs(archs))
    return queried

  def report(self, archs: Archs) -> dict[str, jax.Array]:
    """Columns for the reader only, each `f32[...]`."""
    (found,) = self._judge(archs, self.test_images)
    return dict(zip(_TEST, found, strict=True))

  def query_and_report(
    self, archs: Archs
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Both, each `f32[...]`, with statistics that are calibrated once."""
    valid, test = self._judge(archs, self.valid_images, self.test_images)
    queried = dict(zip(_VALID, valid, strict=True))
    queried.update(self.costs(archs))
    return queried, dict(zip(_TEST, test, strict=True))

  def costs(self, archs: Archs) -> dict[str, jax.Array]:
    """What no image is needed for: sizes and latencies, each `f32[...]`."""
    network = self.card.make()
    params = network.num_params(archs).astype(jnp.float32)
    largest = network.num_params(jnp.asarray(network.largest))
    return {
      "params_m": params / 1e6,
      "saved_params_m": (largest.astype(jnp.float32) - params) / 1e6,
      "macs_m": network.num_macs(archs).astype(jnp.float32) / 1e6,
      **{name: latency(archs) for name, latency in self.latencies.items()},
    }

  def check_limits(self, limits: Mapping[str, float]) -> None:
    """Refuses limits that no sub-network meets (host).

    Args:
      limits: the largest value of columns; those of sizes are looked at.

    Raises:
      ValueError: if one of them, or the range of parameters that two of them
        make, excludes every sub-network.
    """
    network = self.card.make()
    ends = np.stack([network.smallest, network.largest])
    with jax.ensure_compile_time_eval():
      costs = dataclasses.replace(self, latencies={}).costs(jnp.asarray(ends))
    least = {name: float(np.min(column)) for name, column in costs.items()}
    for name, limit in limits.items():
      if name in least and limit < least[name]:
        raise ValueError(
          f"No sub-network of {self.name} meets {name}<={limit:g}: the least "
          f"is {least[name]:g}."
        )
    low = float(costs["params_m"][1]) - limits.get("saved_params_m", math.inf)
    high = limits.get("params_m", math.inf)
    if low > high:
      raise ValueError(
        f"No sub-network of {self.name} has at most {high:g} and, by "
        f"saved_params_m, at least {low:g} million parameters."
      )

  def architectures(self) -> None:
    """There are no rows."""
    return None

  def _judge(
    self, archs: Archs, *parts: Images
  ) -> list[tuple[jax.Array, jax.Array]]:
    """Accuracy and mean probability in percent on every part, `f32[...]`."""
    dtype = jnp.dtype(self.dtype)
    weights = jax.tree.map(lambda leaf: leaf.astype(dtype), self.weights)
    table, judge = dataclasses.replace(self, weights=weights), _judged
    if self.batch_size is None:
      judge = jax.custom_batching.sequential_vmap(judge)
    flat = archs.reshape(-1, archs.shape[-1])
    values = jax.lax.map(
      lambda arch: judge(table, parts, arch), flat, batch_size=self.batch_size
    )
    return jax.tree.map(lambda v: v.reshape(archs.shape[:-1]), values)

  def on_pixels(self) -> Elastic:
    """The network, which takes raw images and normalizes them."""
    network = self.card.make()
    mean, deviation = self.mean[None, None, None], self.deviation

    def apply(weights: Any, arch: Archs, x: jax.Array, **rest: Any) -> Any:
      x = x.astype(jnp.float32) - mean
      x = (x / deviation[None, None, None]).astype(self.dtype)
      return network.apply(weights, arch, x, **rest)

    return network._replace(apply=apply)


def _judged(
  table: SuperNet, parts: tuple[Images, ...], arch: Archs
) -> list[tuple[jax.Array, jax.Array]]:
  """See `SuperNet._judge`, of one architecture."""
  network = table.on_pixels()
  own = elastic.calibrated(network, table.weights, arch, table.calibration)
  images = Images(*(jnp.concatenate(x) for x in zip(*parts, strict=True)))
  hits, _, shares = elastic.evaluate_each(network, own, arch, images)
  edges = np.cumsum([len(part.y) for part in parts])[:-1]
  pairs = zip(jnp.split(hits, edges), jnp.split(shares, edges), strict=True)
  return [(jnp.mean(hit), 100.0 * jnp.mean(share)) for hit, share in pairs]


def of_weights(card: Card, weights: Weights) -> SuperNet:
  """A benchmark without images, as converted weights are.

  Args:
    card: the network.
    weights: of it; images are normalized as those of ImageNet.
  """
  sizes = {"valid": 0, "test": 0, "calibration": 0}
  empty = jax.eval_shape(lambda: _template(card.make(), card, sizes, "none"))
  none = dataclasses.replace(empty, weights=(), mean=None, deviation=None)
  arrays = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), none)
  return dataclasses.replace(
    arrays,
    weights=weights,
    mean=jnp.asarray(_IMAGENET_MEAN, jnp.float32),
    deviation=jnp.asarray(_IMAGENET_DEVIATION, jnp.float32),
  )


def predict(supernet: SuperNet, arch: Archs, images: jax.Array) -> jax.Array:
  """Logits of raw images by one sub-network, `[B, H, W, C] -> f32[B, K]`.

  Raises:
    ValueError: if the images are of another shape than the network's.
  """
  network = supernet.on_pixels()
  if jnp.ndim(images) != 4 or images.shape[1:] != network.image_shape:
    raise ValueError(
      f"images must have the shape [B, *{network.image_shape}], got "
      f"{jnp.shape(images)}."
    )
  own = elastic.calibrated(
    network, supernet.weights, arch, supernet.calibration
  )
  return network.apply(own, arch, jnp.asarray(images))[0]


def save(
  path: str | os.PathLike[str], supernet: SuperNet, notes: Mapping[str, Any]
) -> None:
  """Writes a super-network; the file exists only when it is complete.

  Args:
    path: of the file; in the data directory it is called `supernet_<name>.npz`.
    supernet: what is written, but its name, `batch_size` and `dtype`.
    notes: how it was trained, as JSON.
  """
  header = {
    "kind": KIND,
    "card": supernet.card._asdict(),
    "num_images": _sizes(supernet),
    "pixels": {name: str(x.dtype) for name, x in _pixels(supernet).items()},
    "notes": dict(notes),
  }
  files.save_tree(path, _leaves(supernet), header)


def load(
  path: str | os.PathLike[str],
  *,
  name: str,
  batch_size: int | None = None,
  dtype: str = "float32",
) -> SuperNet:
  """Reads what `save` wrote.

  Args:
    path: the file.
    name: of the benchmark.
    batch_size, dtype: see `SuperNet`.

  Raises:
    FileError: if the file is missing, damaged or not of the network it names.
    ValueError: if `dtype` is none.
  """
  if dtype not in DTYPES:
    raise ValueError(
      f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}."
    )
  header = files.read_header(path, KIND)
  with files.reading(path, KIND):
    card = Card(**header["card"])
    network = card.make()
    sizes = header["num_images"]
    pixels = header["pixels"]
    if not {*pixels.values()} <= {*PIXELS}:
      raise ValueError(f"pixels must be {' or '.join(PIXELS)}.")
    template = jax.eval_shape(
      lambda: _template(network, card, sizes, name, pixels)
    )
  leaves, _ = files.load_tree(path, _leaves(template), kind=KIND)
  return dataclasses.replace(
    template, **leaves, batch_size=batch_size, dtype=dtype
  )


def load_supernet(
  name: str, *, directory: str | os.PathLike[str] | None = None
) -> SuperNet:
  """Loads a super-network of the data directory by its name there."""
  found = load(
    path_of(TABLE_PREFIX + name, directory), name=TABLE_PREFIX + name
  )
  if found.card.network != _MEASURED:
    return found
  root = data_directory(directory)
  fitted = mobilenet_latency.fit(found.card.image_size, directory=root)
  return dataclasses.replace(found, latencies=fitted.latencies)


def path_of(
  benchmark: str, directory: str | os.PathLike[str] | None = None
) -> pathlib.Path:
  """Where the file of a benchmark `supernet/<name>` is, or would be."""
  name, root = benchmark.removeprefix(TABLE_PREFIX), data_directory(directory)
  return _paths(root).get(name, root / f"{PREFIX}{name}.npz")


def names(directory: str | None = None) -> list[str]:
  """Names of the benchmarks in the data directory."""
  found = _paths(data_directory(directory))
  return [TABLE_PREFIX + name for name in sorted(found)]


def _paths(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """Files by their names, which have `-` for `_`."""
  return {
    path.stem.removeprefix(PREFIX).replace("_", "-"): path
    for path in sorted(root.glob(f"{PREFIX}*.npz"))
  }


def _leaves(supernet: SuperNet) -> dict[str, Any]:
  return {
    "weights": supernet.weights,
    "valid_images": supernet.valid_images,
    "test_images": supernet.test_images,
    "calibration": supernet.calibration,
    "mean": supernet.mean,
    "deviation": supernet.deviation,
  }


def _pixels(supernet: SuperNet) -> dict[str, jax.Array]:
  return {
    "valid": supernet.valid_images.x,
    "test": supernet.test_images.x,
    "calibration": supernet.calibration,
  }


def _sizes(supernet: SuperNet) -> dict[str, int]:
  return {name: len(x) for name, x in _pixels(supernet).items()}


def _template(
  network: Elastic,
  card: Card,
  sizes: Mapping[str, int],
  name: str,
  pixels: Mapping[str, str] | None = None,
) -> SuperNet:
  """A super-network of these sizes, for `jax.eval_shape`."""

  def images(part: str) -> Images:
    dtype = "float32" if pixels is None else pixels[part]
    num = sizes[part]
    x = jnp.zeros((num, *network.image_shape), dtype)
    return Images(x, jnp.zeros(num, jnp.int32))

  return SuperNet(
    weights=network.init(jax.random.key(0)),
    valid_images=images("valid"),
    test_images=images("test"),
    calibration=images("calibration").x,
    mean=jnp.zeros(card.channels),
    deviation=jnp.zeros(card.channels),
    latencies={},
    name=name,
    card=card,
  )


def _load(name: str, data_dir: str | None) -> SuperNet | None:
  data_set = name.partition("/")[2]
  return load_supernet(data_set, directory=data_dir) if data_set else None


TABLE = Table(names, _load)
"""The benchmarks `supernet/<name>`."""
