"""Model folders to and from the Hugging Face Hub, or what `HF_ENDPOINT` names in its place."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlseq.errors import HubError, InputError, missing_package
from rlseq.train import files, models

_REPO = "model"


def push(
    folder: Path, repo: str, *, private: bool = False, message: str = "Add a policy of rlseq"
) -> str:
    """Upload a model folder in one commit, to a repository that is made if it is missing; its URL.

    Only the files that `rlseq export --to` writes are sent.

    Raises InputError without the package or a token, for a folder that is no whole model and for a
    name that cannot be one, HubError for what the server refuses or where it is out of reach.
    """
    hub = _require()
    _check_model(folder)
    _check_name(hub, repo)
    if hub.get_token() is None:
        raise InputError("no token for the Hugging Face Hub: `hf auth login`, or set HF_TOKEN")
    with _hub_errors(hub, repo):
        api = hub.HfApi(library_name="rlseq")
        api.create_repo(repo, repo_type=_REPO, private=private or None, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo,
            repo_type=_REPO,
            folder_path=str(folder),
            allow_patterns=list(models.FILES),
            commit_message=message,
        )
    return str(done.commit_url)


def pull(repo: str, folder: Path, *, revision: str | None = None) -> None:
    """Download a model of rlseq into a new folder, which is there whole or not at all.

    Only the files that `rlseq export --to` writes are fetched: no code comes with them.

    Raises InputError without the package, for a folder that exists, a repository or revision that
    is not there and one that holds no model of rlseq, HubError as `push`, and CannotWrite.
    """
    hub = _require()
    files.check_new(folder)
    _check_name(hub, repo)
    with files.new_folder(folder) as beside:
        with _hub_errors(hub, repo):
            hub.snapshot_download(
                repo,
                repo_type=_REPO,
                revision=revision,
                local_dir=str(beside),
                allow_patterns=list(models.FILES),
                library_name="rlseq",
            )
        files.remove(beside / ".cache")  # of the client, about this download
        try:
            models.read_weights(beside)
        except InputError as error:
            fault = str(error).replace(str(beside), repo)
            raise InputError(f"{repo!r} holds no model of rlseq: {fault}") from None


def _require() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise missing_package("the Hugging Face Hub", "huggingface_hub", "hub") from error
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    return huggingface_hub


def _check_model(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"no folder {str(folder)!r}")
    if (folder / "checkpoints").is_dir():
        raise InputError(
            f"{str(folder)!r} is a run: `rlseq export {folder} --to FOLDER` makes a model of it"
        )
    models.read_weights(folder)
    if not (folder / models.CARD).is_file():
        raise InputError(f"the model in {str(folder)!r} lacks {models.CARD}, its card")


def _check_name(hub: Any, repo: str) -> None:
    try:
        hub.utils.validate_repo_id(repo)
    except hub.errors.HFValidationError as error:
        fault = str(error).strip().split("\n")[0]
        raise InputError(f"{repo!r} is no repository, as OWNER/NAME is: {fault}") from None


@contextlib.contextmanager
def _hub_errors(hub: Any, repo: str) -> Iterator[None]:
    """InputError for what is not there, HubError for all else that the Hub or the network says."""
    kinds = hub.errors
    network = kinds.HTTPError  # httpx's, or from huggingface_hub 2.0 on httpx2's
    try:
        yield
    except kinds.GatedRepoError as error:
        raise InputError(
            f"{repo!r} asks for consent that this token has not: {_said(error)}"
        ) from error
    except kinds.RevisionNotFoundError as error:
        raise InputError(f"{repo!r} has no such revision: {_said(error)}") from error
    except kinds.RepositoryNotFoundError as error:
        raise InputError(
            f"there is no repository {repo!r}, or this token may not see it: {_said(error)}"
        ) from error
    except (kinds.HfHubHTTPError, kinds.LocalEntryNotFoundError, network) as error:
        raise _failed(repo, error) from error
    except (RuntimeError, ValueError) as error:  # of an upload, or an answer that is no answer
        raise _failed(repo, error) from error


def _failed(repo: str, error: BaseException) -> HubError:
    return HubError(f"the Hugging Face Hub failed for {repo!r}: {_said(error)}")


def _said(error: BaseException) -> str:
    """What a server said or the network did, in one line."""
    own = getattr(error, "server_message", None)
    while not own and error.__cause__ is not None:
        error = error.__cause__
        own = getattr(error, "server_message", None)
    text = own or str(error).strip()
    return " ".join(text.split("\n")[0].split()) or type(error).__name__
