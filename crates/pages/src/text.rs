//! Setting text: glyphs with kerning onto a canvas, and where every letter came to stand.

use std::collections::HashMap;
use std::sync::Arc;

use ab_glyph::{Font as _, FontVec, GlyphId, PxScale, ScaleFont as _};
use anyhow::Result;

use super::canvas::{Canvas, Color};
use super::dice::Dice;
use super::fonts::{FaceId, Fonts};
use super::geometry::Rect;

/// Height of a capital letter as a share of the nominal size, whatever the font: fonts differ, and
/// sizes here should say how large the print looks.
const CAP: f32 = 0.7;
/// Margin around the ink of a line, as a share of the size; annotators leave about that much.
const PAD: f32 = 0.06;

struct Glyph {
    left: i32,
    top: i32,
    w: usize,
    cover: Vec<u8>,
}

/// A font at a size, with the glyphs it has drawn so far.
pub struct Pen {
    font: Arc<FontVec>,
    scale: PxScale,
    /// Nominal size in pixels: a capital is 0.7 of it high.
    pub size: f32,
    /// Additional advance after every letter, in pixels.
    pub tracking: f32,
    /// 0: clean print; towards 1: dots of a needle printer, worn types, weak ink.
    pub wear: f32,
    /// 0: straight; each letter is moved up or down by up to this many pixels (typewriter, hand).
    pub wobble: f32,
    /// Every stroke a pixel wider: thin handwriting at small sizes.
    pub thick: bool,
    glyphs: HashMap<(GlyphId, u8), Option<Glyph>>,
}

/// A line as it was printed.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Box of the ink with a small margin.
    pub rect: Rect,
    /// What it says.
    pub text: String,
    /// Byte offset, left and right edge of the ink of every letter.
    letters: Vec<(usize, f32, f32)>,
}

impl Printed {
    /// A line whose letters' places are not known.
    pub fn whole(rect: Rect, text: String) -> Self {
        Self {
            rect,
            text,
            letters: Vec::new(),
        }
    }

    /// Box of the first occurrence of `part`, or of the whole line when it is not there.
    pub fn part(&self, part: &str) -> Rect {
        self.text
            .find(part)
            .map_or(self.rect, |at| self.bytes(at, at + part.len()))
    }

    /// The letters of `from..to` (bytes) as a print of their own.
    pub fn slice(&self, from: usize, to: usize) -> Self {
        let letters = self.letters.iter().filter(|l| l.0 >= from && l.0 < to);
        Self {
            rect: self.bytes(from, to),
            text: self.text[from..to].to_string(),
            letters: letters.map(|l| (l.0 - from, l.1, l.2)).collect(),
        }
    }

    /// Box of the letters of `from..to` (bytes).
    pub fn bytes(&self, from: usize, to: usize) -> Rect {
        let inside = self
            .letters
            .iter()
            .filter(|l| l.0 >= from && l.0 < to && l.2 > l.1);
        let (x1, x2) = inside.fold((f32::MAX, f32::MIN), |(a, b), l| (a.min(l.1), b.max(l.2)));
        if x1 > x2 {
            return self.rect;
        }
        Rect {
            x1,
            x2,
            ..self.rect
        }
    }
}

impl Pen {
    /// A pen of `size` pixels, `stretch` times as wide as the font is drawn.
    pub fn new(fonts: &Fonts, face: FaceId, size: f32, stretch: f32) -> Result<Self> {
        let font = fonts.face(face)?;
        let probe = PxScale::from(100.0);
        let h = font.glyph_id('H').with_scale(probe);
        let cap = font
            .outline_glyph(h)
            .map_or(70.0, |g| g.px_bounds().height().max(10.0));
        let y = 100.0 * size * CAP / cap;
        Ok(Self {
            font,
            scale: PxScale { x: y * stretch, y },
            size,
            tracking: 0.0,
            wear: 0.0,
            wobble: 0.0,
            thick: false,
            glyphs: HashMap::new(),
        })
    }

    /// Distance of two lines of normal setting, in pixels.
    pub fn line_height(&self) -> f32 {
        self.size * 1.25
    }

    /// Width that `text` takes, in pixels.
    pub fn width(&self, text: &str) -> f32 {
        let scaled = self.font.as_scaled(self.scale);
        let mut last = None;
        let mut x = 0.0;
        for c in text.chars() {
            let id = self.font.glyph_id(c);
            x += last.map_or(0.0, |l| scaled.kern(l, id)) + scaled.h_advance(id) + self.tracking;
            last = Some(id);
        }
        x
    }

    /// Whether the font has every letter of `text`.
    pub fn knows(&self, text: &str) -> bool {
        text.chars()
            .all(|c| c == ' ' || self.font.glyph_id(c).0 != 0)
    }

