"""Tests of nagjax.convert: hw_nas_bench, help_latency, nasbench201_costs."""

import pickle
import zipfile

from absl.testing import parameterized
import numpy as np

from nagjax.benchmarks import hardware
from nagjax.convert import ConversionError
from nagjax.convert import help_latencies
from nagjax.convert import hw_nas_bench_pickle
from nagjax.convert import latbench_pickles
from nagjax.convert import write_table
from tests import data
from tests.benchmarks import hardware_test
from tests.convert import upstream

NUM = upstream.NUM_ARCHITECTURES
HW_SAMPLE = "samples/hw_nas_bench_nasbench201_first3.pickle"
HELP_SAMPLE = "samples/help_nasbench201_latency_raspi4.pt"
LATBENCH_SAMPLE = "samples/eagle_desktop_cpu_first50.pkl"


def cost(index, place=0):
  """A made-up cost of the official index."""
  return 1.0 + np.asarray(index) / 1e3 + place


def cell(string):
  """The operations of an official string, apart from the package."""
  names = [part.split("~")[0] for part in string.split("|") if "~" in part]
  return tuple(upstream.OPERATIONS.index(name) for name in names)


def official_ops():
  return np.asarray([cell(s) for s in upstream.official_strings()])


def hw_content(num=NUM, **lists):
  """The content of `HW-NAS-Bench-v1_0.pickle`."""
  config = [
    {"name": "infer.tiny", "C": 16, "arch_str": string}
    for string in upstream.official_strings()[:num]
  ]
  metrics = {
    "edgegpu_latency": cost(range(num)).tolist(),
    "edgegpu_energy": cost(range(num), 5).tolist(),
    "eyeriss_arithmetic_intensity": [0.0] * num,
    "fpga_latency": [np.float64(c) for c in cost(range(num), 9)],
  }
  parts = {"config": config, **metrics, **lists}
  return {"nasbench201": {"cifar10": parts}, "fbnet": {"x": [1.0]}}


def write_zip_pickle(path, content):
  """What PyTorch writes for content without tensors."""
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", pickle.dumps(content, 2))
    archive.writestr("archive/version", "3\n")
  return path


class CostsTestCase(upstream.TemporaryDirectoryMixin, parameterized.TestCase):
  def assert_refused(self, convert_fn, *parts):
    with self.assertRaises(ConversionError) as raised:
      convert_fn()
    self.assert_one_line(raised.exception, *parts)


