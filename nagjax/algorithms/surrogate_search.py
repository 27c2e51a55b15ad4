"""The one loop of searches with a surrogate, whose parts are values.

A round of `ask`:

  1. the surrogate is fitted to the archive;
  2. the proposer makes candidates, and may consult the surrogate;
  3. of those that are valid and unseen, the acquisition gives each slot of the
     batch the one that is worth most to it.

`tell` adds what was evaluated to the archive. EDNAG, OptiProxy-NAS, AG-Net,
DiffusionNAG, BANANAS and NPENAS are assemblies of such parts.

Constraints are learned beside the objective; a predicted violation is
subtracted from what is predicted of the objective, so that proposers and
acquisitions see one value; `tradeoffs` makes one of several objectives, and
`limits` weighs violations by their probability.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nagjax import acquisition as acquisition_lib
from nagjax import archive as archive_lib
from nagjax import checks
from nagjax.acquisition import Acquisition
from nagjax.algorithms import candidates
from nagjax.algorithms import checking
from nagjax.algorithms import limits
from nagjax.algorithms import tradeoffs
from nagjax.algorithms.spec import Spec
from nagjax.archive import Archive
from nagjax.diffusion.samplers import check_finite
from nagjax.proposers.base import Belief
from nagjax.proposers.base import Proposer
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates.base import Surrogate
from nagjax.surrogates.base import penalize
from nagjax.types import Algorithm
from nagjax.types import Archs
from nagjax.types import Evaluation
from nagjax.types import Key
from nagjax.types import Prediction
from nagjax.types import Proposal
from nagjax.types import Status


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options of the loop; assemblies add those of their parts.

  Attributes:
    num_initial: uniformly random architectures before the first round; 0 where
      a surrogate knows something before it has observed anything.
    batch_size: architectures of a round, `B`.
    archive_size: the most evaluations that are remembered, `M`. What comes
      later is forgotten; with `patience` the search begins anew instead.
    min_observed: evaluations before the parts are consulted, also after a new
      beginning; until then proposals are uniformly random.
    shortlist: candidates of the best means that the acquisition compares; all
      if 0, and with several objectives. It saves the rest of a prediction.
    max_beta: largest optimism of a slot, in standard deviations.
    beta_power: how the slots share out `[0, max_beta]`, see
      `acquisition.optimism_of_slots`; 0 for the same optimism everywhere.
    penalty: of a predicted violation.
    weighs_limits: whether the acquisition counts predicted violations by their
      probability, see `limits`, and not by the penalty alone; one objective.
    patience: queries without improvement after which the archive is forgotten
      and the search begins anew (its old queries stay paid for); never if 0.
    patience_growth: factor of the patience at each new beginning.
    selects: let the acquisition choose; else take valid unseen candidates in
      their order (S0, S2 and S3 of OptiProxy-NAS's table 5).
    fills: whether a slot that finds no unseen candidate is uniformly random;
      else it is not proposed, and left to a later round.
    num_constraints: violations that the surrogate learns.
    num_tradeoffs: objectives beside the first that it learns, before them.
    num_mutants: candidates beside those of the proposer with several
      objectives, and where limits are weighed: mutants of the architectures
      that are to be exceeded.
  """

  num_initial: int = 10
  batch_size: int = 5
  archive_size: int = 320
  min_observed: int = 1
  shortlist: int = 0
  max_beta: float = 4.0
  beta_power: float = 2.0
  penalty: float = 5.0
  weighs_limits: bool = False
  patience: int = 0
  patience_growth: float = 2.0
  selects: bool = True
  fills: bool = True
  num_constraints: int = 0
  num_tradeoffs: int = 0
  num_mutants: int = 60

  def __post_init__(self) -> None:
    checks.sizes(
      self,
      num_initial=0,
      archive_size=self.num_initial + self.batch_size,
      min_observed=0,
      shortlist=0,
      patience=0,
      num_constraints=0,
      num_tradeoffs=0,
      num_mutants=0,
    )
    checks.not_negative(
      self, "max_beta", "beta_power", "penalty", "patience_growth"
    )
    if 0 < self.shortlist < self.batch_size:
      raise ValueError(
        f"shortlist must be 0 or at least batch_size = {self.batch_size}, got "
        f"{self.shortlist}."
      )

  @property
  def num_heads(self) -> int:
    """What a surrogate learns beside the first objective."""
    return self.num_tradeoffs + self.num_constraints


class Params(NamedTuple):
  """Arrays that a sweep may vary.

  Attributes:
    surrogate: `Surrogate.params`.
    proposer: `Proposer.params`.
    optimism: `f32[B]`, of every slot of a batch.
  """

  surrogate: Any
  proposer: Any
  optimism: jax.Array


