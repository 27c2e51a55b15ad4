"""Latin hypercube designs: every coordinate is evenly covered."""

import jax
import jax.numpy as jnp

from nagjax.types import Key


def latin_hypercube(key: Key, num: int, shape: tuple[int, ...]) -> jax.Array:
  """Draws `num` points such that each coordinate has one in every interval.

  The intervals are `[i / num, (i + 1) / num)`; their order is shuffled for
  every coordinate, and a point is uniform inside its interval.

  McKay, Beckman and Conover, "A Comparison of Three Methods for Selecting
  Values of Input Variables in the Analysis of Output from a Computer Code",
  1979.

  Args:
    key: random key, consumed.
    num: number of points.
    shape: of a point.

  Returns:
    `f32[num, *shape]` in [0, 1).
  """
  order_key, inside_key = jax.random.split(key)
  # Sorting uniform draws along the points shuffles each coordinate on its own.
  order = jnp.argsort(jax.random.uniform(order_key, (num, *shape)), axis=0)
  inside = jax.random.uniform(inside_key, (num, *shape))
  return (order.astype(inside.dtype) + inside) / num


def maximin_latin_hypercube(
  key: Key, num: int, shape: tuple[int, ...], *, num_designs: int = 5
) -> jax.Array:
  """The design of several whose two closest points are the farthest apart.

  OptiProxy-NAS starts its groups from the best of five.

  Args:
    key: random key, consumed.
    num: number of points.
    shape: of a point.
    num_designs: how many are drawn.

  Returns:
    `f32[num, *shape]` in [0, 1).
  """

  def smallest_distance(design: jax.Array) -> jax.Array:
    flat = design.reshape(num, -1)
    squares = jnp.sum((flat[:, None] - flat[None]) ** 2, axis=-1)
    return jnp.min(jnp.where(jnp.eye(num, dtype=bool), jnp.inf, squares))

  keys = jax.random.split(key, num_designs)
  designs = jax.vmap(lambda k: latin_hypercube(k, num, shape))(keys)
  return designs[jnp.argmax(jax.vmap(smallest_distance)(designs))]
