"""Makes the golden files of crates/picture: small pictures of every awkward kind, what Pillow makes of them, and
Pillow's resizing. Tests read the files and never run Python.

    python make.py          (Pillow 13, numpy; writes next to itself)

* pictures.json, pictures/*: the files as they would be dropped on the page, and where in pictures.bin the RGB pixels
  stand that Pillow makes of them: EXIF orientation applied, transparency over white as transformers'
  `convert_to_rgb` does. `tolerance` is the largest difference of a channel that is allowed: 0 but for lossy WebP, whose
  decoders smooth half-size colours differently.
* resize.json, resize.bin: inputs and outputs of `Image.resize`, raw bytes one after the other.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
PICTURES = HERE / "pictures"
W, H = 29, 19  # odd, not a multiple of a JPEG block


def scene(w=W, h=H):
    """Smooth colours with a dark corner that tells orientations apart, and a hard edge."""
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack([40 + 200 * x / w, 30 + 210 * y / h, 128 + 100 * np.sin(x / 5 + y / 7)], -1)
    a[: h // 3, : w // 4] = (20, 10, 60)
    a[h // 2 :, w // 2 :, 1] = 250
    return a.round().astype(np.uint8)


def save(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def turned_by(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def reference(data):
    """What Pillow and transformers' convert_to_rgb make of a file."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I;16"):
        # Pillow makes white of every 16-bit grey above 255; the high byte is what it takes of 16-bit colours.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def segments(jpeg):
    """(marker, start, end) of the segments of a JPEG file up to the first scan."""
    at = 2
    while True:
        marker, length = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        yield marker, at, at + 2 + length
        if marker == 0xDA:
            return
        at += 2 + length


def without(jpeg, wanted):
    for marker, start, end in segments(jpeg):
        if marker == wanted:
            return jpeg[:start] + jpeg[end:]
    raise ValueError(f"no segment {wanted:x}")


def patched(jpeg, wanted, offset, value):
    """The file with one byte of a segment's body changed."""
    for marker, start, _ in segments(jpeg):
        if marker == wanted:
            at = start + 4 + offset
            return jpeg[:at] + bytes([value]) + jpeg[at + 1 :]
    raise ValueError(f"no segment {wanted:x}")


