//! How large a picture's print is, before anything of it is read.
//!
//! Print is made of many small pieces of about one height: connected places that are darker than what surrounds them, or
//! brighter. A canvas is chosen by their height ([`crate::canvas`]). In photographs of leaves and faces pieces have all heights,
//! and nothing is said.

use picture::{Filter, GrayImage};

/// Pixels of the picture that is measured; a larger one is made smaller.
const PIXELS: f64 = 1_000_000.0;

/// Half the side of the square whose mean a place is compared with, pixels.
const AROUND: usize = 10;

/// A place stands out by this many grey levels at least, and by this share of the picture's deviation.
const STANDS_OUT: (f64, f64) = (10.0, 0.25);

/// The height of letters is that of this share of the pieces at most: small letters, digits and capitals of the usual print, but not
/// headings.
const UPPER: f64 = 0.75;

/// Pieces of another share are at least so high, and print where the first ones are at most this many times as high.
const LOWER: (f64, f64) = (0.25, 1.8);

/// Pieces that make print: fewer tell nothing.
const FEW: usize = 20;

/// Heights of pieces that may be letters, pixels.
const HEIGHTS: std::ops::RangeInclusive<u32> = 4..=100;

/// Widths of pieces that may be letters or words whose letters touch, as multiples of their height.
const WIDTHS: (f64, f64) = (0.15, 15.0);

/// Share of its box that a piece of print fills.
const FILLED: (f64, f64) = (0.12, 0.95);

/// How high a picture's letters are, in its own pixels: as it lies, and if it lay on its side. `None` where few pieces could be
/// letters, or their heights differ too much for print.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LetterHeight {
    /// Of lines that run across.
    pub level: Option<f64>,
    /// Of lines that run up or down.
    pub sideways: Option<f64>,
}

impl LetterHeight {
    /// Measures a grey picture.
    pub fn of(grey: &GrayImage) -> Self {
        let (w, h) = grey.dimensions();
        let scale = (PIXELS / (f64::from(w) * f64::from(h)).max(1.0)).sqrt();
        let small = (scale < 1.0).then(|| {
            let side = |s: u32| ((f64::from(s) * scale).round() as u32).max(1);
            picture::resize_gray(grey, side(w), side(h), Filter::Bilinear)
        });
        let measured = small.as_ref().unwrap_or(grey);
        let own = f64::from(h) / f64::from(measured.height().max(1));
        let pieces = Pieces::of(measured);
        let height = |sideways| usual(pieces.heights(sideways)).map(|height| height * own);
        Self {
            level: height(false),
            sideways: height(true),
        }
    }

    /// Under a number of quarter turns.
    pub fn turned(&self, quarters: u8) -> Option<f64> {
        if quarters % 2 == 1 {
            self.sideways
        } else {
            self.level
        }
    }
}

/// The height that most of print has.
fn usual(mut heights: Vec<u32>) -> Option<f64> {
    if heights.len() < FEW {
        return None;
    }
    heights.sort_unstable();
    let at = |share: f64| f64::from(heights[(share * (heights.len() - 1) as f64).round() as usize]);
    (at(UPPER) <= LOWER.1 * at(LOWER.0)).then(|| at(UPPER))
}

/// Connected places of one kind in a row: from where to where, of which piece.
#[derive(Clone, Copy)]
struct Run {
    from: u32,
    to: u32,
    piece: u32,
}

/// A piece while it grows: its box and its area, and the piece that it has become part of.
#[derive(Clone, Copy)]
struct Piece {
    parent: u32,
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
    area: u32,
}

impl Piece {
    /// Its height, if it may be a letter, or letters of a word that touch: not a dot, a rule, a frame, a filled field. On its side
    /// (`sideways`), what is high is wide.
    fn letter(&self, sideways: bool) -> Option<u32> {
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        let (width, height) = if sideways {
            (height, width)
        } else {
            (width, height)
        };
        let (w, h, area) = (f64::from(width), f64::from(height), f64::from(self.area));
        let may_be = HEIGHTS.contains(&height)
            && (WIDTHS.0 * h..=WIDTHS.1 * h).contains(&w)
            && (FILLED.0 * w * h..=FILLED.1 * w * h).contains(&area);
        may_be.then_some(height)
    }
}

/// Pieces that are darker than their surroundings, and those that are brighter.
struct Pieces([Vec<Piece>; 2]);

