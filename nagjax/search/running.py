"""`Search`, an algorithm with all that it is run on, and how one is run."""

from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import NoReturn
from typing import Self

import jax
import jax.numpy as jnp

from nagjax.problem import Problem
from nagjax.search import driver
from nagjax.search.driver import SearchState
from nagjax.search.driver import WarmStart
from nagjax.search.traces import Result
from nagjax.types import Algorithm
from nagjax.types import Key
from nagjax.types import ParamsT
from nagjax.types import StateT


class Search(NamedTuple, Generic[StateT, ParamsT]):
  """An algorithm, a question and how much may be asked.

  It holds functions, so a compiled function closes over it and does not take it
  as an argument, and nobody can pickle it; a `Result` can be pickled.

  Attributes:
    algorithm: the algorithm.
    params: its hyper-parameters and weights.
    config: its static options, for the record.
    problem: the question.
    budget: the most distinct rows that a search may read.
    num_rounds: the most rounds of ask and tell.
  """

  algorithm: Algorithm[StateT, ParamsT]
  params: ParamsT
  config: Any
  problem: Problem
  budget: int
  num_rounds: int

  def __reduce__(self) -> NoReturn:
    """Says what to pickle instead.

    Raises:
      TypeError: always.
    """
    raise TypeError(
      "A Search holds functions and cannot be pickled: pickle its result, or "
      "what make_search was given, and make it again."
    )

  def __copy__(self) -> Self:
    return self

  def __deepcopy__(self, memo: dict) -> Self:
    return self


def run(
  key: Key,
  search: Search[StateT, ParamsT],
  *,
  warm_start: WarmStart | None = None,
) -> Result[SearchState[StateT]]:
  """Runs one search.

  Args:
    key: random key, consumed.
    search: what runs.
    warm_start: evaluated in the place of the initial design.

  Returns:
    Its trace, infos and final state.

  Raises:
    ValueError: if the key is none, or the search cannot start or cannot be
      compiled.

  Example:
    >>> import nagjax
    >>> problem = nagjax.Problem(nagjax.make_benchmark("digits"))
    >>> search = nagjax.make_search("random", problem, budget=20)
    >>> result = jax.jit(lambda key: run(key, search))(jax.random.key(0))
    >>> result.trace.charged.tolist()[:3]  # Distinct queries, by round.
    [10, 20, 20]
  """
  check_search(search)
  check_key(key)
  return driver.run(
    key,
    search.algorithm,
    search.problem,
    search.params,
    budget=search.budget,
    num_rounds=search.num_rounds,
    warm_start=warm_start,
  )


def start(
  key: Key,
  search: Search[StateT, ParamsT],
  *,
  warm_start: WarmStart | None = None,
) -> Result[SearchState[StateT]]:
  """The first half of `run`: up to the first round of ask and tell."""
  check_search(search)
  check_key(key)
  return driver.start(
    key,
    search.algorithm,
    search.problem,
    search.params,
    budget=search.budget,
    warm_start=warm_start,
  )


def advance(
  state: SearchState[StateT],
  search: Search[StateT, ParamsT],
  *,
  num_rounds: int | None = None,
) -> Result[SearchState[StateT]]:
  """The second half of `run`, from the state of any `Result`.

  Args:
    state: where the search stands.
    search: what runs.
    num_rounds: rounds of ask and tell, those of the search by default.

  Raises:
    ValueError: if the state is none, or the search cannot be compiled.
  """
  check_search(search)
  if num_rounds is not None:
    driver.check_count("num_rounds", num_rounds, least=1)
  if not isinstance(state, SearchState):
    raise ValueError(
      f"state must be the state of a result, got {type(state).__name__}."
    )
  return driver.advance(
    state,
    search.algorithm,
    search.problem,
    search.params,
    budget=search.budget,
    num_rounds=num_rounds or search.num_rounds,
  )


def check_search(search: Any) -> None:
  """Checks on the host that a search is one.

  Raises:
    ValueError: if it is not.

  Example:
    >>> check_search("ednag")
    Traceback (most recent call last):
      ...
    ValueError: search must be a Search, as make_search returns it, got str.
  """
  if not isinstance(search, Search):
    raise ValueError(
      "search must be a Search, as make_search returns it, got "
      f"{type(search).__name__}."
    )
  if not isinstance(search.problem, Problem):
    raise ValueError(
      "search.problem must be a Problem, such as Problem(benchmark), got "
      f"{type(search.problem).__name__}."
    )
  driver.check_count("num_rounds", search.num_rounds, least=1)


def check_key(key: Any) -> None:
  """Checks that a key is one typed key.

  Raises:
    ValueError: if it is not.

  Example:
    >>> check_key(jax.random.key(0))  # Says nothing: all is well.
  """
  _require_keys(key, 0, "key must be one typed key, such as jax.random.key(0)")


def check_keys(keys: Any) -> None:
  """Checks that keys are an array of typed keys, `[S]` with `S >= 1`.

  Raises:
    ValueError: if they are not.

  Example:
    >>> check_keys(jax.random.key(0)[None])
  """
  wanted = (
    "keys must be an array [S] of at least one key, such as "
    "jax.random.split(jax.random.key(0), S)"
  )
  _require_keys(keys, 1, wanted)
  if not keys.shape[0]:
    raise ValueError(f"{wanted}, got none.")


def _require_keys(keys: Any, ndim: int, wanted: str) -> None:
  if not isinstance(keys, jax.Array):
    raise ValueError(f"{wanted}, got a {type(keys).__name__}.")
  if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
    raise ValueError(f"{wanted}, got {keys.dtype}{list(keys.shape)}.")
  if keys.ndim != ndim:
    raise ValueError(f"{wanted}, got keys of shape {list(keys.shape)}.")
