//! 3 x 3 convolutions of stride 1 by Winograd's filtering ([`crate::winograd`]), with gradients: a fourth of the
//! multiplications in all three passes.
//!
//! The gradient of the input is a convolution of the result's gradient with the kernel turned around. That of the weights is
//! the algorithm read backwards: with `Y = A' [(G g G') * (B' x B)] A`, it is `G' [(B' x B) * (A dY A')] G`, summed
//! over tiles.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::layout::{Last, pieces, write};
use super::product::{COLUMNS, Left, Product};
use super::{PARTS, Shape, added_up};
use crate::maps::TILE;
use crate::winograd::{self, POINTS, SIDE, back, transformed};

/// Tiles that are transformed at a time, about: with the kernels they fill half of the second cache.
const RUN: usize = 32;

/// Values of neighbouring channels.
type Lane = [f32; COLUMNS];

/// Whether a convolution is of this kind, with channels enough to be worth the transforms of tiles, and tiles
/// enough to be worth those of kernels.
pub fn serves(shape: &Shape) -> bool {
    let [batch, from, height, width] = shape.input;
    let tiles = batch * height.div_ceil(TILE) * width.div_ceil(TILE);
    shape.kernel == [3, 3]
        && shape.stride == [1, 1]
        && shape.pad == [1, 1]
        && from.min(shape.to) >= COLUMNS
        && tiles >= from + shape.to
}

/// `A y`, four gradients of results to six of sums.
#[inline(always)]
fn spread(y: [Lane; TILE]) -> [Lane; SIDE] {
    let mut out = [[0f32; COLUMNS]; SIDE];
    for l in 0..COLUMNS {
        let [a, b, c, d] = [y[0][l], y[1][l], y[2][l], y[3][l]];
        let (even, odd) = (a + c, b + d);
        let (wide, far) = (a + 4.0 * c, 2.0 * b + 8.0 * d);
        out[0][l] = a;
        out[1][l] = even + odd;
        out[2][l] = even - odd;
        out[3][l] = wide + far;
        out[4][l] = wide - far;
        out[5][l] = d;
    }
    out
}

/// `G' u`, six gradients of a transformed kernel's values to three of the kernel's.
fn of_points([a, b, c, d, e, f]: [f32; SIDE]) -> [f32; 3] {
    let (plus, minus) = (b + c, c - b);
    let (sum, difference) = (d + e, d - e);
    [
        a / 4.0 - plus / 6.0 + sum / 24.0,
        minus / 6.0 + difference / 12.0,
        -plus / 6.0 + sum / 6.0 + f,
    ]
}

/// How a batch's maps are cut into tiles.
#[derive(Clone, Copy)]
struct Tiles {
    /// B, C, H, W of the maps that tiles are read from.
    maps: [usize; 4],
    /// Lanes of channels, filled up.
    lanes: usize,
    /// Tiles of a row.
    across: usize,
    /// Rows of tiles that are worked on at a time.
    rows: usize,
}

impl Tiles {
    fn new(maps: [usize; 4]) -> Self {
        let across = maps[3].div_ceil(TILE);
        Self {
            maps,
            lanes: maps[1].div_ceil(COLUMNS),
            across,
            rows: (RUN / across).clamp(1, maps[2].div_ceil(TILE)),
        }
    }

    /// Pieces of a picture.
    fn pieces(&self) -> usize {
        self.maps[2].div_ceil(self.rows * TILE)
    }

    /// Tiles of a piece.
    fn count(&self) -> usize {
        self.rows * self.across
    }

    /// Lanes from one of 36 values of all tiles to the next. One more than they take: 36 places a power of two apart
    /// would share a few lines of the caches.
    fn room(&self) -> usize {
        self.count() * self.lanes + 1
    }

    /// Row and column of a tile's first value.
    fn corner(&self, tile: usize) -> [usize; 2] {
        [tile / self.across * TILE, tile % self.across * TILE]
    }
}

/// Tiles of some channels, transformed to `[36, tiles, channels]`, piece after piece.
struct Seen {
    tiles: Tiles,
    rows: Last,
    /// [`Tiles::room`] lanes for each of 36 values.
    points: Vec<f32>,
}

impl Seen {
    /// Of tiles that share `margin` values on each side with their neighbours.
    fn new(tiles: Tiles, margin: usize) -> Self {
        let stride = tiles.across * TILE + 2 * margin;
        Self {
            tiles,
            rows: Last::new(margin, stride, tiles.lanes * COLUMNS),
            points: vec![0.0; POINTS * tiles.room() * COLUMNS],
        }
    }

