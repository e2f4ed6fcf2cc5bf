//! A turn that makes a picture upright: how points, boxes and evidence go to and fro, and how the turned picture is drawn.

use std::borrow::Cow;

use grounding::NormBox;
use picture::{Filter, GrayImage};
use rayon::prelude::*;

use crate::EvidenceMap;

/// A turn clockwise that makes a picture upright: quarters first, then a tilt about the centre, for which the picture gets
/// as much room as its corners need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Quarter turns clockwise, 0 to 3.
    pub quarters: u8,
    /// Further degrees clockwise, above -45 and below 45.
    pub tilt: f64,
    /// Width and height of the picture as it is, pixels.
    pub picture: [u32; 2],
}

impl Turn {
    /// No turn of a picture of this size.
    pub fn none(width: u32, height: u32) -> Self {
        Self {
            quarters: 0,
            tilt: 0.0,
            picture: [width.max(1), height.max(1)],
        }
    }

    /// Whether the picture stays as it is.
    pub fn is_none(&self) -> bool {
        self.quarters == 0 && self.tilt == 0.0
    }

    /// Degrees clockwise by which the picture has to be turned to be upright, 0 to 360.
    pub fn degrees(&self) -> f64 {
        (f64::from(self.quarters) * 90.0 + self.tilt).rem_euclid(360.0)
    }

    /// Width and height after the quarter turns.
    fn quartered(&self) -> [f64; 2] {
        let [w, h] = self.picture.map(f64::from);
        if self.quarters % 2 == 1 {
            [h, w]
        } else {
            [w, h]
        }
    }

    /// Width and height of the turned picture with its corners, pixels of the picture.
    pub fn size(&self) -> [f64; 2] {
        let [w, h] = self.quartered();
        let (sin, cos) = self.tilt.to_radians().sin_cos();
        [w * cos + h * sin.abs(), w * sin.abs() + h * cos]
    }

    /// A point of the picture, shares of its sides, on the turned one.
    fn point_onto(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [x, y] = match self.quarters {
            1 => [1.0 - y, x],
            2 => [1.0 - x, 1.0 - y],
            3 => [y, 1.0 - x],
            _ => [x, y],
        };
        let ([w, h], [tw, th]) = (self.quartered(), self.size());
        let (sin, cos) = self.tilt.to_radians().sin_cos();
        let (dx, dy) = ((x - 0.5) * w, (y - 0.5) * h);
        // Clockwise as seen, with y downwards.
        [
            (dx * cos - dy * sin) / tw + 0.5,
            (dx * sin + dy * cos) / th + 0.5,
        ]
    }

    /// A point of the turned picture, shares of its sides, on the picture.
    pub(crate) fn point_back(&self, at: [f64; 2]) -> [f64; 2] {
        let [x, y] = self.quartered_point(at);
        match self.quarters {
            1 => [y, 1.0 - x],
            2 => [1.0 - x, 1.0 - y],
            3 => [1.0 - y, x],
            _ => [x, y],
        }
    }

