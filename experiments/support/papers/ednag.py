"""Zhou, Yu and Tang: Evolution Meets Diffusion (EDNAG)."""

from .base import Paper
from .base import Row
from .base import Run
from .base import Table

_NO_IMAGES = (
  "needs 200 epochs of training on these images; `experiments.from_images` "
  "does the whole job on images of your own"
)


def searched(name: str, *, on_test: bool = False) -> tuple[Run, Run]:
  """The published program, which ends by itself, and 100 queries of ours."""
  prefix = "search-on-test-accuracy:" if on_test else ""
  return (
    Run(
      "published program",
      f"--benchmark={prefix}{name} --algorithm=ednag --variant=reference",
    ),
    Run(
      "default",
      f"--benchmark={name} --algorithm=ednag --budget=100",
      figure="test" if on_test else "objective",
    ),
  )


def _nasbench201(
  data_set: str, column: str, published: str, best: str, program: str
) -> Row:
  name = f"nasbench201/{data_set}"
  reference, default = searched(name, on_test=True)
  transferred = Run(
    "default, 20 queries after digits",
    f"--benchmark={name} --algorithm=ednag --transfer=digits --budget=20",
    200,
    figure="test",
  )
  return Row(
    column,
    published,
    (
      reference._replace(num_seeds=1000),
      default._replace(num_seeds=1000),
      transferred,
    ),
    best,
    program,
    differs=(
      "the program searches by test accuracy; ours by validation accuracy, and "
      "the best one's test accuracy is shown"
    ),
  )


_TASKS = (
  ("OC", "class-object", 1.0),
  ("SC", "class-scene", 1.0),
  ("AE", "autoencoder", 100.0),
  ("SE", "normal", 100.0),
  ("SS", "segmentsemantic", 1.0),
  ("RP", "room-layout", -100.0),
  ("JS", "jigsaw", 1.0),
)
"""The paper's headings, our names, and its units."""

_MICRO = (
  ("46.28 ± 0.04", "46.32"),
  ("54.91 ± 0.03", "54.94"),
  ("57.63 ± 0.09", "57.72"),
  ("59.26 ± 0.36", "59.62"),
  ("26.19 ± 0.08", "26.27"),
  ("59.01 ± 0.30", "58.71"),
  ("95.19 ± 0.18", "95.37"),
)
_MACRO = (
  ("47.69 ± 0.27", "47.96"),
  ("57.29 ± 0.19", "57.48"),
  ("75.90 ± 0.98", "76.88"),
  ("63.50 ± 0.85", "64.35"),
  ("29.60 ± 0.06", "29.66"),
  ("56.20 ± 0.52", "55.68"),
  ("96.98 ± 0.04", "97.02"),
)


def _transnas(size: str, numbers: tuple[tuple[str, str], ...]) -> list[Row]:
  rows = []
  for (short, task, factor), (published, best) in zip(
    _TASKS, numbers, strict=True
  ):
    reads = "the program reads the loss on the training images"
    rows.append(
      Row(
        f"{size} {short}",
        published,
        searched(f"transnas-{size}/{task}"),
        best,
        factor=factor,
        differs=reads if short == "RP" else "",
      )
    )
  return rows


def _method(number: int, published: str, options: str) -> Row:
  run, _ = searched("nasbench201/cifar10", on_test=True)
  command = f"{run.command}{options}"
  return Row(
    f"method {number}",
    published,
    (run._replace(command=command, num_seeds=1000),),
  )


