"""Meta-trains a predictor of images and cells from triplets.

  python -m experiments.train_predictor --triplets=triplets.npz \\
    --images=animals.npz --images=letters.npz --output=predictor.npz \\
    --test=other.npz --images=clothes.npz

--triplets and --test are files of `experiments.build_meta`, --images the image
files that their tasks were drawn from. The predictor learns from --triplets
alone: it is the mean of --transfer, the same for all images, and what
--num_members networks on average add to it for some. Rank correlations within
the tasks of --test are printed beside those of that mean, of parameters, of
FLOPs and of synaptic flow, with 95 % intervals over tasks, and what the best
cells by each are worth: mean normal scores of the first, and of the first
three, among the cells of their task. With --leave_out every source of
--triplets is left out in turn first, and judged: by that, options are to be
chosen.

--extractor makes features of images: `small`, the shipped one, a file of
`experiments.train_extractor`, or one of MobileNetV1's weights. --published and
--published_images add MetaD2A's triplets of ImageNet. --table is a benchmark of
the same space and --table_images its images: what the best by the predictor is
worth there.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import functools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax import statistics
from nagjax import transfer as transfer_lib
from nagjax.candidates import extractors
from nagjax.spaces import SearchSpace
from nagjax.surrogates import meta
from nagjax.surrogates import meta_training
from nagjax.transfer import base as transfer_base

from .support import flags
from .support import images as image_files
from .support import machine
from .support import meta_data
from .support import outputs
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary

TOPS = (1, 3, 10)
"""How many of the best are looked up in --table."""


def _run(values: flags.Values) -> None:
  flags.require(values, "triplets", "images")
  machine.start_jax(values.compilation_cache_dir)
  space = registry.make_space("nasbench201")
  with user_errors():
    config = meta_training.Config(
      num_steps=values.num_steps,
      num_tasks=values.num_tasks,
      hold_weight=values.hold_weight,
      learning_rate=values.learning_rate,
      weight_decay=values.weight_decay,
    )
    extractor = extractors.find(values.extractor)
    sizes = meta.Config(
      image_size=extractor.num_features,
      code_size=values.code_size,
      hidden_size=values.hidden_size,
    )
    prior = transfer_lib.find(values.transfer)
    if prior.space != space.name:
      raise ValueError(f"--transfer is of {prior.space}, not of {space.name}.")
  mean = scores_of(prior, space)
  outputs.make_parent(values.output)
  with outputs.claimed_output(
    values.output, overwrite=values.overwrite
  ) as output:
    images = meta_data.read_images(values.images)
    known, tested = (
      [
        task
        for path in paths
        for task in meta_data.read_tasks(path, images, extractor)
      ]
      for paths in (values.triplets, values.test)
    )
    names = {task.source for task in known}
    if both := names & {task.source for task in tested}:
      raise UsageError(f"--test has tasks of sources of --triplets: {both}.")
    if values.published:
      flags.require(values, "published_images")
      known += meta_data.read_published(
        values.published, image_files.read(values.published_images), extractor
      )
    rivals = {
      f"mean of {values.transfer}": meta_data.mean_ranker(mean, space),
      **meta_data.rivals(),
    }
    learn_from = functools.partial(
      learn,
      values.seed,
      num_members=values.num_members,
      prior=meta.Prior(prior.names, 1.0, mean),
      space=space,
      sizes=sizes,
      config=config,
    )
    if values.leave_out:
      for name in sorted(names):
        rest = [task for task in known if task.source != name]
        left = [task for task in known if task.source == name]
        predictor = learn_from(rest)
        ranker = meta_data.predictor_ranker(predictor)
        report(f"left out: {name}", left, {"predictor": ranker, **rivals})
    began = time.perf_counter()
    predictor = learn_from(known)
    seconds = time.perf_counter() - began
    predictor = predictor._replace(
      extractor=extractor.name,
      sources=sources_of(values, extractor, prior, images, known),
      notes={
        "seed": values.seed,
        "training": dataclasses.asdict(config),
        "num_tasks": len(known),
        "num_triplets": sum(len(task.archs) for task in known),
        "ranked_by": meta_data.RANKED_BY,
      },
    )
    meta.save(output, predictor)
  ranker = meta_data.predictor_ranker(predictor)
  for name in sorted({task.source for task in tested}):
    chosen = [task for task in tested if task.source == name]
    report(f"unseen: {name}", chosen, {"predictor": ranker, **rivals})
  if tested:
    report("all unseen", tested, {"predictor": ranker, **rivals})
  if values.table:
    flags.require(values, "table_images")
    report_table(values, predictor, extractor, mean)
  print(
    f"Wrote {output}: {output.stat().st_size:,} bytes, "
    f"{predictor.notes['num_triplets']:,} triplets of {len(known):,} tasks, "
    f"trained in {seconds:,.0f} s."
  )


def scores_of(prior: transfer_lib.Transfer, space: SearchSpace) -> np.ndarray:
  """Normal scores of a transfer's mean, of all cells by index, `f32[N]`."""
  archs = jnp.asarray(space.all_architectures())
  mean = np.asarray(transfer_base.mean_of(prior, space, archs))
  scores = np.zeros(len(mean), np.float32)
  scores[np.asarray(space.index(archs))] = meta_data.normal_scores(mean)
  return scores


