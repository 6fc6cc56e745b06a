"""The PyTorch side of bench/train-step.ts: reads one JSON request per line, answers one JSON line.

{"threads": n}                                       -> {"version": ...}
{"layout": {...}, "batch": n}                        -> {"parameters": n}    builds a network, an optimiser and a batch
{"step": "weight"|"two"|"full", "choices": [[...]]}  -> {"ms": [...]}        one step per list of choices
"""

import json
import sys
import time

import torch
from torch import nn

from networks import Supernet

LEARNING_RATE = 0.05
MOMENTUM = 0.9
WEIGHT_DECAY = 4e-5
LABEL_SMOOTHING = 0.1


class Peer:
    def open(self, layout, batch):
        torch.manual_seed(0)
        height, width, channels = layout["input"]
        self.net = Supernet(layout).train()
        self.images = torch.randn(batch, channels, height, width)
        self.labels = torch.arange(batch) % layout["classes"]
        decayed = [p for p in self.net.parameters() if p.dim() > 1]
        others = [p for p in self.net.parameters() if p.dim() <= 1]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0}]
        self.optimiser = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
        self.smoothed = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
        self.plain = nn.CrossEntropyLoss()
        return sum(p.numel() for p in self.net.parameters())

    def weight_step(self, choices):
        logits = self.net(self.images, choices)
        loss = self.smoothed(logits, self.labels)
        # None, not zero: the optimiser leaves the other operations' weights alone.
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def gate_step(self, choices):
        gates = []
        loss = self.plain(self.net(self.images, choices, gates), self.labels)
        if not gates:
            return []
        gradients = torch.autograd.grad(loss, gates)
        return [gradient.tolist() for gradient in gradients]

    def run(self, step, choices):
        self.net.requires_grad_(step == "weight")
        perform = self.weight_step if step == "weight" else self.gate_step
        times = []
        for choice in choices:
            start = time.perf_counter()
            perform(choice)
            times.append((time.perf_counter() - start) * 1000)
        return times


def answer(peer, request):
    if "threads" in request:
        torch.set_num_threads(request["threads"])
        return {"version": torch.__version__}
    if "layout" in request:
        return {"parameters": peer.open(request["layout"], request["batch"])}
    return {"ms": peer.run(request["step"], request["choices"])}


def main():
    peer = Peer()
    for line in sys.stdin:
        print(json.dumps(answer(peer, json.loads(line))), flush=True)


main()
