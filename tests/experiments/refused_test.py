"""What binaries refuse: one table, with one oracle for every row of it."""

import json
import os
import pathlib
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from experiments.support import program
from nagjax.spaces import nasbench201
from tests.experiments import runs

ALWAYS = {
  "search": "--benchmark=synthetic --algorithm=random,regularized_evolution "
  "--num_seeds=1 --workdir=new",
  "merge": "--workdir=new",
  "agnet": "--benchmark=synthetic --algorithm=agnet --workdir=new",
  "train_top": "--runs=part0 --images=images.npz --workdir=new",
  "combinations": "",
  "compare": "",
  "build_benchmark": "--workdir=new --output=new.npz",
  "fit_surrogate": "--space=nasbench201 --source=rows.csv --output=new.npz "
  "--column=accuracy",
  "convert": "--format=nlp-logs --source=rows.csv --output=new.json",
  "concentration": "--benchmark=synthetic",
  "samplers": "",
  "score_correlations": "--benchmark=synthetic --num=60",
  "pool_statistics": "--benchmark=synthetic --workdir=new",
  "throughput": "--workdir=new",
  "train_generator": "--workdir=new --output=new.npz",
  "train_score": "--workdir=new --output=new.npz",
  "train_supernet": "--images=images.npz --workdir=new --output=new.npz "
  "--batch_size=8",
  "supernet_ranking": "--weights=images.npz --images=images.npz --workdir=new",
  "fit_transfer": "--output=new.npz",
  "transfer_report": "--workdir=new",
  "reproduce": "--workdir=new",
  "from_images": "--images=images.npz --workdir=new",
  "fidelities": "--workdir=new",
  "tradeoffs": "--benchmark=synthetic --workdir=new",
}
"""Flags that stand before those of a row; `merge` and `agnet` are searches."""

EVERY = (
  ("stray", "Every argument is a flag, got 'stray'"),
  ("--budgte=5", "budgte"),
  ("--overwrite=perhaps --help=perhaps", "perhaps"),
  ("--module=no_such_module", "--module=no_such_module", "No module named"),
  ("--module=broken", "--module=broken cannot be imported: ZeroDivisionError"),
  ("--module=exits", "--module=exits cannot be imported: SystemExit: 3"),
  ("--flagfile=binary", "The command line: ", "decode"),
  ("--flagfile=circle", "--flagfile=circle names itself"),
  ("--module=invalid", "--module=invalid cannot be imported: SyntaxError"),
)

