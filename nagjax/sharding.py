"""Splitting a leading axis over devices and processes: the mesh code."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import jax
from jax.experimental import multihost_utils

_Tree = TypeVar("_Tree")


def over_devices(
  fn: Callable, num_devices: int, is_split: Sequence[bool]
) -> Callable:
  """Makes `fn` work on equal parts of its leading axis on several devices.

  Args:
    fn: a function whose results all have the leading axis.
    num_devices: the first so many local devices; must divide the axis.
    is_split: for each argument whether it has the axis; others are copied.

  Returns:
    A function like `fn`; `fn` itself for one device.
  """
  if num_devices == 1:
    return fn
  mesh = jax.make_mesh(
    (num_devices,),
    ("lane",),
    axis_types=(jax.sharding.AxisType.Auto,),
    devices=jax.local_devices()[:num_devices],
  )
  lanes, copied = jax.P("lane"), jax.P()
  return jax.shard_map(
    fn,
    mesh=mesh,
    in_specs=tuple(lanes if split else copied for split in is_split),
    out_specs=lanes,
    check_vma=False,
  )


def part_of_process(size: int) -> range:
  """Which of `size` rows this process works on, of several (host).

  Every process has as many; those beyond the last row are there for the shape
  alone.
  """
  each = -(-size // jax.process_count())
  first = jax.process_index() * each
  return range(first, first + each)


def over_processes(tree: _Tree, size: int | None = None) -> _Tree:
  """Joins what all processes have made of their parts (host).

  Args:
    tree: arrays and typed keys with a leading axis, of the same shapes in every
      process.
    size: rows that are kept; all if None.

  Returns:
    The same in every process, NumPy arrays but for keys; `tree` itself if there
    is one process.
  """
  if jax.process_count() == 1:
    return tree

  def join(leaf: jax.Array) -> Any:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      data = join(jax.random.key_data(leaf))
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return multihost_utils.process_allgather(leaf, tiled=True)[:size]

  return jax.tree.map(join, tree)
