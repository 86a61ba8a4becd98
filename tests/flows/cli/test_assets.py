"""Cached assets are hashed again on demand: `rampforge assets verify`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from pipeline.assets.catalogue import Asset, OfficialSource, RemoteFile
from pipeline.assets.checking import find_damage
from pipeline.assets.store import MARKER, hash_contents

NAME = "enwiki-sample"


def put_asset(cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> Path:
    """A cached asset of one file whose content the catalogue pins; its folder."""
    pinned = RemoteFile("http://host/pages", "pages.xml", hashlib.sha256(b"pages").hexdigest(), 5)
    asset = Asset(NAME, "a dump", 0.1, "CC0", (OfficialSource("r1", (pinned,)),), file="pages.xml")
    for module in ("pipeline.assets.store", "pipeline.assets.checking", "flows.cli.assets"):
        monkeypatch.setattr(f"{module}.select_assets", lambda name: (asset,))
    monkeypatch.setattr("flows.cli.assets.catalogue", lambda: (asset, replace(asset, name="absent")))
    folder = cache / NAME
    folder.mkdir(parents=True)
    (folder / "pages.xml").write_bytes(content)
    marker = {"name": NAME, "revision": "r1", "licence": "CC0", "sha256": hash_contents(folder, "pages.xml")}
    (folder / MARKER).write_text(json.dumps(marker))
    return folder


def verify(*names: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["assets", "verify", *names])
    return result.exit_code, result.output


def test_a_cached_asset_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMPFORGE_CACHE", str(tmp_path))
    folder = put_asset(tmp_path / "assets", monkeypatch, b"pages")
    assert verify(NAME) == (0, f"{NAME}: ok\n")
    (folder / "pages.xml").write_bytes(b"pager")
    assert "catalogue" in str(find_damage(NAME, tmp_path / "assets"))
    code, output = verify(NAME)
    assert code == 1
    assert f"rampforge assets get {NAME}" in output
    (folder / "pages.xml").unlink()
    assert find_damage(NAME, tmp_path / "assets") == "pages.xml is missing"


def test_the_catalogue_counts_for_more_than_the_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_asset(tmp_path / "assets", monkeypatch, b"other pages, marker and all")
    assert "catalogue" in str(find_damage(NAME, tmp_path / "assets"))


def test_an_asset_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMPFORGE_CACHE", str(tmp_path))
    code, output = verify("en_core_web_sm")
    assert code == 1
    assert "rampforge assets get en_core_web_sm" in output
    assert verify()[0] == 0, "nothing is cached"
