//! 3 x 3 convolutions of stride 1 by Winograd's minimal filtering, F(4 x 4, 3 x 3).
//!
//! A tile of 4 x 4 results takes 36 products a pair of channels in place of 144: tiles of 6 x 6 are transformed,
//! multiplied as 36 matrix products over channels, and transformed back. Source: A. Lavin, S. Gray, "Fast Algorithms
//! for Convolutional Neural Networks", 2015, arXiv 1509.09308, section 4.3 and its matrices for F(4, 3).
//! Rounding errors are some ten times those of a direct sum, in f32 about 1e-6 of the largest value.
//!
//! Departure: tiles are worked off in runs that fit into a processor's second cache, from reading the picture to
//! writing the result, in place of transforming everything first.

use crate::gemm::{LANES, Lane, ROWS, Work, add_products, vectorized};
use crate::maps::{Maps, TILE, Then, lanes, lanes_mut};

/// Values a transformed tile and side.
pub const SIDE: usize = TILE + 2;

/// Values of a transformed tile.
pub const POINTS: usize = SIDE * SIDE;

/// Tiles in a run, about: their transforms (two buffers of 36 values a tile and channel) stay in the second cache.
const RUN: usize = 24;

/// A convolution's transformed weights.
#[derive(Clone, Debug)]
pub struct Winograd {
    from: usize,
    to: usize,
    /// `[36, to / LANES, from]` lanes of output channels.
    panels: Vec<Lane>,
    bias: Vec<Lane>,
}

/// `G g`, a kernel's row or column of three.
fn of_kernel([a, b, c]: [f64; 3]) -> [f64; SIDE] {
    [
        a / 4.0,
        -(a + b + c) / 6.0,
        -(a - b + c) / 6.0,
        a / 24.0 + b / 12.0 + c / 6.0,
        a / 24.0 - b / 12.0 + c / 6.0,
        c,
    ]
}

/// `B' d`, six values of a picture.
#[inline(always)]
pub fn forward<const N: usize>(d: [[f32; N]; SIDE]) -> [[f32; N]; SIDE] {
    let mut out = [[0f32; N]; SIDE];
    for l in 0..N {
        let [d0, d1, d2, d3, d4, d5] = [d[0][l], d[1][l], d[2][l], d[3][l], d[4][l], d[5][l]];
        let (p, q) = (d4 - 4.0 * d2, d3 - 4.0 * d1);
        let (r, s) = (d4 - d2, 2.0 * (d3 - d1));
        out[0][l] = 4.0 * (d0 - d2) + (d4 - d2);
        out[1][l] = p + q;
        out[2][l] = p - q;
        out[3][l] = r + s;
        out[4][l] = r - s;
        out[5][l] = 4.0 * (d1 - d3) + (d5 - d3);
    }
    out
}

/// `A' m`, six sums back to four results.
#[inline(always)]
pub fn back<const N: usize>(m: [[f32; N]; SIDE]) -> [[f32; N]; TILE] {
    let mut out = [[0f32; N]; TILE];
    for l in 0..N {
        let [m0, m1, m2, m3, m4, m5] = [m[0][l], m[1][l], m[2][l], m[3][l], m[4][l], m[5][l]];
        let (a, b, c, d) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4);
        out[0][l] = m0 + a + c;
        out[1][l] = b + 2.0 * d;
        out[2][l] = a + 4.0 * c;
        out[3][l] = b + 8.0 * d + m5;
    }
    out
}

/// `G g G'` of a kernel of 3 x 3, row by row.
pub fn transformed(kernel: &[f32]) -> [f64; POINTS] {
    let at = |i: usize| f64::from(kernel[i]);
    let [top, middle, bottom] = [0, 3, 6].map(|row| of_kernel([at(row), at(row + 1), at(row + 2)]));
    let mut points = [0.0; POINTS];
    for x in 0..SIDE {
        let column = of_kernel([top[x], middle[x], bottom[x]]);
        for (y, value) in column.into_iter().enumerate() {
            points[y * SIDE + x] = value;
        }
    }
    points
}

impl Winograd {
    /// From weights `[to, from, 3, 3]` and a bias; channels are multiples of [`LANES`].
    pub fn new([to, from]: [usize; 2], weights: &[f32], bias: &[f32]) -> Self {
        let count = to / LANES;
        let mut panels = vec![[0f32; LANES]; POINTS * count * from];
        for (i, kernel) in weights.chunks_exact(9).enumerate() {
            let (o, c) = (i / from, i % from);
            for (point, value) in transformed(kernel).into_iter().enumerate() {
                let panel = point * count + o / LANES;
                panels[panel * from + c][o % LANES] = value as f32;
            }
        }
        Self {
            from,
            to,
            panels,
            bias: lanes(bias).to_vec(),
        }
    }

