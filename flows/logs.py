"""Where log lines go: ours to standard error, those of the libraries wherever they say."""

from __future__ import annotations

import logging


def listen_to_ourselves(level: int) -> None:
    """Print the log lines of our own layers from this level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for layer in ("prompts", "pipeline", "flows"):
        logger = logging.getLogger(layer)
        logger.setLevel(level)
        logger.handlers = [handler]
        logger.propagate = False
