"""The trainers by name."""

from __future__ import annotations

from pipeline.exporting.axolotl_files import AXOLOTL
from pipeline.exporting.llama_factory_files import LLAMA_FACTORY
from pipeline.exporting.ms_swift_files import MS_SWIFT
from pipeline.exporting.openrlhf_files import OPENRLHF
from pipeline.exporting.search_r1_files import SEARCH_R1
from pipeline.exporting.spec import Exporter
from pipeline.exporting.trl_files import TRL
from pipeline.exporting.verl_files import VERL_RL, VERL_SFT
from schemas.exports import Trainer

EXPORTERS: dict[Trainer, Exporter] = {
    exporter.trainer: exporter
    for exporter in (TRL, LLAMA_FACTORY, VERL_SFT, VERL_RL, SEARCH_R1, OPENRLHF, MS_SWIFT, AXOLOTL)
}
"""Every trainer."""
