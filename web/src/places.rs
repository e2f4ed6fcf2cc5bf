//! Several places from many sampled boxes.
//!
//! A policy that is unsure between two places draws boxes at both, each a little different. Boxes that mostly cover
//! one another are one place; its share of the draws is the policy's chance for it. The lines of one block are one place,
//! too, whether they were drawn alone or together: an address is not five places.

use grounding::NormBox;
use serde::{Deserialize, Serialize};

/// Places that are told at most.
pub const MOST: usize = 5;

/// Two boxes are of one place when this share of the smaller one lies in the other.
const SHARED: f32 = 0.5;

/// A place has to hold this share of the draws to be told, beside the likeliest.
const LEAST: f32 = 0.02;

/// Share of a place's boxes whose edge the place's own edge has to hold: the widest of them are left out.
const HELD: f32 = 0.8;

/// Two places are one where so many boxes, in shares of the rarer one, lie around both of them ...
const AROUND: f32 = 0.2;
/// ... or where one stands under the other with less than this share of a line between them.
const APART: f32 = 0.25;

/// A place where the answer may stand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Percent of the picture.
    pub bbox: NormBox,
    /// Share of the draws, 0 to 1.
    pub share: f32,
}

/// The places that boxes are drawn at, the likeliest first.
///
/// ```
/// use cropvlm_web::places::group;
/// use grounding::NormBox;
/// let at = |x: f32| NormBox { x1: x, y1: 10.0, x2: x + 10.0, y2: 20.0 };
/// let places = group(&[at(0.0), at(1.0), at(60.0), at(2.0)]);
/// assert_eq!(places.iter().map(|place| place.share).collect::<Vec<_>>(), [0.75, 0.25]);
/// ```
pub fn group(boxes: &[NormBox]) -> Vec<Place> {
    let mut rest: Vec<NormBox> = boxes.to_vec();
    let mut places = Vec::new();
    while !rest.is_empty() && places.len() < MOST {
        let neighbours = |at: &NormBox| rest.iter().filter(|other| close(*at, **other)).count();
        // The first of the best, so that the same boxes give the same places.
        let Some(middle) = rest.iter().copied().reduce(|best, next| {
            if neighbours(&next) > neighbours(&best) {
                next
            } else {
                best
            }
        }) else {
            break;
        };
        let (place, others): (Vec<_>, Vec<_>) = rest.iter().partition(|&&b| close(middle, b));
        rest = others;
        let share = place.len() as f32 / boxes.len() as f32;
        if share >= LEAST || places.is_empty() {
            places.push(Place {
                bbox: around(&place),
                share,
            });
        }
    }
    join_lines(&mut places, boxes);
    places.sort_by(|a, b| b.share.total_cmp(&a.share));
    places
}

/// Joins places that are lines of one block.
fn join_lines(places: &mut Vec<Place>, boxes: &[NormBox]) {
    while let Some((a, b)) = pair_of_lines(places, boxes) {
        let other = places.remove(b);
        let place = &mut places[a];
        place.bbox = hull(place.bbox, other.bbox);
        place.share += other.share;
    }
}

fn pair_of_lines(places: &[Place], boxes: &[NormBox]) -> Option<(usize, usize)> {
    let pairs = (0..places.len()).flat_map(|a| (a + 1..places.len()).map(move |b| (a, b)));
    let one = |(a, b): &(usize, usize)| {
        let (a, b) = (&places[*a], &places[*b]);
        // Boxes around both of them.
        let both = |it: &&NormBox| holds(**it, a.bbox) && holds(**it, b.bbox);
        let around = boxes.iter().filter(both).count() as f32 / boxes.len() as f32;
        around >= AROUND * a.share.min(b.share) || are_lines(a.bbox, b.bbox)
    };
    pairs.into_iter().find(one)
}

/// Whether most of one box lies in another.
fn holds(outer: NormBox, inner: NormBox) -> bool {
    let shared = outer.intersection(inner).map_or(0.0, NormBox::area);
    shared >= HELD * inner.area()
}