    /// The convolution of maps with a frame, into maps of the same size.
    pub fn run(&self, input: &Maps, out: &mut Maps, then: Then) {
        debug_assert_eq!([out.height, out.width], [input.height, input.width]);
        debug_assert!(input.margin == 1 && input.channels == self.from && out.channels == self.to);
        let across = input.width.div_ceil(TILE);
        let down = input.height.div_ceil(TILE);
        // No longer than the cache likes, and at least one run for each thread.
        let threads = rayon::current_num_threads();
        let rows = (RUN / across).clamp(1, down.div_ceil(threads));
        let place = Place {
            margin: out.margin,
            stride: out.stride,
            width: out.width,
        };
        let most = (rows * across).next_multiple_of(ROWS) * POINTS;
        let room = || Room {
            seen: vec![0.0; most * self.from],
            sums: vec![0.0; most * self.to],
        };
        out.by_rows_with(rows * TILE, room, |room, first, values| {
            vectorized(Run {
                layer: self,
                input,
                first,
                across,
                values,
                place: &place,
                room,
                then,
            });
        });
    }

    /// `B' d B` of one tile, for every channel.
    #[inline(always)]
    fn transform(
        &self,
        input: &Maps,
        [y, x]: [usize; 2],
        tile: usize,
        room: usize,
        seen: &mut [f32],
    ) {
        let count = self.from / LANES;
        let (picture, seen) = (lanes(&input.values), lanes_mut(seen));
        for c in 0..count {
            let mut half = [[[0f32; LANES]; SIDE]; SIDE];
            for (i, half) in half.iter_mut().enumerate() {
                let start = ((y + i) * input.stride + x) * count + c;
                *half = forward(std::array::from_fn(|j| picture[start + j * count]));
            }
            for j in 0..SIDE {
                let column = forward(std::array::from_fn(|i| half[i][j]));
                for (i, value) in column.into_iter().enumerate() {
                    seen[((i * SIDE + j) * room + tile) * count + c] = value;
                }
            }
        }
    }

    /// 36 matrix products: tiles times weights.
    #[inline(always)]
    fn multiply(&self, seen: &[f32], room: usize, sums: &mut [f32]) {
        let count = self.to / LANES;
        let sums = lanes_mut(sums);
        for point in 0..POINTS {
            for panel in 0..count {
                let weights = &self.panels[(point * count + panel) * self.from..][..self.from];
                for tile in (0..room).step_by(ROWS) {
                    let row = point * room + tile;
                    let zero = [[0f32; LANES]; ROWS];
                    let found = add_products(zero, &seen[row * self.from..], self.from, weights);
                    for (i, found) in found.into_iter().enumerate() {
                        sums[(row + i) * count + panel] = found;
                    }
                }
            }
        }
    }

    /// `A' m A` of one tile, into rows of the result.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn finish(
        &self,
        sums: &[f32],
        tile: usize,
        room: usize,
        out: &mut [f32],
        [y, x]: [usize; 2],
        place: &Place,
        then: Then,
    ) {
        let count = self.to / LANES;
        let (sums, out) = (lanes(sums), lanes_mut(out));
        let rows = out.len() / (place.stride * count);
        for c in 0..count {
            let mut half = [[[0f32; LANES]; SIDE]; TILE];
            for j in 0..SIDE {
                let point = |i: usize| sums[((i * SIDE + j) * room + tile) * count + c];
                let column = back(std::array::from_fn(point));
                for (half, value) in half.iter_mut().zip(column) {
                    half[j] = value;
                }
            }
            let bias = self.bias[c];
            for (i, half) in half.into_iter().enumerate().take(rows - y) {
                let start = (y + i) * place.stride + place.margin + x;
                for (j, mut values) in back(half).into_iter().enumerate().take(place.width - x) {
                    let biased = values.iter_mut().zip(bias);
                    biased.for_each(|(value, bias)| *value += bias);
                    then.put_all(&mut out[(start + j) * count + c], &values);
                }
            }
        }
    }
}

/// Where results go in a row.
struct Place {
    margin: usize,
    stride: usize,
    width: usize,
}

/// Intermediate results of a run: transformed tiles and sums.
struct Room {
    seen: Vec<f32>,
    sums: Vec<f32>,
}

/// A run of tiles: from rows of the picture to rows of the result.
struct Run<'a> {
    layer: &'a Winograd,
    input: &'a Maps,
    /// First row.
    first: usize,
    /// Tiles side by side.
    across: usize,
    /// Rows of the result.
    values: &'a mut [f32],
    place: &'a Place,
    room: &'a mut Room,
    then: Then,
}

impl Work for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { layer, across, .. } = self;
        let count = (self.values.len() / (self.place.stride * layer.to)).div_ceil(TILE) * across;
        let room = count.next_multiple_of(ROWS);
        // What stands in places without a tile is of an earlier run; its sums are not used.
        let seen = &mut self.room.seen[..POINTS * room * layer.from];
        for tile in 0..count {
            let corner = [self.first + tile / across * TILE, tile % across * TILE];
            layer.transform(self.input, corner, tile, room, seen);
        }
        let sums = &mut self.room.sums[..POINTS * room * layer.to];
        layer.multiply(seen, room, sums);
        for tile in 0..count {
            let corner = [tile / across * TILE, tile % across * TILE];
            layer.finish(sums, tile, room, self.values, corner, self.place, self.then);
        }
    }
}