class HwNasBenchTest(CostsTestCase):
  def _write(self, content):
    return upstream.write_pickle(self.directory / "HW.pickle", content)

  def test_all_architectures(self):
    """Oracle: the written values by official index; only costs are taken."""
    table = hw_nas_bench_pickle(self._write(hw_content()))
    self.assertEqual(
      list(table.arrays), ["ops", "edgegpu_ms", "edgegpu_mj", "fpga_ms"]
    )
    np.testing.assert_array_equal(table.arrays["ops"], official_ops())
    for name, place in (("edgegpu_ms", 0), ("edgegpu_mj", 5), ("fpga_ms", 9)):
      np.testing.assert_allclose(
        table.arrays[name], cost(range(NUM), place), rtol=1e-6
      )
    self.assertEqual(table.header["row_order"], "official")
    self.assertEqual(
      table.header["arrays"]["edgegpu_mj"],
      {"unit": "millijoules", "missing": 0},
    )

  def test_the_benchmark_reads_what_was_written(self):
    """Oracle: the written values, found by their cells."""
    table = hw_nas_bench_pickle(self._write(hw_content()))
    write_table(table, self.directory / "nb201_hw_nas_bench.npz")
    benchmark = hardware.with_hardware(hardware_test.table(), self.directory)
    answer = benchmark.query(official_ops().astype(np.int32))
    np.testing.assert_allclose(answer["fpga_ms"], cost(range(NUM), 9), 1e-6)

  def test_some_architectures(self):
    """Oracle: the written values, by cell; NaN elsewhere, if allowed."""
    path = self._write(hw_content(7))
    table = hw_nas_bench_pickle(path, allow_missing=True)
    rows = {tuple(ops): row for row, ops in enumerate(table.arrays["ops"])}
    self.assertLen(rows, NUM)
    at = [rows[cell(string)] for string in upstream.official_strings()[:7]]
    column = table.arrays["edgegpu_ms"]
    np.testing.assert_allclose(column[at], cost(range(7)), rtol=1e-6)
    self.assertEqual(np.isnan(column).sum(), NUM - 7)
    self.assertEqual(table.header["row_order"], "space index")
    self.assert_refused(
      lambda: hw_nas_bench_pickle(path), path, "15,618 missing"
    )

  def test_data_set(self):
    """Oracle: a file has three; the header tells which one it was."""
    content = hw_content(2)
    content["nasbench201"]["cifar100"] = {
      **content["nasbench201"]["cifar10"],
      "fpga_latency": [50.0, 60.0],
    }
    path = self._write(content)
    table = hw_nas_bench_pickle(path, data_set="cifar100", allow_missing=True)
    self.assertEqual(np.nanmax(table.arrays["fpga_ms"]), 60.0)
    self.assertEqual(table.header["data_set"], "cifar100")
    self.assert_refused(
      lambda: hw_nas_bench_pickle(path, data_set="svhn"), "'svhn'", "cifar100"
    )

  @parameterized.named_parameters(
    ("list", [], "a dict"),
    ("space", {"fbnet": {}}, "'nasbench201'"),
    ("config", {"nasbench201": {"cifar10": {}}}, "'config'"),
    ("string", hw_content(2, config=[{"arch_str": "|x|"}] * 2), "'|x|'"),
    (
      "twice",
      hw_content(2, config=[{"arch_str": upstream.official_strings()[0]}] * 2),
      "1 of them distinct",
    ),
    ("short", hw_content(2, fpga_latency=[1.0]), "fpga_latency to have 2"),
    (
      "path",
      hw_content(1, **{"../../x_latency": [1.0]}),
      "names of lower-case",
    ),
    ("escape", hw_content(1, **{"\x1b[31m_latency": [1.0]}), "names of lower"),
    ("long", hw_content(1, **{"x" * 70_000 + "_latency": [1.0]}), "names of"),
    ("negative", hw_content(1, fpga_energy=[-1.0]), "fpga_energy to be"),
    ("text", hw_content(1, raspi4_latency=["1"]), "raspi4_latency to be"),
    (
      "no_costs",
      {
        "nasbench201": {
          "cifar10": {
            "config": hw_content(1)["nasbench201"]["cifar10"]["config"]
          }
        }
      },
      "latencies or energies",
    ),
  )
  def test_content_of_another_form(self, content, part):
    """Oracle: each content lacks one property of the complete one."""
    path = self._write(content)
    self.assert_refused(
      lambda: hw_nas_bench_pickle(path, allow_missing=True), path, part
    )

  @data.needs_table(HW_SAMPLE)
  def test_real_rows(self):
    """Oracle: the columns of the converted table that come from it."""
    path = data.table_path(HW_SAMPLE)
    table = hw_nas_bench_pickle(path, allow_missing=True)
    devices = ("edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga")
    names = {f"{device}_ms" for device in devices}
    names |= {f"{device}_mj" for device in ("edgegpu", "eyeriss", "fpga")}
    self.assertEqual(set(table.arrays) - {"ops"}, names)
    ops, raspi4, eyeriss = data.read_table(
      "nb201_latency.npz", "ops", "raspi4_ms", "eyeriss_ms"
    )
    rows = {tuple(row): i for i, row in enumerate(table.arrays["ops"])}
    at = [rows[tuple(row)] for row in ops[:3]]
    np.testing.assert_array_equal(table.arrays["raspi4_ms"][at], raspi4[:3])
    np.testing.assert_array_equal(table.arrays["eyeriss_ms"][at], eyeriss[:3])