    /// Transforms the tiles of a piece of `x`: `by` takes `N` values of a side to six.
    fn transform<const N: usize, F>(&mut self, x: &[f32], piece: usize, by: F)
    where
        F: Fn([Lane; N]) -> [Lane; SIDE] + Copy,
    {
        let (tiles, margin) = (self.tiles, self.rows.left);
        let (picture, first) = (piece / tiles.pieces(), piece % tiles.pieces());
        let first = (first * tiles.rows * TILE) as isize - margin as isize;
        let rows = tiles.rows * TILE + 2 * margin;
        self.rows.read(x, tiles.maps, picture, first, rows);
        Arch::new().dispatch(Transform::<N, F> { seen: self, by });
    }

    /// All tiles of one of 36 values.
    fn point(&self, point: usize) -> &[f32] {
        &self.points[point * self.tiles.room() * COLUMNS..]
    }
}

/// See [`Seen::transform`].
struct Transform<'a, const N: usize, F> {
    seen: &'a mut Seen,
    by: F,
}

impl<const N: usize, F> WithSimd for Transform<'_, N, F>
where
    F: Fn([Lane; N]) -> [Lane; SIDE] + Copy,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Seen {
            tiles,
            rows,
            points,
        } = self.seen;
        let (lanes, room) = (tiles.lanes, tiles.room());
        let points = points.as_chunks_mut::<COLUMNS>().0;
        for tile in 0..tiles.count() {
            let [y, x] = tiles.corner(tile);
            let corner = rows.from(y, x).as_chunks::<COLUMNS>().0;
            for c in 0..lanes {
                let mut half = [[[0f32; COLUMNS]; SIDE]; N];
                for (i, half) in half.iter_mut().enumerate() {
                    let row = &corner[i * rows.stride * lanes + c..];
                    *half = (self.by)(std::array::from_fn(|j| row[j * lanes]));
                }
                for j in 0..SIDE {
                    let column = (self.by)(std::array::from_fn(|i| half[i][j]));
                    for (i, value) in column.into_iter().enumerate() {
                        points[(i * SIDE + j) * room + tile * lanes + c] = value;
                    }
                }
            }
        }
    }
}

/// Sums of 36 products, transformed back to the results of a piece's tiles, `[rows, columns, channels]`.
struct Finish<'a> {
    tiles: Tiles,
    sums: &'a [f32],
    bias: &'a [f32],
    results: &'a mut [f32],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (tiles, lanes, room) = (self.tiles, self.tiles.lanes, self.tiles.room());
        let sums = self.sums.as_chunks::<COLUMNS>().0;
        let bias = self.bias.as_chunks::<COLUMNS>().0;
        let results = self.results.as_chunks_mut::<COLUMNS>().0;
        for tile in 0..tiles.count() {
            let [y, x] = tiles.corner(tile);
            for (c, bias) in bias.iter().enumerate() {
                let mut half = [[[0f32; COLUMNS]; SIDE]; TILE];
                for j in 0..SIDE {
                    let point = |i: usize| sums[(i * SIDE + j) * room + tile * lanes + c];
                    let column: [Lane; TILE] = back(std::array::from_fn(point));
                    for (half, value) in half.iter_mut().zip(column) {
                        half[j] = value;
                    }
                }
                for (i, half) in half.into_iter().enumerate() {
                    let start = ((y + i) * tiles.across * TILE + x) * lanes + c;
                    for (j, mut values) in back(half).into_iter().enumerate() {
                        let biased = values.iter_mut().zip(bias);
                        biased.for_each(|(value, bias)| *value += bias);
                        results[start + j * lanes] = values;
                    }
                }
            }
        }
    }
}

/// What a thread works in, piece after piece.
struct Room {
    seen: Seen,
    /// 36 sums a tile and channel.
    sums: Vec<f32>,
    /// Results with channels last.
    cells: Vec<f32>,
}

/// Kernels `[O, C, 3, 3]`, transformed: `[36, C, O filled up]`; turned around, `[36, O, C filled up]`.
fn kernels(weight: &[f32], [to, from]: [usize; 2], turned: bool) -> Vec<f32> {
    let (rows, columns) = if turned { (to, from) } else { (from, to) };
    let columns = columns.next_multiple_of(COLUMNS);
    let mut out = vec![0.0; POINTS * rows * columns];
    for (i, kernel) in weight.chunks_exact(9).enumerate() {
        let (o, c) = (i / from, i % from);
        let mut kernel: [f32; 9] = std::array::from_fn(|tap| kernel[tap]);
        let place = if turned {
            kernel.reverse();
            o * columns + c
        } else {
            c * columns + o
        };
        for (point, value) in transformed(&kernel).into_iter().enumerate() {
            out[point * rows * columns + place] = value as f32;
        }
    }
    out
}

