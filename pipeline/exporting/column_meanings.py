"""Meaning of the columns of exports, as cards tell it."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.exports import Purpose

MEANING = {
    "schema_version": "version of ATIF",
    "trajectory_id": "the trajectory",
    "session_id": "the same",
    "agent": "who attempted the task, and the tools it had",
    "steps": "what was asked, thought, called, shown and answered",
    "extra": "under `rampforge` the task with its gold, and what is known of the attempt",
    "spans": "every stretch of the conversation as JSON: message, speaker, kind (prompt, think, query, observation, "
    "answer) and text; make any loss mask from it",
    "token_spans": "runs of tokens as JSON: kind, whether they are trained, how many",
    "input_ids": "tokens",
    "labels": "the tokens that carry loss, -100 for the others",
    "messages": "the conversation",
    "conversations": "the conversation",
    "prompt": "what the policy is given",
    "golds": "for each mask the texts that answer it, as JSON",
    "reward_model": "ground truth for the scorer: the answers that are right",
    "extra_info": "what else is known of the row",
    "tools": "schemas of the tools",
    "id": "the trajectory",
    "task_id": "the task that it attempted",
    "document_id": "the page of the task",
    "page_id": "the page's number in its wiki",
    "passage_id": "the passage of the task, for a search server to withhold",
    "title": "title of the page",
    "lang": "language",
    "rendering": "format of the conversation",
    "policy": "who attempted the task",
    "mask_count": "number of hidden spans",
    "question": "the passage with its masks",
    "system": "the system message",
    "golden_answers": "what an answer is compared with: every combination of the forms of its masks",
    "reward_spec": "the same as `reward_model`, for SkyRL",
    "env_class": "SkyRL's environment",
    "chosen": "what the accepted attempt said, searches and results included",
    "rejected": "what an attempt at the same task said that answered wrongly",
    "chosen_turn": "the same as `chosen`, for LLaMA-Factory",
    "rejected_turn": "the same as `rejected`, for LLaMA-Factory",
    "rejected_id": "the trajectory that answered wrongly",
    "data_source": "what the trainer chooses a scorer by",
    "ability": "what is trained",
    "agent_name": "the agent loop that plays the rollout",
    "attention_mask": "1 for every token",
    "mask_kinds": "kind of each hidden span, as JSON",
    "difficulty": "mean over the hidden spans of the estimated probability that only a search recovers one",
    "hide": "what the search engine withheld of the task's source: none, passage or page",
    "turns": "steps of the attempt",
    "shown": "ids of the passages shown, step by step, as JSON",
}
OF_PROMPTS = {
    "hide": "the most that was withheld of the task's source in an attempt that was accepted (in any, if prompts are "
    "of all tasks): none, passage or page; what a rollout's searches withhold is up to the trainer",
    "turns": "steps of that attempt",
    "shown": "ids of the passages that it was shown, step by step, as JSON",
}
"""What columns mean where a row is a prompt: of the attempts at a task there is one row."""


def list_meanings(purpose: Purpose) -> Mapping[str, str]:
    """The meaning of each column of a table, by name; columns that say it themselves have none."""
    return MEANING | OF_PROMPTS if purpose is Purpose.RL else MEANING
