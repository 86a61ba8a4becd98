"""Small chat templates, each with one trait of the templates that models ship with."""

from __future__ import annotations

CALLS = """\
{%- for call in m.tool_calls or [] %}{{ '<tool_call>' + call.function | tojson + '</tool_call>' }}{% endfor %}"""
TOOLS = "{%- if tools %}{{ '<|im_start|>tools\\n' + tools | tojson + '<|im_end|>\\n' }}{% endif %}"
PLAIN = (
    TOOLS
    + """
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}"""
    + CALLS
    + """{{ '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
)
"""Thoughts stay in the content; calls follow it."""
THOUGHTFUL = (
    TOOLS
    + """
{%- set ns = namespace(last=-1) %}
{%- for m in messages if m.role == 'user' %}{% set ns.last = messages.index(m) %}{% endfor %}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}
{%- if m.role == 'assistant' and (keep_past_thinking or loop.index0 > ns.last) %}
{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' }}{% endif %}
{{- m.content }}"""
    + CALLS
    + """{{ '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"""
)
"""A field for thoughts, a generation prompt that opens one, and a switch that keeps those before the last question."""
FORGETFUL = THOUGHTFUL.replace("keep_past_thinking or ", "")
"""The same without the switch."""
UNTHINKING = THOUGHTFUL.replace(
    "assistant\\n<think>\\n' }}",
    "assistant\\n' + ('<think>\\n' if enable_thinking else '<think>\\n\\n</think>\\n\\n') }}",
)
"""The same with a generation prompt that closes the thought unless it is switched on."""
CHANNELS = """\
{{- '<|start|>system<|message|>Today is ' + strftime_now("%Y-%m-%d") + (tools | tojson if tools else '') + '<|end|>' }}
{%- for m in messages %}
{%- if m.role == 'assistant' %}
{%- set done = messages[loop.index0:] | selectattr('role', 'equalto', 'assistant')
    | rejectattr('tool_calls', 'defined') | list %}
{%- if m.thinking and (loop.last or not done) %}
{{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% endif %}
{%- if m.tool_calls %}{% set call = m.tool_calls[0].function %}
{{- '<|start|>assistant to=' + call.name + '<|channel|>commentary<|message|>' + call.arguments | tojson }}<|call|>
{%- else %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}
{{- '<|return|>' if loop.last else '<|end|>' }}
{%- endif %}
{%- elif m.role == 'tool' %}{{ '<|start|>search to=assistant<|message|>' + m.content | tojson + '<|end|>' }}
{%- else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"""
"""Channels, a date, results as JSON, and thoughts that go once there is a final message."""
ENDLESS = """\
{%- if tools %}{{ '<|system|>' + tools | tojson }}{% endif %}
{%- for m in messages %}{{ '<|' + ('observation' if m.role == 'tool' else m.role) + '|>\\n' }}
{%- if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>\\n' }}{% endif %}
{{- m.content }}
{%- for call in m.tool_calls or [] %}{{ '<tool_call>' + call.function.name }}
{%- for key, value in call.function.arguments.items() %}{{ '<key>' + key + '</key>' + value | tojson }}{% endfor %}
{{- '</tool_call>' }}{% endfor %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""
"""No end of a turn: the token of the next role ends it."""
TOOLLESS = """\
{%- for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no role tool') }}{% endif %}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
"""No tools."""
DROPPING = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content.split('</think>')[-1] + '<|im_end|>\\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
"""No thought survives."""
CALLS_FIRST = """\
{{- '<|im_start|>tools\\n' + tools | tojson + '<|im_end|>\\n' if tools else '' }}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"""
CALLS_FIRST += (
    CALLS
    + """{{ m.content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
)
"""Calls stand before the content, and thoughts have no place of their own."""
CLOSED = PLAIN.replace("assistant\\n' }}", "assistant\\n<think></think>' }}")
"""The generation prompt closes the thought, whatever is switched."""
