"""The PyTorch side of bench/train-step.ts: reads one JSON request per line, answers one JSON line.

{"threads": n}                                            -> {"version": ...}
{"weights": [...], "input": [...], "classes": n, "batch": n}  -> {"parameters": n}    makes weights, an optimiser and a batch
{"step": "weight"|"two"|"full", "graphs": [...]}          -> {"ms": [...]}        one step on each layer graph

Weights are frozen in architecture steps, so that no weight gradient is computed there, as on the other side of the bench."""

import json
import math
import sys
import time

import torch

from graph import from_ours, gate_loss, overwritable, weight_loss

LEARNING_RATE = 0.05
MOMENTUM = 0.9
WEIGHT_DECAY = 4e-5
LABEL_SMOOTHING = 0.1


def initial(spec):
    kind, shape = spec["initialiser"]["kind"], spec["shape"]
    if kind in ("ones", "zeros"):
        return torch.full(shape, float(kind == "ones"))
    values = torch.randn(shape) * math.sqrt(2 / max(1, math.prod(shape[:-1])))
    return from_ours(values).contiguous()


class Peer:
    def open(self, specs, input_shape, classes, batch):
        torch.manual_seed(0)
        height, width, channels = input_shape
        self.weights = {spec["key"]: initial(spec).requires_grad_() for spec in specs}
        self.images = torch.randn(batch, channels, height, width)
        self.labels = torch.arange(batch) % classes
        of = lambda decay: [self.weights[spec["key"]] for spec in specs if spec["decay"] == decay]
        groups = [{"params": of(True), "weight_decay": WEIGHT_DECAY}, {"params": of(False), "weight_decay": 0}]
        self.optimiser = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
        return sum(values.numel() for values in self.weights.values())

    def weight_step(self, graph, in_place):
        loss = weight_loss(graph, self.weights, self.images, self.labels, LABEL_SMOOTHING, in_place)
        # None, not zero: the optimiser leaves the other operations' weights alone.
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def gate_step(self, graph, in_place):
        loss, gates = gate_loss(graph, self.weights, self.images, self.labels, in_place)
        if not gates:
            return []
        gradients = torch.autograd.grad(loss, [gate for _, gate in gates], materialize_grads=True)
        return [gradient.tolist() for gradient in gradients]

    def run(self, step, graphs):
        for values in self.weights.values():
            values.requires_grad_(step == "weight")
        perform = self.weight_step if step == "weight" else self.gate_step
        prepared = [(graph, overwritable(graph)) for graph in graphs]
        times = []
        for graph, in_place in prepared:
            start = time.perf_counter()
            perform(graph, in_place)
            times.append((time.perf_counter() - start) * 1000)
        return times


def answer(peer, request):
    if "threads" in request:
        torch.set_num_threads(request["threads"])
        return {"version": torch.__version__}
    if "weights" in request:
        return {"parameters": peer.open(request["weights"], request["input"], request["classes"], request["batch"])}
    return {"ms": peer.run(request["step"], request["graphs"])}


def main():
    peer = Peer()
    for line in sys.stdin:
        print(json.dumps(answer(peer, json.loads(line))), flush=True)


main()