class State(NamedTuple):
  """What the search remembers.

  Attributes:
    archive: what was evaluated.
    surrogate: state of the surrogate; None if it is fitted on the host.
    proposer: state of the proposer.
    stale: `f32[]` queries since the last improvement.
    patience: `f32[]` how many are borne.
  """

  archive: Archive
  surrogate: Any
  proposer: Any
  stale: jax.Array
  patience: jax.Array


class Info(NamedTuple):
  """What a reader plots.

  Attributes:
    best_objective: `f32[]` best of the archive.
    archive_size: `int32[]`.
    restarts: `bool[]` whether the archive was forgotten.
  """

  best_objective: jax.Array
  archive_size: jax.Array
  restarts: jax.Array


def surrogate_search(
  space: SearchSpace,
  surrogate: Surrogate,
  proposer: Proposer,
  acquisition: Acquisition = acquisition_lib.upper_confidence_bound,
  config: Config | None = None,
) -> Algorithm[State, Params]:
  """Assembles a search from its parts.

  Args:
    space: the space.
    surrogate: what is believed; as many violations as `config` has heads.
    proposer: where candidates come from.
    acquisition: what they are worth to each slot.
    config: options of the loop.

  Raises:
    ValueError: if the parts cannot work together; says why.
  """
  config = config or Config()
  checking.check_parts(surrogate, proposer, acquisition, config.num_tradeoffs)
  size, batch_size = config.archive_size, config.batch_size
  weighs_here = weighs(config)
  # One list would leave slots with other corners without candidates.
  shortlist = 0 if config.num_tradeoffs or weighs_here else config.shortlist

  def init(key: Key, params: Params) -> State:
    surrogate_key, proposer_key = jax.random.split(key)
    return State(
      archive=archive_lib.empty(
        space, size, config.num_constraints, config.num_tradeoffs
      ),
      surrogate=None
      if surrogate.on_host
      else surrogate.init(surrogate_key, params.surrogate),
      proposer=proposer.init(proposer_key, params.proposer),
      stale=jnp.float32(0.0),
      patience=jnp.float32(config.patience),
    )

  def ask(key: Key, state: State, params: Params) -> tuple[Proposal, State]:
    keys = jax.random.split(key, 4)
    fit_key, propose_key, acquire_key, random_key = keys
    archive, fitted = state.archive, state.surrogate
    if surrogate.on_host:
      init_key, fit_key = jax.random.split(fit_key)
      fitted = surrogate.init(init_key, params.surrogate)
    fitted = surrogate.fit(fit_key, fitted, archive)
    corners = None
    if config.num_tradeoffs:
      acquire_key, corner_key, mutant_key = jax.random.split(acquire_key, 3)
      corners = tradeoffs.draw_corners(corner_key, archive, batch_size)
      archive = tradeoffs.seen_from(archive, corners, config.penalty)
    belief = make_belief(surrogate, fitted, config.penalty, corners)
    archs, valid, proposer_state = proposer.propose(
      propose_key, state.proposer, params.proposer, belief, archive
    )
    means = proposer.means and proposer.means(proposer_state)
    if weighs_here and config.num_mutants:
      acquire_key, mutant_key = jax.random.split(acquire_key)
    if (corners is not None or weighs_here) and config.num_mutants:
      sizes = config.num_mutants, batch_size
      mutants = tradeoffs.mutants(mutant_key, archive, space, *sizes)
      archs = jnp.concatenate([mutants, archs])
      valid = jnp.concatenate([space.is_valid(mutants), valid])
    if surrogate.favorites is not None:
      archs = jnp.concatenate([surrogate.favorites, archs])
      valid = jnp.pad(
        valid, (len(surrogate.favorites), 0), constant_values=True
      )
      if means is not None:
        known = belief.predict(surrogate.favorites).mean
        means = jnp.concatenate([known, means])
    archs, allowed = candidates.unseen(
      archive, space, archs, valid, belief, means, shortlist
    )
    if config.selects and corners is not None:
      values = tradeoffs.slot_values(
        acquire_key,
        acquisition,
        surrogate.predict(fitted, archs),
        corners,
        params.optimism,
        config.penalty,
      )
    elif config.selects and weighs_here:
      values = limits.slot_values(
        acquire_key,
        acquisition,
        surrogate.predict(fitted, archs),
        archive,
        params.optimism,
      )
    elif config.selects:
      values = acquisition(
        acquire_key,
        belief.predict(archs),
        belief.observed(archive)[archive_lib.best_row(archive)],
        params.optimism,
      )
    else:
      # The position of a candidate is as good as random.
      values = -jnp.arange(archs.shape[0], dtype=jnp.float32)
      values = jnp.broadcast_to(values, (batch_size, archs.shape[0]))
    chosen, found = acquisition_lib.choose_batch(values, allowed)
    random = space.sample(random_key, batch_size)
    # From failures alone there is nothing to learn.
    found &= archive.num >= config.min_observed
    if config.min_observed:
      found &= jnp.any(jnp.isfinite(archive.objective))
    archs = jnp.where(found[:, None], archs[chosen], random)
    valid = space.is_valid(archs) & (found | config.fills)
    if proposer.failed_step is not None:
      # Broken weights must not pass for a random search.
      valid &= proposer.failed_step(proposer_state) < 0
    return Proposal(archs, valid), state._replace(
      surrogate=None if surrogate.on_host else fitted, proposer=proposer_state
    )

  def tell(
    state: State, proposal: Proposal, evaluation: Evaluation, params: Params
  ) -> tuple[State, Info]:
    del params
    archive = archive_lib.add(state.archive, space, proposal, evaluation)
    best = jnp.max(archive.objective)
    restarts = jnp.asarray(False)
    stale, patience = state.stale, state.patience
    if config.patience:
      fresh = proposal.valid & (evaluation.status != Status.DENIED)
      fresh &= evaluation.status != Status.REPEAT
      improves = best > jnp.max(state.archive.objective)
      if config.num_tradeoffs:
        improves = tradeoffs.joins_front(archive, state.archive.num)
      stale += jnp.sum(fresh, dtype=jnp.float32)
      stale = jnp.where(improves, 0.0, stale)
      restarts = (stale >= patience) | (archive.num > size - batch_size)
    info = Info(best, archive.num, restarts)
    if config.patience:
      archive = archive_lib.forget(archive, restarts)
      stale = jnp.where(restarts, 0.0, stale)
      patience *= jnp.where(restarts, config.patience_growth, 1.0)
    fitted = state.surrogate
    if surrogate.condition is not None and not surrogate.on_host:
      num_new = proposal.archs.shape[0]
      fitted = surrogate.condition(fitted, archive, num_new)
    return State(archive, fitted, state.proposer, stale, patience), info

  def check(state: State) -> None:
    if proposer.failed_step is not None:
      check_finite(jnp.max(proposer.failed_step(state.proposer)))

  return Algorithm(
    init,
    ask,
    tell,
    num_initial=config.num_initial,
    batch_size=batch_size,
    check=None if proposer.failed_step is None else check,
    on_host=surrogate.on_host,
    params=Params(
      surrogate.params,
      proposer.params,
      acquisition_lib.optimism_of_slots(
        config.max_beta, batch_size, config.beta_power
      ),
    ),
  )