def png(color, depth, rows, w, h, interlaced=0):
    """A PNG of given color type and bit depth, rows unfiltered: Pillow cannot write all kinds."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlaced))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), 9))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def adam7(a):
    """The rows of the seven passes of an interlaced PNG."""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        yield from a[y0::dy, x0::dx]


def pictures():
    """name, file, tolerance"""
    a = scene()
    rgb = Image.fromarray(a)
    gray = rgb.convert("L")
    # JPEG ---------------------------------------------------------------------------------------------------------
    plain = save(rgb, "JPEG", quality=90, subsampling=0)
    yield "baseline.jpg", plain, 0
    yield "half.jpg", save(rgb, "JPEG", quality=90, subsampling=2), 0
    yield "restart.jpg", save(rgb, "JPEG", quality=90, subsampling=2, restart_marker_blocks=2), 0
    yield "progressive.jpg", save(rgb, "JPEG", quality=90, subsampling=1, progressive=True), 0
    yield "gray.jpg", save(gray, "JPEG", quality=90), 0
    gray_file = save(gray, "JPEG", quality=90)
    yield "gray_adobe.jpg", gray_file[:2] + b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\0" + gray_file[2:], 0
    yield "gray_sampled.jpg", patched(save(gray, "JPEG", quality=90), 0xC0, 7, 0x22), 0
    yield "rgb.jpg", save(rgb, "JPEG", quality=90, keep_rgb=True), 0
    cmyk = save(rgb.convert("CMYK"), "JPEG", quality=92)
    yield "cmyk.jpg", cmyk, 0
    # Real black in the fourth channel, which Pillow's own conversion never makes.
    black = np.dstack([255 - a, (a[..., 0] // 2)[..., None]])
    dark = save(Image.fromarray(black, "CMYK"), "JPEG", quality=92)
    yield "cmyk_black.jpg", dark, 0
    yield "cmyk_no_adobe.jpg", without(dark, 0xEE), 0
    # The same four channels, said to be luma, chroma and black.
    yield "ycck.jpg", patched(dark, 0xEE, 11, 2), 0
    for orientation in range(1, 9):
        file = save(rgb, "JPEG", quality=85, subsampling=0, exif=turned_by(orientation))
        yield f"orientation_{orientation}.jpg", file, 0
    # Channels of different sizes: colours half as high and a quarter as wide, black and inks at half size, narrow rows.
    b = Image.fromarray(scene(61, 31))
    half = save(b, "JPEG", quality=75, subsampling=2)
    yield "half_61x31.jpg", half, 0
    # The same blocks in another order: a strange picture, but a valid file.
    yield "quarter.jpg", patched(half, 0xC0, 7, 0x41), 0
    high = save(b.crop((0, 0, 31, 31)), "JPEG", quality=75, subsampling=1)
    yield "half_height.jpg", patched(high, 0xC0, 7, 0x12), 0
    yield "narrow.jpg", save(rgb.crop((0, 0, 4, 7)), "JPEG", quality=90, subsampling=2), 0
    inks = save(Image.fromarray(black, "CMYK"), "JPEG", quality=75, subsampling=2)
    yield "cmyk_half.jpg", inks, 0
    yield "ycck_half.jpg", patched(inks, 0xEE, 11, 2), 0
    # Which colours three channels are: JFIF's word before Adobe's, Adobe's before the letters R, G, B.
    adobe = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\0"
    yield "jfif_adobe.jpg", plain[:2] + adobe + plain[2:], 0
    bare = without(save(rgb, "JPEG", quality=90, subsampling=2), 0xE0)
    yield "adobe_rgb_half.jpg", bare[:2] + adobe + bare[2:], 0
    for channel, letter in enumerate(b"RGB"):
        bare = patched(patched(bare, 0xC0, 6 + 3 * channel, letter), 0xDA, 1 + 2 * channel, letter)
    yield "letters.jpg", bare, 0
    # After the end of the picture other bytes may follow, as phones write them (a second picture, a video).
    yield "trailer.jpg", plain + b"MotionPhoto" + bytes(40), 0
    yield "stray_bytes.jpg", plain[:20] + b"\0" * 7 + plain[20:], 0
    # PNG ----------------------------------------------------------------------------------------------------------
    yield "one_pixel.png", save(Image.fromarray(a[:1, :1]), "PNG"), 0
    yield "rgb.png", save(rgb, "PNG"), 0
    yield "interlaced.png", png(2, 8, adam7(a), W, H, interlaced=1), 0
    yield "gray.png", save(gray, "PNG"), 0
    yield "black_white.png", save(gray.convert("1"), "PNG"), 0
    wide = (a.astype(np.uint32) * 257 + np.arange(3) * 90).clip(0, 65535).astype(">u2")
    alpha = ((np.mgrid[0:H, 0:W][1] * 255) // (W - 1)).astype(np.uint8)
    wide_alpha = (alpha.astype(np.uint32) * 257).astype(">u2")[..., None]
    yield "gray16.png", png(0, 16, wide[..., 0], W, H), 0
    yield "rgb16.png", png(2, 16, wide, W, H), 0
    yield "rgba16.png", png(6, 16, np.concatenate([wide, wide_alpha], -1), W, H), 0
    yield "rgba.png", save(Image.fromarray(np.dstack([a, alpha])), "PNG"), 0
    yield "gray_alpha.png", save(Image.fromarray(np.dstack([a[..., 0], alpha]), "LA"), "PNG"), 0
    palette = rgb.quantize(16)
    yield "palette.png", save(palette, "PNG"), 0
    yield "palette_one_clear.png", save(palette, "PNG", transparency=3), 0
    yield "palette_alpha.png", save(palette, "PNG", transparency=bytes(range(0, 256, 17))), 0
    yield "rgb_one_clear.png", save(rgb, "PNG", transparency=(20, 10, 60)), 0
    yield "orientation_6.png", save(rgb, "PNG", exif=turned_by(6)), 0
    # GIF ----------------------------------------------------------------------------------------------------------
    frames = [palette, ImageOps.mirror(rgb).quantize(16), ImageOps.flip(rgb).quantize(16)]
    yield "animated.gif", save(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0), 0
    yield "clear.gif", save(palette, "GIF", transparency=3), 0
    yield "interlaced.gif", save(palette, "GIF", interlace=1), 0
    # WebP ---------------------------------------------------------------------------------------------------------
    yield "lossless.webp", save(rgb, "WEBP", lossless=True), 0
    yield "lossless_alpha.webp", save(Image.fromarray(np.dstack([a, alpha])), "WEBP", lossless=True, exact=True), 0
    yield "lossy.webp", save(rgb, "WEBP", quality=80), 3
    yield "animated.webp", save(rgb, "WEBP", lossless=True, save_all=True, append_images=[ImageOps.flip(rgb)]), 0
    yield "orientation_8.webp", save(rgb, "WEBP", lossless=True, exif=turned_by(8)), 0
    # BMP ----------------------------------------------------------------------------------------------------------
    yield "rgb.bmp", save(rgb.crop((0, 0, 13, 9)), "BMP"), 0
    yield "palette.bmp", save(palette.crop((0, 0, 13, 9)), "BMP"), 0


def make_pictures():
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.iterdir():
        old.unlink()
    index, pixels, places = [], b"", {}
    for name, data, tolerance in pictures():
        (PICTURES / name).write_bytes(data)
        expected = reference(data)
        before = len(places)
        orientation = Image.open(io.BytesIO(data)).getexif().get(0x0112, 1)
        index.append(
            {
                "file": name,
                "width": expected.shape[1],
                "height": expected.shape[0],
                "orientation": orientation,
                "at": places.setdefault(expected.tobytes(), len(pixels)),
                "tolerance": tolerance,
            }
        )
        if len(places) > before:
            pixels += expected.tobytes()
    (HERE / "pictures.json").write_text("[\n" + ",\n".join(json.dumps(line) for line in index) + "\n]\n")
    (HERE / "pictures.bin").write_bytes(pixels)


def make_resize():
    rng = np.random.default_rng(7)
    filters = {
        "box": Image.Resampling.BOX,
        "bilinear": Image.Resampling.BILINEAR,
        "hamming": Image.Resampling.HAMMING,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
    index, pixels = [], b""

    def add(image, sizes):
        nonlocal pixels
        start = len(pixels)
        pixels += np.asarray(image).tobytes()
        for to in sizes:
            for name, filter in filters.items():
                index.append(
                    {
                        "filter": name,
                        "channels": len(image.getbands()),
                        "from": list(image.size),
                        "from_at": start,
                        "to": list(to),
                        "to_at": len(pixels),
                    }
                )
                pixels += np.asarray(image.resize(to, filter)).tobytes()

    # Half of it black and white, so that overshoot is cut off.
    noise = rng.integers(0, 256, (13, 19, 3), dtype=np.uint8)
    noise[:, 9:] = (noise[:, 9:] > 127) * np.uint8(255)
    # Both smaller; both larger; one axis each; one axis larger and one smaller; the vertical pass first (Pillow 13).
    add(Image.fromarray(noise), [(7, 5), (29, 20), (19, 4), (6, 13), (23, 6), (8, 17), (17, 3), (1, 1)])
    # Wider than eight rows' block, one channel, strong reduction.
    tall = rng.integers(0, 2, (61, 11), dtype=np.uint8) * np.uint8(255)
    add(Image.fromarray(tall), [(5, 7), (11, 9), (3, 70), (10, 3)])
    add(Image.fromarray(rng.integers(0, 256, (2, 301), dtype=np.uint8)), [(5, 1), (300, 2)])
    add(Image.fromarray(rng.integers(0, 256, (1, 1, 3), dtype=np.uint8)), [(4, 3)])
    (HERE / "resize.json").write_text("[\n" + ",\n".join(json.dumps(line) for line in index) + "\n]\n")
    (HERE / "resize.bin").write_bytes(pixels)


if __name__ == "__main__":
    make_pictures()
    make_resize()
