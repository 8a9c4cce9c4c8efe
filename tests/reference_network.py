"""A second, slow implementation of the published network, with which the tests compare ``asid.model``.

It follows the description of the architecture (arXiv 2501.15774) with explicit loops over windows and pixel numbers,
one image at a time, uses the published names of tensors, and imports nothing from ``asid``. The width 48, three steps
that distil 12 channels, and windows of 8×8 are fixed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

C, DISTILLED, M = 48, 12, 8

# Offset of two pixels of a window, as a row of the bias table.
BIAS_ROW = torch.tensor(
    [[(i // M - j // M + M - 1) * (2 * M - 1) + i % M - j % M + M - 1 for j in range(M * M)] for i in range(M * M)]
)

Maps = list[list[Tensor]]


def window_pixels(kind: str, height: int, width: int) -> list[Tensor]:
    """The pixel numbers y · width + x of each window, row by row.

    M×M neighbours (``meso``), M×M pixels spread over the image (``grid``), or all pixels at a distance of M
    (``strided``).
    """
    number = torch.arange(height * width).reshape(height, width)
    rows, columns = height // M, width // M
    if kind == "meso":
        windows = [number[M * y : M * (y + 1), M * x : M * (x + 1)] for y in range(rows) for x in range(columns)]
    elif kind == "grid":
        windows = [number[y::rows, x::columns] for y in range(rows) for x in range(columns)]
    else:
        windows = [number[y::M, x::M] for y in range(M) for x in range(M)]
    return [window.flatten() for window in windows]


class ReferenceNetwork:
    """Runs published tensors: ``ReferenceNetwork(tensors)(x)`` for x (1, 3, H, W), any size."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self.groups = len({name.split(".")[0] for name in tensors if name.startswith("block")})
        self.scale = round((tensors["up.0.weight"].shape[0] / 3) ** 0.5)

    def __call__(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        padded = torch.zeros(1, 3, max(16, -(-height // M) * M), max(16, -(-width // M) * M), dtype=x.dtype)
        padded[:, :, :height, :width] = x
        shallow = self.conv(padded, "input", padding=1)
        features, maps = shallow, None
        for group in range(self.groups):
            name = f"block{group}"
            y, maps = self.distillation(features, f"{name}.residual_layer" + (".0" if group == 0 else ""), maps)
            features = self.esa(self.conv(y, f"{name}.res_end") + features, f"{name}.esa")
        deep = self.conv(features, "output", padding=1) + shallow
        return F.pixel_shuffle(self.conv(deep, "up.0", padding=1), self.scale)[
            :, :, : self.scale * height, : self.scale * width
        ]

    def conv(self, x: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"), **options)

    def depthwise(self, x: Tensor, name: str) -> Tensor:
        return self.conv(x, name, padding=1, groups=x.shape[1])

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.tensors[f"{name}.weight"].T

    def norm(self, x: Tensor, name: str, epsilon: float) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        normal = centred / (centred.square().mean(1, keepdim=True) + epsilon).sqrt()
        return normal * self.tensors[f"{name}.weight"][:, None, None] + self.tensors[f"{name}.bias"][:, None, None]

    def local_module(self, x: Tensor, name: str) -> Tensor:
        y = F.gelu(self.depthwise(F.gelu(self.conv(x, f"{name}.net.fn.0")), f"{name}.net.fn.2"))
        gate = self.linear(
            F.silu(self.linear(y.mean((2, 3)), f"{name}.net.fn.4.gate.1")), f"{name}.net.fn.4.gate.3"
        ).sigmoid()
        return x + self.conv(y * gate[:, :, None, None], f"{name}.net.fn.5")

    def feed_forward(self, x: Tensor, name: str) -> Tensor:
        a, b = self.depthwise(self.conv(x, f"{name}.project_in"), f"{name}.dwconv").chunk(2, dim=1)
        return self.conv(F.gelu(a) * b, f"{name}.project_out")

    def spatial_attention(
        self, x: Tensor, name: str, kind: str, shared: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        _, width, *size = x.shape
        tokens = self.norm(x, f"{name}.norm", 1e-5)[0].flatten(1).T  # (pixels, channels)
        out, maps = torch.zeros_like(tokens), []
        for number, pixels in enumerate(window_pixels(kind, *size)):
            part = tokens[pixels]
            if shared is None:
                q, k, v = self.linear(part, f"{name}.attn.to_qkv").chunk(3, dim=1)
                bias = self.tensors[f"{name}.attn.rel_pos_bias.weight"][:, 0][BIAS_ROW]
                maps.append(torch.softmax(q @ k.T / width**0.5 + bias, dim=1))
            else:
                v = self.linear(part, f"{name}.attn.to_v")
                maps.append(shared[number])
            out[pixels] = self.linear(maps[-1] @ v, f"{name}.attn.to_out.0")
        x = x + out.T.reshape(x.shape)
        return x + self.feed_forward(self.norm(x, f"{name}.cnorm", 1e-6), f"{name}.gfn"), maps

    def channel_attention(self, x: Tensor, name: str) -> Tensor:
        for layer, kind in ((1, "meso"), (2, "strided")):
            y = self.norm(x, f"{name}.canorm{layer}", 1e-6)
            q, k, v = self.depthwise(self.conv(y, f"{name}.cttn{layer}.qkv"), f"{name}.cttn{layer}.qkv_dwconv").reshape(
                3, C, -1
            )
            out = torch.zeros_like(v)
            for pixels in window_pixels(kind, *x.shape[2:]):
                cosine = F.normalize(q[:, pixels], dim=1) @ F.normalize(k[:, pixels], dim=1).T
                out[:, pixels] = (
                    torch.softmax(self.tensors[f"{name}.cttn{layer}.temperature"][0] * cosine, dim=1) @ v[:, pixels]
                )
            x = x + self.conv(out.reshape(x.shape), f"{name}.cttn{layer}.project_out")
            x = x + self.feed_forward(self.norm(x, f"{name}.cnorm{layer}", 1e-6), f"{name}.gfn{layer}")
        return x

    def distillation(self, x: Tensor, name: str, shared: list[Maps] | None) -> tuple[Tensor, list[Maps]]:
        aside, maps = [], []
        for step in (1, 2, 3):
            x = self.local_module(x, f"{name}.LB{step}")
            local, y = x[:, :DISTILLED], x[:, DISTILLED:]
            y, meso = self.spatial_attention(y, f"{name}.SLA{step}", "meso", shared[step - 1][0] if shared else None)
            y, grid = self.spatial_attention(y, f"{name}.SGA{step}", "grid", shared[step - 1][1] if shared else None)
            maps.append([meso, grid])
            joined = [y, local] if step < 3 else [*aside, y, local]
            x = self.conv(torch.cat(joined, dim=1), f"{name}.pw{step}")
            if step < 3:
                aside.append(x[:, :DISTILLED])
                x = x[:, DISTILLED:]
        return self.channel_attention(x, f"{name}.BlockC"), maps

    def esa(self, x: Tensor, name: str) -> Tensor:
        u = self.conv(x, f"{name}.conv1")
        pooled = F.max_pool2d(self.conv(u, f"{name}.conv2", stride=2), kernel_size=7, stride=3)
        coarse = F.interpolate(
            self.conv(pooled, f"{name}.conv3", padding=1), size=x.shape[2:], mode="bilinear", align_corners=False
        )
        return x * self.conv(coarse + self.conv(u, f"{name}.conv_f"), f"{name}.conv4").sigmoid()