impl Pieces {
    fn of(grey: &GrayImage) -> Self {
        let (w, h) = (grey.width() as usize, grey.height() as usize);
        let raw = grey.as_raw();
        let limit = stands_out(raw);
        let mut window = Window::new(raw, w, h);
        let mut pieces = [Vec::new(), Vec::new()];
        let mut above: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
        let mut below: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
        let mut kinds = vec![0i8; w];
        for y in 0..h {
            window.kinds(y, limit, &mut kinds);
            for (kind, sign) in [1, -1].into_iter().enumerate() {
                below[kind].clear();
                add_row(
                    &kinds,
                    sign,
                    y as u32,
                    &above[kind],
                    &mut below[kind],
                    &mut pieces[kind],
                );
            }
            std::mem::swap(&mut above, &mut below);
        }
        Self(pieces)
    }

    /// Heights of the pieces that may be print, of the kind that has more of them.
    fn heights(&self, sideways: bool) -> Vec<u32> {
        let [dark, bright] = [0, 1].map(|kind| {
            let pieces = &self.0[kind];
            let whole = pieces.iter().enumerate();
            let whole = whole.filter(|(i, piece)| piece.parent as usize == *i);
            whole
                .filter_map(|(_, piece)| piece.letter(sideways))
                .collect::<Vec<u32>>()
        });
        if dark.len() >= bright.len() {
            dark
        } else {
            bright
        }
    }
}

/// By how many grey levels a place has to differ from its surroundings.
fn stands_out(raw: &[u8]) -> i32 {
    let n = raw.len().max(1) as f64;
    let (sum, squares) = raw.iter().fold((0u64, 0u64), |(sum, squares), value| {
        let value = u64::from(*value);
        (sum + value, squares + value * value)
    });
    let mean = sum as f64 / n;
    let deviation = (squares as f64 / n - mean * mean).max(0.0).sqrt();
    (STANDS_OUT.1 * deviation).max(STANDS_OUT.0) as i32
}

/// Sums over columns of the rows around one, moved down row by row.
struct Window<'a> {
    raw: &'a [u8],
    width: usize,
    height: usize,
    /// Sums over the rows around.
    columns: Vec<u32>,
    /// Sums over all columns left of one.
    sums: Vec<u32>,
}

impl<'a> Window<'a> {
    fn new(raw: &'a [u8], width: usize, height: usize) -> Self {
        let mut window = Self {
            raw,
            width,
            height,
            columns: vec![0; width],
            sums: vec![0; width + 1],
        };
        // Rows before the first are counted when the first row comes.
        (0..AROUND.min(height)).for_each(|y| window.add(y));
        window
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.raw[y * self.width..][..self.width]
    }

    fn add(&mut self, y: usize) {
        let row = self.row(y);
        let pairs = self.columns.iter_mut().zip(row);
        pairs.for_each(|(sum, value)| *sum += u32::from(*value));
    }

    fn take(&mut self, y: usize) {
        let row = self.row(y);
        let pairs = self.columns.iter_mut().zip(row);
        pairs.for_each(|(sum, value)| *sum -= u32::from(*value));
    }

    /// Of every place in a row: 1 where it is darker than its surroundings by more than `limit`, -1 where it is brighter. Rows
    /// come one after the other.
    fn kinds(&mut self, y: usize, limit: i32, kinds: &mut [i8]) {
        if y + AROUND < self.height {
            self.add(y + AROUND);
        }
        if let Some(gone) = y.checked_sub(AROUND + 1) {
            self.take(gone);
        }
        let rows = (y + AROUND + 1).min(self.height) - y.saturating_sub(AROUND);
        let row = self.row(y);
        let mut sum = 0;
        for (sums, column) in self.sums[1..].iter_mut().zip(&self.columns) {
            sum += column;
            *sums = sum;
        }
        // The mean less the value, times the number of places: no division a place.
        let kind = |sum: u32, value: u8, count: i32| {
            let out = sum as i32 - i32::from(value) * count;
            i8::from(out > limit * count) - i8::from(out < -limit * count)
        };
        let edge = |x: usize| {
            let (from, to) = (x.saturating_sub(AROUND), (x + AROUND + 1).min(self.width));
            kind(
                self.sums[to] - self.sums[from],
                row[x],
                ((to - from) * rows) as i32,
            )
        };
        let first = AROUND.min(self.width);
        let inner = first..self.width.saturating_sub(AROUND).max(first);
        (0..inner.start).for_each(|x| kinds[x] = edge(x));
        (inner.end..self.width).for_each(|x| kinds[x] = edge(x));
        // Away from the edges all squares have one size, and nothing has to be asked.
        let count = ((2 * AROUND + 1) * rows) as i32;
        let ends = self.sums.get(2 * AROUND + 1..).unwrap_or_default();
        let sums = self.sums.iter().zip(ends).map(|(from, to)| to - from);
        let places = kinds[inner.clone()].iter_mut().zip(&row[inner]);
        for ((to, value), sum) in places.zip(sums) {
            *to = kind(sum, *value, count);
        }
    }
}

