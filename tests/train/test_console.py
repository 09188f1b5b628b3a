"""What a run says of its progress."""

import math

from rlseq.train import build, loop
from rlseq.train.console import Reporter
from tests.train.fake_job import make_folder, make_job


def test_the_time_left_counts_every_seed(capsys):
    Reporter(1000, seeds=2).progress(400, 100.0, math.nan)
    assert "step 400 of 1,000  100 steps/s  eta 0:12  return -" in capsys.readouterr().out


def test_a_resumed_run_that_passes_its_total_says_where_it_ends(tmp_path, capsys):
    folder = make_folder(tmp_path / "run")
    loop.drive(make_job(3), folder)
    longer = make_job(1, quiet=False)._replace(schedule=build.Schedule(32, chunk=5, chunks=2))
    loop.drive(longer, folder)
    assert "step 352 of 352" in capsys.readouterr().out
    assert longer.schedule.steps == 320