ROWS = (
  *((name, *row) for name in ALWAYS for row in EVERY),
  ("search", "--algorithm=nope", "'nope'", "local_search_all"),
  ("search", "--workdir=", "--workdir is needed, or must be left out"),
  ("search", "--compilation_cache_dir=binary/x", "binary/x"),
  ("throughput", "--compilation_cache_dir=binary/x", "binary/x"),
  ("search", f"--benchmark={'x' * 9000}", "benchmark must be", " ... xxx"),
  ("search", "--num_processes=2", "--coordinator_address, --process_id"),
  (
    "search",
    "--num_processes=2 --process_id=2 --coordinator_address=localhost:1",
    "--process_id must be below --num_processes=2, got 2",
  ),
  ("search", "--distributed", "do not find each other"),
  ("search", "--algorithm=", "--algorithm"),
  ("search", "--algorithm=random,random", "once each"),
  ("search", "--benchmark=nope", "'nope'", "synthetic"),
  ("search", "--benchmark=nasbench201/cifar10", "nb201.npz", "convert"),
  ("search", "--constraint=params_m", "looks like raspi4_ms<=5", "'params_m'"),
  ("search", "--constraint=latency<=3", "'latency'", "params_m"),
  ("search", "--constraint=params_m<=inf", "finite"),
  ("search", "--objective=beauty", "'beauty'", "valid_accuracy"),
  ("search", "--objective=params_m --objective=beauty", "'beauty'", "params_m"),
  ("search", "--objective=params_m --objective=-params_m", "different columns"),
  ("search", "--reference=1,2", "--reference: ", "more than one --objective"),
  *(
    (
      "search",
      f"--objective=valid_accuracy --objective=-params_m --reference={point}",
      *texts,
    )
    for point, *texts in (
      ("60", "--reference: ", "a number for each", "'60'"),
      ("60,much", "a number for each of valid_accuracy, -params_m"),
      ("60,nan", "a number for each"),
      ("60,1.0", "inside the front", "params_m >= 1.12"),
      ("91,1.5", "inside the front", "valid_accuracy <= 90"),
    )
  ),
  ("search", "--budget=0", "--budget=0"),
  ("search", "--budget=29", "regularized_evolution", "at least 30", "29"),
  ("search", "--budget=15626", "15625"),
  ("search", "--num_seeds=many", "--num_seeds=many"),
  ("search", "--num_seeds=0", "--num_seeds=0"),
  ("search", "--num_seeds=99999999", "--num_seeds=99999999"),
  ("search", "--seed_start=-1", "--seed_start=-1"),
  ("search", "--variant=nope", "nope", "ednag has reference"),
  ("search", "--set=random", "looks like", "'random'"),
  ("search", "--set=bananas.x=1", "bananas", "--algorithm"),
  ("search", "--set=random.size=1", "'size'", "batch_size"),
  ("search", "--set=random.batch_size=x", "whole number", "'x'"),
  ("search", "--set=random.batch_size=0", "at least 1"),
  ("search", "--surrogate=xgb", "random", "not made of parts", "agnet, ban"),
  ("search", "--nojoint", "--joint", "agnet", "--algorithm=random,"),
  ("search", "--warm_start=/no/such.csv", "--warm_start", "/no/such.csv"),
  ("search", "--warm_start=three.csv --budget=3 --algorithm=random", "exceed"),
  ("search", "--prior=three.csv", "--warm_start"),
  ("search", "--train_top=3", "experiments.train_top"),
  ("search", "--workdir=/dev/null/x", "--workdir", "/dev/null/x"),
  ("search", "--workdir=loop", "--workdir", "loop"),
  ("search", "--workdir=part0", "holds summary.json", "--overwrite"),
  ("agnet", "--surrogate=svm", "surrogate", "xgb_rank"),
  ("agnet", "--proposer=magic", "proposer", "denoising"),
  ("agnet", "--acquisition=magic", "acquisition", "ucb"),
  ("agnet", "--surrogate=xgb --proposer=gradient", "gradient", "gp, gcn"),
  ("agnet", "--surrogate=paths --proposer=gradient", "gradient", "gp, gcn"),
  ("agnet", "--surrogate=gp --acquisition=ts", "ts", "its"),
  ("agnet", "--set=agnet.fit.num_stpes=3", "fit.num_stpes", "fit.num_steps"),
  ("agnet", "--surrogate=mlp --set=agnet.surrogate=gcn", "surrogate", "gcn"),
  ("agnet", "--joint --set=agnet.joint=false", "--joint", "contradict"),
  ("agnet", "--joint", "joint", "no constraint"),
  ("agnet", "--surrogate=mlp --variant=training_free", "not made of parts"),
  ("agnet", "--set=agnet.num_constraints=2", "num_constraints", "no option"),
  (
    "agnet",
    "--variant=training_free --constraint=params_m<=1",
    "objectives only",
    "leave them out",
  ),
  ("merge", "--merge=/no/such", "/no/such"),
  ("merge", "--merge=part0 --budget=60", "--merge", "--budget"),
  ("merge", "--merge=part0 --workdir=part0 --overwrite", "differ"),
  ("merge", "--merge=part0 --merge=alone", "alone", "different algorithms"),
  *(
    (binary, f"{flag}=damaged_{name}", message)
    for binary, flag in (("merge", "--merge"), ("train_top", "--runs"))
    for name, message in (
      ("archs", "no architecture of nasbench201"),
      ("status", "status holds what is no status"),
      ("objective", "objective holds NaN"),
      ("charged", "charged does not count what was paid"),
    )
  ),
  ("train_top", "--images=", "--images is needed"),
  ("train_top", "--images=absent.npz", "no file"),
  ("train_top", "--runs=/no/such", "/no/such"),
  ("train_top", "--runs=other", "part0 and other differ in benchmark"),
  ("train_top", "--num_top=0", "num_top"),
  ("train_top", "--preset=large", "preset", "nasbench201"),
  ("combinations", "--algorithm=random", "--algorithm must name", "ednag"),
  ("combinations", "--proposers=magic", "proposers", "denoising"),
  ("combinations", "--at=0", "--at"),
  ("combinations", "--benchmarks=none", "benchmark must be"),
  ("compare", "--runs=alone", "two algorithms"),
  ("compare", "--runs=part0,alone --at=61", "more than the budget"),
  ("compare", "--runs=part0 --at=0", "--at"),
  ("compare", "--runs=part0 --at=", "--at"),
  ("compare", "--runs=part0 --runs=part1 --at=5", "differ in seed_ranges"),
  ("compare", "--runs=part0,/no/such", "/no/such"),
  *(
    ("build_benchmark", f"--images={name}.npz", message)
    for name, message in (
      ("absent", "no file"),
      ("rank", "shape"),
      ("nan", "finite"),
      ("labels", "from 0"),
      ("one_class", "two classes"),
    )
  ),
  ("build_benchmark", "--space=other", "space must be"),
  ("build_benchmark", "--output=table.csv", "npz"),
  ("build_benchmark", "--num_train=2000", "must leave"),
  ("build_benchmark", "--noise=nan", "noise must be finite"),
  (
    "build_benchmark",
    "--learning_rate=inf",
    "learning_rate must be positive and finite",
  ),
  ("build_benchmark", "--compare=nothing", "benchmark must be"),
  (
    "build_benchmark",
    "--compare=zerocost/params@nasbench201",
    "no test column",
  ),
  ("fit_surrogate", "--space=other", "space must be"),
  ("fit_surrogate", "--source=rows.txt", "must end in .npz, .csv, .json"),
  ("fit_surrogate", "--source=", "--source is needed"),
  ("fit_surrogate", "--output=mine.csv", "end in .npz"),
  ("fit_surrogate", "--output=absent/mine.npz", "no such directory"),
  ("fit_surrogate", "--output=images.npz", "images.npz exists"),
  ("fit_surrogate", "--output=loop.npz", "loop.npz exists"),
  ("fit_surrogate", "--learning_rate=2", "learning_rate"),
  ("fit_surrogate", "--num_folds=1", "num_folds"),
  ("fit_surrogate", "--encoding=other", "encoding"),
  ("fit_surrogate", "--library=catboost", "library"),
  ("fit_surrogate", "--source=absent.csv", "absent.csv"),
  ("fit_surrogate", "--source=absent.npz", "DARTS genotypes, not nasbench201"),
  ("fit_surrogate", "--source=absent.json", "NAS-Bench-NLP logs"),
  ("fit_surrogate", "", "columns arch and accuracy"),
  ("fit_surrogate", "--source=word.csv", "row 1: could not convert"),
  ("fit_surrogate", "--source=foo.csv", "row 2: ", "A NAS-Bench-201 string"),
  ("fit_surrogate", "--source=one.csv", "10 architectures", "got 1"),
  ("fit_surrogate", "--source=large.csv", "float32 cannot, such as 1e+39"),
  (
    "fit_surrogate",
    "--source=many.csv --num_folds=2 --objective=../x",
    "must be a name of letters",
  ),
  ("convert", "--format=csv", "--format=csv"),
  ("convert", "--format=", "--format"),
  ("convert", "--output=", "--output is needed"),
  ("convert", "--output=loop.json", "loop.json exists"),
  ("convert", "--source=no/such", "no/such: expected a source"),
  ("convert", "--output=t.npy", "t.npy"),
  ("convert", "--output=no/such/t.json", "no/such"),
  ("convert", "--output=one.csv", "must end in .json"),
  ("convert", "--allow_missing=perhaps", "allow_missing"),
  ("convert", "--format=naslib --order=x --output=t.npz", "x: expected a sour"),
  ("convert", "--format=naslib --output=t.npz", "rows.csv"),
  ("convert", "--format=nats-bench --source=a --output=t.npz", "one --source"),
  ("concentration", "--budget=25", "two rounds, 26 queries"),
  ("concentration", "--set=agnet.surrogate=xgb", "surrogate"),
  ("concentration", "--set=ednag.guidance=1", "ednag"),
  ("concentration", "--benchmark=nowhere", "nowhere"),
  ("samplers", "--samplers=few_step", "few_step:30"),
  ("samplers", "--samplers=", "samplers"),
  ("samplers", "--samplers=slow:30", "slow"),
  ("samplers", "--space=darts", "train_score"),
  ("samplers", "--benchmark=nowhere", "nowhere"),
  ("score_correlations", "--scores=luck", "score must be one of"),
  (
    "score_correlations",
    "--benchmark=zerocost/tenas@darts --scores=params",
    "ntk",
  ),
  ("score_correlations", "--images=absent.npz", "no file"),
  ("score_correlations", "--images=digits --num_images=2000", "at most 1797"),
  ("score_correlations", "--num=1", "num"),
  ("pool_statistics", "--benchmark=nowhere", "benchmark"),
  ("pool_statistics", "--objective=beauty", "beauty"),
  ("pool_statistics", "--columns=beauty", "columns"),
  ("pool_statistics", "--set=diffusionnag.guidence=2", "guidence"),
  ("pool_statistics", "--set=guidance", "ednag.population_size=20"),
  (
    "pool_statistics",
    "--set=diffusionnag.num_constraints=1",
    "num_constraints",
  ),
  ("pool_statistics", "--train_on=poor --num_train=15000", "at most the 14"),
  ("pool_statistics", "--num_train=1", "num_train"),
  ("pool_statistics", "--workdir=held", "holds pool.json", "--overwrite"),
  ("throughput", "--workdir=held", "holds throughput.json", "--overwrite"),
  ("train_top", "--workdir=held", "holds trained.csv", "--overwrite"),
  ("throughput", "--algorithm=nothing", "'nothing'"),
  ("throughput", "--variant=nothing", "'nothing'"),
  ("throughput", "--benchmark=nowhere", "'nowhere'"),
  ("throughput", "--seeds=1,x", "--seeds takes positive numbers"),
  ("throughput", "--benchmark=zerocost/regions@darts", "set --budget"),
  ("throughput", "--algorithm=agnet --parts=4", "--parts measures optiproxy"),
  ("throughput", "--algorithm=agnet --populations=4", "measures ednag"),
  ("fidelities", "--benchmark=nowhere", "benchmark must be one of"),
  ("fidelities", "--benchmark=synthetic", "synthetic has one fidelity"),
  ("tradeoffs", "--benchmark=nowhere", "benchmark must be one of"),
  ("tradeoffs", "", "synthetic has no column in ms", "--against"),
  ("tradeoffs", "--against=beauty", "'beauty' is no column"),
  ("tradeoffs", "--against=params_m --algorithms=magic", "'magic'"),
  ("train_generator", "--space=other", "space must be"),
  ("train_generator", "--output=weights.csv", "npz"),
  ("train_generator", "--recipes=log.json", "nasbench_nlp"),
  ("train_generator", "--learning_rate=0", "learning_rate"),
  ("train_generator", "--num_instances=0", "num_instances"),
  ("train_supernet", "--network=other", "network"),
  ("train_supernet", "--network=autoformer/tiny", "must divide the image's"),
  (
    "train_supernet",
    "--width=2 --network=autoformer/small32",
    "width is of mobilenetv3, got 2.0",
  ),
  ("train_supernet", "--preset=paper --num_epochs=3", "has 6 phases"),
  ("train_supernet", "--batch_size=900", "at most the", "got 900"),
  ("train_supernet", "--num_train=900", "num_train and num_valid must leave"),
  ("train_supernet", "--rule=other", "rule"),
  ("train_supernet", "--weights=images.npz", "--weights: ", "images.npz"),
  ("train_supernet", "--workdir=", "--workdir is needed"),
  ("supernet_ranking", "", "--weights: ", "images.npz"),
  ("supernet_ranking", "--weights=nowhere.npz", "nowhere.npz"),
  ("supernet_ranking", "--num=3", "num"),
  ("supernet_ranking", "--images=", "--images is needed"),
  ("train_score", "--space=other", "space must be"),
  ("train_score", "--output=weights.csv", "npz"),
  ("train_score", "--num_steps=0", "num_steps"),
  ("train_score", "--training_share=0", "training_share"),
  ("train_score", "--sampler=other", "sampler"),
  ("train_score", "--preset=other", "preset"),
  ("train_score", "--set=color=red", "color"),
  ("train_score", "--set=width=wide", "width must be a whole number"),
  ("train_score", "--set=width=7", "width"),
  ("train_score", "--set=mask=floyd", "mask must be one of"),
  ("train_score", "--space=mobilenetv3 --training_share=0.5", "enumerable"),
  ("fit_transfer", "--benchmark=nowhere", "benchmark must be one of"),
  ("fit_transfer", "--benchmark=zerocost/regions@darts", "has no table"),
  ("fit_transfer", "--objective=beauty", "'beauty' is no column of digits"),
  ("fit_transfer", "--benchmark=digits:beauty", "'beauty' is no column"),
  ("fit_transfer", "--weight=heavy", "--weight: ", "'heavy'"),
  ("fit_transfer", "--weight=-1", "weights must be 1 positive"),
  ("fit_transfer", "--weight=1 --weight=1", "each of the 1 sources, got 2"),
  ("fit_transfer", "--max_rows=19", "max_rows"),
  ("fit_transfer", "--learning_rate=0", "learning_rate"),
  ("fit_transfer", "--output=images.npz", "images.npz exists"),
  ("fit_transfer", "--output=mine.csv", "end in .npz"),
  ("reproduce", "--paper=random", "--paper=random", "ednag"),
  ("reproduce", "", "--paper is needed"),
  ("reproduce", "--paper=agnet --table=9", "--table must name", "'9'"),
  ("reproduce", "--paper=agnet --num_seeds=0", "--num_seeds=0"),
  ("transfer_report", "--at=0", "--at: ", "in 1..100"),
  ("transfer_report", "--budget=9", "--at: ", "in 1..9"),
  ("transfer_report", "--algorithm=nope", "--algorithm must be", "'nope'"),
  ("transfer_report", "--sources=", "--sources names one"),
  ("transfer_report", "--sources=digits,digits", "each once"),
  ("transfer_report", "--sources=digits+", "benchmark must be"),
  ("transfer_report", "--sources=nowhere", "benchmark must be", "'nowhere'"),
  ("transfer_report", "--sources=images.npz", "images.npz", "transfer"),
  ("transfer_report", "--sources=absent.npz", "absent.npz"),
  ("transfer_report", "--targets=none", "--targets names one"),
  ("transfer_report", "--targets=digits:beauty", "'beauty' is no column"),
)


