"""The agentic workload through bespokelabs-curator, tuned; run by its own interpreter: URL IN_FLIGHT ITEMS.

curator maps a whole dataset, so six dependent calls are six passes. Its limits are lifted; its cache is on, as shipped.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import time
from typing import Any

os.environ["CURATOR_CACHE_DIR"] = os.path.join(os.getcwd(), "cache")
os.environ["CURATOR_DISABLE_RICH_DISPLAY"] = "1"
os.environ["TELEMETRY_ENABLED"] = "false"

import litellm  # type: ignore[import-not-found]  # lives in an environment of its own

# curator counts tokens by a table that it would download; the wheel of litellm holds a copy.
_TABLE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
(_FOUND,) = glob.glob(os.path.join(os.path.dirname(litellm.__file__), "**", _TABLE), recursive=True)[:1]
os.environ["TIKTOKEN_CACHE_DIR"] = os.path.dirname(_FOUND)

# After the variables that it reads when imported.
from bespokelabs import curator  # type: ignore[import-not-found] # noqa: E402
from datasets import Dataset  # noqa: E402

from tests.bench.agentic_load import STEPS, SYSTEM, is_final, write_prompt  # noqa: E402


class Step(curator.LLM):  # type: ignore[misc]  # the package has no types here
    """One call an item."""

    def prompt(self, row: dict[str, Any]) -> list[dict[str, str]]:
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row["prompt"]}]

    def parse(self, row: dict[str, Any], response: str) -> dict[str, Any]:
        return {"item": row["item"], "text": response}


def main(url: str, in_flight: int, items: int) -> None:
    """Run the six passes and print the figures."""
    limits = {"max_concurrent_requests": in_flight, "max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10}
    settings = {"base_url": url, "api_key": "none", "require_all_responses": False, **limits}
    started, used = time.perf_counter(), time.process_time()
    replies: dict[int, list[str]] = {item: [] for item in range(items)}
    for step in range(len(STEPS)):
        rows = [{"item": item, "prompt": write_prompt(item, step, said)} for item, said in replies.items()]
        answered = Step(model_name="mock", backend="openai", backend_params=settings)(Dataset.from_list(rows))
        for row in getattr(answered, "dataset", answered):
            replies[row["item"]].append(row["text"])
        replies = {item: said for item, said in replies.items() if len(said) == step + 1}
    done = sum(is_final(item, said[-1]) for item, said in replies.items())
    seconds, used = time.perf_counter() - started, time.process_time() - used
    sys.stdout.write(
        json.dumps({"seconds": seconds, "cpu_ms": 1000 * used / items / len(STEPS), "lost": items - done}) + "\n"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
