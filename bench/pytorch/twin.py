"""One step on a layer graph in float64: reads a JSON object from standard input, writes one to standard output.

{"graph": {...}, "weights": {key: {"shape": [...], "values": base64 of float32}}, "images": {"shape", "values"}, "labels": [...],
 "labelSmoothing": s}             -> {"loss": ..., "gradients": {key: base64 of float32}}
the same with "gates": true       -> {"loss": ..., "gates": [{"block": n, "gradients": [...]}]}   in the order of the branches"""

import base64
import json
import sys
from array import array

import torch

from graph import from_ours, gate_loss, to_ours, weight_loss


def read(tensor):
    values = array("f", base64.b64decode(tensor["values"]))
    return torch.tensor(values.tolist(), dtype=torch.float64).reshape(tensor["shape"])


def write(tensor):
    return base64.b64encode(array("f", tensor.detach().reshape(-1).tolist()).tobytes()).decode()


def answer(request):
    images = read(request["images"]).permute(0, 3, 1, 2)
    labels = torch.tensor(request["labels"])
    shapes = {key: tensor["shape"] for key, tensor in request["weights"].items()}
    weights = {key: from_ours(read(tensor)) for key, tensor in request["weights"].items()}
    if request.get("gates"):
        loss, gates = gate_loss(request["graph"], weights, images, labels)
        gradients = torch.autograd.grad(loss, [gate for _, gate in gates], materialize_grads=True)
        return {
            "loss": loss.item(),
            "gates": [{"block": layer["block"], "gradients": of.tolist()} for (layer, _), of in zip(gates, gradients)],
        }
    for values in weights.values():
        values.requires_grad_()
    loss = weight_loss(request["graph"], weights, images, labels, request["labelSmoothing"])
    loss.backward()
    gradients = {key: write(to_ours(values.grad, shapes[key])) for key, values in weights.items() if values.grad is not None}
    return {"loss": loss.item(), "gradients": gradients}


torch.set_num_threads(1)
print(json.dumps(answer(json.load(sys.stdin))))