    /// `text` with the letters the font lacks replaced by plain ones, or left out.
    pub fn spell(&self, text: &str) -> String {
        if self.knows(text) {
            return text.to_string();
        }
        let plain = |c: char| -> &str {
            match c {
                'ä' | 'á' | 'à' | 'â' | 'ã' | 'å' => "a",
                'Ä' | 'Á' | 'À' | 'Å' | 'Ã' => "A",
                'é' | 'è' | 'ê' | 'ë' | 'ę' => "e",
                'É' | 'È' => "E",
                'í' | 'ì' | 'ı' => "i",
                'İ' | 'Í' => "I",
                'ó' | 'ö' | 'ô' | 'õ' => "o",
                'Ó' | 'Ö' => "O",
                'ú' | 'ü' | 'ù' => "u",
                'Ü' | 'Ú' => "U",
                'ñ' | 'ń' => "n",
                'Ń' | 'Ñ' => "N",
                'ç' | 'ć' => "c",
                'Ç' => "C",
                'ş' | 'ś' => "s",
                'Ş' => "S",
                'ł' => "l",
                'Ł' => "L",
                'ğ' => "g",
                'Ğ' => "G",
                'ż' | 'ź' => "z",
                'ß' => "ss",
                'ý' => "y",
                '–' | '—' => "-",
                '·' => ".",
                '€' => "EUR ",
                '£' => "GBP ",
                '₹' => "Rs.",
                '₱' => "P",
                _ => "",
            }
        };
        let mut out = String::new();
        for c in text.chars() {
            if c == ' ' || self.font.glyph_id(c).0 != 0 {
                out.push(c);
            } else {
                out.push_str(plain(c));
            }
        }
        out.trim().to_string()
    }

    /// Prints `text` with its first letter's origin at (`x`, `base`), where `base` is the line that
    /// letters stand on; letters the font lacks are replaced. None: no ink came out.
    pub fn print(
        &mut self,
        dice: &mut Dice,
        canvas: &mut Canvas,
        (x, base): (f32, f32),
        text: &str,
        color: Color,
    ) -> Option<Printed> {
        let text = self.spell(text);
        let mut pen_x = x;
        let mut last = None;
        let mut letters = Vec::with_capacity(text.len());
        let mut ink = Rect::new(f32::MAX, f32::MAX, f32::MIN, f32::MIN);
        for (at, c) in text.char_indices() {
            let id = self.font.glyph_id(c);
            let scaled = self.font.as_scaled(self.scale);
            pen_x += last.map_or(0.0, |l| scaled.kern(l, id));
            let advance = scaled.h_advance(id) + self.tracking;
            let lift = if self.wobble > 0.0 {
                dice.real(-self.wobble, self.wobble)
            } else {
                0.0
            };
            let weak = if self.wear > 0.0 {
                1.0 - self.wear * dice.real(0.0, 0.6)
            } else {
                1.0
            };
            // Two positions a pixel: even spacing at small sizes without a bitmap for each place.
            let whole = pen_x.floor();
            let half = u8::from(pen_x - whole >= 0.5);
            let bounds = self.glyph(id, half).map(|g| {
                let (gx, gy) = (whole as i32 + g.left, (base + lift).round() as i32 + g.top);
                for (i, &cover) in g.cover.iter().enumerate() {
                    if cover > 0 {
                        let (dx, dy) = ((i % g.w) as i32, (i / g.w) as i32);
                        let alpha = (f32::from(cover) * weak) as u32;
                        canvas.blend(gx + dx, gy + dy, color, alpha + (alpha >> 7));
                    }
                }
                let h = g.cover.len() / g.w;
                Rect::new(
                    gx as f32,
                    gy as f32,
                    (gx + g.w as i32) as f32,
                    (gy + h as i32) as f32,
                )
            });
            match bounds {
                Some(b) => {
                    ink = ink.union(b);
                    letters.push((at, b.x1, b.x2));
                }
                None => letters.push((at, pen_x, pen_x)),
            }
            pen_x += advance;
            last = Some(id);
        }
        if ink.x1 > ink.x2 {
            return None;
        }
        // A line of dashes is as high as a line of letters.
        ink.y1 = ink.y1.min(base - self.size * CAP * 0.75);
        ink.y2 = ink.y2.max(base);
        let pad = (self.size * PAD).max(1.0);
        for l in &mut letters {
            (l.1, l.2) = (l.1 - pad, l.2 + pad);
        }
        Some(Printed {
            rect: ink.grown(pad),
            text,
            letters,
        })
    }

    fn glyph(&mut self, id: GlyphId, half: u8) -> Option<&Glyph> {
        let (font, scale, wear, thick) = (&self.font, self.scale, self.wear, self.thick);
        let draw = || {
            let at = ab_glyph::point(f32::from(half) * 0.5, 0.0);
            let outline = font.outline_glyph(id.with_scale_and_position(scale, at))?;
            let b = outline.px_bounds();
            let (w, h) = (b.width() as usize + usize::from(thick), b.height() as usize);
            if w == 0 || h == 0 || w * h > 4_000_000 {
                return None;
            }
            let mut cover = vec![0u8; w * h];
            outline.draw(|x, y, c| {
                // Needle printers leave gaps between their dots.
                let gap = wear > 0.5 && (x % 3 == 2 || y % 3 == 2);
                let c = if gap { c * (1.5 - wear) } else { c };
                let at = y as usize * w + x as usize;
                if at < cover.len() {
                    cover[at] = (c.min(1.0) * 255.0) as u8;
                }
            });
            if thick {
                for row in cover.chunks_exact_mut(w) {
                    for x in (1..w).rev() {
                        row[x] = row[x].max(row[x - 1]);
                    }
                }
            }
            Some(Glyph {
                left: b.min.x as i32,
                top: b.min.y as i32,
                w,
                cover,
            })
        };
        self.glyphs.entry((id, half)).or_insert_with(draw).as_ref()
    }
}
