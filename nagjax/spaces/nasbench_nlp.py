"""NAS-Bench-NLP: recurrent cells, given as recipes.

Klyuchnikov et al., "NAS-Bench-NLP: Neural Architecture Search Benchmark for
Natural Language Processing", 2020, https://arxiv.org/abs/2006.07116

A recipe names nodes, each an operation of one to three inputs: the word `x`,
the previous states `h_prev_0..k-1`, or other nodes. The nodes `h_new_0..k-1`
are the new states, k = 1, 2 or 3. `nasbench_nlp_cells` describes the vector of
a cell; it has room for 21 nodes, those of AG-Net's graphs of 26 vertices.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import json
import re
from typing import Any

import jax
import numpy as np

from nagjax.spaces import base
from nagjax.spaces import nasbench_nlp_cells as cells
from nagjax.types import Archs

NUM_ARCHITECTURES = 10**53
"""The paper's estimate of its space, which is not limited to 21 nodes."""

_NUM_TRIES = 128
"""Draws for one sample: a share of 0.114 of all vectors is valid, so all draws
fail with a probability of 2e-7."""

_STATE = re.compile(r"h_new_\d+")


@functools.cache
def nasbench_nlp() -> base.SearchSpace:
  """Returns the space of recurrent cells of at most 21 nodes.

  Two vectors share a key if they differ in what does not count. Recipes whose
  nodes are listed in different orders may have different keys.

  Example:
    >>> nasbench_nlp().num_variables
    88
  """
  space = base.SearchSpace(
    name="nasbench_nlp",
    cardinalities=cells.CARDINALITIES,
    to_string=to_string,
    from_string=from_string,
    to_features=cells.to_features,
    from_features=cells.from_features,
    feature_shape=(cells.NUM_VARIABLES, cells.NUM_OPTIONS),
    to_graph=cells.to_graph,
    to_soft_graph=cells.to_soft_graph,
    canonicalize=cells.canonicalize,
    is_valid=cells.is_valid,
    num_architectures=NUM_ARCHITECTURES,
    topology=(True,) * cells.FIRST_OPERATION
    + (False,) * cells.MAX_NODES
    + (True,) * (cells.NUM_VARIABLES - cells.FIRST_INPUT),
    num_tries=_NUM_TRIES,
    layout=base.GraphLayout(
      labels=cells.LABELS,
      num_nodes=cells.NUM_VERTICES,
      num_inputs=1,
      num_graphs=1,
      encode=cells.encode,
      decode=cells.decode,
    ),
  )
  return dataclasses.replace(
    space, key_fn=functools.partial(_canonical_keys, space)
  )


def _canonical_keys(space: base.SearchSpace, archs: Archs) -> jax.Array:
  return space.keys(cells.canonicalize(archs))


def to_recipe(arch: Sequence[int]) -> dict[str, dict[str, Any]]:
  """Writes one cell as upstream does, nodes before their readers (host).

  Nodes are called `node_0`, `node_1`, ..., and new states by their names.

  Returns:
    `{node: {"op": name, "input": [names]}}`.

  Raises:
    ValueError: if the vector is no cell.
  """
  vector = np.asarray(arch)
  is_vector = vector.dtype.kind in "iu" and vector.shape == (
    cells.NUM_VARIABLES,
  )
  if not is_vector or not _IS_VALID(vector):
    raise ValueError(
      f"A NAS-Bench-NLP cell is a valid vector of {cells.NUM_VARIABLES} "
      f"variables, got {vector.tolist()}."
    )
  vector = np.asarray(_CANONICALIZE(vector))
  states = vector[1 : 2 + vector[0]].tolist()
  operations = vector[cells.FIRST_OPERATION : cells.FIRST_INPUT]
  inputs = vector[cells.FIRST_INPUT :].reshape(
    cells.MAX_NODES, cells.MAX_INPUTS
  )
  names = list(cells.INPUTS)
  recipe: dict[str, dict[str, Any]] = {}
  # The last used node leads to no other, so it is a state.
  for node in range(max(states) + 1):
    name = f"h_new_{states.index(node)}" if node in states else f"node_{node}"
    op, arity = cells.OPERATIONS[operations[node]]
    sources = [names[vertex] for vertex in inputs[node, :arity]]
    recipe[name] = {"op": op, "input": sources}
    names.append(name)
  return recipe


