//! From a JPEG's channels, each at its own size, to RGB: what libjpeg does after the cosine transform.
//!
//! The decoder does this itself, and faster, for the usual kinds. For four channels and for unusual ratios of sizes
//! it gives wrong pixels or stops the program, so those come through here. Source: jdsample.c and jdcolor.c of
//! libjpeg-turbo 3; for CMYK Pillow's Convert.c.

use libjpeg_turbo_rs::api::raw_data::RawImage;

/// A channel, and how many times wider and higher the picture is.
struct Channel<'a> {
    plane: &'a [u8],
    /// Bytes from row to row.
    stride: usize,
    /// Samples in a row and rows that belong to the picture; the plane is padded to whole blocks.
    width: usize,
    height: usize,
    wider: usize,
    higher: usize,
}

impl Channel<'_> {
    fn row(&self, y: usize) -> &[u8] {
        &self.plane[y * self.stride..][..self.width]
    }

    /// Row `y` of the picture; `out` has room for `width * wider` samples.
    ///
    /// Twice as wide or high: three parts of the nearest sample and one of the next ("fancy upsampling"), rounded
    /// down and up in turn. Everything else, and narrow rows: repeated.
    fn enlarged(&self, y: usize, out: &mut [u8]) {
        let near = self.row(y / self.higher);
        // The row above the upper half of a sample, the row below the lower half; at the edge itself.
        let next = match (self.higher, y % 2) {
            (2, 0) => self.row((y / 2).saturating_sub(1)),
            (2, _) => self.row((y / 2 + 1).min(self.height - 1)),
            _ => near,
        };
        match (self.wider, self.higher) {
            (1, 1) => out[..near.len()].copy_from_slice(near),
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, &a), &b) in out.iter_mut().zip(near).zip(next) {
                    *out = ((3 * u16::from(a) + u16::from(b) + bias) >> 2) as u8;
                }
            }
            (2, 1) if self.width > 2 => {
                widen(out, near.len(), 2, (1, 2), |x| u16::from(near[x]));
            }
            (2, 2) if self.width > 2 => {
                let sum = |x: usize| 3 * u16::from(near[x]) + u16::from(next[x]);
                widen(out, near.len(), 4, (8, 7), sum);
            }
            _ => {
                for (out, &a) in out.chunks_mut(self.wider).zip(near) {
                    out.fill(a);
                }
            }
        }
    }
}

/// Two samples from each of `count`: three parts of it and one of its left (right) neighbour, plus a bias, without
/// the lowest `shift` bits.
fn widen(
    out: &mut [u8],
    count: usize,
    shift: u32,
    (left_bias, right_bias): (u16, u16),
    at: impl Fn(usize) -> u16,
) {
    for (x, pair) in out.chunks_exact_mut(2).take(count).enumerate() {
        let (left, here, right) = (at(x.saturating_sub(1)), at(x), at((x + 1).min(count - 1)));
        pair[0] = ((3 * here + left + left_bias) >> shift) as u8;
        pair[1] = ((3 * here + right + right_bias) >> shift) as u8;
    }
}

/// Appends the pixels to `pixels`, which has room for them. `sampling`: columns and rows of each channel per block.
/// None where the sizes of the channels are no whole multiples of each other.
pub(super) fn to_rgb(
    raw: &RawImage,
    sampling: &[(usize, usize)],
    transform: u8,
    pixels: &mut Vec<u8>,
) -> Option<()> {
    let most = |f: fn(&(usize, usize)) -> usize| sampling.iter().map(f).max();
    let (columns, rows) = (most(|s| s.0)?, most(|s| s.1)?);
    let mut channels = Vec::new();
    for (i, &(h, v)) in sampling.iter().enumerate() {
        if h == 0 || v == 0 || !columns.is_multiple_of(h) || !rows.is_multiple_of(v) {
            return None;
        }
        let (wider, higher) = (columns / h, rows / v);
        let channel = Channel {
            plane: raw.planes.get(i)?,
            stride: *raw.plane_widths.get(i)?,
            width: raw.width.div_ceil(wider),
            height: raw.height.div_ceil(higher),
            wider,
            higher,
        };
        if channel.width > channel.stride || channel.height * channel.stride > channel.plane.len() {
            return None;
        }
        channels.push(channel);
    }
    // Room for the last, partly used sample of a row.
    let mut lines = vec![vec![0; raw.width + columns]; channels.len()];
    for y in 0..raw.height {
        for (channel, line) in channels.iter().zip(&mut lines) {
            channel.enlarged(y, line);
        }
        match &lines[..] {
            [a, b, c] => pixels.extend((0..raw.width).flat_map(|x| match transform {
                0 => [a[x], b[x], c[x]],
                _ => from_ycc(a[x], b[x], c[x]),
            })),
            [a, b, c, k] => pixels.extend((0..raw.width).flat_map(|x| match transform {
                0 => from_cmyk([a[x], b[x], c[x]], k[x]),
                _ => from_cmyk(from_ycc(a[x], b[x], c[x]).map(|v| 255 - v), k[x]),
            })),
            _ => return None,
        }
    }
    Some(())
}

/// YCbCr to RGB in libjpeg's fixed point: 16 bits behind the point, green rounded once for both parts.
fn from_ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    const HALF: i32 = 1 << 15;
    [
        y + ((91_881 * cr + HALF) >> 16),
        y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16),
        y + ((116_130 * cb + HALF) >> 16),
    ]
    .map(|v| v.clamp(0, 255) as u8)
}

/// CMYK as Adobe writes it, inverted, to RGB: Pillow turns the values round and then takes from the light that black
/// leaves what the ink takes of it.
fn from_cmyk(inverted: [u8; 3], light: u8) -> [u8; 3] {
    inverted.map(|v| {
        let taken = (255 - u32::from(v)) * u32::from(light) + 128;
        light - ((taken + (taken >> 8)) >> 8) as u8
    })
}
