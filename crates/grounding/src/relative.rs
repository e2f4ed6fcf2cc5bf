//! The training-free box (ViCrop, rel-att): where a model looks more for this question than for any picture.
//!
//! A map of attention to the cells of a picture, divided by the same map for a generic prompt; windows of several sizes
//! slide over it. Departures: windows are counted in cells of the map (ViCrop: in pixels of the picture), because maps
//! here are small; a size that rounds to the same number of cells as another counts once.

use crate::NormBox;

/// The generic prompt.
pub const GENERIC: &str = "Write a general description of the image.";

/// Side of the smallest window, as a share of the map's.
const BASE: f32 = 0.25;

/// How many times larger the windows are.
const RATIOS: [f32; 6] = [1.0, 1.2, 1.4, 1.6, 1.8, 2.0];

/// One map divided by another, cell by cell; where nobody looks there is nothing.
pub fn relative(map: &[f32], generic: &[f32]) -> Vec<f32> {
    let share = |(a, b): (&f32, &f32)| if *b > 0.0 { a / b } else { 0.0 };
    map.iter().zip(generic).map(share).collect()
}

/// What stands out in the last `cells` cells of a map of attention, which lie in a square: the map relative to the generic
/// prompt's, from 0 (the least) to 1, and the training-free box, percent. `None` for no square.
pub fn stands_out(asked: &[f32], generic: &[f32], cells: usize) -> Option<(Vec<f32>, NormBox)> {
    let all = relative(asked, generic);
    let map = &all[all.len().checked_sub(cells)?..];
    let bbox = window(map, cells.isqrt(), cells.isqrt())?;
    let least = map.iter().copied().fold(f32::INFINITY, f32::min);
    let most = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Where all cells are alike, nothing stands out.
    let span = (most - least).max(f32::MIN_POSITIVE);
    Some((
        map.iter().map(|value| (value - least) / span).collect(),
        bbox,
    ))
}

/// The window that stands out most, percent of the picture: for each size that of the largest sum; of the sizes the one
/// whose window exceeds the mean of its four neighbours most, per cell. `None` for a map without cells, or of another
/// size than it says.
///
/// ```
/// let mut map = [1.0; 64];
/// for cell in [27, 28, 35, 36] {
///     map[cell] = 5.0;
/// }
/// let found = grounding::relative::window(&map, 8, 8).unwrap();
/// assert_eq!(found.to_array(), [37.5, 37.5, 62.5, 62.5]);
/// ```
pub fn window(map: &[f32], width: usize, height: usize) -> Option<NormBox> {
    if width == 0 || height == 0 || map.len() != width * height {
        return None;
    }
    let mut best: Option<(f32, [usize; 4])> = None;
    let mut known = Vec::new();
    for ratio in RATIOS {
        let cells = |side: usize| ((side as f32 * BASE * ratio) as usize).clamp(1, side);
        let (w, h) = (cells(width), cells(height));
        if known.contains(&(w, h)) {
            continue;
        }
        known.push((w, h));
        let sum = |x: usize, y: usize| -> f32 {
            let rows = (y..y + h).map(|row| &map[row * width + x..row * width + x + w]);
            rows.map(|row| row.iter().sum::<f32>()).sum()
        };
        let places = (0..=height - h).flat_map(|y| (0..=width - w).map(move |x| (x, y)));
        let Some((most, (x, y))) = places
            .map(|(x, y)| (sum(x, y), (x, y)))
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
        else {
            continue;
        };
        let beside = [(-1, 0), (1, 0), (0, -1), (0, 1)]
            .into_iter()
            .filter_map(|(dx, dy)| {
                let (x, y) = (x.checked_add_signed(dx)?, y.checked_add_signed(dy)?);
                (x + w <= width && y + h <= height).then(|| sum(x, y))
            });
        let beside: Vec<f32> = beside.collect();
        let around = beside.iter().sum::<f32>() / beside.len().max(1) as f32;
        let around = if beside.is_empty() { most } else { around };
        let stands_out = (most - around) / (w * h) as f32;
        if best.is_none_or(|(known, _)| stands_out > known) {
            best = Some((stands_out, [x, y, x + w, y + h]));
        }
    }
    let (_, [x1, y1, x2, y2]) = best?;
    let percent = |cell: usize, cells: usize| cell as f32 / cells as f32 * 100.0;
    NormBox::new(
        percent(x1, width),
        percent(y1, height),
        percent(x2, width),
        percent(y2, height),
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_fits_what_stands_out() {
        // Four by four bright cells of sixteen by sixteen want a window of four, not of eight.
        let mut map = [0.1; 256];
        for (y, x) in (6..10).flat_map(|y| (1..5).map(move |x| (y, x))) {
            map[y * 16 + x] = 1.0;
        }
        let found = window(&map, 16, 16).unwrap();
        assert_eq!(found.to_array(), [6.25, 37.5, 31.25, 62.5]);
    }

    #[test]
    fn small_and_empty_maps() {
        assert_eq!(window(&[1.0], 1, 1), Some(NormBox::FULL));
        assert_eq!(window(&[], 0, 0), None);
        assert_eq!(window(&[1.0; 3], 2, 2), None);
    }

    #[test]
    fn the_last_cells_are_the_map() {
        // Before the global image's four cells stand those of other tiles.
        let asked = [9.0, 9.0, 1.0, 1.0, 3.0, 1.0];
        let (map, bbox) = stands_out(&asked, &[1.0; 6], 4).unwrap();
        assert_eq!(map, [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(bbox.to_array(), [0.0, 50.0, 50.0, 100.0]);
        assert_eq!(stands_out(&asked, &[1.0; 6], 7), None);
        assert_eq!(stands_out(&asked, &[1.0; 6], 3), None);
    }

    #[test]
    fn relative_maps_forgive_cells_that_nobody_sees() {
        assert_eq!(
            relative(&[1.0, 2.0, 3.0], &[2.0, 1.0, 0.0]),
            [0.5, 2.0, 0.0]
        );
    }
}