/// The convolution of maps with kernels of [`kernels`], plus a number a channel; `to` channels of results.
fn convolve(maps: [usize; 4], x: &[f32], kernels: &[f32], bias: &[f32], to: usize) -> Vec<f32> {
    let tiles = Tiles::new(maps);
    let [batch, from, height, width] = maps;
    let results = Tiles {
        lanes: to.div_ceil(COLUMNS),
        ..tiles
    };
    let columns = results.lanes * COLUMNS;
    let row = tiles.across * TILE * columns;
    let order: Vec<usize> = (0..width).collect();
    let mut filled = vec![0.0; columns];
    filled[..bias.len()].copy_from_slice(bias);
    let mut out = vec![0.0; batch * to * height * width];
    let mut pieces = pieces(&mut out, [batch, to, height, width], tiles.rows * TILE);
    let room = || Room {
        seen: Seen::new(tiles, 1),
        sums: vec![0.0; POINTS * results.room() * COLUMNS],
        cells: vec![0.0; tiles.rows * TILE * row],
    };
    let work = |room: &mut Room, (piece, planes): (usize, &mut Vec<&mut [f32]>)| {
        let Room { seen, sums, cells } = room;
        seen.transform(x, piece, winograd::forward);
        for (point, sums) in sums.chunks_exact_mut(results.room() * COLUMNS).enumerate() {
            let product = Product {
                sums,
                adds: false,
                left: seen.point(point),
                lies: Left::Rows(tiles.lanes * COLUMNS),
                right: &kernels[point * from * columns..],
                rows: tiles.count(),
                columns,
                depth: from,
            };
            product.run();
        }
        Arch::new().dispatch(Finish {
            tiles: results,
            sums,
            bias: &filled,
            results: cells,
        });
        let rows = planes[0].len() / width;
        for (y, cells) in cells.chunks_exact(row).take(rows).enumerate() {
            write(planes, y, cells, columns, &order);
        }
    };
    pieces.par_iter_mut().enumerate().for_each_init(room, work);
    out
}

/// The convolution, `[B, O, H, W]`.
pub fn forward(shape: &Shape, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let kernels = kernels(weight, [shape.to, shape.input[1]], false);
    convolve(shape.input, x, &kernels, bias, shape.to)
}

/// The gradient of the input.
pub fn of_input(shape: &Shape, weight: &[f32], of_result: &[f32]) -> Vec<f32> {
    let kernels = kernels(weight, [shape.to, shape.input[1]], true);
    convolve(shape.result(), of_result, &kernels, &[], shape.input[1])
}

/// The gradient of the weights, `[O, C, 3, 3]`: that of the transformed kernels, `[36, C, O filled up]`, turned back.
pub fn of_weight(shape: &Shape, x: &[f32], of_result: &[f32]) -> Vec<f32> {
    let (tiles, results) = (Tiles::new(shape.input), Tiles::new(shape.result()));
    let (from, to, columns) = (shape.input[1], shape.to, results.lanes * COLUMNS);
    let all = shape.input[0] * tiles.pieces();
    let part = all.div_ceil(PARTS);
    let parts = (0..all.div_ceil(part)).into_par_iter().map(|i| {
        let (mut left, mut right) = (Seen::new(tiles, 1), Seen::new(results, 0));
        let mut sums = vec![0.0; POINTS * from * columns];
        for piece in i * part..all.min((i + 1) * part) {
            left.transform(x, piece, winograd::forward);
            right.transform(of_result, piece, spread);
            for (point, sums) in sums.chunks_exact_mut(from * columns).enumerate() {
                let product = Product {
                    sums,
                    adds: piece > i * part,
                    left: left.point(point),
                    lies: Left::Columns(tiles.lanes * COLUMNS),
                    right: right.point(point),
                    rows: from,
                    columns,
                    depth: tiles.count(),
                };
                product.run();
            }
        }
        sums
    });
    let of_kernels = added_up(parts);
    let mut out = Vec::with_capacity(to * from * 9);
    for (o, c) in (0..to).flat_map(|o| (0..from).map(move |c| (o, c))) {
        let at = |point: usize| of_kernels[(point * from + c) * columns + o];
        let rows: [[f32; 3]; SIDE] =
            std::array::from_fn(|y| of_points(std::array::from_fn(|x| at(y * SIDE + x))));
        let turned: [[f32; 3]; 3] =
            std::array::from_fn(|x| of_points(std::array::from_fn(|y| rows[y][x])));
        out.extend((0..9).map(|tap| turned[tap % 3][tap / 3]));
    }
    out
}
