"""The start of a session: the work of one command that may ask language models. One order for every command.

    config = settle_config(config, roles)                   prompts and tracing checked, prices pinned
    calls = require_start(context, roles, specs)            roles, keys, servers, files checked; nothing is written
    with open_session(context, roles, calls) as context:    managed server started and checked; session noted

Runs, evaluations and calibrations go through it; the runs and the evaluations of a distillation are among them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from flows.checks.start import require_served
from flows.configuration.prompt_folder import use_prompts
from flows.configuration.run_context import RunContext
from flows.models.roles import needs_server
from flows.models.serving import serve_models
from flows.models.tracing import check_tracing
from flows.models.usage import begin_session, enter_calls
from pipeline.llm.budget import check_prices
from pipeline.llm.prices import pin_prices
from pipeline.llm.roles import find_role
from pipeline.llm.usage_log import CallUsage
from schemas.config import RunConfig
from schemas.roles import Role


def settle_config(config: RunConfig, roles: Iterable[str]) -> RunConfig:
    """The configuration with the current price of each model that plays one of these roles; its prompts are in use.

    A role without a model is left to the checks of a start, which name everything that is missing. Raises ConfigError
    when a template is wrong, calls cannot be traced, or money is capped and the price of a model is not known.
    """
    use_prompts(config)
    check_tracing(config.llm.trace, os.environ)
    named = config.llm.roles
    requested = [role for role in roles if role != Role.SCORER and (role in named or "default" in named)]
    check_prices(config.llm, requested)
    prices = pin_prices(config.llm.prices, (find_role(config.llm, role).model for role in requested))
    return config.with_section("llm", prices=prices)


@contextmanager
def open_session(context: RunContext, roles: Sequence[str], calls: Iterable[CallUsage]) -> Iterator[RunContext]:
    """Start the managed server if one of these roles needs it, and note the session in the run's folder.

    `calls`: those of the checks before. Yields the context with the endpoint of the server. Raises RampforgeError.
    """
    with ExitStack() as stack:
        served = context.config
        if needs_server(served, roles):
            served = stack.enter_context(serve_models(served, context.cache, context.run.root / "logs"))
            calls = [*calls, *require_served(served, context.cache, roles)]
        enter_calls(context.run, calls)
        if any(role != Role.SCORER for role in roles):
            begin_session(context.run)
        yield replace(context, config=served)
