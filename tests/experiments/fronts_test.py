"""Tests of what `experiments.search` says of several objectives."""

import json

from absl.testing import absltest
import numpy as np
import pytest

from experiments.support import fronts
from nagjax import files
from nagjax import statistics
from nagjax.benchmarks import synthetic
from nagjax.problem import Problem
from nagjax.spaces import nasbench201
from tests.experiments.runs import FILES
from tests.experiments.runs import BinaryCase
from tests.experiments.runs import arrays_of
from tests.experiments.runs import params_m
from tests.experiments.runs import run
from tests.experiments.runs import summary_of
from tests.experiments.runs import valid_accuracy

ASKED = (
  *("--algorithm=random", "--budget=40"),
  *("--objective=valid_accuracy", "--objective=-params_m"),
)


def by_hand(archs):
  """Both objectives of cells, by the closed form."""
  return np.asarray([[valid_accuracy(a), -params_m(a)] for a in archs])


def exact_front():
  """The distinct points of the table that nothing dominates, and the worst."""
  archs = nasbench201.nasbench201().all_architectures()
  points = np.unique(by_hand(archs.tolist()).round(6), axis=0)
  kept = [
    not ((points >= p).all(axis=1) & (points > p).any(axis=1)).any()
    for p in points
  ]
  return points[kept], points.min(axis=0)


class FrontsTest(BinaryCase):
  def _run(self, *flags, name="results", num_seeds=4):
    workdir = self.directory / name
    outcome = run(
      *ASKED, f"--num_seeds={num_seeds}", f"--workdir={workdir}", *flags
    )
    return workdir, self.assert_succeeds(outcome)

  @pytest.mark.slow
  def test_measures(self):
    """Oracle: the closed form of the table, its front by brute force, and the
    measures of `statistics` query by query."""
    workdir, out = self._run()
    written = sorted(path.name for path in workdir.iterdir())
    self.assertEqual(written, sorted((*FILES, "front.csv", "front.png")))
    self.assertEqual((workdir / "front.png").read_bytes()[1:4], b"PNG")
    front, worst = exact_front()
    (summary,) = summary_of(workdir)
    trace = arrays_of(workdir)
    self.assertEqual(summary["front_size"], len(front))
    np.testing.assert_allclose(summary["reference"], worst * [1, -1], rtol=1e-5)
    np.testing.assert_allclose(
      np.unique(trace["front"], axis=0),
      np.unique(front * [1, -1], axis=0),
      rtol=1e-5,
    )
    self.assertEqual(trace["hypervolume"].shape, (4, 40))
    whole = statistics.hypervolume(front, worst)
    span = np.ptp(front, axis=0)
    for seed in range(4):
      found = by_hand(trace["archs"][seed][trace["paid"][seed]].tolist())
      for queries in (1, 7, 40):
        share = statistics.hypervolume(found[:queries], worst) / whole
        self.assertAlmostEqual(
          trace["hypervolume"][seed, queries - 1], share, places=4
        )
      short = np.maximum(front[:, None] - found[None], 0) / span
      distance = np.linalg.norm(short, axis=-1).min(axis=1).mean()
      self.assertAlmostEqual(trace["igd_plus"][seed, -1], distance, places=4)
    mean = trace["hypervolume"][:, -1].mean()
    self.assertAlmostEqual(summary["hypervolume_mean"], mean)
    self.assertAlmostEqual(summary["hypervolume_at"]["40"], mean)
    self.assertTrue(summary["hypervolume_is_share"])
    self.assertIn(f"({len(front)} points)", out)
    self.assertIn(f"{mean:.3%}", out)

  @pytest.mark.slow
  def test_the_front_file_is_a_warm_start(self):
    """Oracle: what nothing else of the trace dominates, by the closed form; a
    search that begins with it has evaluated it first."""
    workdir, _ = self._run()
    names, rows = files.read_csv(workdir / "front.csv")
    self.assertEqual(names[1:3], ["valid_accuracy", "params_m"])
    trace = arrays_of(workdir)
    points = by_hand(trace["archs"][trace["paid"]].tolist())
    best = np.unique(points[statistics.pareto_front(points.round(6))], axis=0)
    listed = [[float(r["valid_accuracy"]), -float(r["params_m"])] for r in rows]
    np.testing.assert_allclose(np.unique(listed, axis=0), best, rtol=1e-5)
    other, _ = self._run(
      f"--warm_start={workdir / 'front.csv'}", name="other", num_seeds=1
    )
    begun = arrays_of(other)["hypervolume"][0, len(rows) - 1]
    self.assertAlmostEqual(begun, self._share(points), places=4)

  def _share(self, points):
    front, worst = exact_front()
    whole = statistics.hypervolume(front, worst)
    return statistics.hypervolume(points, worst) / whole

  @pytest.mark.slow
  def test_merged_runs_and_a_reference_of_ones_own(self):
    """Oracle: the run of all seeds, measured from the same point; runs that
    were measured from different points do not go together."""
    point = "--reference=60,2.0"
    whole, _ = self._run(point)
    parts = [
      self._run(
        point, f"--seed_start={start}", name=f"part{start}", num_seeds=2
      )
      for start in (0, 2)
    ]
    merged = self.directory / "merged"
    names = [f"--merge={workdir}" for workdir, _ in parts]
    self.assert_succeeds(run(*names, f"--workdir={merged}"))
    (ours,), (theirs,) = summary_of(merged), summary_of(whole)
    for key in ("reference", "given_reference"):
      self.assertEqual(ours[key], [60.0, 2.0])
    self.assertEqual(ours["hypervolume_mean"], theirs["hypervolume_mean"])
    path = parts[0][0] / "summary.json"
    changed = json.loads(path.read_text())
    changed[0]["given_reference"] = None
    path.write_text(json.dumps(changed))
    outcome = run(*names, f"--workdir={self.directory / 'no'}")
    self.assert_refused(outcome, "differ in given_reference")

  def test_a_front_under_limits(self):
    """Oracle: a limit at the cost of the dearest point leaves the others."""
    front, _ = exact_front()
    problem = Problem(
      synthetic.synthetic(),
      ("valid_accuracy", "-params_m"),
      ("params_m<=0.75",),
    )
    found = problem.front()
    kept = front[front[:, 1] >= -0.75]
    np.testing.assert_allclose(
      np.unique(found.objectives, axis=0), np.unique(kept, axis=0), rtol=1e-5
    )
    self.assertAlmostEqual(found.worst[1], -0.74, places=2)
    archs = by_hand(found.archs.tolist())
    np.testing.assert_allclose(archs, found.objectives, rtol=1e-5)

  def test_signs(self):
    """Oracle: the names of the objectives."""
    problem = Problem(synthetic.synthetic(), ("-params_m", "valid_accuracy"))
    self.assertEqual(fronts.signs(problem).tolist(), [-1.0, 1.0])


if __name__ == "__main__":
  absltest.main()