def write_files(folder):
  """The files that the rows name."""
  runs.write_images(folder / "images.npz")
  for name, change in (
    ("rank", {"x": np.ones((40, 4, 4))}),
    ("nan", {"x": np.full((40, 4, 4, 1), np.nan)}),
    ("labels", {"y": np.arange(40) - 1}),
    ("one_class", {"y": np.zeros(40, int)}),
  ):
    runs.write_images(folder / f"{name}.npz", **change)
  cell = nasbench201.to_string([1] * 6)
  cells = [nasbench201.to_string([i, 0, 0, 0, 0, 0]) for i in range(3)]
  for name, lines in (
    ("three.csv", ["architecture", *cells]),
    ("rows.csv", ["arch,value"]),
    ("word.csv", ["arch,accuracy", f"{cell},high"]),
    ("foo.csv", ["arch,accuracy", f"{cell},1", "foo,2"]),
    ("one.csv", ["arch,accuracy", f"{cell},1"]),
    ("large.csv", ["arch,accuracy", f"{cell},1e39"]),
    ("many.csv", ["arch,accuracy", *(f"{cell},1" for cell in cells)]),
    ("broken.py", ["1 / 0"]),
    ("exits.py", ["raise SystemExit(3)"]),
    ("invalid.py", ["1 +"]),
  ):
    (folder / name).write_text("\n".join(lines) + "\n")
  (folder / "binary").write_bytes(b"\xff\x00")
  (folder / "circle").write_text("--flagfile=circle\n")
  (folder / "held").mkdir()
  for name in ("pool.json", "throughput.json", "trained.csv"):
    (folder / "held" / name).write_text("precious")
  for name in ("loop", "loop.npz", "loop.json"):
    os.symlink(name, folder / name)
  for name, seeds in (("part0", (3, 0)), ("part1", (1, 3))):
    shutil.copytree(runs.search_of(*seeds)[0], folder / name)
  for name, change_fn in (
    ("archs", lambda array: array + 5),
    ("status", lambda array: array + 50),
    ("objective", lambda array: array * np.nan),
    ("charged", lambda array: array - 1),
  ):
    damaged = folder / f"damaged_{name}"
    shutil.copytree(folder / "part1", damaged)
    arrays = runs.arrays_of(damaged)
    arrays[f"random/{name}"] = change_fn(arrays[f"random/{name}"])
    np.savez(damaged / "trace.npz", **arrays)
  shutil.copytree(folder / "part1", folder / "other")
  summary = runs.summary_of(folder / "other")
  for entry in summary:
    entry["benchmark"] = "digits"
  (folder / "other" / "summary.json").write_text(json.dumps(summary))
  runs.run(
    "--algorithm=random",
    "--budget=60",
    "--num_seeds=3",
    f"--workdir={folder / 'alone'}",
  )


