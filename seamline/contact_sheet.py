"""A contact sheet: pictures in a table, with a text above each column."""

import io
import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from seamline.storage.framepack import Frames

CELL = 256
"""Largest side of a picture; larger ones are shrunk."""
GAP, TEXT_SIZE, LINE, LETTER = 4, 13, 17, 7
"""Pixels: between the pictures; of the text: its size, the height of a line, the usual width of a letter."""
PAPER, INK = (255, 255, 255), (20, 20, 20)


def contact_sheet(titles: Sequence[Sequence[str]], columns: Sequence[Frames]) -> bytes:
    """Draws a sheet.

    Args:
        titles: of each column, its lines; long ones are broken.
        columns: of each column its pictures, top to bottom: (rows, R, R, 3), all alike.

    Returns:
        A PNG. Its side is a multiple of the cell's and the gap's, below the titles.
    """
    pictures = [[_shrunk(picture) for picture in column] for column in columns]
    side, rows = len(pictures[0][0]), len(pictures[0])
    lines = [_broken(title, side) for title in titles]
    top = GAP + LINE * max(len(title) for title in lines)
    size = (len(columns) * (side + GAP) + GAP, top + rows * (side + GAP) + GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_SIZE)
    for number, (title, column) in enumerate(zip(lines, pictures, strict=True)):
        left = GAP + number * (side + GAP)
        for line, text in enumerate(title):
            draw.text((left, GAP + line * LINE), text, INK, font)
        for row, picture in enumerate(column):
            sheet.paste(Image.fromarray(picture), (left, top + GAP + row * (side + GAP)))
    file = io.BytesIO()
    sheet.save(file, "png", compress_level=1)
    return file.getvalue()


def _broken(title: Sequence[str], width: int) -> list[str]:
    letters = max(1, width // LETTER)
    return [line for text in title for line in textwrap.wrap(text, letters)]


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(picture) <= CELL:
        return picture
    return cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
