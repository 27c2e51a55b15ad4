"""Numbers that papers print, for `experiments.paper_tables`.

A row is one column of a paper's table, of the method that the paper proposes.
"""

from typing import NamedTuple


class Row(NamedTuple):
  """What a paper says of its method on one benchmark.

  Attributes:
    table: where it says so.
    column: heading of the paper's column.
    benchmark: our name of the benchmark.
    mean: the paper's number, None if our copy of the paper lacks it.
    interval: what it writes behind the plus-minus sign.
    best: the best of the whole table, as the paper has it.
    factor: of our objective, to have the paper's unit.
    on_test: whether it is a test accuracy, by which the program also searches.
    read: what the program reads where we read something else; "" if nothing.
  """

  table: str
  column: str
  benchmark: str
  mean: float | None
  interval: float | None
  best: float | None
  factor: float = 1.0
  on_test: bool = False
  read: str = ""


_TASKS = {
  "class-object": ("OC", 1.0),
  "class-scene": ("SC", 1.0),
  "autoencoder": ("AE", 100.0),
  "normal": ("SE", 100.0),
  "segmentsemantic": ("SS", 1.0),
  "room-layout": ("RP", -100.0),
  "jigsaw": ("JS", 1.0),
}
"""The paper's short names of tasks, and its factors."""

_MICRO = (
  (46.28, 0.04, 46.32),
  (54.91, 0.03, 54.94),
  (57.63, 0.09, 57.72),
  (59.26, 0.36, 59.62),
  (26.19, 0.08, 26.27),
  (59.01, 0.30, 58.71),
  (95.19, 0.18, 95.37),
)
_MACRO = (
  (47.69, 0.27, 47.96),
  (57.29, 0.19, 57.48),
  (75.90, 0.98, 76.88),
  (63.50, 0.85, 64.35),
  (29.60, 0.06, 29.66),
  (56.20, 0.52, 55.68),
  (96.98, 0.04, 97.02),
)


def _transnas(size: str, numbers: tuple[tuple[float, ...], ...]) -> list[Row]:
  rows = []
  for (task, (short, factor)), (mean, interval, best) in zip(
    _TASKS.items(), numbers, strict=True
  ):
    rows.append(
      Row(
        "table 2",
        f"{size} {short}",
        f"transnas-{size}/{task}",
        mean,
        interval,
        best,
        factor=factor,
        read="the loss on the training images" if short == "RP" else "",
      )
    )
  return rows


EDNAG = (
  Row(
    *("table 1", "CIFAR-10", "nasbench201/cifar10"),
    *(94.37, 0.00, 94.37),
    on_test=True,
  ),
  Row(
    *("table 1", "CIFAR-100", "nasbench201/cifar100"),
    *(73.51, 0.00, 73.51),
    on_test=True,
  ),
  *_transnas("micro", _MICRO),
  *_transnas("macro", _MACRO),
  Row(
    *("appendix", "NAS-Bench-101", "nasbench101/cifar10"),
    *(None, None, None),
    on_test=True,
    read="one of three test accuracies, drawn anew at every look",
  ),
  Row(
    *("appendix", "NAS-Bench-301", "nasbench301/cifar10"),
    *(None, None, None),
    read="the best recorded network of every four tuples",
  ),
)
"""Zhou, Yu and Tang, "Evolution Meets Diffusion: Efficient Neural Architecture
Generation", tables 1 and 2: means and 95 % intervals of three runs. SSIM and
the loss of the room layout are times 100."""

PAPERS = {"ednag": EDNAG}
"""Rows by algorithm."""
