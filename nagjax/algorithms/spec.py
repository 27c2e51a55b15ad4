"""`Spec`: what the registry knows of an algorithm or a part, as data."""

from collections.abc import Callable
from collections.abc import Mapping
import types
from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

from nagjax.types import Algorithm

ConfigT = TypeVar("ConfigT")

NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def no_preset(benchmark: str, budget: int) -> dict[str, Any]:
  """The same options for every benchmark and budget."""
  del benchmark, budget
  return {}


def many_rounds(config: Any, algorithm: Algorithm, budget: int) -> int:
  """Room for nineteen free repeats of every charged query."""
  del config
  return -(-20 * budget // algorithm.batch_size)


class Spec(NamedTuple, Generic[ConfigT]):
  """How an algorithm is built and run.

  Attributes:
    build: `(space, config, **arguments) -> Algorithm`. Where it has `parts`,
      the arguments are `surrogate`, `proposer` and `acquisition`.
    config: default options, a frozen dataclass.
    preset: `(benchmark name, budget) -> options` that go before the user's.
    num_rounds: `(config, algorithm, budget) -> int`, the round limit.
    parts: names of its surrogate, proposer and acquisition; none if it is not
      made of parts.
    needs_directory: whether `build` takes the user's `directory` of weights.
    tiny: options that make it small, for tests of the contract.
    needs_surrogate: whether `build` takes a `surrogate` that knows something
      before the first query, a value that somebody must give.
    needs_fidelities: whether it is another algorithm, or senseless, where the
      objective has one fidelity.
  """

  build: Callable[..., Algorithm]
  config: ConfigT
  preset: Callable[[str, int], Mapping[str, Any]] = no_preset
  num_rounds: Callable[[ConfigT, Algorithm, int], int] = many_rounds
  parts: tuple[str, str, str] | None = None
  needs_directory: bool = False
  tiny: Mapping[str, Any] = NOTHING
  needs_surrogate: bool = False
  needs_fidelities: bool = False


class PartSpec(NamedTuple, Generic[ConfigT]):
  """How a surrogate or a proposer is built.

  Attributes:
    build: of a surrogate `(space, config, num_constraints, archive_size)`, of a
      proposer `(space, config, directory)`, all by position.
    config: default options, a frozen dataclass.
    tiny: small options, for tests of the contract.
    takes_transfers: whether `build` of a surrogate takes `transfers`.
  """

  build: Callable[..., Any]
  config: ConfigT
  tiny: ConfigT
  takes_transfers: bool = False
