//! "Look again inside": what a second look may make of a box.
//!
//! A network that sees a part of a picture large finds a smaller box in it, again and again, until nothing can be read
//! in it. So a second look ends at a useful size, takes the whole line along, and where the evidence lies on several
//! lines the box stays as it is: none of them alone answers the question.

use grounding::NormBox;

use crate::protocol::Evidence;

/// Shortest useful length of a box's longer side, pixels.
pub const USEFUL: f32 = 96.0;
/// ... and in heights of the letters.
pub const LETTERS: f32 = 6.0;
/// A cell is lit if it has this share of the strongest one.
const LIT: f32 = 0.4;
/// Another line counts if its strongest cell has this share of the strongest one.
const RIVAL: f32 = 0.75;
/// What was looked into is the line itself, where that fills this share of its height. Samples: a receipt's total or a number
/// plate fills 0.7 to 0.95 of a box around its line, and evidence then fades towards both ends of it; 0.35 to 0.65 of a
/// looser box.
const WHOLE: f32 = 0.7;
/// A box that is left with this share of the area it came from is no smaller one.
const SAME: f32 = 0.85;

/// The box within `outer` (percent of the picture), or none where there is nothing smaller. `found` is the model's, in
/// percent of the picture; `evidence` lies over `outer`; `size` is the picture's in pixels.
///
/// ```
/// use cropvlm_web::inside::second_look;
/// use grounding::NormBox;
/// let found = NormBox { x1: 50.0, y1: 50.0, x2: 51.0, y2: 51.0 };
/// let bbox = second_look(found, NormBox::FULL, None, (1000, 1000)).unwrap();
/// assert!((bbox.width() - 9.6).abs() < 1e-3, "96 of 1,000 pixels");
/// assert!(second_look(found, found, None, (1000, 1000)).is_none());
/// ```
pub fn second_look(
    found: NormBox,
    outer: NormBox,
    evidence: Option<&Evidence>,
    size: (u32, u32),
) -> Option<NormBox> {
    let lines = evidence.map_or_else(Vec::new, |evidence| lines(evidence, outer));
    let is_whole = |line: &NormBox| line.height() >= WHOLE * outer.height();
    if lines.len() > 1 || lines.iter().any(is_whole) {
        return None;
    }
    let mut bbox = found;
    // The whole line that it lies on, not only the cells that it covers.
    if let Some(line) = lines
        .first()
        .filter(|line| line.intersection(found).is_some())
    {
        bbox = NormBox {
            x1: bbox.x1.min(line.x1),
            y1: bbox.y1.min(line.y1),
            x2: bbox.x2.max(line.x2),
            y2: bbox.y2.max(line.y2),
        };
    }
    let (width, height) = (size.0.max(1) as f32, size.1.max(1) as f32);
    let (across, down) = (bbox.width() * width / 100.0, bbox.height() * height / 100.0);
    // A box is about as high as its line; one that is higher than wide says nothing about letters.
    let letters = if across >= down { down } else { 0.0 };
    let useful = USEFUL.max(LETTERS * letters);
    let (x1, x2) = grown(bbox.x1, bbox.x2, useful / width * 100.0, outer.x1, outer.x2);
    bbox = NormBox { x1, x2, ..bbox };
    if down < USEFUL.min(across) / LETTERS {
        // As high as a line of the least letters that can be read in it.
        let least = USEFUL / LETTERS / height * 100.0;
        let (y1, y2) = grown(bbox.y1, bbox.y2, least, outer.y1, outer.y2);
        bbox = NormBox { y1, y2, ..bbox };
    }
    let longest = (bbox.width() * width).max(bbox.height() * height) / 100.0;
    (longest >= USEFUL - 0.01 && bbox.area() < SAME * outer.area()).then_some(bbox)
}

/// A side made at least so long around its middle, within limits.
fn grown(low: f32, high: f32, length: f32, least: f32, most: f32) -> (f32, f32) {
    let length = length.min(most - least);
    if high - low >= length {
        return (low, high);
    }
    // Rounding may put the last start a little before the first one.
    let last = (most - length).max(least);
    let start = ((low + high - length) / 2.0).clamp(least, last);
    (start, (start + length).min(most))
}

