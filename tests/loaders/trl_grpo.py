"""Loads the prompts of an export with TRL's GRPOTrainer and takes a step: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import sys

from datasets import load_dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

export, model = sys.argv[1:]
train = load_dataset(f"{export}/rl")["train"]
tokenizer = AutoTokenizer.from_pretrained(model)
tiny = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
)
seen = {}


def reward(prompts, completions, **columns):
    seen.update(prompt=prompts[0], columns=sorted(columns), golds=columns["golds"][0])
    return [float(number) for number in range(len(completions))]


args = GRPOConfig(
    num_generations=2,
    per_device_train_batch_size=2,
    max_completion_length=4,
    max_steps=1,
    use_cpu=True,
    bf16=False,
    report_to="none",
    save_strategy="no",
    output_dir=f"{export}/trained",
)
trainer = GRPOTrainer(
    model=LlamaForCausalLM(tiny), reward_funcs=[reward], args=args, train_dataset=train, processing_class=tokenizer
)
trainer.train()
text = tokenizer.apply_chat_template(seen["prompt"], tokenize=False, add_generation_prompt=True)
sys.stdout.write("\n" + json.dumps(seen | {"rows": len(train), "text": text}))
