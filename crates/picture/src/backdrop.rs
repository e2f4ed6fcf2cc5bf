//! What stands behind a see-through picture: one rule for everybody who looks at it.
//!
//! White, as transformers' `convert_to_rgb` puts it (with Pillow's rounding), unless the drawing itself is light: white
//! letters on nothing would be a white sheet. Then black.

use crate::{Backdrop, PictureError, decode::memory};

/// Grey from which a colour is light, 0 to 255: yellow and pale blue are.
const LIGHT: u32 = 160;
/// A drawing is light where at most one part in this many of what can be seen of it is not.
const DARK_PARTS: u64 = 50;

/// Pixels with their opacity behind the colours: of `channels` (2: grey, 4: colour), bytes of each as they are stored.
pub(crate) struct Translucent<'a> {
    /// All of them.
    pub stored: &'a [u8],
    /// Grey and opacity, or red, green, blue and opacity.
    pub channels: usize,
    /// Bytes of a channel, 1 or 2.
    pub step: usize,
    /// Which of them counts.
    pub high: usize,
}

impl Translucent<'_> {
    /// Colour and opacity of every pixel.
    fn pixels(&self) -> impl Iterator<Item = ([u8; 3], u8)> {
        let (channels, step, high) = (self.channels, self.step, self.high);
        self.stored.chunks_exact(channels * step).map(move |pixel| {
            let at = |channel: usize| pixel[channel * step + high];
            match channels {
                2 => ([at(0); 3], at(1)),
                _ => ([at(0), at(1), at(2)], at(3)),
            }
        })
    }

    /// The colour behind the picture; none where no pixel is see-through.
    pub fn backdrop(&self) -> Option<Backdrop> {
        let (mut seen, mut dark, mut clear) = (0u64, 0u64, false);
        for ([r, g, b], alpha) in self.pixels() {
            clear |= alpha < 255;
            seen += u64::from(alpha);
            // Weights of Rec. 601, as Pillow's grey.
            let grey = (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1000;
            if grey < LIGHT {
                dark += u64::from(alpha);
            }
        }
        let light = seen > 0 && dark * DARK_PARTS <= seen;
        match (clear, light) {
            (false, _) => None,
            (true, true) => Some(Backdrop::Black),
            (true, false) => Some(Backdrop::White),
        }
    }

    /// RGB of the picture over a colour.
    pub fn over(&self, backdrop: Backdrop) -> Result<Vec<u8>, PictureError> {
        let count = self.stored.len() / (self.channels * self.step);
        let mut pixels = memory(count as u64 * 3)?;
        let behind = match backdrop {
            Backdrop::White => 255,
            Backdrop::Black => 0,
        };
        for (colour, alpha) in self.pixels() {
            pixels.extend_from_slice(&colour.map(|value| over(value, alpha, behind)));
        }
        Ok(pixels)
    }
}

/// `value` with opacity `alpha` over `behind`, rounded as Pillow's `alpha_composite` does: the weights carry 7 bits
/// more and the division by 255 is the one by shifts.
fn over(value: u8, alpha: u8, behind: u32) -> u8 {
    let sum = (u32::from(value) * u32::from(alpha) + behind * (255 - u32::from(alpha))) << 7;
    let sum = sum + (0x80 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}