    /// A point of the turned picture on the one that has its quarter turns only.
    fn quartered_point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ([w, h], [tw, th]) = (self.quartered(), self.size());
        let (sin, cos) = self.tilt.to_radians().sin_cos();
        let (dx, dy) = ((x - 0.5) * tw, (y - 0.5) * th);
        [
            (dx * cos + dy * sin) / w + 0.5,
            (dy * cos - dx * sin) / h + 0.5,
        ]
    }

    /// A box of the turned picture: the upright box around it on the picture, in whole percents.
    pub fn back(&self, bbox: NormBox) -> NormBox {
        self.hull(bbox, |turn, point| turn.point_back(point))
    }

    /// A box of the picture: the upright box around it on the turned one, in whole percents.
    pub fn onto(&self, bbox: NormBox) -> NormBox {
        self.hull(bbox, |turn, point| turn.point_onto(point))
    }

    fn hull(&self, bbox: NormBox, map: impl Fn(&Self, [f64; 2]) -> [f64; 2]) -> NormBox {
        if self.is_none() {
            return bbox;
        }
        let [x1, y1, x2, y2] = bbox.to_array().map(|v| f64::from(v) / 100.0);
        let corners = [[x1, y1], [x2, y1], [x1, y2], [x2, y2]].map(|corner| map(self, corner));
        let side = |axis: usize| {
            let low = corners
                .iter()
                .map(|c| c[axis])
                .fold(f64::INFINITY, f64::min);
            let high = corners
                .iter()
                .map(|c| c[axis])
                .fold(f64::NEG_INFINITY, f64::max);
            // Outwards to whole percents, but not for what is a rounding error; never empty.
            let low = ((low * 100.0 + 1e-6).floor()).clamp(0.0, 99.0);
            let high = ((high * 100.0 - 1e-6).ceil()).clamp(low + 1.0, 100.0);
            (low as f32, high as f32)
        };
        let ((x1, x2), (y1, y2)) = (side(0), side(1));
        NormBox { x1, y1, x2, y2 }
    }

    /// An evidence map of the turned picture, over the picture: each cell has the value of where its centre lies.
    pub fn evidence_back(&self, map: EvidenceMap) -> EvidenceMap {
        if self.is_none() {
            return map;
        }
        let (width, height) = if self.quarters % 2 == 1 {
            (map.height, map.width)
        } else {
            (map.width, map.height)
        };
        let centre = |i: usize, n: usize| (i as f64 + 0.5) / n as f64;
        let cell = |share: f64, n: usize| ((share * n as f64) as usize).min(n.saturating_sub(1));
        let values = (0..width * height)
            .map(|i| {
                let at = [centre(i % width, width), centre(i / width, height)];
                let [x, y] = self.point_onto(at);
                map.values[cell(y, map.height) * map.width + cell(x, map.width)]
            })
            .collect();
        EvidenceMap {
            width,
            height,
            values,
        }
    }

    /// The grey picture turned, on a canvas of this size. Where the picture does not reach, the canvas has the mean of its
    /// border.
    pub fn draw(&self, grey: &GrayImage, width: u32, height: u32) -> GrayImage {
        let turned = match self.quarters {
            1 => Cow::Owned(image::imageops::rotate90(grey)),
            2 => Cow::Owned(image::imageops::rotate180(grey)),
            3 => Cow::Owned(image::imageops::rotate270(grey)),
            _ => Cow::Borrowed(grey),
        };
        if self.tilt == 0.0 {
            return picture::resize_gray(&turned, width, height, Filter::Bilinear);
        }
        // Shrunk first, so that a pixel of the canvas is made of about one pixel.
        let [full, _] = self.size();
        let scale = f64::from(width) / full;
        let side = |s: u32| (f64::from(s) * scale).round().max(1.0) as u32;
        let small = picture::resize_gray(
            &turned,
            side(turned.width()),
            side(turned.height()),
            Filter::Bilinear,
        );
        let fill = border(&small);
        let mut drawn = GrayImage::new(width, height);
        let rows = drawn
            .par_chunks_exact_mut(width.max(1) as usize)
            .enumerate();
        rows.for_each(|(j, row)| self.draw_row(&small, [width, height], j, fill, row));
        drawn
    }

    /// A row of a tilted picture of width and height `size`, bilinear; `fill` where the picture does not reach.
    fn draw_row(&self, from: &GrayImage, size: [u32; 2], j: usize, fill: u8, row: &mut [u8]) {
        let [width, height] = size.map(f64::from);
        let (w, h) = (from.width() as usize, from.height() as usize);
        let raw = from.as_raw();
        // Along a row, the place in the picture moves by equal steps.
        let y = (j as f64 + 0.5) / height;
        let pixels = |[x, y]: [f64; 2]| [x * w as f64 - 0.5, y * h as f64 - 0.5];
        let start = pixels(self.quartered_point([0.5 / width, y]));
        let next = pixels(self.quartered_point([1.5 / width, y]));
        let step = [next[0] - start[0], next[1] - start[1]];
        let (right, bottom) = (w as f64 - 1.0, h as f64 - 1.0);
        for (i, value) in row.iter_mut().enumerate() {
            let x = start[0] + i as f64 * step[0];
            let y = start[1] + i as f64 * step[1];
            let inside = x >= -0.5 && y >= -0.5 && x < right + 0.5 && y < bottom + 0.5;
            if !inside {
                *value = fill;
                continue;
            }
            let (x, y) = (x.clamp(0.0, right), y.clamp(0.0, bottom));
            // Not below zero, so that cutting off rounds down.
            let (left, top) = (x as usize, y as usize);
            let (right, below) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
            let at = |column: usize, line: usize| f32::from(raw[line * w + column]);
            let (dx, dy) = ((x - left as f64) as f32, (y - top as f64) as f32);
            let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
            let upper = mix(at(left, top), at(right, top), dx);
            let lower = mix(at(left, below), at(right, below), dx);
            *value = (mix(upper, lower, dy) + 0.5) as u8;
        }
    }
}

