"""What limits a computation: its arithmetic at the speed of a large product.

Operations are counted in the traced program, where lengths of loops are known,
which XLA's own analysis takes as one. Only floating point counts, and what is
slower than a multiplication (a root, a logarithm) counts as one: programs that
do little else than large products come near this limit.
"""

from collections.abc import Callable
from collections.abc import Iterator
import math
import time
from typing import Any

import jax
from jax.extend import core
import jax.numpy as jnp

_BY_OUTPUT = frozenset(
  "add sub mul div max min pow integer_pow square sqrt rsqrt cbrt exp exp2 "
  "expm1 log log1p logistic tanh tan sin cos asin acos atan atan2 sinh cosh "
  "erf erfc erf_inv lgamma digamma rem nextafter cumsum cumprod cummax cummin "
  "cumlogsumexp add_any".split()
)
"""Primitives of one operation for every entry of what they return."""

_SIZE = 2048
"""Of the matrices that are multiplied."""


def operations(function: Callable[..., Any], *arguments: Any) -> float:
  """Floating-point operations of a function; nothing is computed.

  Both of a multiplication and an addition count. Of branches that is the most
  expensive one; a loop whose end depends on data counts as one round. What
  nobody reads, such as the value beside a gradient, counts too.

  Args:
    function: what `jax.jit` takes.
    *arguments: arrays, or their shapes and types.
  """
  return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def sustained_rate() -> float:
  """Operations a second of a large product in single precision, on a device.

  On CPUs of one core, and by the seconds of this process, so that others do not
  slow it down.
  """
  on_cpu = jax.default_backend() == "cpu"
  clock = time.process_time if on_cpu else time.perf_counter
  matrix = jnp.ones((_SIZE, _SIZE), jnp.float32)
  product = jax.jit(lambda a: a @ a).lower(matrix).compile()
  seconds = []
  for _ in range(4):
    began = clock()
    jax.block_until_ready(product(matrix))
    seconds.append(clock() - began)
  return 2.0 * _SIZE**3 / min(seconds)


def _count(jaxpr: core.Jaxpr) -> float:
  total = 0.0
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    inner = [_count(part) for part in _programs(params)]
    if name == "cond":
      total += max(inner)
    elif name == "scan":
      total += params["length"] * sum(inner)
    elif inner and not name.startswith(("reduce", "scatter")):
      total += sum(inner)
    else:
      total += _of_one(equation)
  return total


def _programs(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
  """What a primitive calls."""
  for value in params.values():
    for part in value if isinstance(value, tuple | list) else (value,):
      if isinstance(part, core.ClosedJaxpr):
        yield part.jaxpr
      elif isinstance(part, core.Jaxpr):
        yield part


def _of_one(equation: core.JaxprEqn) -> float:
  """Operations of a primitive that calls no other."""
  name = equation.primitive.name
  out: Any = equation.outvars[0].aval
  operands: list[Any] = [operand.aval for operand in equation.invars]
  if not jnp.issubdtype(out.dtype, jnp.floating):
    return 0.0
  shapes = [operand.shape for operand in operands]
  if name == "dot_general":
    ((contracted, _), _) = equation.params["dimension_numbers"]
    depth = math.prod(shapes[0][axis] for axis in contracted)
    return 2.0 * math.prod(out.shape) * depth
  if name == "conv_general_dilated":
    numbers = equation.params["dimension_numbers"]
    depth = math.prod(shapes[1]) / shapes[1][numbers.rhs_spec[0]]
    return 2.0 * math.prod(out.shape) * depth
  if name == "cholesky":
    return math.prod(out.shape) * out.shape[-1] / 3
  if name == "triangular_solve":
    return math.prod(shapes[1]) * shapes[0][-1]
  if name.startswith("reduce"):
    return math.prod(shapes[0])
  if name.startswith("scatter"):
    return math.prod(shapes[2]) if name != "scatter" else 0.0
  return math.prod(out.shape) if name in _BY_OUTPUT else 0.0
