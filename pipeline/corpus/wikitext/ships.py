"""Templates of ship names: a prefix, a name in italics and a number or year that distinguishes ships of one name."""

from __future__ import annotations

from pipeline.corpus.wikitext.template_calls import TemplateCall

PREFIXES = (
    "HMS", "HMAS", "HMCS", "HMNZS", "USS", "USNS", "USAT", "USRC", "SS", "RMS", "MV", "MS", "SMS", "INS", "GTS", "RV",
    "MTS", "USAV", "HMT",
)  # fmt: skip
# Format by the argument after the number; without it, prefix, name and number.
FORMATS = {"": "{prefix} {name} ({number})", "2": "{name}", "3": "{name} ({number})", "6": "{prefix} {name}"}


def show_ship(call: TemplateCall) -> str | None:
    """{{USS|Enterprise|CV-6}}, {{ship|French brig|Foo|1800|6}}: the name in the requested format, linked."""
    args = call.args if call.name == "ship" else [call.name.upper(), *call.args]
    prefix, name, number, shape = (*args, "", "", "", "")[:4]
    if not name or shape not in FORMATS:
        return None
    full = f"{prefix} {name}".strip()
    if not number:
        return call.link(full, name if shape in ("2", "3") else full)
    shown = FORMATS[shape].format(prefix=prefix, name=name, number=number).strip()
    return call.link(f"{full} ({number})", shown)
