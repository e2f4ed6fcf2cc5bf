//! A box moved and resized by hand: percent in, percent out, always a valid box inside the picture.

use grounding::NormBox;

/// Shortest side of a box made by hand, percent.
pub const SHORTEST: f32 = 0.5;

/// Which edges a handle takes along, -1 (left, upper), 0 (none) or 1 (right, lower), across and down.
pub type Handle = (i8, i8);

/// The box moved by percents, as far as the picture's edge.
pub fn moved(b: NormBox, across: f32, down: f32) -> NormBox {
    let across = across.clamp(-b.x1, 100.0 - b.x2);
    let down = down.clamp(-b.y1, 100.0 - b.y2);
    NormBox {
        x1: (b.x1 + across).max(0.0),
        y1: (b.y1 + down).max(0.0),
        x2: (b.x2 + across).min(100.0),
        y2: (b.y2 + down).min(100.0),
    }
}

/// The box with the handle's edges moved by percents: no shorter than [`SHORTEST`], no farther than the edge.
pub fn resized(b: NormBox, handle: Handle, across: f32, down: f32) -> NormBox {
    let (x1, x2) = side(b.x1, b.x2, handle.0, across);
    let (y1, y2) = side(b.y1, b.y2, handle.1, down);
    NormBox { x1, y1, x2, y2 }
}

fn side(low: f32, high: f32, which: i8, by: f32) -> (f32, f32) {
    match which {
        -1 => ((low + by).clamp(0.0, (high - SHORTEST).max(0.0)), high),
        1 => (low, (high + by).clamp((low + SHORTEST).min(100.0), 100.0)),
        _ => (low, high),
    }
}

/// The box between two points in percent, for one that is drawn.
pub fn between((ax, ay): (f32, f32), (bx, by): (f32, f32)) -> NormBox {
    let span = |a: f32, b: f32| {
        let (low, high) = (a.min(b).clamp(0.0, 100.0), a.max(b).clamp(0.0, 100.0));
        let low = low.min(100.0 - SHORTEST);
        (low, high.max(low + SHORTEST))
    };
    let (x1, x2) = span(ax, bx);
    let (y1, y2) = span(ay, by);
    NormBox { x1, y1, x2, y2 }
}

/// The box at `factor` times its area: grown as [`NormBox::grow`] does, shrunk around its centre below 1.
pub fn scaled(b: NormBox, factor: f32) -> NormBox {
    if factor >= 1.0 {
        return b.grow(factor);
    }
    let factor = factor.max(0.0).sqrt();
    let shrink = |low: f32, high: f32| {
        let half = ((high - low) * factor).max(SHORTEST.min(high - low)) / 2.0;
        let middle = (low + high) / 2.0;
        ((middle - half).max(low), (middle + half).min(high))
    };
    let (x1, x2) = shrink(b.x1, b.x2);
    let (y1, y2) = shrink(b.y1, b.y2);
    NormBox { x1, y1, x2, y2 }
}

/// How far a list has to scroll sideways so that an item from `left` to `right` is seen in its room, pixels; the start of
/// one that is wider than the room.
///
/// ```
/// use cropvlm_web::geometry::sideways;
/// assert_eq!(sideways((10.0, 90.0), (0.0, 100.0)), 0.0);
/// assert_eq!(sideways((80.0, 130.0), (0.0, 100.0)), 30.0);
/// assert_eq!(sideways((-20.0, 30.0), (0.0, 100.0)), -20.0);
/// assert_eq!(sideways((50.0, 250.0), (0.0, 100.0)), 50.0);
/// ```
pub fn sideways((left, right): (f64, f64), (from, to): (f64, f64)) -> f64 {
    if left < from {
        left - from
    } else {
        (right - to).max(0.0).min(left - from)
    }
}

/// How far a page has to be scrolled down (up: negative) so that something from `top` to `bottom` is seen in a window of
/// this height, pixels from its top; 0 where it is. `room`: wanted above and below it.
pub fn scroll_to_see(top: f64, bottom: f64, window: f64, room: f64) -> f64 {
    let room = room.min((window - (bottom - top)) / 2.0).max(0.0);
    if top < room {
        top - room
    } else if bottom > window - room {
        // Its upper edge stays in view, where it is too high for the window.
        (bottom - window + room).min(top - room)
    } else {
        0.0
    }
}

