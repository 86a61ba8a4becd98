"""Proposal stage: a language model proposes spans to hide in a passage, as in MaskSearch (arXiv 2505.20285, 2.1).

Guarantees: proposals are checked against the passage; text that does not occur verbatim is rejected as `not_verbatim`.
A passage without a readable reply, or whose request was rejected, is rejected with that reason: it continues with the
spans of recogniser, links and rules. Other errors of the model leave the passage pending.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from pipeline.llm.chat_model import ChatModel, RefusedRequestError
from pipeline.llm.roles import describe_models
from pipeline.llm.structured_output import UNREADABLE, Prompt, Sampling, StructuredOutput, TokenUsage
from pipeline.masking.filters import check_passage
from pipeline.masking.proposals import locate_spans
from pipeline.rendering.task_text import use_templates, write_page
from pipeline.stage import Outcome
from prompts.library import load_template
from prompts.replies import EXTRACT, ExtractReply, UnreadableReplyError
from schemas.config import StageName
from schemas.funnel import NOT_SAMPLED, FunnelStep, Reject
from schemas.llm_config import RoleModelConfig
from schemas.passages import Passage
from schemas.record import Record, content_id
from schemas.roles import Role
from schemas.tasks import Proposals, SpanKind

NOT_VERBATIM = "not_verbatim"
TEMPLATES = ("extract_spans", "ask_again")
DETAIL_CHARS = 300


class ProposalStage:
    """Passages in, `Proposals` and `Reject` rows out."""

    whole_shard = False

    def __init__(
        self,
        model: ChatModel,
        sampling: Sampling,
        models: Mapping[str, RoleModelConfig],
        sampled: Container[str] | None = None,
    ) -> None:
        """`models`: the configuration's `llm.roles`; `sampled`: ids of the passages to examine, None for all."""
        self._asker = StructuredOutput(model, sampling)
        self._model = str(describe_models(models, (Role.EXTRACTOR,)).get(Role.EXTRACTOR, {}).get("model", ""))
        self._sampled = sampled

    async def work(self, passage: Passage) -> Outcome:
        """Return the outcome of one passage."""
        if self._sampled is not None and passage.passage_id not in self._sampled:
            return _reject_passage(passage, NOT_SAMPLED, passage.title)
        if reason := check_passage(passage):
            return _reject_passage(passage, reason, passage.title)
        prompt = Prompt(role=Role.EXTRACTOR, lang=passage.lang, text=write_extract(passage))
        usage = TokenUsage()
        try:
            proposed = await self._asker.ask(prompt, EXTRACT, _list_spans, usage)
        except UnreadableReplyError as error:
            return _reject_passage(passage, UNREADABLE, str(error))
        except RefusedRequestError as error:
            return _reject_passage(passage, error.reason, error.what)
        spans, missing = locate_spans(passage.text, proposed)
        proposals = Proposals(
            passage_id=passage.passage_id,
            spans=tuple(spans),
            model=", ".join(sorted(model for _, model in usage.sums)) or self._model,
            prompts=tuple(prompt.digest for prompt in use_templates(TEMPLATES, passage.lang)),
        )
        rows: tuple[Record, ...] = (proposals, *(_reject_span(passage, words) for words in missing))
        steps = (
            FunnelStep.count(StageName.PROPOSALS, "passage", 1, {}),
            FunnelStep.count(StageName.PROPOSALS, "span", len(spans), {NOT_VERBATIM: len(missing)} if missing else {}),
        )
        return Outcome(passage.passage_id, rows, steps)


def write_extract(passage: Passage) -> str:
    """Write the extractor's prompt."""
    page = write_page(passage.title, passage.section)
    return load_template("extract_spans", passage.lang).fill(page=page, text=passage.text)


def _list_spans(reply: ExtractReply) -> list[tuple[str, SpanKind]]:
    """Return each text once, as it was first named."""
    return list({item.text: (item.text, SpanKind(item.kind)) for item in reversed(reply.spans)}.values())[::-1]


def _reject_passage(passage: Passage, reason: str, detail: str) -> Outcome:
    row = _reject("passage", passage.passage_id, reason, detail)
    return Outcome(passage.passage_id, (row,), (FunnelStep.count(StageName.PROPOSALS, "passage", 0, {reason: 1}),))


def _reject_span(passage: Passage, words: str) -> Reject:
    """Reject a stretch that is not in the passage: it has no offsets, so its id contains its words."""
    input_id = f"{passage.passage_id}:{content_id(words)}"
    return _reject("span", input_id, NOT_VERBATIM, words)


def _reject(unit: str, input_id: str, reason: str, detail: str) -> Reject:
    detail = detail[:DETAIL_CHARS]
    return Reject(stage=StageName.PROPOSALS, unit=unit, input_id=input_id, reason=reason, detail=detail)