/// Adds a row's runs of one kind to the pieces: each goes to those that it touches in the row above, corners included.
fn add_row(
    kinds: &[i8],
    sign: i8,
    y: u32,
    above: &[Run],
    runs: &mut Vec<Run>,
    pieces: &mut Vec<Piece>,
) {
    let mut x = 0;
    let mut first = 0;
    while let Some(start) = kinds[x..].iter().position(|kind| *kind == sign) {
        let from = x + start;
        let length = kinds[from..].iter().position(|kind| *kind != sign);
        let to = length.map_or(kinds.len(), |length| from + length);
        x = to;
        let (from, to) = (from as u32, to as u32);
        let mut own = Piece {
            parent: pieces.len() as u32,
            left: from,
            right: to,
            top: y,
            bottom: y + 1,
            area: to - from,
        };
        // Runs above that end left of this one touch no later one either.
        while above.get(first).is_some_and(|run| run.to < from) {
            first += 1;
        }
        let touching = above[first..].iter().take_while(|run| run.from <= to);
        for run in touching {
            let root = root(pieces, run.piece);
            if root == own.parent {
                continue;
            }
            let other = pieces[root as usize];
            let kept = own.parent.min(root);
            for part in [own.parent, root] {
                // A new piece is not among them yet.
                if let Some(part) = pieces.get_mut(part as usize) {
                    part.parent = kept;
                }
            }
            own = Piece {
                parent: kept,
                left: own.left.min(other.left),
                right: own.right.max(other.right),
                top: own.top.min(other.top),
                bottom: own.bottom.max(other.bottom),
                area: own.area + other.area,
            };
            pieces[kept as usize] = own;
        }
        let piece = own.parent;
        if piece as usize == pieces.len() {
            pieces.push(own);
        }
        runs.push(Run { from, to, piece });
    }
}

