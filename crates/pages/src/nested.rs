//! Nested boxes around what answers a question: value, row of print, block of rows.
//!
//! LFPC's grounding reward wants boxes from the smallest to ever larger ones around the same place ("word, line, block").
//! A drawn page knows its printed lines, so they come for free: the row is all print beside the value, the label too, and
//! the block all rows above and below it that stand closer than a row is high.

use super::geometry::Rect;

/// Share of the lower of two heights by which print has to overlap to stand in one row.
const BESIDE: f32 = 0.5;
/// A block grows over gaps of so many heights of its row.
const GAP: f32 = 1.0;
/// A block of more than this share of the picture says no more than the picture.
const MAX_SHARE: f32 = 0.4;

/// Boxes from the evidence outwards, each of them larger than the one before; at least the evidence itself. `print` has every
/// printed line, `size` is the picture's in pixels.
pub fn around(evidence: Rect, print: &[Rect], size: (usize, usize)) -> Vec<Rect> {
    let beside = |line: &&Rect| {
        let lower = line.height().min(evidence.height());
        line.overlap_y(evidence) >= BESIDE * lower
    };
    let row = print.iter().filter(beside);
    let row = row.fold(evidence, |row, line| row.union(*line));
    let limit = MAX_SHARE * (size.0 * size.1) as f32;
    let gap = GAP * evidence.height();
    let mut block = row;
    loop {
        let near = |line: &&Rect| block.overlap_y(**line) >= -gap && block.overlap_x(**line) > 0.0;
        let grown = print
            .iter()
            .filter(near)
            .fold(block, |b, line| b.union(*line));
        if grown == block || grown.width() * grown.height() > limit {
            break;
        }
        block = grown;
    }
    let mut boxes = vec![evidence];
    for larger in [row, block] {
        if boxes.last() != Some(&larger) {
            boxes.push(larger);
        }
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_its_row_and_its_block() {
        let at = |x1: f32, y1: f32, x2: f32, y2: f32| Rect::new(x1, y1, x2, y2);
        let value = at(200.0, 100.0, 260.0, 120.0);
        let print = [
            value,
            at(20.0, 102.0, 90.0, 121.0),   // its label
            at(20.0, 130.0, 120.0, 150.0),  // the next row
            at(30.0, 160.0, 220.0, 180.0),  // and one more
            at(20.0, 300.0, 260.0, 320.0),  // another block
            at(400.0, 130.0, 460.0, 150.0), // another column
        ];
        let found = around(value, &print, (600, 600));
        let row = at(20.0, 100.0, 260.0, 121.0);
        let block = at(20.0, 100.0, 260.0, 180.0);
        assert_eq!(found, [value, row, block]);
        // Nothing beside it, nothing near it.
        assert_eq!(around(value, &[value], (600, 600)), [value]);
        // A block of nearly everything is left out.
        assert_eq!(around(value, &print, (240, 100)), [value, row]);
    }
}
