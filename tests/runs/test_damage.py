"""Every kind of damage to a finished run is found, named and mended, or harmless: a whole run, the command line."""

from __future__ import annotations

import bz2
import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from pipeline.storage.hashing import hash_file
from tests.support.command_line import rampforge
from tests.support.sample_dump import write_dump

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

LIGHT = "masking.ner=null masking.scorer=null masking.selection=random corpus.pages_per_shard=20 execution.workers=2"
SETTINGS = [part for setting in LIGHT.split() for part in ("--set", setting)]


@pytest.fixture(scope="module")
def finished(prefect_server: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("damage")
    dump = write_dump(out / "towns.xml.bz2", towns=30)
    code, output = rampforge(prefect_server, "run", str(dump), "--out", str(out), "--name", "whole", *SETTINGS)
    assert code == 0, output
    return out / "whole"


def hash_data(run: Path) -> dict[str, str]:
    """SHA-256 of every shard and index file, by its path."""
    paths = [*run.glob("*/part-0*.parquet"), *run.glob("*/part-[a-y]*.parquet"), *run.glob("index/*/*")]
    return {str(path.relative_to(run)): hash_file(path) for path in paths}


def flip(path: Path, offset: int | None = None) -> None:
    """One bit, in the middle or at an offset."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if offset is None else offset] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill(content: bytes, times: int = 1) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content * times)


def retype(path: Path) -> None:
    """Valid JSON of other types, its checksum taken away."""
    value = {key: 5 for key in json.loads(path.read_text()) if key != "sha256"}
    path.write_text(json.dumps(value))


def change_digit(path: Path) -> None:
    """Valid JSON of the right types that says something else."""
    text = path.read_text()
    place = next(i for i, letter in enumerate(text) if letter in "12345678" and i > 20)
    path.write_text(f"{text[:place]}{int(text[place]) + 1}{text[place + 1 :]}")


S = "000-00000"
TURNS = 6
KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a bit of a task": (f"tasks/part-{S}.parquet", flip),
    "a byte of a shard that still decodes": (f"tasks/part-{S}.parquet", lambda path: flip(path, 60)),
    "a bit of a document": (f"documents/part-{S}.parquet", flip),
    "a bit of rejects": (f"rejects/part-spans-{S}.parquet", flip),
    "spans deleted": (f"spans/part-{S}.parquet", Path.unlink),
    "judgements deleted": (f"judgements/part-{S}.parquet", Path.unlink),
    "trajectories cut": (f"trajectories/part-{S}.parquet", cut),
    "passages noise": (f"passages/part-{S}.parquet", fill(b"\x8f", 5000)),
    "redirects empty": (f"redirects/part-{S}.parquet", fill(b"")),
    "a bit of the scores": ("index/bm25/scores.npy", flip),
    "a bit of the rows": ("index/bm25/rows.npy", flip),
    "a bit of the indexed texts": ("index/passages/passages-00000.arrow", flip),
    "ids of the index cut": ("index/passages/id_hashes.npy", cut),
    "description of the index deleted": ("index/bm25/about.json", Path.unlink),
    "description of the index cut": ("index/passages/about.json", cut),
    "manifest cut": ("ledger/tasks/manifest.json", cut),
    "manifest empty": ("ledger/chunk/manifest.json", fill(b"")),
    "manifest NULs": ("ledger/judgements/manifest.json", fill(b"\0", 4096)),
    "manifest of other types": ("ledger/dedup/manifest.json", retype),
    "manifest of other values": ("ledger/spans/manifest.json", change_digit),
    "commit cut": (f"ledger/spans/shards/{S}.json", cut),
    "commit empty": (f"ledger/corpus/shards/{S}.json", fill(b"")),
    "commit of other values": (f"ledger/tasks/shards/{S}.json", change_digit),
    "commit deleted": (f"ledger/trajectories/shards/{S}.json", Path.unlink),
    "start cut": ("ledger/corpus/stage.json", cut),
    "start NULs": ("ledger/trajectories/stage.json", fill(b"\0", 300)),
    "start of other values": ("ledger/chunk/stage.json", change_digit),
    "run.json cut": ("run.json", cut),
    "run.json deleted": ("run.json", Path.unlink),
    "run.json a bit": ("run.json", flip),
    "list of sources cut": ("ledger/corpus/sources.json", cut),
    "near-duplicates": ("ledger/dedup/duplicates.parquet", flip),
    "the report": ("report.html", flip),
}


def copy(finished: Path, folder: Path) -> Path:
    """The run, with a file in it that is nobody's."""
    run = folder / "whole"
    shutil.copytree(finished, run)
    (run / "tasks" / "part-zzz.parquet").write_bytes(b"somebody else's")
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named(kind: str, finished: Path, tmp_path: Path) -> None:
    name, damage = KINDS[kind]
    run = copy(finished, tmp_path)
    damage(run / name)
    told = CliRunner().invoke(app, ["verify", str(run), "--json"])
    assert told.exit_code == 1
    named = {finding["file"]: finding for finding in json.loads(told.stdout)["findings"]}
    unproven = {file for file, finding in named.items() if finding["fault"] == "unproven"}
    assert set(named) - unproven == {name, "tasks/part-zzz.parquet"}
    assert named["tasks/part-zzz.parquet"]["fault"] == "foreign"
    # A damaged record leaves the files it vouches for without a checksum; other damage leaves none.
    assert {str(Path(file).parent) for file in unproven} <= {str(Path(name).parent)}
    assert not unproven or name.endswith(".json")
    assert f"rampforge verify {run} --repair" in named[name]["fix"]


@pytest.mark.parametrize("turn", range(TURNS))
def test_damage_is_mended(turn: int, finished: Path, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    """Several kinds at once: no two in a turn are of one stage's ledger or of one file."""
    run = copy(finished, tmp_path)
    for name, damage in list(KINDS.values())[turn::TURNS]:
        damage(run / name)
    code, output = rampforge(prefect_server, "verify", str(run), "--repair")
    assert code == 0, output
    assert hash_data(run) == hash_data(finished)
    assert (run / "tasks" / "part-zzz.parquet").read_bytes() == b"somebody else's"


def test_a_run_is_repaired_from_the_settings_in_its_shards(
    finished: Path, prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    """Every ledger of the first stage and run.json at once, and holes in the ledgers of later stages."""
    run = copy(finished, tmp_path)
    names = ["run.json", "ledger/corpus/stage.json", "ledger/corpus/manifest.json", "ledger/tasks/manifest.json"]
    commits = sorted((run / "ledger" / "corpus" / "shards").iterdir())
    for path in [*(run / name for name in names), *commits]:
        cut(path)
    for path in (run / "spans").iterdir():  # without rows the stage is no longer bound to what it was started with
        path.unlink()
    code, output = rampforge(prefect_server, "verify", str(run), "--repair")
    assert code == 0, output
    assert hash_data(run) == hash_data(finished)


@pytest.mark.parametrize(
    ("name", "damage", "command"),
    [
        (f"spans/part-{S}.parquet", Path.unlink, "resume"),
        (f"judgements/part-{S}.parquet", cut, "resume"),
        ("ledger/tasks/manifest.json", cut, "resume"),
        (f"tasks/part-{S}.parquet", cut, "redo"),
        (f"ledger/corpus/shards/{S}.json", fill(b"\0"), "redo"),
        (f"trajectories/part-{S}.parquet", cut, "export"),
        (f"judgements/part-{S}.parquet", fill(b"\x11", 900), "report"),
        ("run.json", fill(b""), "resume"),
    ],
)
def test_other_commands_name_the_file_and_the_way_out(
    name: str,
    damage: Callable[[Path], object],
    command: str,
    finished: Path,
    prefect_server: Mapping[str, str],
    tmp_path: Path,
) -> None:
    run = tmp_path / "whole"
    shutil.copytree(finished, run)
    damage(run / name)
    redone = "judgements" if name.startswith("tasks") else "chunk"
    words = {
        "resume": ["resume", str(run)],
        "redo": ["resume", str(run), "--redo", redone],
        "export": ["export", str(run), "--to", "trl", "--out", str(tmp_path / "out")],
        "report": ["report", str(run)],
    }[command]
    code, output = rampforge(prefect_server, *words)
    told = " ".join(output.split())
    assert code == 1, output
    assert Path(name).name in told
    assert f"rampforge verify {run} --repair" in told.replace("- ", "-")
    assert "fault of rampforge" not in told


def test_bits_at_random_places_are_found(finished: Path, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    """Several at once: each is named, and one repair mends them all."""
    rng = random.Random(19)
    run = tmp_path / "whole"
    shutil.copytree(finished, run)
    paths = [path for path in sorted(hash_data(run)) if not path.endswith("plan.json")]
    hit = rng.sample(paths, 6)
    for name in hit:
        flip(run / name, rng.randrange((run / name).stat().st_size))
    told = CliRunner().invoke(app, ["verify", str(run), "--json"])
    assert told.exit_code == 1
    assert {finding["file"] for finding in json.loads(told.stdout)["findings"]} == set(hit)
    code, output = rampforge(prefect_server, "verify", str(run), "--repair")
    assert code == 0, output
    assert hash_data(run) == hash_data(finished)


def test_deep_finds_rows_that_name_what_is_not_there(
    finished: Path, prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    assert CliRunner().invoke(app, ["verify", str(finished), "--deep"]).exit_code == 0
    run = tmp_path / "whole"
    shutil.copytree(finished, run)
    # A ledger that vouches for tasks of another run: every checksum is right, and nothing fits.
    other = write_dump(tmp_path / "other.xml.bz2", towns=30, seed=7)
    code, output = rampforge(prefect_server, "run", str(other), "--out", str(tmp_path), "--name", "other", *SETTINGS)
    assert code == 0, output
    for place in ("tasks", "ledger/tasks"):
        shutil.rmtree(run / place)
        shutil.copytree(tmp_path / "other" / place, run / place)
    told = CliRunner().invoke(app, ["verify", str(run), "--deep", "--json"])
    assert told.exit_code == 1
    named = {finding["file"]: finding for finding in json.loads(told.stdout)["findings"]}
    assert "spans lacks" in named["tasks"]["what"]
    assert "tasks lacks" in named["trajectories"]["what"]
    assert named["ledger/trajectories/manifest.json"]["fault"] == "outdated"


def test_deep_reads_whole_sources(finished: Path) -> None:
    dump = finished.parent / "towns.xml.bz2"
    content = dump.read_bytes()
    dump.write_bytes(bz2.compress(bz2.decompress(content).replace(b"market town", b"basket town", 1)))
    try:
        told = CliRunner().invoke(app, ["verify", str(finished), "--deep", "--json"])
    finally:
        dump.write_bytes(content)
    assert told.exit_code == 1
    assert [(finding["file"], finding["part"]) for finding in json.loads(told.stdout)["findings"]] == [
        (str(dump), "source")
    ]
