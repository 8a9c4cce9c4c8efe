"""ASID as one would write it down first: batched, layer by layer as the paper describes it, and nothing for speed.

``asid bench`` times the package against it: ``build(config)`` is what it calls. The structure is that of
:mod:`reference_network`, which goes through windows one by one; here all windows are one tensor. A layer is named as in
the published files and makes its weights when it is first called, unless they are given. Imports nothing from ``asid``.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

Maps = list[tuple[Tensor, Tensor]]

WINDOWS = {"meso": "(y i) (x j)", "grid": "(i y) (j x)"}
"""Which pixels form a window of i×j: neighbours, or pixels spread over the image."""


def build(config: Any) -> "PlainNetwork":
    """The network of ``config`` (``asid.config.ModelConfig``) with random weights.

    Raises:
        ValueError: It is a variant: only scale, width, groups, steps and the window may differ from the paper's.
    """
    default = type(config)()
    varied = {"scale", "num_features", "num_groups", "distillation_steps", "window_size", "global_size"}
    values = dict(config)
    if other := [name for name in values if name not in varied and values[name] != getattr(default, name)]:
        raise ValueError(f"the plain network has no {', '.join(other)}")
    if config.window_size != config.global_size:
        raise ValueError("the plain network has one size of windows")
    network = PlainNetwork(
        config.scale, config.num_features, config.num_groups, config.distillation_steps, config.window_size
    )
    with torch.no_grad():
        network(torch.zeros(1, 3, 16, 16))  # makes the weights
    return network


class PlainNetwork:
    """From (B, 3, H, W) to (B, 3, sH, sW)."""

    def __init__(
        self,
        scale: int = 2,
        width: int = 48,
        groups: int = 3,
        steps: int = 3,
        window: int = 8,
        tensors: dict[str, Tensor] | None = None,
    ) -> None:
        self.scale, self.width, self.groups, self.steps, self.window = scale, width, groups, steps, window
        self.tensors = tensors if tensors is not None else {}
        self.generator = torch.Generator().manual_seed(0)
        pixel = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"), -1).flatten(0, 1)
        offset = pixel[:, None] - pixel + window - 1
        self.bias_row = offset[..., 0] * (2 * window - 1) + offset[..., 1]

    def parameters(self) -> list[Tensor]:
        return list(self.tensors.values())

    def to(self, device: str) -> "PlainNetwork":
        self.tensors = {name: t.detach().to(device).requires_grad_() for name, t in self.tensors.items()}
        self.bias_row = self.bias_row.to(device)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        padded_height, padded_width = (max(16, -(-side // self.window) * self.window) for side in (height, width))
        x = F.pad(x, (0, padded_width - width, 0, padded_height - height))
        shallow = self.conv(x, "input", self.width, 3)
        features, maps = shallow, None
        for group in range(self.groups):
            name = f"block{group}"
            y, maps = self.distillation(features, f"{name}.residual_layer" + (".0" if group == 0 else ""), maps)
            features = self.esa(self.conv(y, f"{name}.res_end", self.width) + features, f"{name}.esa")
        deep = self.conv(features, "output", self.width, 3) + shallow
        sr = F.pixel_shuffle(self.conv(deep, "up.0", 3 * self.scale**2, 3), self.scale)
        return sr[:, :, : self.scale * height, : self.scale * width]

    # Layers

    def tensor(self, name: str, *shape: int, gain: float = 1.0, value: float | None = None) -> Tensor:
        if name not in self.tensors:
            drawn = torch.randn(shape, generator=self.generator) * gain
            self.tensors[name] = (drawn if value is None else torch.full(shape, value)).requires_grad_()
        return self.tensors[name]

    def conv(
        self, x: Tensor, name: str, out: int, size: int = 1, *, bias: bool = True, groups: int = 1, **options: int
    ) -> Tensor:
        inside = x.shape[1] // groups
        weight = self.tensor(f"{name}.weight", out, inside, size, size, gain=(inside * size**2) ** -0.5)
        offset = self.tensor(f"{name}.bias", out, value=0.0) if bias else None
        return F.conv2d(x, weight, offset, groups=groups, **{"padding": size // 2, **options})

    def linear(self, x: Tensor, name: str, out: int) -> Tensor:
        return F.linear(x, self.tensor(f"{name}.weight", out, x.shape[-1], gain=x.shape[-1] ** -0.5))

    def norm(self, x: Tensor, name: str, epsilon: float) -> Tensor:
        """Over the channels of each pixel."""
        channels = x.shape[1]
        centred = x - x.mean(1, keepdim=True)
        normal = centred / (centred.square().mean(1, keepdim=True) + epsilon).sqrt()
        weight, bias = (
            self.tensor(f"{name}.{part}", channels, value=v) for part, v in (("weight", 1.0), ("bias", 0.0))
        )
        return normal * weight[:, None, None] + bias[:, None, None]

    # Modules

    def local_module(self, x: Tensor, name: str) -> Tensor:
        width = x.shape[1]
        y = F.gelu(self.conv(x, f"{name}.net.fn.0", width))
        y = F.gelu(self.conv(y, f"{name}.net.fn.2", width, 3, groups=width))
        gate = F.silu(self.linear(y.mean((2, 3)), f"{name}.net.fn.4.gate.1", width // 4))
        gate = self.linear(gate, f"{name}.net.fn.4.gate.3", width).sigmoid()
        return x + self.conv(y * gate[:, :, None, None], f"{name}.net.fn.5", width)

    def feed_forward(self, x: Tensor, name: str) -> Tensor:
        width = x.shape[1]
        y = self.conv(x, f"{name}.project_in", 2 * width, bias=False)
        a, b = self.conv(y, f"{name}.dwconv", 2 * width, 3, bias=False, groups=2 * width).chunk(2, dim=1)
        return self.conv(F.gelu(a) * b, f"{name}.project_out", width, bias=False)

    def spatial_attention(self, x: Tensor, name: str, kind: str, maps: Tensor | None) -> tuple[Tensor, Tensor]:
        width, m, sizes = x.shape[1], self.window, {"y": x.shape[2] // self.window, "x": x.shape[3] // self.window}
        tokens = rearrange(
            self.norm(x, f"{name}.norm", 1e-5), f"b c {WINDOWS[kind]} -> (b y x) (i j) c", i=m, j=m, **sizes
        )
        if maps is None:
            q, k, v = self.linear(tokens, f"{name}.attn.to_qkv", 3 * width).chunk(3, dim=-1)
            bias = self.tensor(f"{name}.attn.rel_pos_bias.weight", (2 * m - 1) ** 2, 1, gain=0.02)[self.bias_row, 0]
            maps = (q @ k.transpose(1, 2) / width**0.5 + bias).softmax(-1)
        else:
            v = self.linear(tokens, f"{name}.attn.to_v", width)
        out = self.linear(maps @ v, f"{name}.attn.to_out.0", width)
        x = x + rearrange(out, f"(b y x) (i j) c -> b c {WINDOWS[kind]}", i=m, j=m, **sizes)
        return x + self.feed_forward(self.norm(x, f"{name}.cnorm", 1e-6), f"{name}.gfn"), maps

    def channel_attention(self, x: Tensor, name: str) -> Tensor:
        width, m = x.shape[1], self.window
        rows, columns = x.shape[2] // m, x.shape[3] // m
        for layer, windows in ((1, "(y i) (x j)"), (2, "(i y) (j x)")):
            # Neighbours, or all pixels at a distance of m.
            i, j = (m, m) if layer == 1 else (rows, columns)
            sizes = {"i": i, "j": j, "y": x.shape[2] // i, "x": x.shape[3] // j}
            y = self.norm(x, f"{name}.canorm{layer}", 1e-6)
            y = self.conv(y, f"{name}.cttn{layer}.qkv", 3 * width, bias=False)
            y = self.conv(y, f"{name}.cttn{layer}.qkv_dwconv", 3 * width, 3, bias=False, groups=3 * width)
            q, k, v = rearrange(y, f"b (n c) {windows} -> n (b y x) c (i j)", n=3, **sizes)
            cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(1, 2)
            temperature = self.tensor(f"{name}.cttn{layer}.temperature", 1, 1, 1, value=1.0)
            out = rearrange((temperature * cosine).softmax(-1) @ v, f"(b y x) c (i j) -> b c {windows}", **sizes)
            x = x + self.conv(out, f"{name}.cttn{layer}.project_out", width, bias=False)
            x = x + self.feed_forward(self.norm(x, f"{name}.cnorm{layer}", 1e-6), f"{name}.gfn{layer}")
        return x

    def distillation(self, x: Tensor, name: str, shared: Maps | None) -> tuple[Tensor, Maps]:
        distilled = self.width // 4
        aside: list[Tensor] = []
        maps: Maps = []
        for step in range(1, self.steps + 1):
            x = self.local_module(x, f"{name}.LB{step}")
            local, y = x[:, :distilled], x[:, distilled:]
            meso, grid = shared[step - 1] if shared else (None, None)
            y, meso = self.spatial_attention(y, f"{name}.SLA{step}", "meso", meso)
            y, grid = self.spatial_attention(y, f"{name}.SGA{step}", "grid", grid)
            maps.append((meso, grid))
            joined = torch.cat([y, local] if step < self.steps else [*aside, y, local], dim=1)
            x = self.conv(joined, f"{name}.pw{step}", joined.shape[1])
            if step < self.steps:
                aside.append(x[:, :distilled])
                x = x[:, distilled:]
        return self.channel_attention(x, f"{name}.BlockC"), maps

    def esa(self, x: Tensor, name: str) -> Tensor:
        narrow = max(16, self.width // 4)
        u = self.conv(x, f"{name}.conv1", narrow)
        pooled = F.max_pool2d(self.conv(u, f"{name}.conv2", narrow, 3, stride=2, padding=0), kernel_size=7, stride=3)
        coarse = F.interpolate(
            self.conv(pooled, f"{name}.conv3", narrow, 3), size=x.shape[2:], mode="bilinear", align_corners=False
        )
        y = coarse + self.conv(u, f"{name}.conv_f", narrow)
        return x * self.conv(y, f"{name}.conv4", x.shape[1]).sigmoid()
