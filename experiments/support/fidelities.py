"""Fidelities on the command line: the flags of searches at a lower one."""

from collections.abc import Mapping
import json
from typing import Any

from nagjax import registry
from nagjax import search as search_lib
from nagjax.problem import Problem

from . import flags
from .errors import UsageError

FLAGS = (
  flags.text(
    "fidelity",
    None,
    "Name of a lower fidelity of the benchmark, such as 12 epochs, to search "
    "at; the best of what is found is then evaluated fully.",
  ),
  flags.whole(
    "promote", None, "How many of it at least; by default half of the budget."
  ),
)


def of_flags(
  values: flags.Values, variants: Mapping[str, str], problem: Problem
) -> dict[str, dict[str, Any]]:
  """Arguments of `make_search` by algorithm: --fidelity and --promote.

  Raises:
    UsageError: if an algorithm needs fidelities and there are none, or there is
      none that searches at one.
  """
  asked = {"fidelity": values.fidelity, "promote": values.promote}
  found = {}
  for name, variant in variants.items():
    uses_all = registry.algorithm_spec(name, variant).needs_fidelities
    found[name] = {} if uses_all else asked
    if uses_all and problem.fidelities is None:
      raise UsageError(
        f"{name} needs one objective with several fidelities, which "
        f"{problem.benchmark.name} has none of."
      )
  if any(v is not None for v in asked.values()) and not any(found.values()):
    raise UsageError(
      f"--fidelity and --promote are for other algorithms than "
      f"{', '.join(variants)}, which use all fidelities."
    )
  return found


def of_search(search: search_lib.Search) -> dict[str, Any] | None:
  """What a record says of fidelities, if the algorithm asks for several."""
  found = search.problem.fidelities
  if search.algorithm.fidelity is None or found is None:
    return None
  return json.loads(json.dumps(found._asdict()))