/// Where the evidence is strong: a box for each line, in percent of the picture. Cells of neighbouring rows are one line
/// (the letters of one may reach into two rows of cells), and so are those of one row, however far apart.
fn lines(evidence: &Evidence, over: NormBox) -> Vec<NormBox> {
    let width = (evidence.width as usize).max(1);
    let most = evidence.values.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return Vec::new();
    }
    let share = |value: u8| f32::from(value) / f32::from(most);
    // Rows of cells that follow one another: first and last, leftmost and rightmost lit cell, strongest.
    let mut lines: Vec<(usize, usize, usize, usize, f32)> = Vec::new();
    for (row, cells) in evidence.values.chunks(width).enumerate() {
        let lit = |at: &usize| share(cells[*at]) >= LIT;
        let left = (0..cells.len()).find(lit);
        let right = (0..cells.len()).rfind(lit);
        let (Some(left), Some(right)) = (left, right) else {
            continue;
        };
        let best = cells.iter().copied().map(share).fold(0.0, f32::max);
        match lines.last_mut() {
            Some(line) if line.1 + 1 >= row => {
                *line = (
                    line.0,
                    row,
                    line.2.min(left),
                    line.3.max(right),
                    line.4.max(best),
                );
            }
            _ => lines.push((row, row, left, right, best)),
        }
    }
    let rows = evidence.values.len().div_ceil(width).max(1) as f32;
    let columns = width as f32;
    let strong = lines.into_iter().filter(|line| line.4 >= RIVAL);
    let percent = |(top, bottom, left, right, _): (usize, usize, usize, usize, f32)| NormBox {
        x1: left as f32 / columns * 100.0,
        y1: top as f32 / rows * 100.0,
        x2: (right + 1) as f32 / columns * 100.0,
        y2: (bottom + 1) as f32 / rows * 100.0,
    };
    strong.map(|line| percent(line).out_of(over)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUTER: NormBox = NormBox {
        x1: 10.0,
        y1: 40.0,
        x2: 60.0,
        y2: 50.0,
    };

    fn map(width: u32, rows: &[&[u8]]) -> Evidence {
        Evidence {
            width,
            height: rows.len() as u32,
            values: rows.concat(),
        }
    }

    #[test]
    fn a_second_look_keeps_the_line_whole() {
        // The line's end is lit, too, but the model's box covers its middle only.
        let evidence = map(5, &[&[0; 5], &[0, 200, 255, 90, 120], &[0; 5]]);
        let found = NormBox {
            x1: 32.0,
            y1: 44.0,
            x2: 38.0,
            y2: 46.0,
        };
        let bbox = second_look(found, OUTER, Some(&evidence), (2000, 2000)).unwrap();
        assert_eq!((bbox.x1, bbox.x2), (20.0, 60.0));
        assert!(bbox.contains(found) && OUTER.contains(bbox));
    }

    #[test]
    fn evidence_on_two_lines_has_nothing_smaller() {
        let found = NormBox {
            x1: 20.0,
            y1: 40.0,
            x2: 30.0,
            y2: 42.0,
        };
        let two = map(3, &[&[0, 250, 0], &[0; 3], &[0, 240, 0]]);
        assert_eq!(second_look(found, OUTER, Some(&two), (2000, 2000)), None);
        // A faint rival is none.
        let one = map(3, &[&[0, 250, 0], &[0; 3], &[0, 140, 0]]);
        assert!(second_look(found, OUTER, Some(&one), (2000, 2000)).is_some());
    }

    #[test]
    fn a_box_around_one_line_has_nothing_smaller() {
        // As a number plate's evidence: its ends are faint.
        let line: &[u8] = &[0, 90, 255, 90, 0];
        let found = NormBox {
            x1: 30.0,
            x2: 40.0,
            y1: 41.0,
            y2: 43.0,
        };
        let loose = map(5, &[line, line, &[0; 5], &[0; 5]]);
        assert!(second_look(found, OUTER, Some(&loose), (2000, 2000)).is_some());
        let tight = map(5, &[line, line, line, &[0; 5]]);
        assert_eq!(second_look(found, OUTER, Some(&tight), (2000, 2000)), None);
    }

    #[test]
    fn a_box_below_a_useful_size_has_nothing_smaller() {
        let small = NormBox {
            x1: 10.0,
            y1: 10.0,
            x2: 14.0,
            y2: 12.0,
        };
        let found = NormBox { x2: 11.0, ..small };
        assert_eq!(second_look(found, small, None, (1000, 1000)), None, "40 px");
    }

    #[test]
    fn looking_again_and_again_ends_at_a_useful_size() {
        let (mut outer, size) = (NormBox::FULL, (1200, 1600));
        let mut looks = 0;
        // A model that finds the middle fifth of whatever it sees.
        while let Some(bbox) = second_look(
            NormBox {
                x1: 40.0,
                y1: 40.0,
                x2: 60.0,
                y2: 60.0,
            }
            .out_of(outer),
            outer,
            None,
            size,
        ) {
            outer = bbox;
            looks += 1;
            assert!(looks < 20, "it ends");
        }
        assert!(looks >= 1);
        assert!(outer.width() * 12.0 >= USEFUL - 0.1, "{outer:?}");
    }

    proptest! {
        /// Never below a useful size, never out of the box that was looked into, always with the model's own box in it.
        #[test]
        fn a_second_look_is_useful(
            (x, y, w, h) in (0.0f32..80.0, 0.0f32..80.0, 1.0f32..20.0, 1.0f32..20.0),
            (ix, iy, iw, ih) in (0.0f32..90.0, 0.0f32..90.0, 0.5f32..10.0, 0.5f32..10.0),
            size in (50u32..4000, 50u32..4000),
            values in prop::collection::vec(any::<u8>(), 12),
        ) {
            let outer = NormBox { x1: x, y1: y, x2: x + w, y2: y + h };
            let inner = NormBox { x1: ix, y1: iy, x2: ix + iw, y2: iy + ih };
            let found = inner.out_of(outer);
            let evidence = Evidence { width: 4, height: 3, values };
            if let Some(bbox) = second_look(found, outer, Some(&evidence), size) {
                let near = |a: f32, b: f32| a <= b + 1e-3;
                prop_assert!(near(outer.x1, bbox.x1) && near(bbox.x2, outer.x2), "{bbox:?} in {outer:?}");
                prop_assert!(near(outer.y1, bbox.y1) && near(bbox.y2, outer.y2));
                prop_assert!(near(bbox.x1, found.x1) && near(found.x2, bbox.x2));
                prop_assert!(near(bbox.y1, found.y1) && near(found.y2, bbox.y2));
                let longest = (bbox.width() * size.0 as f32).max(bbox.height() * size.1 as f32) / 100.0;
                prop_assert!(longest + 0.1 >= USEFUL, "{longest}");
            }
        }
    }
}
