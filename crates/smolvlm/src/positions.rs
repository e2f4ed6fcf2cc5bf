//! Which learned position stands at which patch.

/// Position of every patch in the table of `side` x `side` positions, row by row.
///
/// transformers sorts the fraction `i / n` of each coordinate into `side` buckets, in f32; for a
/// tile of the size the table was made for that is the identity, up to rounding, which is
/// repeated here.
pub(crate) fn position_ids(rows: usize, columns: usize, side: usize) -> Vec<i32> {
    let step = 1.0 / side as f64;
    // torch.arange(1 / side, 1.0, 1 / side): length and values in f64, stored as f32.
    let length = ((1.0 - step) / step).ceil() as usize;
    let boundaries: Vec<f32> = (0..length)
        .map(|i| (step + i as f64 * step) as f32)
        .collect();
    let bucket = |i: usize, n: usize| {
        let fraction = (i as f32 * (1.0 / n as f32)).min((1.0 - 1e-6) as f32);
        boundaries.partition_point(|&boundary| boundary <= fraction) as i32
    };
    (0..rows)
        .flat_map(|row| {
            (0..columns)
                .map(move |column| bucket(row, rows) * side as i32 + bucket(column, columns))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_transformers() {
        let bytes = include_bytes!("../goldens/positions.safetensors");
        let goldens = safetensors::SafeTensors::deserialize(bytes).expect("goldens");
        for (name, tensor) in goldens.iter() {
            let numbers: Vec<usize> = name.split('.').filter_map(|n| n.parse().ok()).collect();
            let [side, rows, columns] = numbers[..] else {
                panic!("{name}")
            };
            let chunks = tensor.data().as_chunks().0.iter();
            let expected: Vec<i32> = chunks.map(|&b| i32::from_le_bytes(b)).collect();
            assert_eq!(position_ids(rows, columns, side), expected, "{name}");
        }
    }

    #[test]
    fn a_larger_tile_shares_positions() {
        assert_eq!(
            position_ids(1, 8, 4),
            [0, 0, 1, 1, 2, 2, 3, 3],
            "eight columns on four positions"
        );
    }
}