def make_belief(
  surrogate: Surrogate,
  fitted: Any,
  penalty: float,
  corners: jax.Array | None = None,
) -> Belief:
  """A fitted surrogate as proposers and acquisitions see it.

  Args:
    surrogate: what is believed.
    fitted: its state.
    penalty: of a predicted violation.
    corners: `f32[B, 1 + T]` of `tradeoffs`, if there are several objectives.
  """

  def seen(prediction: Prediction) -> Prediction:
    if corners is not None:
      prediction = tradeoffs.largest_lead(prediction, corners)
    return penalize(prediction, penalty)

  def predict(archs: Archs) -> Prediction:
    return seen(surrogate.predict(fitted, archs))

  def relaxed(options: jax.Array) -> Prediction:
    assert surrogate.relaxed is not None
    return seen(surrogate.relaxed(fitted, options))

  return Belief(
    predict=predict,
    relaxed=None if surrogate.relaxed is None else relaxed,
    guides=surrogate.guides,
    penalty=penalty,
  )


def weighs(config: Config) -> bool:
  """Whether violations count by their probability."""
  limited = config.num_constraints > 0 and not config.num_tradeoffs
  return config.weighs_limits and config.selects and limited


def num_rounds(config: Config, algorithm: Algorithm, budget: int) -> int:
  """Rounds that a budget needs, and a few for repeats.

  A new beginning may repeat old queries, so with `patience` twice as many.
  """
  del algorithm
  needed = -(-max(budget - config.num_initial, 1) // config.batch_size)
  return 2 * needed if config.patience else needed + 2 + needed // 10


def assembly(
  build: Callable[..., Algorithm],
  config: Config,
  *,
  parts: tuple[str, str, str],
  tiny: Mapping[str, Any],
  needs_directory: bool = False,
) -> Spec:
  """The `Spec` of an assembly; see there for the arguments.

  Args:
    build: its builder.
    config: its default options.
    parts: names of its parts.
    tiny: small options of its parts; those of the loop are added.
    needs_directory: whether `build` takes the user's `directory` of weights.
  """
  return Spec(
    build=build,
    config=config,
    num_rounds=num_rounds,
    preset=lambda benchmark, budget: preset(config, budget),
    parts=parts,
    needs_directory=needs_directory,
    tiny=dict(num_initial=5, batch_size=3, archive_size=20, **tiny),
  )


def preset(config: Config, budget: int) -> dict[str, int]:
  """An archive that need not exceed the budget.

  With `patience` it is no larger than the default either, since a search then
  begins anew when its archive is full.
  """
  least = config.num_initial + config.batch_size
  most = max(budget + config.batch_size, least)
  if config.patience:
    most = min(config.archive_size, most)
  return {"archive_size": most}
