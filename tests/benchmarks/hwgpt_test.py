"""Tests of nagjax.benchmarks.hwgpt."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import registry
from nagjax.benchmarks import hwgpt
from nagjax.problem import Problem
from tests import data

CHOICES = {
  "s": [[192, 384, 768], [10, 11, 12], [2, 3, 4], [4, 8, 12]],
  "m": [[256, 512, 1024], [22, 23, 24], [2, 3, 4], [8, 12, 16]],
  "l": [[320, 640, 1280], [34, 35, 36], [2, 3, 4], [8, 16, 20]],
}


def options_of(size, arch):
  """Width, biases or none, and (ratio, heads) of the layers that are there."""
  widths, depths, ratios, heads = CHOICES[size]
  num = depths[-1]
  layers = [
    (ratios[arch[3 + i]], heads[arch[3 + num + i]])
    for i in range(depths[arch[1]])
  ]
  return widths[arch[0]], arch[2] == 0, layers


def features(size, arch):
  """The predictor's input, number by number."""
  widths, depths, ratios, heads = CHOICES[size]
  width, has_bias, layers = options_of(size, arch)
  absent = [[0, 0, 0]] * (depths[-1] - len(layers))
  return np.concatenate(
    [
      [width == w for w in widths],
      [len(layers) == d for d in depths],
      *[[r == ratio for r in ratios] for ratio, _ in layers],
      *absent,
      *[[h == head for h in heads] for _, head in layers],
      *absent,
      [has_bias, not has_bias],
    ]
  ).astype(float)


def forward(arrays, size, x):
  """Five layers in NumPy and 64 bits."""
  for layer in range(1, 6):
    weight = arrays[f"{size}_fc{layer}_weight"].astype(float)
    x = weight @ x + arrays[f"{size}_fc{layer}_bias"]
    x = np.maximum(x, 0) if layer < 5 else x
  return x[0]


def shapes(size, arch):
  """Of every array of a model, with the tokens that a matrix multiplies."""
  width, has_bias, layers = options_of(size, arch)
  yield (50254, width), 0  # Looked up.
  for ratio, heads in layers:
    inner, attended = ratio * width, heads * 64
    for inputs, outputs in (
      *([(width, attended)] * 3),
      (attended, width),
      (width, inner),
      (inner, width),
    ):
      yield (inputs, outputs), 1024
      if has_bias:
        yield (outputs,), 0
    for _ in range(2):
      yield (width,), 0
      yield (width,), 0
    # Scores and weighted values of every pair of tokens.
    for _ in range(2):
      yield (0, attended), 1024
  yield (width,), 0
  yield (width,), 0
  yield (width, 50254), 1024


def counted(size, arch):
  """Parameters, and operations of a sequence."""
  params = operations = 0
  for shape, tokens in shapes(size, arch):
    params += np.prod(shape)
    inputs = shape[0] or 1024
    operations += 2 * tokens * inputs * shape[-1]
  return params, operations


def weights(size, seed=0, width=7):
  """A predictor with random weights."""
  rng = np.random.default_rng(seed)
  sizes = (8 + 6 * CHOICES[size][1][-1], *[width] * 4, 1)
  arrays = {f"{size}_choices": np.asarray(CHOICES[size])}
  for layer, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), 1):
    arrays[f"{size}_fc{layer}_weight"] = rng.normal(size=(b, a)).astype("f4")
    arrays[f"{size}_fc{layer}_bias"] = rng.normal(size=b).astype("f4")
  return arrays


class HwgptTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def write(self, size="s", **changes):
    arrays = {**weights(size), **changes}
    arrays = {name: a for name, a in arrays.items() if a is not None}
    np.savez(self.folder / "hwgpt_ppl_surrogate.npz", **arrays)
    return arrays

  def load(self, name="hwgpt/s"):
    return registry.make_benchmark(name, str(self.folder))

  @parameterized.parameters("s", "m", "l")
  def test_predictions_and_counts(self, size):
    """Oracle: NumPy forward pass in 64 bits; sizes of all arrays of a model,
    added up one by one."""
    arrays = self.write(size)
    benchmark = self.load(f"hwgpt/{size}")
    rng = np.random.default_rng(1)
    shape = (9, benchmark.space.num_variables)
    archs = rng.integers(0, benchmark.space.cardinalities, shape)
    with jax.numpy_dtype_promotion("strict"):
      found = jax.jit(lambda b, a: b.query(a))(
        benchmark, jnp.asarray(archs, jnp.int32)[None]
      )
    for i, arch in enumerate(archs.tolist()):
      params, operations = counted(size, arch)
      expected = {
        "negative_perplexity": -forward(arrays, size, features(size, arch)),
        "params_m": params / 1e6,
        "flops_g": operations / 1e9,
      }
      self.assertEqual(set(found), set(expected))
      for name, value in expected.items():
        np.testing.assert_allclose(found[name][0, i], value, rtol=2e-5)

  def test_what_is_not_there_does_not_count(self):
    """Oracle: the canonical form has the same answers and is charged once."""
    self.write()
    benchmark = self.load()
    rng = np.random.default_rng(0)
    archs = rng.integers(0, benchmark.space.cardinalities, (64, 27))
    archs = jnp.asarray(archs, jnp.int32)
    canonical = benchmark.space.canonicalize(archs)
    self.assertTrue(jnp.any(canonical != archs))
    for ask in (benchmark.query, benchmark.identities):
      jax.tree.map(np.testing.assert_array_equal, ask(archs), ask(canonical))
    self.assertIsNone(benchmark.num_rows)
    self.assertEqual(benchmark.report(archs), {})

  def test_names(self):
    """Oracle: the three sizes, once the file is there."""
    folder = str(self.folder)
    self.assertNotIn("hwgpt", " ".join(registry.benchmark_names(folder)))
    with self.assertRaisesRegex(FileNotFoundError, "hwgpt_ppl_surrogate.npz"):
      self.load()
    self.write()
    names = registry.benchmark_names(folder)
    self.assertContainsSubset([f"hwgpt/{size}" for size in "sml"], names)
    with self.assertRaisesRegex(ValueError, "s, m, l, got 'xl'"):
      self.load("hwgpt/xl")
    with self.assertRaisesRegex(ValueError, "no array m_fc1_weight"):
      self.load("hwgpt/m")

  @parameterized.named_parameters(
    ("choices", {"s_choices": np.ones((4, 3), int)}, "its choices are"),
    ("nan", {"s_fc3_bias": np.full(7, np.nan)}, "finite"),
    ("inputs", {"s_fc1_weight": np.ones((7, 81))}, "80"),
    ("chain", {"s_fc2_weight": np.ones((7, 8))}, "s_fc2_weight"),
    ("last", {"s_fc5_bias": np.ones(2)}, "s_fc5_bias"),
    ("none", {"s_fc4_bias": None}, "no array s_fc4_bias"),
  )
  def test_damaged_files(self, changes, part):
    """Oracle: the documented ValueError names the file."""
    self.write(**changes)
    with self.assertRaisesRegex(ValueError, part) as raised:
      self.load()
    self.assertIn("hwgpt_ppl_surrogate.npz", str(raised.exception))


class RealPredictorTest(parameterized.TestCase):
  @parameterized.parameters(
    ("s", 22.0, 41.8), ("m", 21.1, 35.6), ("l", 18.4, 29.5)
  )
  @data.needs_table("hwgpt_ppl_surrogate.npz")
  def test_perplexities(self, size, low, high):
    """Oracle: the range of random architectures that the documentation of the
    data states; perplexity falls with the width; NumPy forward pass."""
    benchmark = hwgpt.load_hwgpt(size, directory=data.table_path(""))
    rng = np.random.default_rng(0)
    shape = (2000, benchmark.space.num_variables)
    archs = rng.integers(0, benchmark.space.cardinalities, shape)
    question = Problem(benchmark, ("-params_m", "negative_perplexity"))
    answer = question.evaluate(jnp.asarray(archs, jnp.int32))
    perplexity = -np.asarray(answer.objectives[:, 1])
    self.assertBetween(perplexity.min(), low - 0.3, low + 1.5)
    self.assertBetween(perplexity.max(), high - 1.5, high + 0.3)
    by_width = [perplexity[archs[:, 0] == k].mean() for k in range(3)]
    self.assertEqual(by_width, sorted(by_width, reverse=True))
    names = [
      f"{size}_fc{i}_{k}" for i in range(1, 6) for k in ("weight", "bias")
    ]
    file = data.read_table("hwgpt_ppl_surrogate.npz", *names)
    arrays = dict(zip(names, file, strict=True))
    for i in range(5):
      expected = forward(arrays, size, features(size, archs[i].tolist()))
      np.testing.assert_allclose(perplexity[i], expected, rtol=1e-5)


if __name__ == "__main__":
  absltest.main()