def learn(
  seed: int,
  known: Sequence[meta_data.TaskData],
  *,
  num_members: int,
  prior: meta.Prior,
  space: SearchSpace,
  sizes: meta.Config,
  config: meta_training.Config,
) -> meta.MetaPredictor:
  """Trains a predictor; its outputs are in percent of an average task.

  The prior's weight is the slope with which it explains the triplets, and the
  members learn the rest. Tasks are learned from as they were trained on and
  once more with their images in full size: a user's images are larger than
  those of tasks.
  """
  known = [
    *known,
    *(t._replace(features=t.sharp) for t in known if t.sharp is not None),
  ]
  center, deviation = meta_training.standardize(
    np.concatenate([task.features for task in known])
  )
  data = meta_data.arrays_of(known, center, deviation)
  archs = np.asarray(space.all_architectures())
  index = np.asarray(space.index(jnp.asarray(data.archs)))
  data, slope = meta_training.without(data, prior.scores[index])
  network = meta.network(space, sizes)
  to_graph = meta.view(space).to_graph
  fit = jax.jit(
    lambda key, data: meta_training.fit(
      key, network, to_graph, data, archs, config
    )
  )
  keys = jax.random.split(jax.random.key(seed), num_members)
  members = [
    meta_training.absorb(fit(key, data)[0], center, deviation) for key in keys
  ]
  accuracies = [task.accuracy for task in known if task.centered]
  accuracies = accuracies or [np.concatenate([t.accuracy for t in known])]
  return meta.MetaPredictor(
    space=space,
    config=sizes,
    params=meta.stack(members),
    extractor="",
    scale=float(np.mean([np.std(a) for a in accuracies])),
    offset=float(np.mean([np.mean(a) for a in accuracies])),
    prior=prior._replace(weight=slope),
  )


def sources_of(
  values: flags.Values,
  extractor: extractors.Extractor,
  prior: transfer_base.Transfer,
  images: Iterable[str],
  known: Sequence[meta_data.TaskData],
) -> tuple[meta.Source, ...]:
  """Everything that a predictor, its extractor or its prior has learned from.

  Of a transfer's tables the images are known by name alone, but for digits.
  """
  used = {task.source for task in known}
  found = {s["sha256"]: s["name"] for s in extractor.sources}
  others = []
  for source in prior.sources:
    if source.name == "digits":
      digits = image_files.read("digits")
      found[image_files.digest(digits.x, digits.y)] = source.name
    else:
      others.append(meta.Source(source.name))
  for digest, name in zip(images, values.images, strict=True):
    base = name.replace("\\", "/").rpartition("/")[2]
    if base in used:
      found[digest] = base
  if values.published_images:
    published = image_files.read(values.published_images)
    base = values.published_images.replace("\\", "/").rpartition("/")[2]
    found[image_files.digest(published.x, published.y)] = base
  return (
    *(meta.Source(name, digest) for digest, name in found.items()),
    *others,
  )


