"""Tests of nagjax.generation.pretrained, and of the weights that ship."""

import importlib.resources
import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np

from nagjax import generation
from nagjax import registry
from nagjax.generation import pretrained
from nagjax.generation import retraining

SPACES = ("darts", "nasbench101", "nasbench201", "nasbench_nlp")
SHIPPED = sorted(
  path.name.removeprefix("agnet_").removesuffix(".npz")
  for path in (
    importlib.resources.files("nagjax.generation") / "data"
  ).iterdir()
  if path.name.startswith("agnet_")
)
EDGES = {(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7)}
EDGES |= {(6, 7)}
"""Of every graph of NAS-Bench-201, as AG-Net writes them."""


def numbered(space):
  """Weights that all differ."""
  layout = space.layout
  init = retraining.make_generator(layout).init
  keys = jax.random.split(jax.random.key(0), layout.num_graphs)
  leaves, structure = jax.tree.flatten(jax.eval_shape(jax.vmap(init), keys))
  arrays = [
    jnp.arange(leaf.size, dtype=jnp.float32).reshape(leaf.shape) + place
    for place, leaf in enumerate(leaves)
  ]
  return jax.tree.unflatten(structure, arrays)


class FileTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    )
    self.space = registry.make_space("nasbench201")
    self.path = self.directory / "agnet_nasbench201.npz"
    self.saved = pretrained.Pretrained(numbered(self.space), {"seed": 7})

  def change(self, **changes):
    """Saves, and then replaces arrays; None removes one."""
    pretrained.save(self.path, self.space, self.saved)
    with np.load(self.path, allow_pickle=False) as file:
      arrays = {**file, **changes}
    kept = {k: v for k, v in arrays.items() if v is not None}
    np.savez(self.path, **kept)

  @parameterized.parameters(*SPACES)
  def test_round_trip(self, name):
    """Oracle: what was saved; every graph of an architecture has its own."""
    space = registry.make_space(name)
    params = numbered(space)
    pretrained.save(self.path, space, pretrained.Pretrained(params, {"a": 1}))
    found = pretrained.load(self.path, space)
    chex.assert_trees_all_equal(found.params, params)
    self.assertEqual(found.notes, {"a": 1})
    with np.load(self.path, allow_pickle=False) as file:
      first = file["types.0.weight"]
      header = json.loads(str(file["header"]))
    self.assertEqual(
      first.shape, (space.layout.num_graphs, len(space.layout.labels), 32)
    )
    self.assertEqual(first.dtype, np.float32)
    np.testing.assert_array_equal(first, params.types[0].weight)
    self.assertEqual(header["space"], name)
    self.assertEqual(header["labels"], list(space.layout.labels))

  def test_the_user_s_file_wins(self):
    """Oracle: the files themselves; the command that makes a missing one."""
    shipped = generation.load_pretrained(self.space, self.directory)
    self.assertNotEqual(shipped.notes, self.saved.notes)
    pretrained.save(self.path, self.space, self.saved)
    found = generation.load_pretrained(self.space, self.directory)
    self.assertEqual(found.notes, self.saved.notes)
    for directory, expected in (
      (None, shipped),
      (self.directory, self.saved),
    ):
      params = generation.load_pretrained(self.space, directory).params
      chex.assert_trees_all_equal(params, expected.params)

  def test_no_file(self):
    """Oracle: one line with the exact command."""
    absent = [name for name in SPACES if name not in SHIPPED]
    for name in absent:
      space = registry.make_space(name)
      with self.assertRaises(FileNotFoundError) as raised:
        generation.load_pretrained(space, self.directory)
      self.assertIn(
        f"python -m experiments.train_generator --space={name} "
        f"--output={self.directory / f'agnet_{name}.npz'}",
        str(raised.exception),
      )

  @parameterized.named_parameters(
    ("no_header", {"header": None}, "header"),
    ("kind", {"header": np.asarray('{"kind": "x"}')}, "got the kind 'x'"),
    ("json", {"header": np.asarray("{")}, "train_generator"),
    ("missing", {"first.1.bias": None}, "first.1.bias"),
    ("too_much", {"extra": np.zeros(2)}, "extra"),
    ("shape", {"first.1.bias": np.zeros((1, 31))}, r"\[1, 32\].*\[1, 31\]"),
    (
      "nan",
      {"first.1.bias": np.full((1, 32), np.nan, np.float32)},
      "not finite",
    ),
    ("text", {"first.1.bias": np.full((1, 32), "a")}, "agnet_nasbench201"),
  )
  def test_a_changed_file(self, changes, message):
    """Oracle: the array at fault, named in one line with the file."""
    self.change(**changes)
    with self.assertRaisesRegex(ValueError, message) as raised:
      generation.load_pretrained(self.space, self.directory)
    self.assertIn(str(self.path), str(raised.exception))
    self.assertNotIn("\n", str(raised.exception))

  def test_another_space(self):
    """Oracle: both names, when reading and when writing."""
    pretrained.save(self.path, self.space, self.saved)
    other = registry.make_space("nasbench101")
    with self.assertRaisesRegex(ValueError, "'nasbench201', not 'nasbench101'"):
      pretrained.load(self.path, other)
    path = self.directory / "other.npz"
    with self.assertRaisesRegex(ValueError, "generator of nasbench101"):
      pretrained.save(path, other, self.saved)
    self.assertFalse(path.exists())