/// The piece that a piece has become part of; the way there is shortened.
fn root(pieces: &mut [Piece], mut at: u32) -> u32 {
    while pieces[at as usize].parent != at {
        let parent = pieces[at as usize].parent;
        let further = pieces[parent as usize].parent;
        pieces[at as usize].parent = further;
        at = further;
    }
    at
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Rows of letters L of this height, as far apart as print, dark on light or the other way round.
    fn letters(height: u32, ink: u8, ground: u8) -> GrayImage {
        GrayImage::from_fn(640, 480, |x, y| {
            let (x, y) = (x % height, y % (height * 2));
            let foot = y + 2 >= height && x < height * 2 / 3;
            let on = y < height && (x < height.div_ceil(4) || foot);
            image::Luma([if on { ink } else { ground }])
        })
    }

    #[test]
    fn the_height_of_letters_is_found_dark_on_light_and_light_on_dark() {
        for height in [6, 9, 16] {
            for (ink, ground) in [(20, 230), (240, 30)] {
                let found = LetterHeight::of(&letters(height, ink, ground)).level;
                let found = found.unwrap_or_else(|| panic!("{height} {ink}: nothing"));
                assert!(
                    (found - f64::from(height)).abs() <= 1.0,
                    "{height}: {found}"
                );
            }
        }
    }

    #[test]
    fn letters_on_their_side_are_as_high_as_upright_ones() {
        let upright = letters(9, 20, 230);
        let found = LetterHeight::of(&upright);
        let turned = LetterHeight::of(&image::imageops::rotate90(&upright));
        assert_eq!(turned.sideways, found.level);
        assert_eq!(
            (turned.turned(0), turned.turned(3)),
            (turned.level, found.level)
        );
    }

    #[test]
    fn a_large_picture_is_measured_in_its_own_pixels() {
        let triangle = image::imageops::FilterType::Triangle;
        let large = image::imageops::resize(&letters(10, 20, 230), 1920, 1440, triangle);
        let found = LetterHeight::of(&large).level.expect("print");
        assert!((found - 30.0).abs() <= 3.0, "{found}");
    }

    #[test]
    fn pictures_without_print_have_no_letters() {
        let none = LetterHeight {
            level: None,
            sideways: None,
        };
        let empty = GrayImage::from_pixel(200, 100, image::Luma([180]));
        assert_eq!(LetterHeight::of(&empty), none);
        assert_eq!(LetterHeight::of(&GrayImage::new(1, 1)), none);
        let slope = GrayImage::from_fn(400, 300, |x, _| image::Luma([(x / 2) as u8]));
        assert_eq!(LetterHeight::of(&slope), none);
        // Pieces of all heights, as in a photograph.
        let patches = GrayImage::from_fn(640, 480, |x, y| {
            let side = 4 + x / 16;
            let on = y % (2 * side) < side && x % 16 < 9 && (x + y) % 9 > 0;
            image::Luma([if on { 30 } else { 220 }])
        });
        assert_eq!(LetterHeight::of(&patches).level, None);
    }

    #[test]
    fn places_that_stand_out_differ_from_the_mean_of_their_square() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for (w, h) in [(1, 1), (7, 30), (20, 21), (21, 9), (64, 40)] {
            let raw: Vec<u8> = (0..w * h).map(|_| rng.random()).collect();
            let mut window = Window::new(&raw, w, h);
            let mut kinds = vec![0; w];
            for y in 0..h {
                window.kinds(y, 25, &mut kinds);
                for x in 0..w {
                    let rows = y.saturating_sub(AROUND)..(y + AROUND + 1).min(h);
                    let columns = x.saturating_sub(AROUND)..(x + AROUND + 1).min(w);
                    let count = (rows.len() * columns.len()) as i32;
                    let square = rows.flat_map(|y| columns.clone().map(move |x| (y, x)));
                    let sum: i32 = square.map(|(y, x)| i32::from(raw[y * w + x])).sum();
                    let out = sum - i32::from(raw[y * w + x]) * count;
                    let wanted = i8::from(out > 25 * count) - i8::from(out < -25 * count);
                    assert_eq!(kinds[x], wanted, "{w} x {h}: {x}, {y}");
                }
            }
        }
    }

    /// Boxes and areas of connected places by filling each from its first one.
    fn filled(kinds: &[Vec<i8>], sign: i8) -> Vec<[u32; 5]> {
        let (h, w) = (kinds.len(), kinds[0].len());
        let mut seen = vec![vec![false; w]; h];
        let mut found = Vec::new();
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            if seen[y][x] || kinds[y][x] != sign {
                continue;
            }
            let mut piece = [u32::MAX, 0, u32::MAX, 0, 0];
            let mut next = vec![(y, x)];
            seen[y][x] = true;
            while let Some((y, x)) = next.pop() {
                let (px, py) = (x as u32, y as u32);
                piece[0] = piece[0].min(px);
                piece[1] = piece[1].max(px + 1);
                piece[2] = piece[2].min(py);
                piece[3] = piece[3].max(py + 1);
                piece[4] += 1;
                for (y, x) in (y.saturating_sub(1)..(y + 2).min(h))
                    .flat_map(|y| (x.saturating_sub(1)..(x + 2).min(w)).map(move |x| (y, x)))
                {
                    if !seen[y][x] && kinds[y][x] == sign {
                        seen[y][x] = true;
                        next.push((y, x));
                    }
                }
            }
            found.push(piece);
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn pieces_are_those_that_filling_finds() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for round in 0..40 {
            let (w, h) = (rng.random_range(1..40usize), rng.random_range(1..30usize));
            let dense = 0.2 + 0.015 * f64::from(round);
            let row =
                |rng: &mut ChaCha8Rng| (0..w).map(|_| i8::from(rng.random_bool(dense))).collect();
            let kinds: Vec<Vec<i8>> = (0..h).map(|_| row(&mut rng)).collect();
            let (mut pieces, mut above) = (Vec::new(), Vec::new());
            for (y, kinds) in kinds.iter().enumerate() {
                let mut runs = Vec::new();
                add_row(kinds, 1, y as u32, &above, &mut runs, &mut pieces);
                above = runs;
            }
            let whole = pieces.iter().enumerate();
            let whole = whole.filter(|(i, piece)| piece.parent as usize == *i);
            let mut found: Vec<[u32; 5]> = whole
                .map(|(_, p)| [p.left, p.right, p.top, p.bottom, p.area])
                .collect();
            found.sort_unstable();
            assert_eq!(found, filled(&kinds, 1), "{round}");
        }
    }
}
