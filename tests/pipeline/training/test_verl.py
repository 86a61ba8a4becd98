"""What verl is handed: its rows and overrides, and verl's own word on them where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import trainer_rewards
from flows.configuration.cache import cache_folder
from flows.configuration.environments import environments_folder
from pipeline.assets.store import find_asset
from pipeline.rendering.tagged import SEARCH_R1
from pipeline.rendering.transcript import ask
from pipeline.serving.environments import locate_python
from pipeline.training.folders import TrainingFolder
from pipeline.training.requests import TrainingError
from pipeline.training.rl_rows import list_export_prompts, list_run_prompts, write_prompts
from pipeline.training.verl.files import write_verl_files
from pipeline.training.verl.overrides import list_overrides
from schemas.renderings import RenderingName, ShownDocument
from schemas.rewards import JudgeEndpoint
from schemas.training import Advantage, Backend, Layout, RlRequest, Rollouts, SearchEndpoint, Tuning, Weights
from tests.support.places import REPOSITORY
from tests.support.trajectory_samples import make_task

FOUND = ShownDocument(title="A page", text="Founded in 1868.")
TURNS = ("<think>When?</think>\n<search>school founded</search>", "<think>Found.</think>\n<answer>1868</answer>")
TEXT = "The school was founded in 1868 by Ada Byron."


class TemplatedLetters:
    """A tokenizer of one token a character, with a chat template."""

    chat_template = "yes"
    eos_token = ""

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"<{message['role']}>{message['content']}" for message in messages) + "<assistant>"

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(char) for char in text]}


def make_request(root: Path, url: str = "http://127.0.0.1:1", **more: Any) -> RlRequest:
    rollouts = Rollouts(search=SearchEndpoint(url=url), group=4)
    values = {"base": "model", "data": "d", "output": str(root), "batch": 16, "backend": Backend.VERL}
    return RlRequest(rollouts=rollouts, **(values | more))


def write_rows(root: Path, max_prompt: int = 4000) -> TrainingFolder:
    folder = TrainingFolder(root)
    tasks = [make_task(TEXT, ["1868", "Ada Byron"], "t2"), make_task(TEXT, ["1868"], "t1")]
    write_prompts(list_run_prompts(tasks, RenderingName.SEARCH_R1, True), folder, TemplatedLetters(), max_prompt)
    return folder


def test_rows_come_easy_first_and_carry_no_gold_in_the_prompt(tmp_path: Path) -> None:
    rows = pq.read_table(write_rows(tmp_path).rows).to_pylist()
    assert [row["task_id"] for row in rows] == ["t1", "t2"]
    assert "1868" not in rows[0]["prompt"]
    assert json.loads(rows[1]["golds"]) == [["1868"], ["Ada Byron"]]
    assert rows[0]["passage_id"] == "t1-source"
    assert rows[0]["rendering"] == "search-r1"


def test_an_export_gives_the_same_prompts(tmp_path: Path) -> None:
    rows = pq.read_table(write_rows(tmp_path / "run").rows).to_pylist()
    exported = [{**row, "prompt": json.loads(row["messages"]), "rendering": "search-r1"} for row in rows]
    for row in exported:
        del row["messages"]
    pq.write_table(pa.Table.from_pylist(exported), tmp_path / "train.parquet")
    folder = TrainingFolder(tmp_path / "export")
    files = [tmp_path / "train.parquet"]
    write_prompts(list_export_prompts(files, RenderingName.SEARCH_R1), folder, TemplatedLetters(), 4000)
    assert pq.read_table(folder.rows).to_pylist() == rows
    with pytest.raises(TrainingError, match="of search-r1"):
        list(list_export_prompts(files, RenderingName.RESEARCH))


def test_prompts_that_are_too_long_are_named(tmp_path: Path) -> None:
    shortest = min(len(row["prompt"]) for row in pq.read_table(write_rows(tmp_path).rows).to_pylist())
    folder = write_rows(tmp_path, shortest)
    assert pq.read_table(folder.rows).num_rows == 1
    assert "prompt_too_long" in folder.rejects.read_text()
    with pytest.raises(TrainingError, match=r"no task to train on: \d+ prompt_too_long"):
        write_rows(tmp_path, 1)
    unsolved = [{"task_id": "t", "left_out": "impossible"}]
    with pytest.raises(TrainingError, match="no task to train on: 1 impossible"):
        write_prompts(unsolved, folder, TemplatedLetters(), 1)


def test_overrides_say_what_was_asked(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("train", "agents", "reward")}
    said = dict(line.split("=", 1) for line in list_overrides(make_request(tmp_path), files, 8))
    assert said["actor_rollout_ref.actor.clip_ratio_high"] == "0.28"
    assert said["actor_rollout_ref.actor.loss_agg_mode"] == "token-mean"
    assert said["algorithm.filter_groups.enable"] == "True"
    assert said["+reward.custom_reward_function.reward_kwargs.overlong_most"] == "1024"
    ppo = make_request(tmp_path, advantage=Advantage.PPO, kl=0.01, weights=Weights(tuning=Tuning.LORA), steps=7)
    said = dict(line.split("=", 1) for line in list_overrides(ppo, files, 8))
    assert said["algorithm.adv_estimator"] == "gae"
    assert "algorithm.filter_groups.enable" not in said
    assert said["critic.model.path"] == "model"
    assert said["actor_rollout_ref.model.lora_rank"] == "16"
    assert said["trainer.total_training_steps"] == "7"
    judge = JudgeEndpoint(url="http://j/v1", model="m", headers={"X-Title": "${TEAM}'s"})
    rollouts = Rollouts(search=SearchEndpoint(url="http://s"), reward="judge", judge=judge)
    said = dict(line.split("=", 1) for line in list_overrides(ppo.model_copy(update={"rollouts": rollouts}), files, 8))
    # Hydra reads a text in quotes, and leaves an interpolation with a backslash before it.
    headers = said["+reward.custom_reward_function.reward_kwargs.judge_headers"]
    assert headers == '\'{"X-Title": "\\${TEAM}\\\'s"}\''


@contextmanager
def serve_one_document() -> Iterator[str]:
    """A search server that finds the same document for every query."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"status": "ok", "engine": "test"})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            document = {"id": "p", "title": FOUND.title, "text": FOUND.text}
            lists = [[{"document": document, "score": 1.0}] for _ in asked["queries"]]
            self._send({"result": lists, "statuses": [{"status": "ok"} for _ in lists]})

        def _send(self, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def probe(folder: TrainingFolder, request: RlRequest, python: str) -> Any:
    reward = Path(str(trainer_rewards.__file__)).read_text()
    write_verl_files(request, 8, python, reward)
    words = [
        python,
        str(REPOSITORY / "tests" / "support" / "verl_probe.py"),
        str(folder.root),
        request.base,
        json.dumps(TURNS),
    ]
    variables = {**os.environ, "PYTHONPATH": str(folder.source.resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.assets
def test_verl_itself_reads_all_of_it_and_meets_our_bytes(tmp_path: Path) -> None:
    python = locate_python(environments_folder() / "verl")
    model = find_asset("smollm2-135m-instruct", cache_folder())
    if not python.exists() or model is None:
        pytest.skip("needs `rampforge env create verl` and `rampforge assets get demo`")
    folder = write_rows(tmp_path)
    with serve_one_document() as url:
        said = probe(folder, make_request(tmp_path, url, base=str(model), layout=Layout(nodes=2)), str(python))
    shown = SEARCH_R1.observe((FOUND,), "en").text
    assert (said["rows"], said["agent"]) == (2, "rampforge_search")
    assert said["text"] == TURNS[0] + shown + TURNS[1]
    assert said["own"] == "".join(TURNS)
    assert len(set(said["lengths"])) == 1
    assert SEARCH_R1.prompt(ask(make_task(TEXT, ["1868"], "t1")))[0].content in said["prompt"]
    assert said["extra"]["observations"] == [shown]
    assert said["paid"]["score"] == 1.0
    assert said["paid"]["fmt"] == 1.0
    assert said["stops"] == ["</search>", "</answer>"]
