"""Pictures of images that are stored turned or inverted, shown as they were compared."""

from __future__ import annotations

from PIL import Image, ImageOps

_TURNS = {
    "to the left": Image.Transpose.ROTATE_90,
    "by 180°": Image.Transpose.ROTATE_180,
    "to the right": Image.Transpose.ROTATE_270,
}


def put_right(picture: Image.Image, done: str) -> Image.Image:
    """A picture of grey tones as its image was compared; `done` says in words what was done (`Instance.righting`)."""
    turned = turn(picture, done)
    return ImageOps.invert(turned) if "inverted" in done else turned


def turn(picture: Image.Image, done: str) -> Image.Image:
    """A picture that lies on an image, of any colours, turned as the image was."""
    turns = [by for words, by in _TURNS.items() if words in done]
    return picture.transpose(turns[0]) if turns else picture