/// Mean of the outermost pixels.
fn border(grey: &GrayImage) -> u8 {
    let (w, h) = grey.dimensions();
    let mut sum = 0u64;
    let mut count = 0u64;
    let mut add = |x: u32, y: u32| {
        sum += u64::from(grey.get_pixel(x, y).0[0]);
        count += 1;
    };
    for x in 0..w {
        add(x, 0);
        add(x, h - 1);
    }
    for y in 0..h {
        add(0, y);
        add(w - 1, y);
    }
    (sum / count.max(1)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_go_to_and_fro() {
        let bbox = NormBox::new(10.0, 20.0, 40.0, 30.0).unwrap();
        let turn = |quarters, tilt| Turn {
            quarters,
            tilt,
            picture: [300, 200],
        };
        assert_eq!(turn(0, 0.0).back(bbox), bbox);
        // A quarter clockwise: what was at the left edge is at the top.
        assert_eq!(turn(1, 0.0).onto(bbox).to_array(), [70.0, 10.0, 80.0, 40.0]);
        for quarters in 0..4 {
            let turn = turn(quarters, 0.0);
            assert_eq!(turn.back(turn.onto(bbox)), bbox, "{quarters}");
            let tilted = Turn { tilt: 12.0, ..turn };
            assert!(tilted.back(tilted.onto(bbox)).contains(bbox), "{quarters}");
        }
    }

    #[test]
    fn a_turned_picture_is_drawn_where_its_boxes_go() {
        let mut grey = GrayImage::from_pixel(300, 200, image::Luma([240]));
        for y in 40..60 {
            for x in 30..120 {
                grey.put_pixel(x, y, image::Luma([10]));
            }
        }
        let spot = NormBox::new(10.0, 20.0, 40.0, 30.0).unwrap();
        for (quarters, tilt) in [
            (0, 0.0),
            (1, 0.0),
            (2, 0.0),
            (3, 0.0),
            (0, 15.0),
            (1, -20.0),
        ] {
            let turn = Turn {
                quarters,
                tilt,
                picture: [300, 200],
            };
            let [w, h] = turn.size();
            let drawn = turn.draw(&grey, w.round() as u32, h.round() as u32);
            let dark: Vec<(u32, u32)> = drawn
                .enumerate_pixels()
                .filter(|(_, _, value)| value.0[0] < 100)
                .map(|(x, y, _)| (x, y))
                .collect();
            let [x1, y1, x2, y2] = turn.onto(spot).to_array();
            let near = |value: f64, percent: f32| (value - f64::from(percent)).abs() <= 1.6;
            let x = dark.iter().map(|d| f64::from(d.0) / w * 100.0);
            let y = dark.iter().map(|d| f64::from(d.1) / h * 100.0);
            let low = |i: &mut dyn Iterator<Item = f64>| i.fold(f64::INFINITY, f64::min);
            let high = |i: &mut dyn Iterator<Item = f64>| i.fold(0.0, f64::max);
            assert!(near(low(&mut x.clone()), x1), "{quarters} {tilt}");
            assert!(near(high(&mut x.clone()), x2), "{quarters} {tilt}");
            assert!(near(low(&mut y.clone()), y1), "{quarters} {tilt}");
            assert!(near(high(&mut y.clone()), y2), "{quarters} {tilt}");
        }
    }

    #[test]
    fn evidence_goes_back_to_where_it_lies_on_the_picture() {
        let turn = Turn {
            quarters: 1,
            tilt: 0.0,
            picture: [300, 200],
        };
        // The turned picture is 2 x 3 cells; its upper right cell is the picture's upper left one.
        let map = EvidenceMap {
            width: 2,
            height: 3,
            values: vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        };
        let back = turn.evidence_back(map);
        assert_eq!((back.width, back.height), (3, 2));
        assert_eq!(back.values, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
