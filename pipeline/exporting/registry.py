"""Registry of the exporters by trainer."""

from __future__ import annotations

from pipeline.exporting.formats.atif import ATIF
from pipeline.exporting.formats.axolotl import AXOLOTL
from pipeline.exporting.formats.dpo import DPO
from pipeline.exporting.formats.llama_factory import LLAMA_FACTORY
from pipeline.exporting.formats.messages import MESSAGES
from pipeline.exporting.formats.ms_swift import MS_SWIFT
from pipeline.exporting.formats.openrlhf import OPENRLHF
from pipeline.exporting.formats.search_r1 import RESEARCH, SEARCH_R1, SKYRL, SLIME
from pipeline.exporting.formats.session_traces import SESSION_TRACES
from pipeline.exporting.formats.trl import TRL
from pipeline.exporting.formats.verl import VERL_RL, VERL_SFT
from pipeline.exporting.spec import Exporter
from schemas.exports import Trainer

EXPORTERS: dict[Trainer, Exporter] = {
    exporter.trainer: exporter
    for exporter in (
        *(TRL, LLAMA_FACTORY, VERL_SFT, VERL_RL, SEARCH_R1, RESEARCH, SKYRL, SLIME, OPENRLHF, MS_SWIFT, AXOLOTL),
        *(DPO, MESSAGES, ATIF, SESSION_TRACES),
    )
}
"""All exporters."""
