"""Reads a PNG far enough to say whether something is drawn on it (RFC 2083;
8 bits a channel, not interlaced, as cairo writes it)."""

import collections
import struct
import zlib


def _paeth(left, up, corner):
    guess = left + up - corner
    by_left, by_up = abs(guess - left), abs(guess - up)
    by_corner = abs(guess - corner)
    if by_left <= by_up and by_left <= by_corner:
        return left
    return up if by_up <= by_corner else corner


def colours(image):
    """{pixel: how many}; a pixel is its channels as a tuple. ValueError when
    it is no PNG of this kind."""
    if image[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG")
    at, packed = 8, b""
    width = height = channels = 0
    while at + 8 <= len(image):
        size, kind = struct.unpack(">I4s", image[at:at + 8])
        chunk = image[at + 8:at + 8 + size]
        if zlib.crc32(kind + chunk) != struct.unpack(
                ">I", image[at + 8 + size:at + 12 + size])[0]:
            raise ValueError("a chunk of the PNG is damaged")
        if kind == b"IHDR":
            width, height, depth, form, _, _, laced = struct.unpack(
                ">IIBBBBB", chunk)
            channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[form]
            if depth != 8 or laced:
                raise ValueError("a kind of PNG that is not read here")
        elif kind == b"IDAT":
            packed += chunk
        at += 12 + size
    raw = zlib.decompress(packed)
    stride = width * channels
    above = bytearray(stride)
    found = collections.Counter()
    for y in range(height):
        method = raw[y * (stride + 1)]
        row = bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride if method else 0):
            left = row[i - channels] if i >= channels else 0
            corner = above[i - channels] if i >= channels else 0
            row[i] = (row[i] + {1: left, 2: above[i],
                                3: (left + above[i]) // 2,
                                4: _paeth(left, above[i], corner)}[method]) \
                & 255
        found.update(zip(*[iter(row)] * channels))
        above = row
    return dict(found)