/// Where a box stands after its picture was turned by 90 degrees clockwise.
///
/// ```
/// use cropvlm_web::geometry::quarter;
/// use grounding::NormBox;
/// let left_top = NormBox { x1: 0.0, y1: 0.0, x2: 30.0, y2: 10.0 };
/// let right_top = NormBox { x1: 90.0, y1: 0.0, x2: 100.0, y2: 30.0 };
/// assert_eq!(quarter(left_top), right_top);
/// ```
pub fn quarter(b: NormBox) -> NormBox {
    NormBox {
        x1: 100.0 - b.y2,
        y1: b.x1,
        x2: 100.0 - b.y1,
        y2: b.x2,
    }
}

/// Percents with at most two digits after the point, so that what is shown, shared and cut is one and the same.
pub fn tidy(b: NormBox) -> NormBox {
    let edge = |percent: f32| (percent * 100.0).round() / 100.0;
    let tidy = NormBox {
        x1: edge(b.x1),
        y1: edge(b.y1),
        x2: edge(b.x2),
        y2: edge(b.y2),
    };
    // A box thinner than the rounding stays as it is.
    if tidy.x2 > tidy.x1 && tidy.y2 > tidy.y1 {
        tidy
    } else {
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: NormBox = NormBox {
        x1: 20.0,
        y1: 30.0,
        x2: 40.0,
        y2: 35.0,
    };

    fn valid(b: NormBox) -> bool {
        NormBox::new(b.x1, b.y1, b.x2, b.y2).is_ok()
    }

    #[test]
    fn moving_stops_at_the_edge_and_keeps_the_size() {
        let b = moved(BOX, 1000.0, -1000.0);
        assert_eq!(
            b,
            NormBox {
                x1: 80.0,
                y1: 0.0,
                x2: 100.0,
                y2: 5.0
            }
        );
        assert_eq!(
            moved(BOX, 1.0, 2.0),
            NormBox {
                x1: 21.0,
                y1: 32.0,
                x2: 41.0,
                y2: 37.0
            }
        );
    }

    #[test]
    fn resizing_never_turns_a_box_inside_out() {
        for handle in [(-1, -1), (1, 1), (-1, 1), (0, 1), (1, 0)] {
            for by in [-500.0, -3.0, 0.0, 3.0, 500.0] {
                let b = resized(BOX, handle, by, by);
                assert!(valid(b), "{handle:?} {by} {b:?}");
                assert!(b.width() >= SHORTEST && b.height() >= SHORTEST);
            }
        }
        assert_eq!(resized(BOX, (1, 0), 5.0, 9.0), NormBox { x2: 45.0, ..BOX });
        let corner = NormBox {
            x1: 99.9,
            y1: 0.0,
            x2: 100.0,
            y2: 0.1,
        };
        assert!(valid(resized(corner, (-1, 1), 9.0, -9.0)));
    }

    #[test]
    fn drawing_works_in_every_direction_and_at_the_edge() {
        assert_eq!(between((40.0, 35.0), (20.0, 30.0)), BOX);
        assert!(valid(between((100.0, 100.0), (130.0, 100.0))));
        assert!(valid(between((-5.0, 0.0), (-9.0, 0.0))));
    }

    #[test]
    fn the_page_scrolls_no_farther_than_needed() {
        assert_eq!(scroll_to_see(100.0, 200.0, 800.0, 60.0), 0.0);
        assert_eq!(scroll_to_see(-300.0, -250.0, 800.0, 60.0), -360.0);
        assert_eq!(scroll_to_see(900.0, 950.0, 800.0, 60.0), 210.0);
        // Higher than the window: from its top.
        assert_eq!(scroll_to_see(50.0, 2000.0, 800.0, 60.0), 50.0);
        assert_eq!(scroll_to_see(-50.0, 2000.0, 800.0, 60.0), -50.0);
    }

    #[test]
    fn scaling_goes_both_ways() {
        assert!((scaled(BOX, 4.0).area() - 4.0 * BOX.area()).abs() < 1e-4);
        let small = scaled(BOX, 0.25);
        assert!((small.area() - 0.25 * BOX.area()).abs() < 1e-4);
        assert!(BOX.contains(small));
        assert!(valid(scaled(BOX, 0.0)) && valid(scaled(BOX, f32::NAN)));
    }

    #[test]
    fn tidy_boxes_read_well() {
        let b = NormBox {
            x1: 1.0 / 3.0,
            y1: 0.0,
            x2: 66.666_7,
            y2: 99.999,
        };
        assert_eq!(tidy(b).to_string(), "0.33,0,66.67,100");
        let thin = NormBox {
            x1: 0.001,
            y1: 0.0,
            x2: 0.002,
            y2: 1.0,
        };
        assert_eq!(tidy(thin), thin);
    }
}
