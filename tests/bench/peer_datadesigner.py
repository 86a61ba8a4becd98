"""The agentic workload through NVIDIA's data-designer, tuned; run by its own interpreter: URL IN_FLIGHT ITEMS.

Six dependent columns of text; its scheduler runs them cell by cell. Its default of four calls at once is lifted.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["NEMO_TELEMETRY_ENABLED"] = "false"

# These live in an environment of their own.
import data_designer.config as dd  # type: ignore[import-not-found]
import pandas as pd  # type: ignore[import-untyped]
from data_designer.interface import DataDesigner  # type: ignore[import-not-found]

from tests.bench.agentic_load import FILLINGS, STEPS, SYSTEM, is_final, write_found, write_question


def write_template(step: int) -> str:
    """The prompt of a step with the places of an item's own words left open."""
    role = STEPS[step]
    head = f"call {{{{ item }}}}/{step}\n{FILLINGS[role]}\nQuestion: {{{{ question }}}}\n"
    if role == "planner":
        return head
    if role == "observer":
        so_far = " ".join(f"{{{{ reply{earlier} }}}}" for earlier in range(step))
        return f"{head}So far: {so_far}\nFound: {{{{ found{step} }}}}\n"
    return f"{head}Before: {{{{ reply{step - 1} }}}}\n"


def main(url: str, in_flight: int, items: int) -> None:
    """Run the six columns and print the figures."""
    seed = {"item": list(range(items)), "question": [write_question(item) for item in range(items)]}
    for step in (2, 4):
        seed[f"found{step}"] = [write_found(item, step) for item in range(items)]
    started, used = time.perf_counter(), time.process_time()
    sampling = dd.ChatCompletionInferenceParams(timeout=600, max_tokens=512, max_parallel_requests=in_flight)
    model = dd.ModelConfig(
        alias="mock", model="mock", provider="mock", inference_parameters=sampling, skip_health_check=True
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=pd.DataFrame(seed)))
    for step in range(len(STEPS)):
        prompt = write_template(step)
        builder.add_column(
            dd.LLMTextColumnConfig(name=f"reply{step}", prompt=prompt, system_prompt=SYSTEM, model_alias="mock")
        )
    provider = dd.ModelProvider(name="mock", endpoint=url, provider_type="openai", api_key="none")
    designer = DataDesigner(artifact_path=os.path.join(os.getcwd(), "made"), model_providers=[provider])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None, max_in_flight_tasks=max(1024, 2 * in_flight)))
    made = designer.create(builder, num_records=items, dataset_name="load").load_dataset()
    rows = zip(made["item"], made[f"reply{len(STEPS) - 1}"], strict=True)
    done = sum(is_final(int(item), str(text)) for item, text in rows)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    sys.stdout.write(
        json.dumps({"seconds": seconds, "cpu_ms": 1000 * used / items / len(STEPS), "lost": items - done}) + "\n"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
