"""Tests of nagjax.generation.resumable, with a training that adds up."""

import csv
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from nagjax.generation import resumable

NUM_CHUNKS = 4


class Killed(Exception):
  """Takes the place of a signal."""


def train(directory, *, kill_after=None, diverge_in=None, **changes):
  def advance(chunk, state):
    noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), chunk))
    loss = jnp.where(chunk == diverge_in, jnp.nan, 0.5 + chunk)
    return {"x": state["x"] + noise}, {"loss": loss, "share": chunk / 8}

  def on_progress(done, num_chunks, measures):
    assert num_chunks == NUM_CHUNKS
    if measures:
      assert measures["share"] == (done - 1) / 8, measures
    if measures and done == kill_after:
      raise Killed

  return resumable.run(
    lambda: {"x": jnp.zeros(3)},
    advance,
    NUM_CHUNKS,
    measures=("loss", "share"),
    chunk_size=10,
    settings={"seed": 0, "sizes": (1, 2), **changes},
    directory=directory,
    on_progress=on_progress,
  )


class ResumableTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
      self.enter_context(tempfile.TemporaryDirectory())
    )

  def test_killed_it_continues_to_the_same_bits(self):
    """Oracle: the training that nobody disturbed and nobody saved."""
    whole = train(None)
    for kill_after in (1, 3, NUM_CHUNKS):
      with self.assertRaises(Killed):
        train(self.folder / "deep" / "w", kill_after=kill_after)
    saved = train(self.folder / "deep" / "w")
    jax.tree.map(np.testing.assert_array_equal, saved, whole)
    self.assertEqual(int(saved.num_chunks), NUM_CHUNKS)

  def test_metrics_are_written_from_the_state(self):
    """Oracle: by hand; a kill between the two files loses no row."""
    train(self.folder)
    path = self.folder / resumable.METRICS
    for _ in range(2):
      with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
      self.assertEqual(rows[0], ["step", "loss", "share"])
      expected = [[10 * (c + 1), 0.5 + c, c / 8] for c in range(NUM_CHUNKS)]
      np.testing.assert_array_equal(np.float64(rows[1:]), expected)
      path.unlink()
      train(self.folder)

  def test_other_settings_are_refused(self):
    """Oracle: the documented ValueError names the file."""
    train(self.folder)
    with self.assertRaisesRegex(ValueError, "state.npz is of other settings"):
      train(self.folder, seed=1)

  def test_a_damaged_state_is_refused(self):
    """Oracle: the documented ValueError names the file."""
    train(self.folder)
    path = self.folder / resumable.STATE
    path.write_bytes(path.read_bytes()[:200])
    with self.assertRaisesRegex(ValueError, "state.npz"):
      train(self.folder)

  def test_divergence(self):
    """Oracle: the documented error; the state before it stays."""
    with self.assertRaisesRegex(FloatingPointError, "chunk 3 of 4.*nan"):
      train(self.folder, diverge_in=2)
    self.assertEqual(int(train(self.folder).num_chunks), NUM_CHUNKS)


if __name__ == "__main__":
  absltest.main()
