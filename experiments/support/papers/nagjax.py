"""What this library's README says of its searches: no paper, the same form."""

from .base import Paper
from .base import Row
from .base import Run
from .base import Table

_ATS = (50, 100, 200)


def _shares(
  benchmark: str, algorithm: str, budget: int, num_seeds: int, more: str = ""
) -> tuple[Run, ...]:
  """One search, read after several numbers of queries."""
  command = f"--benchmark={benchmark} --algorithm={algorithm}"
  command += f" --budget={budget}{more}"
  ats = [at for at in _ATS if at < budget]
  return tuple(
    Run(f"after {at or budget}", command, num_seeds, at=at) for at in (*ats, 0)
  )


def _nasbench201(data_set: str) -> tuple[Row, ...]:
  name = f"nasbench201/{data_set}"
  others = (
    ("optiproxy", 192, 200),
    ("agnet", 192, 200),
    ("npenas", 192, 200),
    ("bananas", 192, 200),
    ("local_search", 500, 1000),
    ("local_search_all", 500, 1000),
    ("regularized_evolution", 500, 1000),
    ("random", 500, 1000),
  )
  return (
    Row(f"{data_set}, ednag", "", _shares(name, "ednag", 100, 1000)),
    Row(
      f"{data_set}, ednag after digits",
      "",
      _shares(name, "ednag", 50, 200, " --transfer=digits"),
    ),
    *(
      Row(f"{data_set}, {who}", "", _shares(name, who, budget, num_seeds))
      for who, budget, num_seeds in others
    ),
  )


_TARGETS = (
  ("CIFAR-10", "nasbench201/cifar10", ""),
  ("CIFAR-100", "nasbench201/cifar100", ""),
  (
    "NinaPro accuracy",
    "nasbench201/cifar100",
    " --objective=ninapro_acc",
  ),
  ("minus raspi4_ms", "nasbench201/cifar10", " --objective=-raspi4_ms"),
  ("synthetic", "synthetic", ""),
)

_TRANSNAS = tuple(
  f"transnas-{size}/{task}"
  for size in ("micro", "macro")
  for task in ("class-object", "class-scene", "autoencoder")
)
_BASELINES = (
  "ednag",
  "local_search",
  "local_search_all",
  "regularized_evolution",
  "random",
)

_AGAINST = (
  ("-raspi4_ms", " --objective=-raspi4_ms", 100),
  ("-eyeriss_ms", " --objective=-eyeriss_ms", 100),
  (
    "latency and energy of a Raspberry Pi 5",
    " --objective=-pi5_onnx_cifar100_latency_ms"
    " --objective=-pi5_onnx_cifar100_energy_mj",
    30,
  ),
)

PAPER = Paper(
  "nagjax: what its searches find",
  "this library",
  "%",
  "No paper's tables: searches of this library beside each other. A query is a "
  "distinct row of the table, charged once.",
  (
    Table(
      "1",
      "`digits`, the table that ships",
      "distinct rows",
      tuple(
        Row(algorithm, "", _shares("digits", algorithm, 150, 200))
        for algorithm in (
          "ednag",
          "local_search",
          "regularized_evolution",
          "random",
        )
      ),
      "The first command of the README runs all four.",
    ),
    Table(
      "2",
      "NAS-Bench-201",
      "distinct rows",
      (*_nasbench201("cifar10"), *_nasbench201("cifar100")),
    ),
    Table(
      "3",
      "Without and with what `digits` taught",
      "distinct rows of the target",
      tuple(
        Row(
          f"{target}, {which}",
          "",
          _shares(benchmark, "ednag", 200, 200, f"{objective}{more}"),
        )
        for target, benchmark, objective in _TARGETS
        for which, more in (
          ("without", ""),
          ("with", " --transfer=digits"),
        )
      ),
    ),
    Table(
      "4",
      "TransNAS-Bench-101, 100 queries",
      "distinct rows",
      (
        *(
          Row(
            f"{name.removeprefix('transnas-')}, {algorithm}",
            "",
            (
              Run(
                "after 100",
                f"--benchmark={name} --algorithm={algorithm} --budget=100",
                200,
              ),
            ),
          )
          for name in _TRANSNAS
          for algorithm in _BASELINES
        ),
        *(
          Row(
            f"{name.removeprefix('transnas-')}, ednag after digits",
            "",
            (
              Run(
                "after 100",
                f"--benchmark={name} --algorithm=ednag --budget=100 "
                "--transfer=digits",
                200,
              ),
            ),
          )
          for name in _TRANSNAS[:3]
        ),
      ),
      "The macro tables at hand hold a part of their space, and the micro "
      "tables one noisy training of each cell.",
    ),
    Table(
      "5",
      "Accuracy of CIFAR-100 against a cost: hypervolume, share of the exact "
      "front's",
      "200 distinct rows",
      tuple(
        Row(
          f"{against}, {algorithm}",
          "",
          (
            Run(
              "after 200",
              f"--benchmark=nasbench201/cifar100 --algorithm={algorithm} "
              f"--budget=200 --objective=valid_accuracy{objectives}",
              num_seeds,
              figure="hypervolume",
            ),
          ),
          factor=100.0,
        )
        for against, objectives, num_seeds in _AGAINST
        for algorithm in ("ednag", "nsga2", "random")
      ),
    ),
  ),
)
