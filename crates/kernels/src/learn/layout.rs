//! Between burn's order of values, `[B, C, H, W]`, and channels last, a few rows at a time.

/// Some rows of a picture with channels last, `[rows, stride, channels]`, between zeros on both sides.
#[derive(Debug)]
pub struct Last {
    /// Zeros left of a row.
    pub left: usize,
    /// Columns of a row, zeros included.
    pub stride: usize,
    /// Channels as they are stored: those of the picture, and zeros.
    pub channels: usize,
    values: Vec<f32>,
}

impl Last {
    /// No rows yet.
    pub fn new(left: usize, stride: usize, channels: usize) -> Self {
        Self {
            left,
            stride,
            channels,
            values: Vec::new(),
        }
    }

    /// Reads `rows` rows of a picture of `x`, the first one of which is `first`; rows outside of the picture are zeros.
    /// All that is read by one of these has one width and as many channels.
    pub fn read(
        &mut self,
        x: &[f32],
        [_, from, height, width]: [usize; 4],
        picture: usize,
        first: isize,
        rows: usize,
    ) {
        let row = self.stride * self.channels;
        // What lies beside a picture and its channels is zero from the beginning, and nobody writes there.
        self.values.resize(rows * row, 0.0);
        for (i, to) in self.values.chunks_exact_mut(row).enumerate() {
            let Some(y) = usize::try_from(first + i as isize)
                .ok()
                .filter(|y| *y < height)
            else {
                to.fill(0.0);
                continue;
            };
            let to = &mut to[self.left * self.channels..];
            let row = |c: usize| &x[((picture * from + c) * height + y) * width..][..width];
            let fours = from / FOUR * FOUR;
            for c in (0..fours).step_by(FOUR) {
                let rows: [&[f32]; FOUR] = std::array::from_fn(|i| row(c + i));
                let (blocks, _) = rows[0].as_chunks::<FOUR>();
                for x in (0..blocks.len()).map(|block| block * FOUR) {
                    let block = turned(rows.map(|row| four(&row[x..])));
                    for (i, values) in block.iter().enumerate() {
                        to[(x + i) * self.channels + c..][..FOUR].copy_from_slice(values);
                    }
                }
                for x in blocks.len() * FOUR..width {
                    let values = rows.map(|row| row[x]);
                    to[x * self.channels + c..][..FOUR].copy_from_slice(&values);
                }
            }
            for c in fours..from {
                let cells = to.chunks_exact_mut(self.channels);
                for (cell, value) in cells.zip(row(c)) {
                    cell[c] = *value;
                }
            }
        }
    }

    /// What follows from a column of the `row`-th of these rows on.
    pub fn from(&self, row: usize, column: usize) -> &[f32] {
        &self.values[(row * self.stride + column) * self.channels..]
    }
}

/// The rows of `[B, C, H, W]` in pieces of `rows` rows: for every picture and piece, its part of every channel.
pub fn pieces(
    values: &mut [f32],
    [_, channels, height, width]: [usize; 4],
    rows: usize,
) -> Vec<Vec<&mut [f32]>> {
    let count = height.div_ceil(rows);
    let mut pieces = Vec::new();
    for (plane, values) in values.chunks_mut(height * width).enumerate() {
        let first = plane / channels * count;
        for (i, part) in values.chunks_mut(rows * width).enumerate() {
            if first + i == pieces.len() {
                pieces.push(Vec::with_capacity(channels));
            }
            let piece: &mut Vec<_> = &mut pieces[first + i];
            piece.push(part);
        }
    }
    pieces
}

/// Writes a row of `cells` (channels last, so many as are stored) to a row of every plane; `order` says which cell a column is.
pub fn write(
    planes: &mut [&mut [f32]],
    row: usize,
    cells: &[f32],
    channels: usize,
    order: &[usize],
) {
    let width = order.len();
    for (c, plane) in planes.iter_mut().enumerate() {
        let to = &mut plane[row * width..][..width];
        for (to, cell) in to.iter_mut().zip(order) {
            *to = cells[cell * channels + c];
        }
    }
}

/// Channels and columns that change places together.
const FOUR: usize = 4;

/// The first values of a slice.
#[inline(always)]
fn four(values: &[f32]) -> [f32; FOUR] {
    let values = &values[..FOUR];
    std::array::from_fn(|i| values[i])
}

/// Rows as columns.
#[inline(always)]
fn turned(rows: [[f32; FOUR]; FOUR]) -> [[f32; FOUR]; FOUR] {
    std::array::from_fn(|x| rows.map(|row| row[x]))
}