class ShippedTest(parameterized.TestCase):
  def test_what_ships(self):
    """Oracle: the issue: weights of NAS-Bench-201 come with the package."""
    self.assertContainsSubset(["nasbench201"], SHIPPED)
    self.assertContainsSubset(SHIPPED, SPACES)

  @parameterized.parameters(*((name,) for name in SHIPPED))
  def test_notes(self, name):
    """Oracle: what the header must tell."""
    notes = generation.load_pretrained(registry.make_space(name)).notes
    for key in ("instances", "seed", "versions", "novelty", "history"):
      self.assertIn(key, notes)
    for key in ("validity", "uniqueness"):
      self.assertBetween(notes[key], 0.0, 1.0)

  def test_nasbench201(self):
    """Oracle: the fixed graph, node by node, against the recorded share."""
    space = registry.make_space("nasbench201")
    params, notes = generation.load_pretrained(space)
    network = retraining.make_generator(space.layout)
    rng = np.random.default_rng(0)
    num = 1000
    z = jnp.asarray(rng.normal(size=(num, 1, 32)), jnp.float32)
    scores = jax.jit(lambda params, z: retraining.generate(network, params, z))(
      params, z
    )
    written = generation.choose(
      scores,
      jnp.asarray(rng.gumbel(size=scores.nodes.shape)),
      jnp.asarray(rng.logistic(size=scores.edges.shape)),
    )
    ends = [(source, end) for end in range(8) for source in range(end)]
    expected = np.asarray([pair in EDGES for pair in ends])
    labels = np.asarray(written.labels)[:, 0]
    valid = (np.asarray(written.edges)[:, 0] == expected).all(-1)
    valid &= (labels[:, 0] == 1) & (labels[:, -1] == 0)
    valid &= (labels[:, 1:-1] > 1).all(-1)
    bound = 5 * np.sqrt(notes["validity"] * (1 - notes["validity"]) / num)
    self.assertAlmostEqual(valid.mean(), notes["validity"], delta=bound + 2e-3)
    # Uniform targets: every operation equally often, within five deviations.
    shares = [np.mean(labels[valid, 1:-1] == kind) for kind in range(2, 7)]
    np.testing.assert_allclose(
      shares, 0.2, atol=5 * np.sqrt(0.16 / (6 * num)) + 0.01
    )


if __name__ == "__main__":
  absltest.main()
