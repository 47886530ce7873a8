"""An exported folder as a dataset repository on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from fate.core.errors import FateError


class PublishError(FateError):
    """A folder that the hub did not take."""


def publish(folder: Path, repository: str, *, private: bool = True) -> str:
    """Upload an exported folder in one commit; returns the repository's address.

    The token is the one that `hf auth login` keeps, or $HF_TOKEN; $HF_ENDPOINT names another hub.

    Raises PublishError.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    try:
        address = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=address.repo_id, folder_path=folder, repo_type="dataset", commit_message="Data exported by fate"
        )
    except HFValidationError as error:
        raise PublishError(f"{repository!r} is no name of a repository; write it as OWNER/NAME.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        advice = "log in with `hf auth login` first" if status in (401, 403) else "try again later"
        raise PublishError(
            f"The hub refused {repository} ({status}); {advice}. The folder {folder} is complete: "
            f"`hf upload {repository} {folder} --repo-type dataset` sends it."
        ) from error
    except Exception as error:  # what the hub's client raises depends on the transport below it
        raise PublishError(
            f"{repository} could not be reached ({error}). The folder {folder} is complete: "
            f"`hf upload {repository} {folder} --repo-type dataset` sends it."
        ) from error
    return str(address)
