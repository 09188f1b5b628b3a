"""Log files survive torn lines and are cut back exactly; extras get the same numbers."""

import json
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.errors import InputError
from rlseq.train import extras, logging, records, trackers

ROWS = [
    {"step": 10 * (i // 2 + 1), "seed": i % 2, "seconds": 0.1 * i, "é\n": None} for i in range(8)
]


@given(cut=st.integers(0, 10_000), step=st.sampled_from([0, 10, 15, 30, 100]))
@settings(max_examples=60, deadline=None)
def test_a_torn_file_is_cut_back_to_whole_rows(tmp_path_factory, cut, step):
    folder = tmp_path_factory.mktemp("logs")
    path = folder / logging.METRICS
    logging.append(path, ROWS)
    data = path.read_bytes()
    torn = data[: cut % (len(data) + 1)]
    path.write_bytes(torn)
    logging.truncate_after(folder, step)
    expected = [row for row in ROWS[: torn.count(b"\n")] if row["step"] <= step]
    assert logging.read(path) == expected
    logging.append(path, ROWS[-1:])
    assert logging.read(path) == [*expected, ROWS[-1]]


def test_numbers_that_json_lacks_become_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    logging.append(path, [{"step": 1, "a": float("nan"), "b": float("inf"), "c": 2.0}])
    assert json.loads(path.read_text()) == {"step": 1, "a": None, "b": None, "c": 2.0}


class Memory:
    def __init__(self):
        self.seen = []

    def write(self, step, values):
        self.seen.append((step, dict(values)))

    def close(self):
        self.seen.append("closed")


def test_extras_get_the_finite_values_of_every_seed(tmp_path):
    memory = Memory()
    logs = logging.Logs(tmp_path, [memory])
    logs.metrics([{"step": 4, "seed": 3, "return": 0.5, "kl": float("nan")}])
    logs.metrics([{"step": 8, "seed": s, "return": float(s)} for s in (0, 1)])
    logs.episodes([{"step": 8, "seed": 0, "slot": 0, "episode": 0, "return": 2.0, "length": 4}])
    logs.close()
    assert memory.seen == [
        (4, {"return": 0.5}),
        (8, {"seed0/return": 0.0, "seed1/return": 1.0}),
        (8, {"eval/return": 2.0, "eval/length": 4.0}),
        "closed",
    ]


class CutsBack(Memory):
    cuts_back = True


def test_loggers_get_each_row_once_but_for_those_that_cut_back(tmp_path):
    """Whatever kills come while a run catches up with what it has logged."""
    memory, all_of_it = Memory(), CutsBack()
    rows = [{"step": step, "seed": 0, "seconds": 1.0} for step in (1, 2, 3, 4)]
    for first, last in ((0, 3), (1, 2), (1, 4)):  # rows from a checkpoint to a kill
        logged = records.last_logged(tmp_path)
        logging.truncate_after(tmp_path, first)
        logs = logging.Logs(tmp_path, [memory, all_of_it], logged)
        for row in rows[first:last]:
            logs.metrics([row])
    assert [step for step, _ in memory.seen] == [1, 2, 3, 4]
    assert [step for step, _ in all_of_it.seen] == [1, 2, 3, 2, 2, 3, 4]


def test_what_is_remembered_of_loggers_stays(tmp_path):
    records.keep(tmp_path, "one", "a")
    logging.append(tmp_path / logging.METRICS, [{"step": 4, "seed": 0, "seconds": 1.0}])
    assert records.last_logged(tmp_path) == 4
    records.keep(tmp_path, "two", "b")
    assert [records.find(tmp_path, name) for name in ("one", "two", "three")] == ["a", "b", None]
    (tmp_path / logging.METRICS).unlink()
    assert records.last_logged(tmp_path) == 4
    for damaged in ("{", "[]", '{"one": 1}', '{"logged": "4"}'):
        (tmp_path / records.FILE).write_text(damaged)
        with pytest.raises(InputError, match=r"trackers\.json is damaged: remove it"):
            records.find(tmp_path, "one")


class Failing(Memory):
    def write(self, step, values):
        raise ConnectionError("no network\nand more")


def test_a_logger_that_fails_is_left_out_and_the_others_go_on(tmp_path, caplog):
    failing, memory = Failing(), Memory()
    logs = logging.Logs(tmp_path, [failing, memory])
    rows = [{"step": 4, "seed": 3, "seconds": 0.5}, {"step": 8, "seed": 3, "seconds": 1.0}]
    for row in rows:
        logs.metrics([row])
    logs.close()
    assert logging.read(tmp_path / logging.METRICS) == rows
    assert [step for step, _ in memory.seen[:-1]] == [4, 8]
    assert caplog.text.count("the logger Failing failed and gets no more rows: no network") == 1
    assert not failing.seen


def test_a_logger_that_cannot_start_is_said_before_training(tmp_path, monkeypatch):
    fake = types.ModuleType("wandb")
    fake.init = lambda **_: (_ for _ in ()).throw(RuntimeError("log in"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with pytest.raises(InputError, match="the logger 'wandb' cannot start: log in"):
        extras.make_extras(["wandb"], tmp_path, 0, {})


def test_tensorboard_whose_thread_has_ended_fails_and_does_not_block(tmp_path):
    (extra,) = extras.make_extras(["tensorboard"], tmp_path, 0, {})
    assert isinstance(extra, trackers.TensorBoard)
    worker = extra.writer.file_writer.event_writer._worker
    worker.stop()
    worker.join()
    with pytest.raises(RuntimeError, match="its thread has ended"):
        extra.write(1, {"return": 0.5})


def test_tensorboard_writes_event_files(tmp_path):
    (extra,) = extras.make_extras(["tensorboard"], tmp_path, 0, {})
    extra.write(1, {"return": 0.5})
    extra.close()
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_wandb_gets_the_same_dictionary(tmp_path, monkeypatch):
    memory = []
    run = types.SimpleNamespace(
        log=lambda values, step: memory.append((step, values)),
        finish=lambda: memory.append("end"),
        step=2,
    )
    fake = types.ModuleType("wandb")
    fake.init = lambda **options: memory.append((options["id"], options["name"])) or run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    (extra,) = extras.make_extras(["wandb"], tmp_path, 0, {"seed": 1})
    record = records.find(tmp_path, "wandb")
    extra.write(3, {"return": 0.5})
    extra.close()
    run.step = 4  # as after resuming, when it has the step already
    (extra,) = extras.make_extras(["wandb"], tmp_path, 3, {"seed": 1})
    extra.write(3, {"eval/return": 1.0})
    begun = (record, tmp_path.name)
    assert memory == [begun, (3, {"return": 0.5}), "end", begun, (4, {"eval/return": 1.0})]


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"pip install 'rlseq\[wandb\]'"):
        extras.check_loggers(["wandb"])
    with pytest.raises(InputError, match="Did you mean 'tensorboard'"):
        extras.check_loggers(["tensorbord"])
