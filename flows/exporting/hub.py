"""Upload of an export to the Hub, or a dry run of it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from pipeline.errors import RampforgeError


class HubError(RampforgeError):
    """The Hub rejects an export."""


def upload_folder(folder: Path, repository: str, *, private: bool, dry_run: bool, console: Console) -> None:
    """Upload every file of a folder as a dataset, with the token of `hf auth login` or HF_TOKEN. Raises HubError."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise HubError(f"{repository}: not a valid dataset name ({error})", "--push OWNER/NAME") from error
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if dry_run:
        state = "private" if private else "public"
        console.print(f"would upload to the {state} dataset {repository}:", highlight=False, soft_wrap=True)
        for path in files:
            console.print(
                f"  {path.relative_to(folder)}: {path.stat().st_size:,} bytes", highlight=False, soft_wrap=True
            )
        console.print("use --no-dry-run to upload it", highlight=False)
        return
    try:
        api = HfApi()
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, repo_type="dataset", folder_path=folder, ignore_patterns=[".*", "**/.*"]
        )
    except (HfHubHTTPError, OSError) as error:
        what = str(error).strip().split("\n", 1)[0]
        raise HubError(f"the Hub rejects {repository}: {what}", "hf auth login, or export HF_TOKEN=...") from error
    console.print(f"{done}", highlight=False, soft_wrap=True)
