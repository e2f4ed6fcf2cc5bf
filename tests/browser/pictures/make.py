"""Makes the pictures of the browser tests. Run by a person, never by a test: `python3 make.py` (needs Pillow,
pypdf[crypto] and the DejaVu fonts of Debian's fonts-dejavu-core). Everything on them is invented."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfWriter

HERE = Path(__file__).parent
FONTS = Path("/usr/share/fonts/truetype/dejavu")
LINES = [
    ("HARBOUR STREET BAKERY", "", 34, True),
    ("12 Harbour Street, 4051 Lowtide", "", 24, False),
    ("Tel: 061 555 01 23", "", 24, False),
    ("", "", 24, False),
    ("RECEIPT No. 20417", "", 26, True),
    ("Date: 14/03/2024 08:52", "", 24, False),
    ("", "", 24, False),
    ("2 x Rye bread", "7.80", 26, False),
    ("1 x Plum tart", "4.20", 26, False),
    ("3 x Cinnamon roll", "8.40", 26, False),
    ("1 x Coffee, large", "3.90", 26, False),
    ("", "", 16, False),
    ("SUBTOTAL", "24.30", 26, False),
    ("TAX 2.5%", "0.61", 26, False),
    ("TOTAL", "24.91", 36, True),
    ("", "", 16, False),
    ("CASH", "30.00", 26, False),
    ("CHANGE", "5.09", 26, False),
    ("", "", 24, False),
    ("Thank you, come again!", "", 24, False),
]


def receipt(width=620, height=980):
    page = Image.new("RGB", (width, height), (242, 239, 231))
    draw = ImageDraw.Draw(page)
    y = 48
    for left, right, size, bold in LINES:
        name = "DejaVuSansMono-Bold.ttf" if bold else "DejaVuSansMono.ttf"
        font = ImageFont.truetype(str(FONTS / name), size)
        centred = not right and left not in ("",) and not left.startswith("Date") and not left.startswith("RECEIPT")
        x = (width - draw.textlength(left, font=font)) / 2 if centred else 48
        draw.text((x, y), left, font=font, fill=(38, 35, 33))
        if right:
            draw.text((width - 48 - draw.textlength(right, font=font), y), right, font=font, fill=(38, 35, 33))
        y += size + 16
    return page


page = receipt()
page.save(HERE / "receipt.png", optimize=True)
# On a dark table, a little askew, as a photo: the picture of the benchmark.
photo = Image.new("RGB", (1200, 1600), (74, 61, 52))
turned = page.resize((806, 1274), Image.LANCZOS).rotate(3, Image.BICUBIC, expand=True, fillcolor=(74, 61, 52))
photo.paste(turned, ((1200 - turned.width) // 2, (1600 - turned.height) // 2))
photo.save(HERE / "receipt.jpg", quality=85, subsampling=0)
small = page.resize((248, 392), Image.LANCZOS)
small.convert("CMYK").save(HERE / "cmyk.jpg", quality=80)
frames = [small.convert("P", palette=Image.ADAPTIVE, colors=16), Image.new("P", small.size, 0)]
frames[0].save(HERE / "animated.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
# What the worker does not read, but the browser does.
small.save(HERE / "receipt.avif", quality=60)
# Nobody reads it without the password.
locked = PdfWriter()
locked.add_blank_page(200, 100)
locked.encrypt("secret", algorithm="AES-256")
locked.write(HERE / "locked.pdf")
