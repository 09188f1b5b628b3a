"""Loggers that come with rlseq: TensorBoard, Weights & Biases, MLflow and trackio.

Each goes on in the record that the run began: its id is in the run folder (`rlseq.train.records`).
"""

import importlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from rlseq.errors import missing_package
from rlseq.train import records

PROJECT = "rlseq"
_log = logging.getLogger("rlseq")


def require(extra: str, package: str) -> Any:
    """A package, imported. Raises InputError that names the extra it comes with."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise missing_package(f"the logger {extra!r}", package, extra) from error


class TensorBoard:
    """Event files in the run folder's `tensorboard/`."""

    package: ClassVar[str] = "tensorboardX"
    cuts_back: ClassVar[bool] = True  # readers leave out what an earlier file has after `start`

    def __init__(self, folder: Path, start: int, config: dict[str, Any]):
        module = require("tensorboard", self.package)
        self.writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=start)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar a name. Raises RuntimeError where the thread that writes has died."""
        self._check_alive()
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush the event file. Raises as `write`."""
        self._check_alive()
        self.writer.close()

    def _check_alive(self) -> None:
        """Else its queue would fill, and then block for ever."""
        events = getattr(self.writer.file_writer, "event_writer", None)
        worker = getattr(events, "_worker", None)
        if worker is not None and not worker.is_alive():
            raise RuntimeError("its thread has ended; is the disk full?")


class WeightsAndBiases:
    """A run of the project `rlseq`, or of WANDB_PROJECT; WANDB_MODE=offline keeps it in the folder.

    Its id was drawn when the run began: folders of one name are runs of their own.
    """

    package: ClassVar[str] = "wandb"

    def __init__(self, folder: Path, start: int, config: dict[str, Any]):
        module = require("wandb", self.package)
        record = records.find(folder, "wandb") or uuid4().hex[:16]
        self.run = module.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=record,
            name=folder.absolute().name,
            dir=str(folder),
            config=config,
            resume="allow",
        )
        records.keep(folder, "wandb", record)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """All values at once, at the next step where W&B has passed this one."""
        self.run.log(dict(values), step=max(step, self.run.step))  # it drops earlier ones

    def close(self) -> None:
        """Finish the upload."""
        self.run.finish()


class MLflow:
    """A run of the experiment `rlseq`, or of MLFLOW_EXPERIMENT_NAME.

    It goes to MLFLOW_TRACKING_URI, and without one to `mlflow.db` in the run folder, which
    `mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db` shows.
    """

    package: ClassVar[str] = "mlflow"

    def __init__(self, folder: Path, start: int, config: dict[str, Any]):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read as it is imported
        self.mlflow = require("mlflow", self.package)
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        place = folder.absolute()
        self.client = self.mlflow.MlflowClient(uri or f"sqlite:///{place / 'mlflow.db'}")
        record = records.find(folder, "mlflow")
        if record is None or not self._reopened(record):
            record = self._begun(place.name, None if uri else (place / "mlflow").as_uri(), config)
            records.keep(folder, "mlflow", record)
        self.record = record

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """All values in batches of what one request holds."""
        now, entities = int(time.time() * 1000), self.mlflow.entities
        batch = [entities.Metric(name, value, now, step) for name, value in values.items()]
        for first in range(0, len(batch), 1000):
            self.client.log_batch(self.record, metrics=batch[first : first + 1000])

    def close(self) -> None:
        """Mark the run as finished."""
        self.client.set_terminated(self.record)

    def _begun(self, name: str, artifacts: str | None, config: dict[str, Any]) -> str:
        """The id of a new run, with the configuration as its parameters."""
        named = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(named)
        experiment = (
            found.experiment_id if found else self.client.create_experiment(named, artifacts)
        )
        record = self.client.create_run(experiment, run_name=name).info.run_id
        params = [self.mlflow.entities.Param(*pair) for pair in _texts(config, "")]
        for first in range(0, len(params), 100):
            self.client.log_batch(record, params=params[first : first + 100])
        return record

    def _reopened(self, record: str) -> bool:
        """Whether the run is still there; it counts as running then."""
        try:
            self.client.update_run(record, status="RUNNING")
        except self.mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            _log.warning("mlflow has no run %s any more: a new one begins", record)
            return False
        return True


class Trackio:
    """A run of the project `rlseq` in trackio's own database, which `trackio show` shows.

    trackio's variables say where that is: TRACKIO_DIR, TRACKIO_SERVER_URL or TRACKIO_SPACE_ID.
    """

    package: ClassVar[str] = "trackio"

    def __init__(self, folder: Path, start: int, config: dict[str, Any]):
        module = require("trackio", self.package)
        # It finds runs by name, so that this must be one of its own.
        new = f"{folder.absolute().name}-{uuid4().hex[:8]}"
        record = records.find(folder, "trackio") or new
        self.run = module.init(PROJECT, record, config=config, resume="allow", embed=False)
        records.keep(folder, "trackio", record)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """All values at once."""
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        """Write what is waiting."""
        self.run.finish()


def _texts(node: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    """(dotted key, value) of a configuration, cut to what MLflow takes for a parameter."""
    found: list[tuple[str, str]] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        nested = isinstance(value, Mapping)
        found += _texts(value, f"{name}.") if nested else [(name, str(value)[:500])]
    return found