/// Whether two boxes stand one under the other like lines of one text.
fn are_lines(a: NormBox, b: NormBox) -> bool {
    let across = a.x2.min(b.x2) - a.x1.max(b.x1);
    let apart = a.y1.max(b.y1) - a.y2.min(b.y2);
    across >= SHARED * a.width().min(b.width()) && apart < APART * a.height().min(b.height())
}

fn hull(a: NormBox, b: NormBox) -> NormBox {
    NormBox {
        x1: a.x1.min(b.x1),
        y1: a.y1.min(b.y1),
        x2: a.x2.max(b.x2),
        y2: a.y2.max(b.y2),
    }
}

fn close(a: NormBox, b: NormBox) -> bool {
    let shared = a.intersection(b).map_or(0.0, NormBox::area);
    shared >= SHARED * a.area().min(b.area())
}

/// Each edge far enough out for [`HELD`] of the boxes.
fn around(boxes: &[NormBox]) -> NormBox {
    let edge = |of: fn(&NormBox) -> f32, outward: bool| {
        let mut values: Vec<f32> = boxes.iter().map(of).collect();
        values.sort_by(f32::total_cmp);
        let last = values.len() - 1;
        let at = (HELD * last as f32).round() as usize;
        values[if outward { at } else { last - at }]
    };
    NormBox {
        x1: edge(|b| b.x1, false),
        y1: edge(|b| b.y1, false),
        x2: edge(|b| b.x2, true),
        y2: edge(|b| b.y2, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, y: f32, side: f32) -> NormBox {
        NormBox {
            x1: x,
            y1: y,
            x2: x + side,
            y2: y + side,
        }
    }

    #[test]
    fn boxes_of_one_place_become_one() {
        let boxes: Vec<NormBox> = (0..10).map(|i| at(i as f32 / 5.0, 40.0, 10.0)).collect();
        let places = group(&boxes);
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].share, 1.0);
        // The widest fifth on each side is left out.
        assert!(
            places[0].bbox.x1 > 0.0 && places[0].bbox.x2 < 11.8,
            "{:?}",
            places[0].bbox
        );
    }

    #[test]
    fn places_come_by_their_share_and_rare_ones_are_left_out() {
        let mut boxes = vec![at(80.0, 80.0, 10.0)];
        boxes.extend((0..29).map(|_| at(10.0, 10.0, 10.0)));
        boxes.extend((0..70).map(|_| at(40.0, 40.0, 10.0)));
        let places = group(&boxes);
        let shares: Vec<f32> = places.iter().map(|place| place.share).collect();
        assert_eq!(shares, [0.7, 0.29], "one of a hundred is too rare");
        assert_eq!(places[0].bbox, at(40.0, 40.0, 10.0));
    }

    #[test]
    fn lines_of_the_same_box_are_one_place() {
        let line = |y: f32| NormBox {
            x1: 10.0,
            y1: y,
            x2: 40.0,
            y2: y + 4.0,
        };
        // Three lines of an address, one under the other, and the total far below.
        let mut boxes: Vec<NormBox> = Vec::new();
        for y in [20.0, 24.5, 29.0] {
            boxes.extend((0..20).map(|_| line(y)));
        }
        boxes.extend((0..40).map(|_| line(80.0)));
        let places = group(&boxes);
        assert_eq!(places.len(), 2, "{places:?}");
        assert!((places[0].share - 0.6).abs() < 1e-6);
        assert_eq!((places[0].bbox.y1, places[0].bbox.y2), (20.0, 33.0));
        // Lines farther apart, but often drawn as one box.
        let mut boxes: Vec<NormBox> = [line(20.0), line(30.0)].repeat(20);
        boxes.extend(
            [NormBox {
                y2: 34.0,
                ..line(20.0)
            }; 5],
        );
        let places = group(&boxes);
        assert_eq!(places.len(), 1, "{places:?}");
        assert!((places[0].share - 1.0).abs() < 1e-6);
    }

    #[test]
    fn at_most_so_many_and_none_of_none() {
        let boxes: Vec<NormBox> = (0..9).map(|i| at(11.0 * i as f32, 0.0, 5.0)).collect();
        assert_eq!(group(&boxes).len(), MOST);
        assert!(group(&[]).is_empty());
    }
}
