"""What planner, rewriter and observer are told: prompts from a trajectory so far.

Promises: a prompt depends on the progress alone and holds nothing of the task but what `OpenTask` holds; whatever comes
from outside - the page, passages, earlier replies - is inert in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.agents.roles import Plan, Progress
from pipeline.asking.wording import number_masks, use_templates, write_page
from prompts.library import Block, join_blocks, load_template, load_words
from schemas.trajectories import MaskAnswer, PromptUse

TEMPLATES = (
    *("plan", "rewrite", "observe", "ask_again"),
    *("shown_passage", "past_step", "known_answer", "agent_words"),
)
DATED = "dated_system"


def list_prompts(lang: str, dated: bool) -> tuple[PromptUse, ...]:
    """The templates that shape a trajectory in a language."""
    return use_templates((*TEMPLATES, DATED) if dated else TEMPLATES, lang)


def write_plan(progress: Progress, steps_left: int) -> str:
    """The planner's prompt."""
    return load_template("plan", progress.task.lang).fill(
        page=_write_page(progress),
        text=number_masks(progress.task.masked_text),
        steps=_write_steps(progress),
        answers=_write_answers(progress),
        left=str(steps_left),
    )


def write_rewrite(progress: Progress, plan: Plan, count: int) -> str:
    """The rewriter's prompt."""
    tried = dict.fromkeys(call.query for turn in progress.turns for call in turn.calls)
    return load_template("rewrite", progress.task.lang).fill(
        page=_write_page(progress),
        text=number_masks(progress.task.masked_text),
        plan=_write_plan(plan),
        tried="\n".join(f"- {query}" for query in tried) or _words(progress)["none"],
        count=str(count),
    )


def write_observe(progress: Progress, plan: Plan, allow_memory: bool) -> str:
    """The observer's prompt."""
    words = _words(progress)
    shown = load_template("shown_passage", progress.task.lang)
    passages = (
        Block(shown.fill(number=str(number), title=passage.title, text=passage.text))
        for number, passage in enumerate(progress.seen, start=1)
    )
    return load_template("observe", progress.task.lang).fill(
        page=_write_page(progress),
        text=number_masks(progress.task.masked_text),
        plan=_write_plan(plan),
        answers=_write_answers(progress),
        passages=join_blocks(passages, words["no_results"]),
        memory=words["memory" if allow_memory else "strict"],
    )


def _words(progress: Progress) -> dict[str, str]:
    return load_words("agent_words", progress.task.lang)


def _write_page(progress: Progress) -> str:
    return write_page(progress.task.title, progress.task.section)


def _write_plan(plan: Plan) -> str:
    return plan.think if plan.mask is None else f"[mask {plan.mask + 1}] {plan.think}"


def _write_steps(progress: Progress) -> Block:
    template = load_template("past_step", progress.task.lang)
    steps = (
        Block(
            template.fill(
                number=str(number),
                think=turn.think,
                queries=" | ".join(call.query for call in turn.calls),
                conclusion=turn.conclusion,
            )
        )
        for number, turn in enumerate(progress.turns, start=1)
    )
    return join_blocks(steps, _words(progress)["none"])


def _write_answers(progress: Progress) -> Block:
    words = _words(progress)
    template = load_template("known_answer", progress.task.lang)
    numbers = {passage.passage_id: str(number) for number, passage in enumerate(progress.seen, start=1)}

    def write(answer: MaskAnswer) -> Block:
        return Block(
            template.fill(
                number=str(answer.mask + 1),
                answer=answer.answer or words["unknown"],
                passage=numbers.get(answer.evidence or "", words["no_passage"]),
            )
        )

    return join_blocks(map(write, _fill_up(progress.answers, progress.task.mask_count)), words["none"])


def _fill_up(answers: Sequence[MaskAnswer], count: int) -> Iterable[MaskAnswer]:
    """One answer a mask, whatever is known."""
    known = {answer.mask: answer for answer in answers}
    return (known.get(mask, MaskAnswer(mask=mask, answer=None, evidence=None)) for mask in range(count))
