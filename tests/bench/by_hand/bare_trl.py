"""What one would write by hand with TRL, of the same settings: a fine-tuning, and a training with search.

Runs in TRL's environment, beside `timed_trl.py`; imports nothing of rampforge.
"""

# Lives in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import re
import urllib.request

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer


def train_sft(request, rows, out):
    trainer = SFTTrainer(
        model=load_model(request),
        args=SFTConfig(**list_arguments(request, out), max_length=request["max_length"]),
        train_dataset=Dataset.from_parquet(rows, cache_dir=f"{out}/cache"),
        processing_class=load_tokenizer(request),
    )
    trainer.train()


class Rollouts:
    """TRL's `rollout_func`, with search, and the reward."""

    def __init__(self, request, tokenizer, golds):
        self.rollouts, self.tokenizer, self.golds = request["rollouts"], tokenizer, golds

    def generate(self, model, contexts):
        tokenizer, longest = self.tokenizer, max(map(len, contexts))
        pads = [longest - len(ids) for ids in contexts]
        ids = [[tokenizer.pad_token_id] * pad + row for pad, row in zip(pads, contexts, strict=True)]
        mask = [[0] * pad + [1] * (longest - pad) for pad in pads]
        config = GenerationConfig(
            do_sample=True,
            temperature=self.rollouts["temperature"],
            top_p=self.rollouts["top_p"],
            top_k=0,
            max_new_tokens=self.rollouts["max_turn"],
            stop_strings=["</search>", "</answer>"],
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
        tensors = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        with torch.no_grad():
            out = model.generate(**tensors, generation_config=config, tokenizer=tokenizer)
        return [row[longest:].tolist() for row in out]

    def __call__(self, prompts, trainer):
        encode, eos = self.tokenizer, self.tokenizer.eos_token_id
        starts = [encode(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
        ids, masks, texts = [[] for _ in prompts], [[] for _ in prompts], [""] * len(prompts)
        going = list(range(len(prompts)))
        while going:
            written = self.generate(trainer.model, [starts[n] + ids[n] for n in going])
            asking = []
            for n, new in zip(going, written, strict=True):
                new = new[: new.index(eos) + 1] if eos in new else new
                ids[n] += new
                masks[n] += [1] * len(new)
                texts[n] += self.tokenizer.decode(new, skip_special_tokens=True)
                if texts[n].endswith("</search>") and texts[n].count("</search>") <= self.rollouts["turns"]:
                    asking.append(n)
            for n in asking:
                shown = search(
                    self.rollouts["search"]["url"], re.findall(r"<search>(.*?)</search>", texts[n], re.S)[-1]
                )
                new = encode(shown, add_special_tokens=False)["input_ids"]
                ids[n] += new
                masks[n] += [0] * len(new)
            going = asking
        return {"prompt_ids": starts, "completion_ids": ids, "logprobs": None, "env_mask": masks, "text": texts}

    def pay(self, prompts, text, **columns):
        found = [re.findall(r"<answer>(.*?)</answer>", one, re.S) for one in text]
        return [
            float(bool(said) and [said[-1].strip()] in self.golds[prompt])
            for prompt, said in zip(prompts, found, strict=True)
        ]


def train_rl(request, rows, out):
    settings, tokenizer = request["rollouts"], load_tokenizer(request)
    data = Dataset.from_parquet(rows, cache_dir=f"{out}/cache")
    rollouts = Rollouts(request, tokenizer, {row["prompt"]: json.loads(row["golds"]) for row in data})
    trainer = GRPOTrainer(
        model=load_model(request),
        reward_funcs=[rollouts.pay],
        args=GRPOConfig(
            **list_arguments(request, out),
            loss_type="dapo",
            epsilon=0.2,
            epsilon_high=0.28,
            beta=0.0,
            num_generations=settings["group"],
            max_completion_length=settings["max_completion"],
            temperature=settings["temperature"],
            top_p=settings["top_p"],
            shuffle_dataset=False,
        ),
        train_dataset=data.select_columns(["prompt"]),
        processing_class=tokenizer,
        rollout_func=rollouts,
    )
    trainer.train()


def search(url, query):
    body = json.dumps({"queries": [query.strip()], "topk": 3, "return_scores": True}).encode()
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/retrieve", body, headers)) as reply:
        hits = json.loads(reply.read())["result"][0]
    return "\n<information>" + "\n".join(str(hit["document"]) for hit in hits) + "</information>\n"


def load_model(request):
    return AutoModelForCausalLM.from_pretrained(request["base"], dtype=torch.float32)


def load_tokenizer(request):
    tokenizer = AutoTokenizer.from_pretrained(request["base"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def list_arguments(request, out):
    return {
        "output_dir": f"{out}/bare",
        "per_device_train_batch_size": request["batch"],
        "max_steps": request["steps"],
        "learning_rate": request["weights"]["learning_rate"],
        "lr_scheduler_type": request["weights"]["schedule"],
        "weight_decay": 0.0,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "seed": request["seed"],
        "data_seed": request["seed"],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
