"""Tests of nagjax.convert.nasbench101_hash: hashes of upstream's files."""

import json

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax.benchmarks import nasbench101 as table
from nagjax.convert.nasbench101_hash import module_hash
from nagjax.spaces import nasbench101
from tests import data

RECORDS = "samples/reconstructed_nasbench_only108_30archs.jsonl"


class ModuleHashTest(parameterized.TestCase):
  @parameterized.parameters(
    (
      "0101000001110000010000000001000001000000010000000:input,conv3x3-bn-relu,"
      "conv1x1-bn-relu,conv1x1-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output",
      "ff92c322c5d9d3d587d9c146a63d0807",
    ),
  )
  def test_a_published_record(self, string, expected):
    """Oracle: the hash of one record of upstream's file."""
    self.assertEqual(module_hash(nasbench101.from_string(string)), expected)

  def test_isomorphic_cells_have_one_hash(self):
    """Oracle: by hand; two parallel operations in both orders, and others."""
    matrix = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    pair = ["conv3x3-bn-relu", "maxpool3x3"]
    one, other, double = (
      module_hash(nasbench101.from_matrix(matrix, ["input", *inner, "output"]))
      for inner in (pair, pair[::-1], pair[:1] * 2)
    )
    self.assertEqual(one, other)
    self.assertNotEqual(one, double)

  def test_a_vector_that_is_no_cell_has_no_hash(self):
    """Oracle: the documented ValueError."""
    with self.assertRaises(ValueError):
      module_hash([0] * 26)

  @data.needs_table(RECORDS)
  def test_hashes_of_records(self):
    """Oracle: the hash of 30 real records."""
    for line in data.table_path(RECORDS).read_text().splitlines():
      expected, _, bits, names, _ = json.loads(line)
      arch = nasbench101.from_string(f"{bits}:{names}")
      self.assertEqual(module_hash(arch), expected)

  @data.needs_table("nb101.npz")
  def test_hashes_of_the_table(self):
    """Oracle: the `hash` column, 1,000 random rows."""
    columns = data.read_table(
      "nb101.npz", "n_vertices", "adj_bits", "ops", "hash"
    )
    rows = np.random.default_rng(0).choice(len(columns[0]), 1000, replace=False)
    *graph, hashes = (column[rows] for column in columns)
    for arch, expected in zip(table.vectors(*graph), hashes, strict=True):
      self.assertEqual(module_hash(arch), bytes(expected).hex())


if __name__ == "__main__":
  absltest.main()
