"""The MBConv supernet of Gatehouse's bench in PyTorch, with binary gates as the ProxylessNAS paper defines them
(Cai, Zhu and Han 2019, section 3.2): a plain step runs the active operation of every block, a `two` step also one
inactive operation whose output is detached, a `full` step recomputes every inactive operation in the reverse pass.
Weights are frozen in architecture steps, so no weight gradient is computed there, as on the other side of the bench."""

import torch
from torch import nn


def conv_norm(inputs, outputs, kernel, stride, epsilon, groups=1, relu6=True):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=epsilon),
    ]
    return layers + [nn.ReLU6(inplace=True)] if relu6 else layers


def mbconv(inputs, outputs, expansion, kernel, stride, epsilon):
    middle = inputs * expansion
    layers = conv_norm(inputs, middle, 1, 1, epsilon) if expansion > 1 else []
    layers += conv_norm(middle, middle, kernel, stride, epsilon, groups=middle)
    layers += conv_norm(middle, outputs, 1, 1, epsilon, relu6=False)
    return nn.Sequential(*layers)


class RecomputedGates(torch.autograd.Function):
    """Output of the active operation; the reverse pass runs the other operations one at a time for their gates."""

    @staticmethod
    def forward(context, x, output, gates, operations, active):
        context.save_for_backward(x, output)
        context.operations, context.active = operations, active
        return output.view_as(output)

    @staticmethod
    def backward(context, dy):
        x, output = context.saved_tensors
        gradients = torch.zeros(len(context.operations))
        with torch.no_grad():
            for index, operation in enumerate(context.operations):
                if operation is None:
                    continue
                branch = output if index == context.active else operation(x)
                gradients[index] = torch.dot(branch.reshape(-1), dy.reshape(-1))
        return None, dy, gradients, None, None


class Block(nn.Module):
    """One choice. `operations[j]` is None for Zero. A choice is an index or {active, inactive}."""

    def __init__(self, block, epsilon):
        super().__init__()
        self.shortcut = block["shortcut"]
        self.operations = nn.ModuleList(
            [
                nn.Identity() if op is None else mbconv(block["inputs"], block["outputs"], op["expansion"], op["kernel"], block["stride"], epsilon)
                for op in block["operations"]
            ]
        )
        self.zero = [op is None for op in block["operations"]]

    def forward(self, x, choice, gates):
        active = choice if isinstance(choice, int) else choice["active"]
        if self.zero[active]:
            return x
        output = self.operations[active](x)
        if not isinstance(choice, int):
            output = self.gated(x, output, choice, gates)
        return output + x if self.shortcut else output

    def gated(self, x, output, choice, gates):
        inactive = choice["inactive"]
        order = [choice["active"], *inactive]
        gate = torch.tensor([1.0] + [0.0] * len(inactive), requires_grad=True)
        gates.append(gate)
        if len(inactive) == 1:
            if self.zero[inactive[0]]:
                return gate[0] * output
            with torch.no_grad():
                other = self.operations[inactive[0]](x)
            return gate[0] * output + gate[1] * other
        operations = [None if self.zero[index] else self.operations[index] for index in order]
        return RecomputedGates.apply(x.detach(), output, gate, operations, 0)


class Supernet(nn.Module):
    def __init__(self, layout):
        super().__init__()
        epsilon = layout["epsilon"]
        channels, stem = layout["input"][2], layout["stem"]
        body = conv_norm(channels, stem["width"], 3, stem["stride"], epsilon)
        width = stem["width"]
        first = layout["first"]
        if first:
            body.append(mbconv(width, first["width"], 1, first["kernel"], 1, epsilon))
            width = first["width"]
        self.stem = nn.Sequential(*body)
        self.blocks = nn.ModuleList([Block(block, epsilon) for block in layout["blocks"]])
        if layout["blocks"]:
            width = layout["blocks"][-1]["outputs"]
        head = layout["head"]
        self.head = nn.Sequential(*conv_norm(width, head, 1, 1, epsilon)) if head else nn.Identity()
        self.classifier = nn.Linear(head or width, layout["classes"])

    def forward(self, x, choices, gates=None):
        x = self.stem(x)
        for block, choice in zip(self.blocks, choices):
            x = block(x, choice, gates)
        x = self.head(x).mean((2, 3))
        return self.classifier(x)

    def parameters_of_path(self, choices):
        parts = [self.stem, self.head, self.classifier]
        parts += [block.operations[choice] for block, choice in zip(self.blocks, choices)]
        return [parameter for part in parts for parameter in part.parameters()]
