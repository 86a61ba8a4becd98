"""ZeroSearch's noise curriculum, moved by a training: the step reaches the engine, and the engine's memory knows it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pipeline.llm.chat_model import OpenedModel
from pipeline.rollouts.search_rollout import SearchStep
from pipeline.search.engine import SearchRequest
from pipeline.search.simulated.source import SimulatedSource, noise_share
from pipeline.search_server.requests import RetrieveRequest, read_request
from pipeline.training.trainers.retriever import Retriever
from schemas.llm_config import RoleModelConfig
from schemas.search_config import SimulatedConfig
from schemas.training import SearchEndpoint
from schemas.trajectories import Usefulness
from tests.pipeline.training.test_verl import serve_one_document
from tests.support.scripted_model import ScriptedModel

CONFIG = SimulatedConfig(start=0.0, end=1.0, steps=1)
QUERIES = [f"query {number}" for number in range(60)]


def draw_at(progress: float) -> list[Any]:
    source = SimulatedSource(
        CONFIG, {"simulator": RoleModelConfig(model="m")}, "en", lambda: OpenedModel(ScriptedModel(lambda _: ""), ())
    )
    return [source.identify(SearchRequest(query, progress=progress))[-1] for query in QUERIES]


def test_progress_moves_the_share_of_noise_and_a_noisy_query_stays_noisy() -> None:
    assert noise_share(CONFIG, 0.5) == pytest.approx(1 / 3)  # (4^0.5 - 1) / (4 - 1)
    noisy = [{n for n, drawn in enumerate(draw_at(step / 4)) if drawn is Usefulness.NOISY} for step in range(5)]
    assert noisy[0] == set()
    assert noisy[4] == set(range(len(QUERIES)))
    assert all(before < after for before, after in itertools.pairwise(noisy))


def test_without_progress_nothing_changes() -> None:
    assert noise_share(CONFIG) == 0.0
    assert read_request(b'{"queries": ["a"]}').searches[0].progress is None
    assert read_request(b'{"queries": ["a", "b"], "progress": 0.25}').searches[1].progress == 0.25


def test_the_trainer_tells_its_step_to_a_server_of_ours_only_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_one_document() as url:
        for steps, told in ((None, None), (10, 0.5), (2, 1.0)):
            sent: list[Any] = []
            retriever = Retriever(SearchEndpoint(url=url, simulated_steps=steps))
            post = retriever._post

            def spy(path: str, body: Any, sent: list[Any] = sent, post: Any = post) -> Any:
                sent.append(body)
                return post(path, body)

            monkeypatch.setattr(retriever, "_post", spy)
            found = retriever.find([SearchStep(("one", "two"), "p9"), SearchStep(("three",))], step=5)
            assert [document.title for (document,) in found] == ["A page", "A page"]
            assert sent[0].get("progress") == told
            assert sent[0]["exclude"] == [{"passage_id": "p9"}, {"passage_id": "p9"}, None]
            RetrieveRequest.model_validate(sent[0])
