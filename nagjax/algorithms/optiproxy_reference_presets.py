"""Options of the published OptiProxy-NAS, and the settings that it ships.

Lyu, Cui, Shi and Li, "OptiProxy-NAS: Optimization Proxy based End-to-End Neural
Architecture Search". The example that the paper prints is no shipped setting.
"""

import dataclasses
from typing import Any

from nagjax import checks


@dataclasses.dataclass(frozen=True)
class Config:
  """Static options; the defaults are the program's for CIFAR-10.

  Attributes:
    num_initial: architectures of the first call, chosen by random scores.
    batch_size: architectures of a round.
    archive_size: the most evaluations that are remembered, `M`.
    mean, std: standardize the accuracy in percent; None takes both from the
      evaluations so far.
    hidden_size, num_layers, dropout: of the proxy.
    fit_epochs: passes over the evaluations in a round, `E`.
    fit_batch_size: rows of a minibatch.
    fit_learning_rate: at the start of every fit.
    rank_weight: factor of the ranking loss.
    margin: by which a better row has to be predicted higher.
    num_groups: relaxed architectures, `G`.
    lower, width: their logits start in `[lower, lower + width)`.
    num_designs: Latin hypercubes of which the start is the best.
    search_epochs: steps of the relaxed architectures in a round.
    search_learning_rate: at the start of every round.
    start_temperature, end_temperature: of the relaxation.
    decay, decay_interval: learning rates times `decay` behind epoch 0 and after
      every `decay_interval` further ones.
    weight_decay: of both optimizers, AdamW.
    verify_ratio: candidates for each architecture that is proposed.
    noise: what is added to the probability of every operation is uniform in
      `[0, noise)`.
    num_tries: draws of a candidate that is no repeat.
  """

  num_initial: int = 10
  batch_size: int = 10
  archive_size: int = 110
  mean: float | None = None
  std: float | None = None
  hidden_size: int = 144
  num_layers: int = 2
  dropout: float = 0.1
  fit_epochs: int = 500
  fit_batch_size: int = 7
  fit_learning_rate: float = 1e-3
  rank_weight: float = 0.2
  margin: float = 0.1
  num_groups: int = 5
  lower: float = 0.9
  width: float = 0.1
  num_designs: int = 5
  search_epochs: int = 300
  search_learning_rate: float = 0.02
  start_temperature: float = 0.7
  end_temperature: float = 0.2
  decay: float = 0.9
  decay_interval: int = 10
  weight_decay: float = 0.01
  verify_ratio: int = 40
  noise: float = 0.3
  num_tries: int = 30

  def __post_init__(self) -> None:
    checks.sizes(self, archive_size=self.num_initial + self.batch_size)
    is_scale = self.std is None or self.std > 0
    if (self.mean is None) != (self.std is None) or not is_scale:
      raise ValueError(
        "mean and std must both be None, or std positive; got "
        f"{self.mean} and {self.std}."
      )
    if not 0 < self.end_temperature <= self.start_temperature:
      raise ValueError(
        "temperatures must fall and stay above 0, got "
        f"{self.start_temperature} and {self.end_temperature}."
      )


def preset(benchmark_name: str, budget: int) -> dict[str, Any]:
  """The shipped constants for a data set of NAS-Bench-201.

  ImageNet16-120 has three settings, for 100, 190 and 280 queries; the smallest
  that covers the budget is taken. Other benchmarks have CIFAR-10's, without its
  mean and deviation.
  """
  table = benchmark_name.rpartition(":")[2]
  chosen: dict[str, Any] = {}
  if table == "nasbench201/cifar10":
    chosen = _CIFAR10
  elif table == "nasbench201/cifar100":
    chosen = _CIFAR100
  elif table == "nasbench201/imagenet16-120":
    covering = [b for b in _IMAGENET16_120 if b >= budget]
    chosen = _IMAGENET16_120[min(covering, default=max(_IMAGENET16_120))]
  config = Config(**chosen)
  # Copies in the first call are remembered too, and cost nothing.
  size = max(budget, config.batch_size) + config.num_initial
  return {**chosen, "archive_size": size}


# Means and deviations of the whole tables; ImageNet16-120's mean, as shipped,
# is not its table's (33.77).
_CIFAR10 = {"mean": 83.67354764413673, "std": 12.804852573837849}
_LATER = dict(
  hidden_size=128,
  fit_batch_size=20,
  fit_learning_rate=2e-3,
  search_epochs=100,
  search_learning_rate=0.05,
  lower=0.0,
  width=2.0,
  batch_size=5,
  verify_ratio=20,
)
_CIFAR100 = dict(
  _LATER,
  mean=61.28174504349649,
  std=12.142806312757774,
  fit_epochs=100,
  num_groups=20,
)
_IMAGENET = dict(
  _LATER,
  mean=45.79289026660551,
  std=9.242084621603457,
  fit_epochs=200,
  num_groups=50,
)
_IMAGENET16_120 = {
  100: dict(_IMAGENET, search_epochs=50),
  190: _IMAGENET,
  280: dict(_IMAGENET, num_initial=50),
}
