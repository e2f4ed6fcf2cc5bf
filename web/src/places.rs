//! Several places from many sampled boxes.
//!
//! A policy that is unsure between two places draws boxes at both, each a little different. Boxes that mostly cover
//! one another are one place; its share of the draws is the policy's chance for it.

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
    places.sort_by(|a, b| b.share.total_cmp(&a.share));
    places
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
    fn at_most_so_many_and_none_of_none() {
        let boxes: Vec<NormBox> = (0..9).map(|i| at(11.0 * i as f32, 0.0, 5.0)).collect();
        assert_eq!(group(&boxes).len(), MOST);
        assert!(group(&[]).is_empty());
    }
}
