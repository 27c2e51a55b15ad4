"""Splitting a leading axis over the local devices: all mesh code is here."""

from collections.abc import Callable
from collections.abc import Sequence

import jax


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