def from_recipe(recipe: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
  """Reads a recipe, with its nodes in any order (host).

  Example:
    >>> cell = from_recipe({
    ...   "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    ...   "h_new_0": {"op": "activation_tanh", "input": ["f"]},
    ... })
    >>> to_recipe(cell)["h_new_0"]
    {'op': 'activation_tanh', 'input': ['node_0']}

  Returns:
    `int32[88]`.

  Raises:
    ValueError: if it is no recipe: an unknown operation or input, a wrong
      number of inputs or one twice, nodes that wait for each other, more than
      21 nodes, states other than `h_new_0..k-1`, k <= 3, or an input of the
      cell that is not read.
  """
  order = _ordered(recipe)
  states = [name for name in order if _STATE.fullmatch(name)]
  expected = [f"h_new_{state}" for state in range(max(1, len(states)))]
  if sorted(states) != expected or len(states) > cells.MAX_STATES:
    raise ValueError(
      f"A recipe has the states h_new_0..k-1, k <= {cells.MAX_STATES}, got "
      f"{', '.join(sorted(states)) or 'none'}."
    )
  arch = np.zeros(cells.NUM_VARIABLES, np.int32)
  arch[0] = len(states) - 1
  arch[1 : 1 + len(states)] = [order.index(state) for state in sorted(states)]
  vertices = [*cells.INPUTS, *order]
  for node, name in enumerate(order):
    op, inputs = recipe[name]["op"], recipe[name]["input"]
    arch[cells.FIRST_OPERATION + node] = cells.OPERATIONS.index(
      (op, len(inputs))
    )
    first = cells.FIRST_INPUT + cells.MAX_INPUTS * node
    for slot, source in enumerate(inputs):
      arch[first + slot] = vertices.index(source)
  read = {source for node in recipe.values() for source in node["input"]}
  allowed = {*cells.INPUTS[: 1 + len(states)]}
  if read & {*cells.INPUTS} != allowed or not _IS_VALID(arch):
    raise ValueError(
      f"A cell of {len(states)} states must read {', '.join(sorted(allowed))} "
      "on the way to its states, and no other previous state; got the inputs "
      f"{', '.join(sorted(read & {*cells.INPUTS}))}."
    )
  return arch


def to_string(arch: Sequence[int]) -> str:
  """The recipe of one cell as JSON (host); see `to_recipe`.

  Example:
    >>> cell = '{"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}'
    >>> to_string(from_string(cell)) == cell
    True
  """
  return json.dumps(to_recipe(arch))


def from_string(string: str) -> np.ndarray:
  """Reads a recipe in JSON into `int32[88]`; see `from_recipe`.

  Raises:
    ValueError: if it is no JSON, or no recipe.
  """
  try:
    recipe = json.loads(string)
  except (ValueError, RecursionError) as error:
    raise ValueError(f"A recipe is a JSON object ({error}).") from error
  return from_recipe(recipe)


def _ordered(recipe: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """Names of the nodes, each after those that it reads."""
  if not isinstance(recipe, Mapping) or not 0 < len(recipe) <= cells.MAX_NODES:
    raise ValueError(
      f"A recipe is a mapping of 1 to {cells.MAX_NODES} nodes, got "
      f"{str(recipe):.80}."
    )
  for name, node in recipe.items():
    if name in cells.INPUTS or not _is_node(node, {*cells.INPUTS, *recipe}):
      forms = ", ".join(f"{op} of {arity}" for op, arity in cells.OPERATIONS)
      raise ValueError(
        f"Node {name!r} must be one of {forms} different inputs out of "
        f"{', '.join(cells.INPUTS)} and the other nodes, got {str(node):.200}."
      )
  order: list[str] = []
  waiting = list(recipe)
  while waiting:
    done = {*cells.INPUTS, *order}
    ready = [name for name in waiting if done.issuperset(recipe[name]["input"])]
    if not ready:
      raise ValueError(f"Nodes wait for each other: {', '.join(waiting)}.")
    order.append(ready[0])
    waiting.remove(ready[0])
  return order


def _is_node(node: Any, names: set[str]) -> bool:
  """Whether this is an operation of its number of different inputs."""
  if not isinstance(node, Mapping) or {*node} != {"op", "input"}:
    return False
  op, inputs = node["op"], node["input"]
  if not isinstance(inputs, list | tuple):
    return False
  if not all(isinstance(source, str) and source in names for source in inputs):
    return False
  distinct = len(set(inputs)) == len(inputs)
  return distinct and (op, len(inputs)) in cells.OPERATIONS


_IS_VALID = jax.jit(cells.is_valid)
_CANONICALIZE = jax.jit(cells.canonicalize)