def tree(folder):
  """Every file and its content, but for what Python makes of modules."""
  return {
    path.relative_to(folder): path.read_bytes() if path.is_file() else None
    for path in folder.rglob("*")
    if "__pycache__" not in path.parts
  }


class RefusedTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    ).resolve()
    write_files(cls.folder)
    before = os.getcwd()
    cls.addClassCleanup(os.chdir, before)
    os.chdir(cls.folder)
    cls.enterClassContext(
      mock.patch.dict(os.environ, NAGJAX_DATA_DIR=str(cls.folder / "data"))
    )
    # Flags and files are checked without the libraries that fit trees.
    found = program.importlib.util.find_spec
    cls.enterClassContext(
      mock.patch.object(
        program.importlib.util,
        "find_spec",
        lambda name: name if name in ("xgboost", "lightgbm") else found(name),
      )
    )
    cls.before = tree(cls.folder)

  @parameterized.parameters(*ROWS)
  def test_one_line_and_nothing_written(self, name, flags, *parts):
    """Oracle: exit code 2, one line that has these parts, every file as it
    was."""
    binary = name if name not in ("merge", "agnet") else "search"
    code, _, err = runs.run_binary(
      binary, *ALWAYS[name].split(), *flags.split()
    )
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertTrue(err.endswith("\n"))
    for part in parts:
      self.assertIn(part, err)
    self.assertEqual(tree(self.folder), self.before)

  @parameterized.parameters(
    ("search", "matplotlib", "nagjax[experiments]"),
    ("search", "rich", "nagjax[experiments]"),
    ("fit_surrogate", "xgboost", "nagjax[boosted]"),
  )
  def test_missing_libraries(self, name, module, extra):
    """Oracle: as above; the line names the extra."""
    found = program.importlib.util.find_spec
    with mock.patch.object(
      program.importlib.util,
      "find_spec",
      lambda name: None if name == module else found(name),
    ):
      code, _, err = runs.run_binary(name, *ALWAYS[name].split())
    self.assertEqual((code, err.count("\n")), (2, 1), err)
    self.assertIn(module, err)
    self.assertIn(extra, err)
    self.assertEqual(tree(self.folder), self.before)

  @parameterized.parameters(
    name for name in ALWAYS if name not in ("merge", "agnet")
  )
  def test_help(self, name):
    """Oracle: exit code 0; the flags of the row above, and of every binary."""
    code, out, err = runs.run_binary(name, "--help")
    self.assertEqual((code, err), (0, ""))
    always = [flag[2:].partition("=")[0] for flag in ALWAYS[name].split()]
    for flag in (*always, "module", "compilation_cache_dir"):
      self.assertRegex(out, rf"--(\[no\])?{flag}:")


if __name__ == "__main__":
  absltest.main()
