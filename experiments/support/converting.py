"""Conversions of what is no table: trees, predictors, guides, networks."""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib

import jax.numpy as jnp

from nagjax import registry
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import trees
from nagjax.candidates import elastic
from nagjax.candidates import supernet_benchmark
from nagjax.convert import ConversionError
from nagjax.convert import autoformer
from nagjax.convert import boosted
from nagjax.convert import diffusionnag
from nagjax.convert import metad2a
from nagjax.convert import once_for_all
from nagjax.networks import meta_predictor
from nagjax.networks import noisy
from nagjax.surrogates import guide_files
from nagjax.surrogates import meta

from .errors import user_errors

VALID_ACCURACY = "valid_accuracy"

_PERCENT = {"nasbench201": (550.0, 95.0), "mobilenetv3": (100.0, 0.0)}
"""Factor and shift from a published predictor's output to percent:
`ednag_reference_presets.predicted_percent`, and deviations from a mean that its
file does not tell."""


def boosted_trees(
  library: str,
  read_fn: Callable[[pathlib.Path], trees.TreeEnsemble],
  sources: Sequence[pathlib.Path],
  *,
  progress_fn: Callable[[int, int], None],
  space: str = "darts",
  encoding: str = "nasbench301",
  objective: str = VALID_ACCURACY,
) -> surrogate.TreeBenchmark:
  """Reads models as one surrogate that predicts their mean.

  Args:
    library: what fitted them.
    read_fn: reads one of them.
    sources: the files.
    progress_fn: told the numbers of models done and to do.
    space: name of the search space.
    encoding: a key of `surrogate.ENCODINGS`.
    objective: name of what they predict.

  Raises:
    ConversionError: if a file is no such model.
    UsageError: if the models do not read what the encoding gives.
  """
  with user_errors("--space: "):
    search_space = registry.make_space(space)
  models = []
  for number, source in enumerate(sources, 1):
    models.append(read_fn(source))
    progress_fn(number, len(sources))
  with user_errors("--source: "):
    ensemble = boosted.mean_of(models)
  with user_errors("--objective: "):
    card = surrogate.Card(
      space=search_space.name,
      encoding=encoding,
      objective=objective,
      unit="%" if objective == VALID_ACCURACY else "",
      num_rows=None,
      spearman=None,
      kendall=None,
      held_out=None,
      settings=(("library", library), ("num_models", len(models))),
    )
  benchmark = surrogate.TreeBenchmark(ensemble, "", search_space, card)
  with user_errors("--encoding: "):
    benchmark.query(jnp.zeros((1, search_space.num_variables), jnp.int32))
  return benchmark


def describe_surrogate(
  benchmark: surrogate.TreeBenchmark, path: str
) -> list[str]:
  """Lines that tell what a surrogate of converted trees predicts."""
  card = benchmark.card
  return [
    f"Wrote {path}: {card.objective} of the space {card.space},"
    f" {benchmark.ensemble.roots.shape[0]:,} trees on {card.encoding}, the mean"
    f" of {dict(card.settings)['num_models']} model(s).",
    "Rank correlation: not measured.",
  ]


def metad2a_predictor(
  source: pathlib.Path,
  *,
  progress_fn: Callable[[int, int], None],
  config: meta_predictor.Config = meta_predictor.PUBLISHED,
) -> meta.MetaPredictor:
  """Reads a published predictor of images and clean architectures.

  Args:
    source: the checkpoint.
    progress_fn: told the numbers of files done and to do.
    config: the widths that it must have.

  Raises:
    ConversionError: if it is no such checkpoint, or of an unknown space.
  """
  found = metad2a.predictor_file(source, config)
  progress_fn(1, 1)
  for name, (scale, offset) in _PERCENT.items():
    space = registry.make_space(name)
    if meta.view(space)[:2] == (found.num_nodes, found.num_labels):
      return meta.MetaPredictor(
        space,
        config,
        meta.stack([found.params]),
        meta.GIVEN,
        scale,
        offset,
        sources=(meta.Source("ImageNet"),),
        notes={"file": source.name},
      )
  raise ConversionError(
    source,
    "graphs of 8 nodes of 7 types, or of 22 of 29",
    f"{found.num_nodes} nodes of {found.num_labels} types",
    "Pass a predictor of NAS-Bench-201 or of MobileNetV3.",
  )


def describe_predictor(predictor: meta.MetaPredictor, path: str) -> list[str]:
  """One line that tells what a predictor of images reads."""
  return [
    f"Wrote {path}: a predictor of the space {predictor.space.name} that reads "
    f"{predictor.config.image_size} features of an image, an array features of "
    "the image file."
  ]


def diffusionnag_guide(
  source: pathlib.Path, *, progress_fn: Callable[[int, int], None]
) -> guide_files.Guide:
  """Reads a published predictor of noisy architectures.

  Raises:
    ConversionError: if it is no such checkpoint, or has other widths.
  """
  found = diffusionnag.surrogate_file(source)
  progress_fn(1, 1)
  is_gcn = isinstance(found.predictor, noisy.GcnParams)
  guide = guide_files.Guide(
    registry.make_space("nasbench201" if is_gcn else "mobilenetv3"),
    found.predictor.head[0].bias.shape[0],
    *found,
  )
  try:
    guide_files.check(guide)
  except ValueError as error:
    raise ConversionError(
      source,
      "the published widths",
      str(error).rstrip("."),
      "Pass a checkpoint of the published program.",
    ) from error
  return guide


def describe_guide(guide: guide_files.Guide, path: str) -> list[str]:
  """One line that tells what a guide predicts of."""
  return [
    f"Wrote {path}: a predictor of noisy architectures of the space "
    f"{guide.space.name}, for nagjax.surrogates.guide_files."
  ]


def once_for_all_weights(
  source: pathlib.Path, *, progress_fn: Callable[[int, int], None]
) -> supernet_benchmark.SuperNet:
  """Reads a once-for-all super-network as a benchmark without images."""
  config, model = once_for_all.once_for_all_file(source)
  progress_fn(1, 1)
  card = supernet_benchmark.Card(
    *("mobilenetv3/imagenet", config.network.image_size, 3),
    config.network.num_classes,
    config.width,
  )
  return supernet_benchmark.of_weights(card, elastic.Weights(*model))


def autoformer_weights(
  source: pathlib.Path, *, progress_fn: Callable[[int, int], None]
) -> supernet_benchmark.SuperNet:
  """Reads AutoFormer's super-network as a benchmark without images."""
  size, config, params = autoformer.autoformer_file(source)
  progress_fn(1, 1)
  network = config.network
  card = supernet_benchmark.Card(
    f"autoformer/{size}", network.image_size, 3, network.num_classes
  )
  return supernet_benchmark.of_weights(card, elastic.Weights(params, ()))


def describe_weights(
  found: supernet_benchmark.SuperNet, path: str
) -> list[str]:
  """Lines that tell what can be done with converted weights."""
  card = found.card
  return [
    f"Wrote {path}: {card.network} of width {card.width}, images of "
    f"{card.image_size} pixels, {card.num_classes} classes.",
    f"Add images by `python -m experiments.train_supernet --weights={path} "
    "--images=... --output=supernet_NAME.npz`.",
  ]
