"""Writes networks as ONNX files with random weights, for ONNX Runtime.

  python3 onnx_models.py FOLDER NAME...

mnist_mlp and mnist_cnn are those of examples/ at inference, up to the logits; vgg16, resnet50 and
mobilenet those of examples/models; chain1 and chain16 are a thousand elementwise ops, one after the
other, on as many elements. Needs python3-torch and python3-onnx.
"""
import os
import sys

import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

CHAIN = 1000


def convolution(c_in, c_out, kernel, stride=1, groups=1, activation=True):
    """Convolution, batch normalisation and, mostly, a rectifier."""
    layers = [nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers, *([nn.ReLU()] if activation else []))


class Bottleneck(nn.Module):
    """The block of He et al. 2015, with the stride in its 3 x 3 convolution."""

    def __init__(self, c_in, width, stride):
        super().__init__()
        self.body = nn.Sequential(convolution(c_in, width, 1), convolution(width, width, 3, stride),
                                  convolution(width, 4 * width, 1, activation=False))
        same = stride == 1 and c_in == 4 * width
        self.shortcut = nn.Identity() if same else convolution(c_in, 4 * width, 1, stride, activation=False)

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def head(channels):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]


def resnet50():
    layers, channels = [convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for width, blocks, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for i in range(blocks):
            layers.append(Bottleneck(channels, width, stride if i == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, *head(channels))


def mobilenet():
    layers, channels = [convolution(3, 32, 3, 2)], 32
    strided = {1: 2, 3: 2, 5: 2, 11: 2}
    for i, width in enumerate([64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]):
        layers += [convolution(channels, channels, 3, strided.get(i, 1), channels), convolution(channels, width, 1)]
        channels = width
    return nn.Sequential(*layers, *head(channels))


def vgg16():
    layers, channels = [], 3
    for width, repeats in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        for _ in range(repeats):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, nn.Flatten(), *dense)


def mnist_mlp():
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10),
                         nn.Softmax(1))


def mnist_cnn():
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10), nn.Softmax(1))


SAMPLES = {"mnist_mlp": (784,), "mnist_cnn": (1, 28, 28)}


def write_network(name, path):
    model = globals()[name]().eval()
    x = torch.rand(1, *SAMPLES.get(name, (3, 224, 224)))
    torch.onnx.export(model, x, path, opset_version=13, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})


def write_chain(elements, path):
    names = ["x", *(f"t{i}" for i in range(1, CHAIN)), "y"]
    nodes = [helper.make_node(["Mul", "Add"][i % 2], [names[i], "c"], [names[i + 1]]) for i in range(CHAIN)]
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [elements]) for n in ["x", "y"]]
    c = numpy_helper.from_array(numpy.full(elements, 0.5, "f"), "c")
    model = helper.make_model(helper.make_graph(nodes, "chain", value[:1], value[1:], [c]),
                              opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    onnx.save(model, path)


torch.manual_seed(0)
for wanted in sys.argv[2:]:
    target = os.path.join(sys.argv[1], wanted + ".onnx")
    if wanted.startswith("chain"):
        write_chain(int(wanted[5:]), target + ".tmp")
    else:
        write_network(wanted, target + ".tmp")
    os.replace(target + ".tmp", target)
