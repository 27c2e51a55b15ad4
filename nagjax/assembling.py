"""Parts that replace those of an algorithm, and transfers that enter them."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
from typing import Any

from nagjax import options as options_lib
from nagjax import transfer as transfer_lib
from nagjax.algorithms import low_fidelity
from nagjax.algorithms.spec import PartSpec
from nagjax.algorithms.spec import Spec
from nagjax.problem import Problem
from nagjax.search import Search
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates.base import Surrogate
from nagjax.transfer import Transfer

WITH_TRANSFER = {"num_initial": 0, "min_observed": 0, "patience": 0}
"""Options of a search that begins with knowledge: its first query is the best
of the transferred means, and a new beginning would only repeat the first."""


def check_parts(
  spec: Spec,
  parts: Mapping[str, Any],
  name: str,
  known: Callable[[], Iterable[str]],
) -> None:
  """Checks that an algorithm has the parts that are to be replaced.

  Raises:
    ValueError: if it is not made of parts; names those that are. Or if it needs
      a surrogate that knows something already, and none came as a value.
  """
  own = {"surrogate"} if spec.needs_surrogate else set()
  if others := [part for part in parts if part not in own]:
    if spec.parts is None:
      raise ValueError(
        f"{name} is not made of parts, so it takes no other "
        f"{' or '.join(others)}; these are: {', '.join(known())}."
      )
  if spec.needs_surrogate and not isinstance(parts.get("surrogate"), Surrogate):
    raise ValueError(
      f"{name} needs a surrogate that knows something before the first query, "
      "as a value such as surrogates.meta.surrogate(predictor, codes); "
      "experiments.search makes one of --images."
    )


def with_parts(config: Any, parts: Mapping[str, Any]) -> Any:
  """Gives parts the options of their kind: None to those that are values.

  An algorithm's own options of a part stay if the new part has the same ones.

  Args:
    config: of the algorithm.
    parts: by kind, each a `PartSpec` or a value.
  """
  for part in ("surrogate", "proposer"):
    if part in parts and hasattr(config, part):
      spec = parts[part]
      wanted = spec.config if isinstance(spec, PartSpec) else None
      if type(getattr(config, part)) is not type(wanted):
        config = dataclasses.replace(config, **{part: wanted})
  return config


def configured(
  spec: Spec,
  problem: Problem,
  budget: int,
  name: str,
  parts: Mapping[str, Any],
  has_transfers: bool,
  options: Mapping[str, Any] | None,
) -> Any:
  """The options of an algorithm: defaults, presets, parts, the user's.

  Args:
    spec: of the algorithm.
    problem: decides the presets and the numbers of constraints and objectives.
    budget: queries of a search.
    name: of the algorithm, for messages.
    parts: as for `with_parts`.
    has_transfers: whether it begins with knowledge.
    options: fields by dotted name.

  Raises:
    ValueError: if an option is unknown or has a wrong value.
  """
  config = options_lib.with_options(
    spec.config, spec.preset(problem.benchmark.name, budget), name
  )
  wanted = {
    "num_constraints": len(problem.constraints),
    "num_tradeoffs": problem.num_tradeoffs,
    "fidelities": problem.fidelities,
    "budget": budget,
    "num_rows": problem.benchmark.num_rows or budget,
  }
  follows = {field: wanted[field] for field in wanted if hasattr(config, field)}
  config = dataclasses.replace(config, **follows)
  config = with_parts(config, parts)
  if has_transfers:
    config = options_lib.with_options(config, WITH_TRANSFER, name)
  options = {} if options is None else options
  config = options_lib.with_options(config, options, name)
  if fixed := follows.keys() & options:
    raise ValueError(
      f"{min(fixed)} follows the problem's constraints and objectives, or its "
      "budget; it is no option."
    )
  return config


def plan_of(
  problem: Problem, fidelity: str | None, promote: int | None, budget: int
) -> low_fidelity.Config | None:
  """How a search at a low fidelity divides its budget; None without one.

  Raises:
    ValueError: as `low_fidelity.plan`, or if promotions come without fidelity.
  """
  if fidelity is None:
    if promote is not None:
      raise ValueError("promote needs a fidelity to promote from.")
    return None
  num_rows = problem.benchmark.num_rows or 0
  return low_fidelity.plan(
    problem.fidelities, fidelity, promote, budget, num_rows
  )


def at_low_fidelity(
  search: Search, plan: low_fidelity.Config, budget: int
) -> Search:
  """A search whose first phase is another one, and the second promotions.

  Args:
    search: of the first phase, with its budget there.
    plan: how the whole budget is divided.
    budget: of both, in full evaluations.

  Raises:
    ValueError: if its algorithm asks for fidelities itself or cannot be
      compiled, or its design exceeds its budget.
  """
  problem, algorithm = search.problem, search.algorithm
  fidelities = problem.fidelities
  assert fidelities is not None
  if algorithm.on_host or algorithm.fidelity is not None:
    raise ValueError(
      "A search at a low fidelity takes an algorithm that can be compiled, and "
      "that asks for no fidelities itself."
    )
  if algorithm.num_initial > plan.num_low:
    raise ValueError(
      f"Beside {plan.promote} full evaluations, a budget of {budget} pays "
      f"{plan.num_low} at fidelity {plan.fidelity}, and the initial design "
      f"alone has {algorithm.num_initial}; lower promote, or raise the budget."
    )
  wrapped = low_fidelity.low_fidelity(
    algorithm,
    problem.space,
    plan,
    fidelities,
    budget=budget,
    num_rounds=search.num_rounds,
  )
  more = low_fidelity.most_rounds(
    fidelities, plan.place, budget, algorithm.batch_size
  )
  return search._replace(
    algorithm=wrapped,
    config=dataclasses.replace(plan, search=search.config),
    budget=budget,
    num_rounds=search.num_rounds + more,
  )


def built(
  parts: Mapping[str, Any],
  space: SearchSpace,
  config: Any,
  directory: str | os.PathLike[str] | None,
  transfers: Sequence[Transfer] = (),
) -> dict[str, Any]:
  """Parts as values, built where they are specifications."""
  values = dict(parts)
  if isinstance(values.get("surrogate"), PartSpec):
    more = {"transfers": transfers} if transfers else {}
    values["surrogate"] = parts["surrogate"].build(
      space,
      config.surrogate,
      config.num_heads,
      config.archive_size,
      **more,
    )
  if isinstance(values.get("proposer"), PartSpec):
    values["proposer"] = parts["proposer"].build(
      space, config.proposer, directory
    )
  return values


def find_transfers(
  given: Any, directory: str | os.PathLike[str] | None, problem: Problem
) -> tuple[Transfer, ...]:
  """Transfers that a search is given, by name, file or value.

  Args:
    given: one of them, a sequence of them, or None.
    directory: where files of the user are.
    problem: of the search, which must not ask one of their sources.

  Raises:
    ValueError: if there is no such transfer, it is of another space whose
      operations have other names, or the problem's table is one of its sources.
  """
  if given is None:
    return ()
  if isinstance(given, str | os.PathLike | Transfer):
    given = (given,)
  try:
    each = list(given)
  except TypeError:
    each = [given]

  def found_and_matched(one: Any) -> Any:
    if isinstance(one, str | os.PathLike):
      one = transfer_lib.find(os.fspath(one), directory)
    if isinstance(one, Transfer):
      one = transfer_lib.matched(one, problem.space)
    return one

  found = [found_and_matched(one) for one in each]
  transfer_lib.check_usable(found, problem.space, problem)
  return tuple(found)


def check_takes(surrogate: Any, name: str) -> None:
  """Checks that a surrogate takes transfers.

  Args:
    surrogate: a `PartSpec` or a value.
    name: what the user calls it.

  Raises:
    ValueError: if it does not.
  """
  if not (isinstance(surrogate, PartSpec) and surrogate.takes_transfers):
    raise ValueError(
      f"A transfer is the kernel and the mean of a Gaussian process, and "
      f"{name} takes none; use the surrogate gp by name, or give the transfer "
      "to the surrogate where it is made."
    )