class LatencyTest(CostsTestCase):
  def setUp(self):
    super().setUp()
    self.order = upstream.write_meta(self.directory / "meta.pickle.pbz2")

  def _help(self, content, name="Pixel-2.pt"):
    return write_zip_pickle(self.directory / name, content)

  def test_help(self):
    """Oracle: the written values by official index; names of the files."""
    paths = [
      self._help(cost(range(NUM), place).tolist(), name)
      for place, name in enumerate(("Pixel-2.pt", "titan_rtx_1.pt"))
    ]
    calls = []
    table = help_latencies(
      paths,
      order=self.order,
      progress_fn=lambda done, total: calls.append((done, total)),
    )
    np.testing.assert_array_equal(table.arrays["ops"], official_ops())
    for place, name in enumerate(("pixel_2_ms", "titan_rtx_1_ms")):
      np.testing.assert_allclose(
        table.arrays[name], cost(range(NUM), place), rtol=1e-6
      )
    self.assertEqual(calls, [(1, 2), (2, 2)])
    self.assertEqual(table.header["row_order"], "official")
    self.assertLen(table.header["files"], 2)

  @parameterized.named_parameters(
    ("dict", {"a": 1}, "a list"),
    ("short", [1.0, 2.0], "15,625 latencies, got 2"),
    ("text", ["1"] * NUM, "a latency to be a number"),
  )
  def test_help_of_another_form(self, content, part):
    """Oracle: each content lacks one property of the complete one."""
    path = self._help(content)
    self.assert_refused(
      lambda: help_latencies([path], order=self.order), path, part
    )

  def test_damaged_archives(self):
    """Oracle: the message names the file."""
    path = self._help([1.0] * NUM)
    content = path.read_bytes()
    for wrong in (b"", content[:1000], pickle.dumps([1.0])):
      path.write_bytes(wrong)
      self.assert_refused(
        lambda: help_latencies([path], order=self.order), path, "saved by"
      )

  def test_hostile_archive(self):
    """Oracle: the payload's file does not exist afterwards."""
    marker = self.directory / "marker"
    path = self._help([upstream.Hostile(marker)])
    self.assert_refused(
      lambda: help_latencies([path], order=self.order), path, "refused"
    )
    self.assertFalse(marker.exists())

  def test_one_device_twice(self):
    """Oracle: the message names the second file."""
    first = self._help(cost(range(NUM)).tolist(), "a-b.pt")
    second = self._help(cost(range(NUM)).tolist(), "a_b.pt")
    self.assert_refused(
      lambda: help_latencies([first, second], order=self.order),
      second,
      "a_b_ms twice",
    )

  @parameterized.parameters(True, False)
  def test_latbench(self, is_ordered):
    """Oracle: seconds of some cells, times 1,000, found by their cells."""
    ops = official_ops()
    measured = {tuple(map(int, ops[i])): cost(i) for i in range(9)}
    path = upstream.write_pickle(self.directory / "desktop-gpu.pkl", measured)
    table = latbench_pickles(
      [path], order=self.order if is_ordered else None, allow_missing=True
    )
    column = table.arrays["desktop_gpu_ms"]
    rows = {tuple(row): i for i, row in enumerate(table.arrays["ops"])}
    at = [rows[key] for key in measured]
    np.testing.assert_allclose(column[at], 1e3 * cost(range(9)), rtol=1e-6)
    self.assertEqual(np.isnan(column).sum(), NUM - 9)
    if is_ordered:
      self.assertEqual(at, list(range(9)))
    self.assert_refused(
      lambda: latbench_pickles([path]), path, "15,616 missing"
    )

  @parameterized.named_parameters(
    ("list", [1.0], "a dict"),
    ("cell", {(0, 0, 0, 0, 0, 5): 1.0}, "(0, 0, 0, 0, 0, 5)"),
    ("short", {(0, 0): 1.0}, "(0, 0)"),
    ("value", {(0,) * 6: None}, "a latency to be a number"),
  )
  def test_latbench_of_another_form(self, content, part):
    """Oracle: each content lacks one property of the complete one."""
    path = upstream.write_pickle(self.directory / "a.pkl", content)
    self.assert_refused(
      lambda: latbench_pickles([path], allow_missing=True), path, part
    )

  @data.needs_table(HELP_SAMPLE)
  def test_real_help(self):
    """Oracle: the column of the converted table that comes from it."""
    path = self.directory / "raspi4.pt"
    path.write_bytes(data.table_path(HELP_SAMPLE).read_bytes())
    table = help_latencies([path], order=data.table_path("nb201.npz"))
    ops, column = data.read_table("nb201_latency.npz", "ops", "raspi4_ms")
    np.testing.assert_array_equal(table.arrays["ops"], ops)
    np.testing.assert_array_equal(table.arrays["raspi4_ms"], column)

  @data.needs_table(LATBENCH_SAMPLE)
  def test_real_latbench(self):
    """Oracle: the column of the converted table that comes from it."""
    table = latbench_pickles(
      [data.table_path(LATBENCH_SAMPLE)],
      order=data.table_path("nb201.npz"),
      allow_missing=True,
    )
    got = table.arrays["eagle_desktop_cpu_first50_ms"]
    (column,) = data.read_table(
      "nb201_latency.npz", "desktop_cpu_i7_7820x_fp32_ms"
    )
    measured = ~np.isnan(got)
    self.assertEqual(measured.sum(), 50)
    np.testing.assert_array_equal(got[measured], column[measured])