def report(
  title: str,
  chosen: Sequence[meta_data.TaskData],
  rankers: dict[str, meta_data.Ranker],
) -> None:
  """Prints mean rank correlations within tasks, a line for each ranker."""
  print(f"{title}: {len(chosen)} tasks", flush=True)
  for name, ranker in rankers.items():
    found = meta_data.judge(chosen, ranker)
    text = ", ".join(
      f"{what} {interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"
      for what, interval in (
        ("Spearman", found.spearman),
        ("Kendall", found.kendall),
        ("Spearman with probability", found.learned),
        ("first", found.first),
        ("first three", found.first_three),
      )
    )
    print(f"  {name}: {text}", flush=True)


def report_table(
  values: flags.Values,
  predictor: meta.MetaPredictor,
  extractor: extractors.Extractor,
  mean: np.ndarray,
) -> None:
  """Prints what the best by the predictor is worth in a table.

  Raises:
    UsageError: if the images or the table are refused.
  """
  images = image_files.read(values.table_images)
  with user_errors("--table_images: "):
    digest = image_files.digest(images.x, images.y)
    meta.check_unseen(predictor, digest)
  with user_errors("--table: "):
    table = registry.make_benchmark(values.table, values.data_dir)
    rows_of_table = table.architectures()
    if rows_of_table is None or table.space.name != predictor.space.name:
      raise ValueError(f"{table.name} is no table of {predictor.space.name}.")
  features = extractors.extract(extractor, extractors.pixels(images.x))
  rows = meta.draw_rows(np.random.default_rng(0), images.y)
  codes = meta.encode_images(predictor, features, rows)
  archs = jnp.asarray(rows_of_table)
  said = {
    "predictor": np.asarray(meta.predict(predictor, codes, archs)),
    f"mean of {values.transfer}": mean[np.asarray(table.space.index(archs))],
  }
  columns = {table.objective: np.asarray(table.query(archs)[table.objective])}
  if table.test is not None:
    columns[table.test] = np.asarray(table.report(archs)[table.test])
  for name, scores in said.items():
    order = np.argsort(-scores, kind="stable")
    for column, found in columns.items():
      rho = statistics.rank_correlation(scores, found).spearman
      best = [
        f"best of {top} {found[order[:top]].max():.2f} "
        f"(rank {int((found > found[order[:top]].max()).sum()) + 1})"
        for top in TOPS
      ]
      print(
        f"  {values.table} {column}, {name}: {', '.join(best)}, "
        f"Spearman {rho:.3f}"
      )


main = binary(
  _run,
  [
    *flags.common(
      "data_dir",
      "overwrite",
      "seed",
      output="predictor.npz",
      num_steps=meta_training.Config().num_steps,
      learning_rate=meta_training.Config().learning_rate,
    ),
    flags.paths("triplets", "To learn from; repeatable."),
    flags.paths("test", "Triplets to be judged by; repeatable."),
    flags.paths("images", "Of all triplets; repeatable."),
    flags.text("extractor", "small", "Of features: `small`, or a file."),
    flags.text("transfer", "digits", "Whose mean is the prior."),
    flags.path("published", None, "MetaD2A's triplets."),
    flags.path("published_images", None, "One image of each of their classes."),
    flags.switch("leave_out", False, "Judge by sources that are left out."),
    flags.text("table", None, "A benchmark in which the best are looked up."),
    flags.path("table_images", None, "The images of --table."),
    flags.whole("num_tasks", meta_training.Config().num_tasks, "Of a step."),
    flags.whole("code_size", 16, "Numbers that stand for images, by 4."),
    flags.whole("hidden_size", 64, "Of the network."),
    flags.whole("num_members", 3, "Networks whose mean is taken."),
    flags.number(
      "hold_weight",
      meta_training.Config().hold_weight,
      "Of what members add to the prior of random cells; of triplets 1.",
    ),
    flags.number(
      "weight_decay", meta_training.Config().weight_decay, "Of AdamW."
    ),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
