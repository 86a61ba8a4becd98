"""Shards on a Ray cluster: refused before any work where it cannot be; a killed node costs its shards in flight only.

The clusters are of two nodes on this machine, with raylets, stores and workers of their own.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.process.ray_pool import RayPool, describe_node
from pipeline.errors import ConfigError
from schemas.config import Engine, ExecutionConfig
from tests.pipeline.storage.test_remote_run import read_store
from tests.runs.test_whole_run import SETTINGS, hash_shards
from tests.support.command_line import Command, rampforge, start
from tests.support.s3_server import S3Server, s3, s3_server
from tests.support.sample_dump import write_dump

__all__ = ["s3", "s3_server"]


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConfigError, match="cannot connect"):
            RayPool(ExecutionConfig(engine=Engine.RAY, ray_address=address))
    assert time.monotonic() - started < 15


def test_a_missing_ray_is_reported_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        RayPool(ExecutionConfig(engine=Engine.RAY))
    assert "rampforge[ray]" in caught.value.fix


@pytest.mark.parametrize("address", ["http://head:6379", "ray://head:10001", "head", "head:"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="ray_address"):
        ExecutionConfig(ray_address=address)


def test_a_node_reports_whether_it_can_access_the_run(tmp_path: Path) -> None:
    assert describe_node(tmp_path)["sees the run"] == "yes"
    assert str(tmp_path / "no") in describe_node(tmp_path / "no")["sees the run"]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes with a CPU each; the second may be killed."""
    utilities = pytest.importorskip("ray.cluster_utils")
    nodes = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.second = nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.mark.slow
def test_a_killed_node_costs_its_shards_in_flight_only(
    cluster: Any, prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=200)
    words = ["run", str(dump), "--out", str(tmp_path), *SETTINGS]
    on_ray = ["--set", "execution.engine=ray", "--set", f"execution.ray_address={cluster.address}"]
    process = start(prefect_server, *words, "--name", "spread", *on_ray)
    wait_for_shards(tmp_path / "spread", "trajectories", process)
    kill_node(cluster.second)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    code, output = rampforge(prefect_server, *words, "--name", "here")
    assert code == 0, output
    assert len(hash_shards(tmp_path / "here")) > 50
    assert hash_shards(tmp_path / "spread") == hash_shards(tmp_path / "here")


def wait_for_shards(run: Path, stage: str, process: Command) -> None:
    """Until the stage has finished a shard, and has others under work."""
    while process.poll() is None:
        if any((run / "ledger" / stage / "shards").glob("*.json")):
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate(timeout=10))


def kill_node(node: Any) -> None:
    """All its processes at once, as a power cut does."""
    for infos in node.all_processes.values():
        for info in infos:
            os.kill(info.process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_run_on_a_store_is_spread_over_nodes(
    s3: str, s3_server: S3Server, cluster: Any, prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=60)
    environment = {**prefect_server, **s3_server.environment, "RAMPFORGE_CACHE": str(tmp_path / "cache")}
    words = ["run", str(dump), "--name", "spread", *SETTINGS]
    on_ray = ["--out", s3, "--engine", "ray", "--ray-address", cluster.address]
    code, output = rampforge(environment, *words, *on_ray)
    assert code == 0, output
    code, output = rampforge(environment, *words, "--out", str(tmp_path))
    assert code == 0, output
    there = {key: content for key, content in read_store(f"{s3}/spread").items() if key.endswith(".parquet")}
    assert {key for key in there if not key.startswith("ledger")} == set(hash_shards(tmp_path / "spread"))
    assert all(content == (tmp_path / "spread" / key).read_bytes() for key, content in there.items())


@pytest.mark.slow
def test_a_node_that_cannot_see_the_run_is_refused(cluster: Any, tmp_path: Path) -> None:
    here_only = Path("/proc/self/fd/777")  # a file that this process alone has open
    os.dup2(os.open(tmp_path, os.O_RDONLY), 777)
    with RayPool(ExecutionConfig(engine=Engine.RAY, ray_address=cluster.address)) as pool:
        pool.check_nodes(tmp_path)
        with pytest.raises(ConfigError, match=r"differs: sees the run no"):
            pool.check_nodes(here_only)
        assert pool.workers == 2
        assert pool.submit(0.0, take_root, 9.0).result(timeout=60) == 3
        with pytest.raises(ValueError, match=r"math domain|nonnegative"):
            pool.submit(0.0, take_root, -1.0).result(timeout=60)


def take_root(number: float) -> float:
    return math.sqrt(number)
