"""A client process for the tests that kill it: items of several dependent calls, through the journal.

`python -m tests.support.chained_calls URL FOLDER ITEMS STEPS` leaves FOLDER/calls.jsonl and FOLDER/results.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.llm.async_stage import run_concurrently
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.openai_chat_model import OpenAiChatModel
from schemas.llm_config import EndpointConfig, LlmConfig, RoleModelConfig
from tests.support.scripted_model import make_request

IN_FLIGHT = 16


def main(url: str, folder: Path, items: int, steps: int) -> None:
    config = LlmConfig(endpoints={"mock": EndpointConfig(url=url)}, roles={"default": RoleModelConfig(model="m")})
    model = OpenAiChatModel(config, {})
    with JournaledChatModel(model, folder / "calls.jsonl", model.describe) as journaled:

        async def work(item: int) -> str:
            text = ""
            for step in range(steps):
                text = (await journaled.ask(make_request(f"{item} step {step}"))).text
            return f"{item}: {text}"

        results = list(run_concurrently(range(items), work, IN_FLIGHT, (journaled, model)))
    (folder / "results.txt").write_text("\n".join(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
