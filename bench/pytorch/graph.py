"""Layer graphs (search-space/layer-graph.ts) in PyTorch: a function for each kind of layer, by PyTorch's own operations.

Activations are [batch, channels, height, width] here, filters as PyTorch has them; `from_ours` and `to_ours` turn weights and gradients from
and to [height, width, in, out]. A mixed layer is the sum of its branches' outputs times their gates, 1 for the active one and 0 for the
others: outputs of those whose gate is 0 are constants, since nothing flows through them, and their gates' gradients are what is wanted."""

from collections import Counter

import torch
import torch.nn.functional as F

ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "swish": F.silu,
    "hardSwish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "hardSigmoid": F.hardsigmoid,
}
CAN_OVERWRITE = {"relu", "relu6"}


def from_ours(values):
    """[height, width, in, out] to [out, in, height, width]; a depthwise [height, width, channels, 1] to [channels, 1, height, width]."""
    if values.dim() != 4:
        return values
    depthwise = values.shape[3] == 1 and values.shape[2] > 1
    return values.permute(2, 3, 0, 1) if depthwise else values.permute(3, 2, 0, 1)


def to_ours(values, shape):
    """The inverse; `shape` is ours, which tells depthwise filters from others."""
    if values.dim() != 4:
        return values
    depthwise = shape[3] == 1 and shape[2] > 1
    return values.permute(2, 3, 0, 1) if depthwise else values.permute(2, 3, 1, 0)


def inputs_of(layer):
    return layer.get("inputs", [layer["input"]] if "input" in layer else [])


def overwritable(graph):
    """Ids of activations that may overwrite what they read: the output of a batch-norm that nothing else reads."""
    found = set()

    def look(layers, outputs):
        readers = Counter(name for layer in layers for name in inputs_of(layer))
        readers.update(outputs)
        norms = {layer["id"] for layer in layers if layer["kind"] == "batchNorm"}
        for layer in layers:
            if layer["kind"] == "activation" and layer["input"] in norms and readers[layer["input"]] == 1:
                found.add(layer["id"])
            for branch in layer.get("branches", []):
                look(branch["layers"], [branch["output"]])

    look(graph["layers"], [])
    return found


class Run:
    """One forward pass. `weights` by key, as PyTorch has them; `gates`: whether mixed layers have gates, or are their active branch."""

    def __init__(self, weights, gates, in_place=frozenset()):
        self.weights = weights
        self.wants_gates = gates
        self.in_place = in_place
        self.gates = []
        self.values = {}

    def graph(self, graph, images):
        self.values[graph["layers"][0]["id"]] = images
        for layer in graph["layers"][1:]:
            self.values[layer["id"]] = self.layer(layer)
        output = self.values[graph["layers"][-1]["id"]]
        return output.reshape(output.shape[0], -1)

    def layer(self, layer):
        return getattr(self, layer["kind"])(layer)

    def read(self, layer):
        return self.values[layer["input"]]

    def branch(self, layer, branch):
        for inner in branch["layers"]:
            self.values[inner["id"]] = self.layer(inner)
        return self.values[branch["output"]]

    def mixed(self, layer):
        active = layer["active"]
        output = self.branch(layer, layer["branches"][active])
        if not self.wants_gates:
            return output
        gate = torch.zeros(len(layer["branches"]), dtype=output.dtype, requires_grad=True)
        with torch.no_grad():
            gate[active] = 1
            others = [(i, self.branch(layer, branch)) for i, branch in enumerate(layer["branches"]) if i != active]
        self.gates.append((layer, gate))
        total = gate[active] * output
        for i, other in others:
            total = total + gate[i] * other
        return total

    # Kinds of layers, in the order of their names.

    def activation(self, layer):
        function = ACTIVATIONS[layer["activation"]]
        if layer["id"] in self.in_place and layer["activation"] in CAN_OVERWRITE:
            return function(self.read(layer), inplace=True)
        return function(self.read(layer))

    def add(self, layer):
        first, second = (self.values[name] for name in layer["inputs"])
        return first + second

    def batchNorm(self, layer):
        return F.batch_norm(
            self.read(layer), None, None, self.part(layer["gamma"], layer), self.part(layer["beta"], layer), True, 0.0, layer["epsilon"]
        )

    def channelRange(self, layer):
        part = self.read(layer)[:, layer["first"] : layer["first"] + layer["shape"][2]]
        return F.pad(part, (0, 0, 0, 0, 0, layer["shape"][2] - part.shape[1]))

    def channelShuffle(self, layer):
        return self.read(layer).unflatten(1, (layer["groups"], -1)).transpose(1, 2).flatten(1, 2)

    def concat(self, layer):
        return torch.cat([self.values[name] for name in layer["inputs"]], 1)

    def conv2d(self, layer):
        x = self.read(layer)
        kernel, groups = layer["kernel"], layer.get("groups", 1)
        filters = self.weights[layer["filter"]][: layer["shape"][2], : x.shape[1] // groups, :kernel, :kernel]
        return F.conv2d(x, filters, None, layer["stride"], kernel // 2, 1, groups)

    def crop(self, layer):
        return self.read(layer)[:, :, layer["top"] :, layer["left"] :]

    def depthwiseConv2d(self, layer):
        x = self.read(layer)
        channels, kernel, dilation = x.shape[1], layer["kernel"], layer.get("dilation", 1)
        filters = self.weights[layer["filter"]][:channels, :, :kernel, :kernel]
        return F.conv2d(x, filters, None, layer["stride"], dilation * (kernel // 2), dilation, channels)

    def globalAveragePool(self, layer):
        return self.read(layer).mean((2, 3), keepdim=True)

    def linear(self, layer):
        x = self.read(layer).permute(0, 2, 3, 1).flatten(1)
        weights = self.weights[layer["weights"]][: x.shape[1], : layer["shape"][2]]
        return (x @ weights + self.part(layer["bias"], layer))[:, :, None, None]

    def multiply(self, layer):
        image, factor = (self.values[name] for name in layer["inputs"])
        return image * factor

    def pool(self, layer):
        kernel = layer["kernel"]
        padding = layer.get("padding", kernel // 2)
        if layer["mode"] == "max":
            return F.max_pool2d(self.read(layer), kernel, layer["stride"], padding)
        return F.avg_pool2d(self.read(layer), kernel, layer["stride"], padding, count_include_pad=False)

    def splitAttention(self, layer):
        values = [self.values[name] for name in layer["inputs"]]
        splits = len(values) // 2
        attention = torch.softmax(torch.stack(values[splits:]), 0)
        return (attention * torch.stack(values[:splits])).sum(0)

    def zero(self, layer):
        height, width, channels = layer["shape"]
        x = self.read(layer)
        return x.new_zeros((x.shape[0], channels, height, width))

    def part(self, key, layer):
        """Of a vector that networks share by parts, the first channels."""
        return self.weights[key][: layer["shape"][2]]


def weight_loss(graph, weights, images, labels, label_smoothing, in_place=frozenset()):
    logits = Run(weights, False, in_place).graph(graph, images)
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def gate_loss(graph, weights, images, labels, in_place=frozenset()):
    """The loss, and the mixed layers with their gates."""
    run = Run(weights, True, in_place)
    return F.cross_entropy(run.graph(graph, images), labels), run.gates
