"""An et al.: DiffusionNAG."""

from .base import Paper
from .base import Row
from .base import Run
from .base import Table

_NO_FEATURES = (
  "needs the paper's meta-learned predictor and features of these images; "
  "`experiments.from_images` does the whole job on images of your own"
)
_SOURCES = (
  ("oracle, best 1,000", "oracle"),
  ("random", "random"),
  ("unconditional + sorting", "sorted"),
  ("guided", "guided"),
)
_TABLE_1 = {
  "cifar10": (
    *(("94.37", "93.50", "93.18"), ("94.37", "87.12", "10.00")),
    *(("94.37", "90.77", "10.00"), ("94.37", "93.13", "86.44")),
  ),
  "cifar100": (
    *(("73.51", "70.62", "69.91"), ("72.74", "61.59", "1.00")),
    *(("73.16", "66.37", "1.00"), ("73.51", "70.34", "58.09")),
  ),
}
"""Largest, mean and smallest test accuracy, in the order of `_SOURCES`."""

_STATISTICS = (("max", "max"), ("mean", "mean"), ("min", "min"))


def _pool(
  label: str, data_set: str, figure: str, more: str = "", num_seeds: int = 10
) -> Run:
  return Run(
    label,
    f"--benchmark=nasbench201/{data_set}{more}",
    num_seeds,
    "pool_statistics",
    figure,
  )


def _table_1() -> tuple[Row, ...]:
  rows = []
  for data_set, sources in _TABLE_1.items():
    for (heading, source), numbers in zip(_SOURCES, sources, strict=True):
      for (statistic, name), published in zip(
        _STATISTICS, numbers, strict=True
      ):
        rows.append(
          Row(
            f"{data_set.upper()}, {heading}, {statistic}",
            published,
            (_pool("pool", data_set, f"{source}/{name}"),),
          )
        )
  return tuple(rows)


def _bayesian(heading: str, proposer: str, acquisition: str, more: str) -> Row:
  command = (
    "--benchmark=nasbench201/cifar100 --algorithm=diffusionnag --budget=100 "
    f"--proposer={proposer} --acquisition={acquisition}{more}"
  )
  return Row(
    f"{heading}, {acquisition}",
    "curve",
    tuple(
      Run(f"{at} queries", command, 30, at=at if at < 100 else 0)
      for at in (30, 60, 100)
    ),
  )


_BOUND = " --set=diffusionnag.max_beta=0.5 --set=diffusionnag.beta_power=0"
"""The published confidence bound, mean plus half a deviation."""

_SWAPPED = " --columns=valid_accuracy,raspi4_ms,ninapro_acc"