PAPER = Paper(
  "Evolution Meets Diffusion: Efficient Neural Architecture Generation",
  "Zhou, Yu and Tang, https://arxiv.org/abs/2504.17827",
  "%",
  "The paper counts architectures that are trained in the end, one for each "
  "search. Its program reads some 500 of NAS-Bench-201's test accuracies to "
  "find it, and all of these are queries here: distinct rows of the table. "
  "`published program` is that program on our tables, which ends by itself.",
  (
    Table(
      "1",
      "NAS-Bench-201, test accuracy",
      "1 architecture trained; 3 runs, 95 % intervals",
      (
        _nasbench201(
          "cifar10",
          *("CIFAR-10", "94.37 ± 0.00", "94.37"),
          "94.350 ± 0.051 (std), 12 of 20 at 94.37, median 493 queries",
        ),
        _nasbench201(
          "cifar100",
          *("CIFAR-100", "73.51 ± 0.00", "73.51"),
          "73.344 ± 0.261 (std), 12 of 20 at 73.51, median 452 queries",
        ),
        Row("Aircraft", "60.14 ± 0.89", differs=_NO_IMAGES),
        Row("Pets", "46.17 ± 0.67", differs=_NO_IMAGES),
      ),
    ),
    Table(
      "2",
      "TransNAS-Bench-101",
      "1 architecture trained; 3 runs, 95 % intervals",
      (*_transnas("micro", _MICRO), *_transnas("macro", _MACRO)),
      "SSIM and the loss of the room layout (RP) are times 100, and that loss "
      "is minimized.",
    ),
    Table(
      "f5",
      "MobileNetV3, accuracy of four data sets",
      "30 architectures trained and the best by test accuracy reported",
      (
        Row(
          "CIFAR-10, CIFAR-100, Aircraft, Pets",
          "up to .49 above others",
          differs="needs a supernetwork's weights and training at 224 pixels",
        ),
      ),
    ),
    Table(
      "f6",
      "DARTS, CIFAR-10 and ImageNet",
      "architectures trained from scratch",
      (
        Row(
          "CIFAR-10, ImageNet",
          "up to .24 above others",
          differs="needs ImageNet and 600 epochs; no program was published",
        ),
      ),
    ),
    Table(
      "3",
      "AutoFormer, ImageNet, top-1 accuracy",
      "3 runs",
      tuple(
        Row(
          f"{size} ({params} M parameters)",
          published,
          differs="needs a supernetwork of transformers trained on ImageNet; "
          "its program was not published",
        )
        for size, params, published in (
          ("Tiny", "5.7", "75.3"),
          ("Small", "21.2", "82.0"),
          ("Base", "51.9", "82.4"),
        )
      ),
    ),
    Table(
      "f7",
      "Ablation on CIFAR-10, test accuracy",
      "1 architecture trained; 3 runs",
      (
        _method(
          1,
          "94.04 ± 0.16",
          " --set=ednag.guides=false --set=ednag.selects=false",
        ),
        _method(2, "94.34 ± 0.02", " --set=ednag.selects=false"),
        _method(3, "94.37 ± 0.00", ""),
      ),
      "Method 1 denoises without fitness, 2 adds fitness, 3 adds selection. "
      "Ablations have no published program: these options follow the text.",
    ),
    Table(
      "f8",
      "Seconds of a generation, CIFAR-10",
      "inference alone, one RTX 4090",
      (
        Row(
          "EDNAG",
          "about a hundredth of DiffusionNAG's",
          (_method(3, "", "").runs[0]._replace(figure="seconds"),),
          program="1.65 s on one thread of a CPU",
          differs=(
            "seconds of one of the searches that run side by side, on the "
            "machine that the stored result names"
          ),
        ),
      ),
    ),
    Table(
      "appendix/1",
      "NAS-Bench-101 and NAS-Bench-301",
      "not in our copy",
      (
        Row(
          "NAS-Bench-101",
          "",
          searched("nasbench101/cifar10", on_test=True),
          differs="the program draws one of three test accuracies at every "
          "look, and fixes the operations",
        ),
        Row(
          "NAS-Bench-301",
          "",
          searched("nasbench301/cifar10"),
          differs="the program searches four free edges and reads the best "
          "recorded network that has them",
        ),
      ),
    ),
  ),
)
