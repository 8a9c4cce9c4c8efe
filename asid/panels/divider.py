"""Two images in one place with a divider between them, as HTML that needs no kernel."""

import base64
import html
import io

from PIL import Image as Pillow

from asid.data.images import RGBImage

MOST_SHOWN = 2048
"""Longest side of the images on the page, in pixels; larger ones are reduced."""

_STYLE = """<style>
.asid-divider { position: relative; line-height: 0; margin: 6px 0; }
.asid-divider .bar { font: 13px/1.6 sans-serif; margin-bottom: 4px; opacity: .85; }
.asid-divider .frame { overflow: auto; max-height: 85vh; border-radius: 3px; }
.asid-divider .view { position: relative; width: min(100%, var(--width), 85vh * var(--ratio)); }
.asid-divider .stage { position: relative; }
.asid-divider:has(.actual:checked) .view { width: min(100%, var(--width)); }
.asid-divider:has(.actual:checked) .stage { width: var(--width); image-rendering: pixelated; }
.asid-divider .stage img { display: block; width: 100%; max-width: none; }
.asid-divider .before { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--x)) 0 0); }
.asid-divider input[type=range] { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; }
.asid-divider input[type=range] { opacity: 0; cursor: ew-resize; z-index: 1; }
.asid-divider .line { position: absolute; top: 0; bottom: 0; left: var(--x); width: 2px; margin-left: -1px; }
.asid-divider .line { background: #fff; box-shadow: 0 0 3px #000; }
.asid-divider .knob { position: absolute; top: 50%; left: -13px; width: 28px; height: 28px; margin-top: -14px; }
.asid-divider .knob { border-radius: 50%; background: #fff; box-shadow: 0 0 3px #000; color: #222; }
.asid-divider .knob { font: 15px/28px sans-serif; text-align: center; }
.asid-divider input:focus-visible ~ .line .knob { outline: 3px solid #1a73e8; }
.asid-divider .badge { position: absolute; z-index: 2; bottom: 10px; max-width: 46%; padding: 3px 8px; }
.asid-divider .badge { box-sizing: border-box; }
.asid-divider .badge { border-radius: 3px; background: rgba(0, 0, 0, .65); color: #fff; pointer-events: none; }
.asid-divider .badge { font: 12px/1.4 sans-serif; }
</style>"""


def before_after(before: RGBImage, after: RGBImage, labels: tuple[str, str], notes: tuple[str, str] = ("", "")) -> str:
    """Build HTML that shows ``before`` left of a divider and ``after`` right of it, as large as the page allows.

    A tick shows each pixel of the images as a pixel of the page, in a frame that scrolls.

    Args:
        before: uint8 (H, W, 3).
        after: uint8 (H, W, 3).
        labels: Names of the two images.
        notes: What to show beside the names, such as scores.

    Raises:
        ValueError: The images have different sizes.
    """
    if before.shape != after.shape:
        raise ValueError(f"expected two images of the same size, got {before.shape} and {after.shape}")
    first, second = map(html.escape, labels)
    badges = [html.escape(f"{label} {note}".strip()) for label, note in zip(labels, notes, strict=True)]
    height, width, _ = after.shape
    shrink = max(1.0, max(height, width) / MOST_SHOWN)
    if shrink > 1:
        size = f"reduced 1 : {shrink:.1f} for the page; a detail shows single pixels"
    else:
        size = '<label><input type="checkbox" class="actual"> 1:1</label>'
    return f"""{_STYLE}<div class="asid-divider"
 style="--x:50%;--width:{round(width / shrink)}px;--ratio:{width / height:.5f}">
<div class="bar">{width} × {height} pixels, {size}</div>
<div class="view"><div class="frame"><div class="stage">
<img alt="{second}" src="{_to_url(after)}"><img alt="{first}" class="before" src="{_to_url(before)}">
<input type="range" min="0" max="100" step="0.5" value="50" aria-label="divider between {first} and {second}"
 oninput="this.closest('.asid-divider').style.setProperty('--x', this.value + '%')">
<div class="line"><div class="knob">⇔</div></div></div></div>
<span class="badge" style="left:8px">{badges[0]}</span><span class="badge" style="right:8px">{badges[1]}</span>
</div></div>"""


def _to_url(image: RGBImage) -> str:
    buffer = io.BytesIO()
    photograph = Pillow.fromarray(image)
    photograph.thumbnail((MOST_SHOWN, MOST_SHOWN))  # never enlarges
    photograph.save(buffer, format="png", compress_level=1)
    return to_url(buffer.getvalue())


def to_url(png: bytes) -> str:
    """A PNG file as an address that contains it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