PAPER = Paper(
  "DiffusionNAG: Predictor-guided Neural Architecture Generation with "
  "Diffusion Models",
  "An, Lee, Jo, Lee and Hwang, ICLR 2024, https://arxiv.org/abs/2305.16943",
  "%",
  "The paper's guide was trained on 4,230 other tasks and reads the images of "
  "this one; what it counts are the architectures that are trained in the end. "
  "Ours learns from evaluations of the table at hand, and every one of them is "
  "a query (200 for a pool).",
  (
    Table(
      "1",
      "1,000 generated cells of NAS-Bench-201, test accuracy",
      "no query; a predictor of 4,230 other tasks",
      _table_1(),
      "Our guide has learned from 200 random cells of this table. Figure 2 "
      "shows the same distributions.",
    ),
    Table(
      "2",
      "Accuracy on four data sets",
      "architectures trained: 5, 5, 2, 2",
      (
        Row(
          "CIFAR-10",
          "94.37 ± 0.00 (5)",
          (
            Run(
              "default",
              "--benchmark=nasbench201/cifar10 --algorithm=diffusionnag "
              "--budget=100",
              12,
              figure="test",
            ),
          ),
          "94.37",
          differs="nothing was learned from other tasks",
        ),
        Row(
          "CIFAR-100",
          "73.51 ± 0.00 (5)",
          (
            Run(
              "default",
              "--benchmark=nasbench201/cifar100 --algorithm=diffusionnag "
              "--budget=100",
              12,
              figure="test",
            ),
          ),
          "73.51",
          differs="nothing was learned from other tasks",
        ),
        Row("Aircraft", "59.63 ± 0.92 (2)", differs=_NO_FEATURES),
        Row("Oxford-IIIT Pets", "41.32 ± 0.84 (2)", differs=_NO_FEATURES),
      ),
    ),
    Table(
      "3",
      "Validity, uniqueness and novelty of 3 x 1,000 samples",
      "no query",
      (
        Row(
          "NAS-Bench-201 (half of it seen)",
          "100.00, 98.70 ± 0.66, 49.20 ± 1.96",
          program="",
          differs=(
            "printed by `experiments.train_score --space=nasbench201 "
            "--training_share=0.5`: 100.00, 96.93 ± 0.71, 50.65 ± 1.24"
          ),
        ),
        Row(
          "NAS-Bench-201, no position code",
          "100.00, 98.96 ± 0.49, 49.08 ± 2.05",
          differs=(
            "the same with `--set=position_code=false --set=row_support=false` "
            "and no share: 10.13 ± 1.42, 99.39 ± 1.05"
          ),
        ),
        Row(
          "MobileNetV3",
          "100.00, 100.00, 100.00",
          differs=(
            "printed by `experiments.train_score --space=mobilenetv3`: 99.13 ± "
            "0.06, 100; novelty is against fresh draws"
          ),
        ),
        Row(
          "MobileNetV3, no position code",
          "42.17 ± 1.80, 100.00, 100.00",
          differs=(
            "the same, 2,000 steps and the two options above: 64.33 ± 1.57, "
            "100 (with position code and 2,000 steps 97.97 ± 0.23, 100)"
          ),
        ),
      ),
      "A training is not repeated by this command; those named print the "
      "figures. Our network is the paper's in small.",
    ),
    Table(
      "f3",
      "Guided by a predictor of 50 poor cells, CIFAR-10, 100 cells",
      "50 queries, the best tenth of the table left out",
      tuple(
        Row(
          f"{source}, {statistic}",
          "histogram",
          (
            _pool(
              "pool",
              "cifar10",
              f"{source}/{name}",
              " --train_on=poor --num_train=50 --num_generated=100",
              30,
            ),
          ),
        )
        for source in ("training", "guided")
        for statistic, name in (("best", "max"), ("median", "median"))
      ),
    ),
    Table(
      "4",
      "Guided by other objectives, 20 cells",
      "50 queries for each objective",
      (
        *(
          Row(
            f"guided by {ours}: mean {column}",
            "",
            (
              _pool(
                "pool",
                "cifar10",
                f"guided/{column}",
                f" --objective={ours}{_SWAPPED}",
                3,
              ),
            ),
          )
          for ours in ("valid_accuracy", "-raspi4_ms", "ninapro_acc")
          for column in ("valid_accuracy", "raspi4_ms", "ninapro_acc")
        ),
        Row(
          "clean, APGD, blur: means of the matching guide",
          "93.17, 17.66, 47.88",
          differs="needs the robustness data set (`--format=robustness`), "
          "not at hand; other objectives are swapped above",
        ),
      ),
      "Ours: 1,000 cells, 200 queries.",
    ),
    Table(
      "f4",
      "Bayesian optimization with guided candidates, CIFAR-100, validation "
      "accuracy",
      "distinct cells; 10 runs",
      (
        *(
          _bayesian(heading, proposer, acquisition, more)
          for heading, proposer in (
            ("guided", "diffusion"),
            ("mutants", "mutation"),
            ("random", "random"),
          )
          for acquisition, more in (("ei", ""), ("ucb", _BOUND), ("pi", ""))
        ),
        Row(
          "ImageNet, MobileNetV3",
          "curve",
          differs="needs a table of trained MobileNetV3 networks",
        ),
      ),
      "The loop is ours: its program was not published.",
    ),
  ),
)
