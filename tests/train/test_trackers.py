"""Trackers of others in their local modes: a resumed run goes on in its record, each row once.

Their packages are heavy and no part of the extra `test`: .ci/run has a step for them.
"""

import importlib
import json
import os
import struct
import time

import pytest

from rlseq.train import extras, logging, loop, records
from tests.train.fake_job import make_folder, make_job

CHUNK = 64  # environment steps of a chunk of the fake job
ROWS = {f"seed{seed}/{name}" for seed in (5, 6) for name in ("return", "seconds", "loss/policy")}
SAME = {"env": {"id": "fake:Env"}}  # of the configuration
BLOCK, FULL, LAST = 32_768, 1, 4  # of LevelDB's log: size of a block, kinds of record
LOCAL = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # between these packages


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory):
    """No network; trackio reads its folder once, as it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB", "MLFLOW"))]:
            patch.delenv(name)
        for name, value in LOCAL.items():
            patch.setenv(name, value)
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield


def in_mlflow(folder):
    """[(id of the record, {name: {step: value, ...}})] of everything in the run's database."""
    client = importlib.import_module("mlflow").MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found = []
    for run in client.search_runs([one.experiment_id for one in client.search_experiments()]):
        assert run.info.status == "FINISHED" and run.info.run_name == folder.name
        assert run.data.params["env.id"] == "fake:Env" and run.data.params["seeds"] == "2"
        histories = {
            name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics
        }
        found.append((run.info.run_id, _by_step(histories)))
    return found


def _by_step(histories):
    for name, history in histories.items():
        assert len({one.step for one in history}) == len(history), name
    return {name: {one.step: one.value for one in history} for name, history in histories.items()}


def in_trackio(folder):
    trackio = importlib.import_module("trackio")
    storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
    found = []
    for run in trackio.Api().runs("rlseq"):
        if run.name.startswith(f"{folder.name}-"):
            assert run.config["env"]["id"] == "fake:Env"
            found.append((run.name, _by_name(storage.get_logs("rlseq", run.name, run_id=run.id))))
    return found


def _by_name(rows):
    """Rows with a `step` each -> {name: {step: value}}; no value is there twice."""
    found = {}
    for row in rows:
        for name in row.keys() & (ROWS | {"seed5/eval/return", "seed6/eval/return"}):
            assert row["step"] not in found.setdefault(name, {})
            found[name][row["step"]] = row[name]
    return found


def in_wandb(folder):
    """Offline a resumed run writes another file of the same id, and both are synchronised."""
    files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    ids = {file.stem.removeprefix("run-") for file in files}
    rows = [row for file in files for row in _history(file)]
    return [(record, _by_name(rows)) for record in ids]


def _history(file, patience=60.0):
    """The logged rows of W&B's file, whose process may still write when `finish` has returned."""
    message = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    found = [message.FromString(data) for data in _leveldb(file.read_bytes())]
    if not any(record.HasField("exit") for record in found):
        assert patience > 0
        time.sleep(0.5)
        return _history(file, patience - 0.5)
    rows = [
        {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.HasField("history")
    ]
    return [row | {"step": row["_step"]} for row in rows]


def _leveldb(data):
    """The records of a file in LevelDB's log format, behind a header of seven bytes."""
    place, parts = 7, []
    while place + 7 <= len(data):
        room = BLOCK - place % BLOCK
        if room < 7:  # no record begins there
            place += room
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        parts.append(data[place + 7 : place + 7 + size])
        place += 7 + size
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


READERS = {"mlflow": in_mlflow, "trackio": in_trackio, "wandb": in_wandb}


@pytest.fixture(params=READERS)
def tracker(request):
    return needed(request.param)


def needed(name):
    pytest.importorskip(name, reason=f"needs the extra {name}", exc_type=ImportError)
    return name


class Killed(BaseException):
    """No exception that anything would catch."""


def kill_after(monkeypatch, chunks):
    """The process ends once so many chunks are logged, before they are saved."""
    written, plain = [], logging.Logs.metrics

    def counting(self, rows):
        plain(self, rows)
        written.append(rows)
        if len(written) == chunks:
            raise Killed

    monkeypatch.setattr(logging.Logs, "metrics", counting)


def test_a_killed_run_goes_on_in_its_record(tracker, tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "own")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 3)
        loop.drive(make_job(6, loggers=[tracker]), folder)
    [(begun, values)] = READERS[tracker](folder)
    assert values.keys() >= ROWS and begun == records.find(folder, tracker)
    assert list(values["seed5/return"]) == [CHUNK, 2 * CHUNK, 3 * CHUNK]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 1)  # before it is where it was
        loop.drive(make_job(6, loggers=[tracker]), folder)
    loop.drive(make_job(6, loggers=[tracker]), folder)
    [(record, values)] = READERS[tracker](folder)
    assert record == begun
    rows = [row for row in logging.read(folder / logging.METRICS) if row["seed"] == 6]
    assert [row["step"] for row in rows] == [CHUNK * n for n in range(1, 7)]
    assert values["seed6/return"] == {row["step"]: row["return"] for row in rows}
    assert values["seed5/seconds"].keys() == values["seed6/return"].keys()
    evaluation_is_added(tracker, folder)


def evaluation_is_added(tracker, folder):
    """By another process than the one that logged the last step."""
    one = {"step": 6 * CHUNK, "slot": 0, "episode": 0, "length": 3}
    logs = logging.Logs(folder, extras.make_extras([tracker], folder, 6 * CHUNK, SAME), 6 * CHUNK)
    logs.episodes([one | {"seed": 5, "return": 0.5}, one | {"seed": 6, "return": -1.5}])
    logs.close()
    [(_, values)] = READERS[tracker](folder)
    found = [list(values[f"seed{seed}/eval/return"].values()) for seed in (5, 6)]
    assert found == [[0.5], [-1.5]]


@pytest.mark.parametrize("name", ["trackio", "wandb"])  # MLflow draws its own
def test_folders_of_one_name_have_records_of_their_own(name, tmp_path):
    tracker = needed(name)
    folders = [make_folder(tmp_path / place / "same") for place in ("a", "b")]
    for folder in folders:
        loop.drive(make_job(1, loggers=[tracker]), folder)
    assert len({records.find(folder, tracker) for folder in folders}) == 2


def test_a_record_that_mlflow_has_no_more_begins_anew(tmp_path, caplog):
    needed("mlflow")
    folder = make_folder(tmp_path / "own")
    records.keep(folder, "mlflow", "0" * 32)
    loop.drive(make_job(1, loggers=["mlflow"]), folder)
    assert "mlflow has no run 000" in caplog.text
    [(record, _)] = in_mlflow(folder)
    assert record == records.find(folder, "mlflow") != "0" * 32
