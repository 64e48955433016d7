"""A page with the best pairs side by side, complete in one file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment

from cli.matching.pair import Pair
from cli.sources import read_image
from dicom_node.pixels import Limits
from retrieval.upright import put_right

SIDE = 360
_QUALITY = 80
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Lungprint: best pairs</title>
<style>
  body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #222; background: #fff }
  section { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem 1rem; margin: 0 0 2.5rem }
  h2 { grid-column: 1 / 3; font-size: 1rem; margin: 0 }
  img { width: 100%; background: #000 }
  figure { margin: 0 } figcaption { font-size: .85rem; overflow-wrap: anywhere }
  @media (prefers-color-scheme: dark) { body { color: #ddd; background: #111 } }
</style>
<h1>Best pairs</h1>
<p>The probability is for even odds: that both images show one person, if one pair in two does. Keep this page as safe
as the images.</p>
{% for pair in pairs %}
<section>
  <h2>{{ loop.index }}: probability {{ '%.1f'|format(100 * pair.probability) }} %,
  cosine {{ '%.3f'|format(pair.cosine) }}</h2>
  {% for image, done in ((pair.first, pair.righting[0]), (pair.second, pair.righting[1])) %}
  <figure><img alt="" src="data:image/jpeg;base64,{{ pictures[image.path] }}">
    <figcaption>{{ image.name }}{% if done %}<br>Not stored the right way: {{ done }} before it was compared, and shown
    so.{% endif %}</figcaption></figure>
  {% endfor %}
</section>
{% endfor %}
</html>
"""


def write_sheet(pairs: Sequence[Pair], limits: Limits, path: Path) -> None:
    """Write an HTML page with these pairs, in this order.

    Raises:
        InputNotUsable: an image cannot be read any more.
    """
    shown = {
        source.path: done
        for pair in pairs
        for source, done in zip((pair.first, pair.second), pair.righting, strict=True)
    }
    pictures = {path: _jpeg(path, done, limits) for path, done in shown.items()}
    page = Environment(autoescape=True).from_string(_PAGE)
    path.write_text(page.render(pairs=pairs, pictures=pictures), encoding="utf-8")


def _jpeg(path: Path, done: str, limits: Limits) -> str:
    gray = read_image(path, limits).gray
    scale = SIDE / max(gray.shape)
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else gray
    upright = put_right(np.rint(255 * small).astype(np.uint8), done)
    coded = cv2.imencode(".jpg", upright, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return base64.b64encode(coded.tobytes()).decode("ascii")
