"""Small networks with documents and an optimizer, as probes see them."""

import dataclasses

import numpy as np
import torch

DOCUMENTS, CONTEXT, VOCABULARY = 5, 12, 60


def neox(seed=0, **settings):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, max_position_embeddings=32, use_cache=False, **shape | settings
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config).eval()


def gpt2(seed=0):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_positions=32, n_embd=16, n_layer=2, n_head=2, use_cache=False)
    ).eval()


@dataclasses.dataclass
class Texts:
    """Documents of random tokens; the last is padded to half."""

    model: torch.nn.Module

    def __post_init__(self):
        rng = np.random.default_rng(3)
        self.tokens = torch.from_numpy(rng.integers(0, VOCABULARY, (DOCUMENTS, CONTEXT)))
        self.labels = self.tokens.clone()
        self.labels[-1, CONTEXT // 2 :] = -100
        self.task = 0

    def load(self, task):
        self.task = task

    def loss(self):
        logits = self.model(input_ids=self.tokens[self.task : self.task + 1]).logits[0, :-1]
        return torch.nn.functional.cross_entropy(logits, self.labels[self.task, 1:])

    def losses(self):
        found = []
        with torch.no_grad():
            for task in range(DOCUMENTS):
                self.load(task)
                found.append(self.loss())
        return torch.stack(found)


class Descent:
    """A step of plain gradient descent or Adam, the way the loop's steps look."""

    def __init__(self, adapter, kind="sgd", rate=0.1):
        self.adapter, self.optimizer = adapter, self
        parameters = [p for p in adapter.model.parameters() if p.requires_grad]
        self.inner = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind](parameters, lr=rate)

    def train(self, task, steps, episode=0):
        for _ in range(steps):
            self.adapter.load(task)
            self.inner.zero_grad()
            self.adapter.loss().backward()
            self.inner.step()

    def evaluate(self):
        return self.adapter.losses()

    def reset_optimizer(self):
        for values in self.inner.state.values():
            for tensor in values.values():
                tensor.zero_()

    def state(self):
        stored = self.inner.state_dict()["state"]
        return {f"{i}.{k}": v for i, values in stored.items() for k, v in values.items() if v is not None}


class Convolutional(torch.nn.Module):
    """Images, convolutions and in-place activations, as in VGG: no token ids, no embedding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(inplace=True))
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(48, 10), torch.nn.ReLU(inplace=True), torch.nn.Dropout(), torch.nn.Linear(10, 4)
        )
        self.images = torch.randn(DOCUMENTS, 7, 1, 6, 6)

    def load(self, task):
        self.batch = self.images[task]

    def loss(self):
        out = self.classifier(self.features(self.batch).flatten(1))
        return torch.nn.functional.cross_entropy(out, torch.arange(7) % 4)
