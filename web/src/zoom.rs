//! The picture on the stage, larger and moved: pinched with two fingers, by the wheel, by buttons.
//!
//! Lengths are CSS pixels. Points and the shift are measured from the middle of the stage, where the picture's middle
//! stands as long as nothing was moved.

/// Times as large at most.
pub const MOST: f64 = 16.0;
/// What a press of a button does.
pub const PRESS: f64 = 1.6;

/// How large the picture is shown, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zoom {
    /// Times as large as the whole picture on the stage, 1 to [`MOST`].
    pub scale: f64,
    /// From the stage's middle to the picture's, across and down.
    pub shift: (f64, f64),
}

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Width and height of the stage.
    pub stage: (f64, f64),
    /// Width and height of the picture at scale 1.
    pub picture: (f64, f64),
}

impl Default for Zoom {
    fn default() -> Self {
        Self {
            scale: 1.0,
            shift: (0.0, 0.0),
        }
    }
}

impl Zoom {
    /// Whether the picture is larger than the stage shows by itself.
    pub fn is_near(self) -> bool {
        self.scale > 1.0
    }

    /// So many times as large, with the picture's point that was at `from` brought to `to`: two fingers spread and move
    /// at once, and the wheel has both at the pointer.
    ///
    /// ```
    /// use cropvlm_web::zoom::{Room, Zoom};
    /// let room = Room { stage: (400.0, 400.0), picture: (300.0, 400.0) };
    /// let near = Zoom::default().by(2.0, (100.0, 50.0), (100.0, 50.0), room);
    /// assert_eq!((near.scale, near.shift), (2.0, (-100.0, -50.0)));
    /// ```
    #[must_use]
    pub fn by(self, factor: f64, from: (f64, f64), to: (f64, f64), room: Room) -> Self {
        let factor = if factor.is_finite() { factor } else { 1.0 };
        let scale = (self.scale * factor).clamp(1.0, MOST);
        let factor = scale / self.scale;
        let along = |shift: f64, from: f64, to: f64| to - (from - shift) * factor;
        Self {
            scale,
            shift: (
                along(self.shift.0, from.0, to.0),
                along(self.shift.1, from.1, to.1),
            ),
        }
        .within(room)
    }

    /// Moved by so much.
    #[must_use]
    pub fn moved(self, across: f64, down: f64, room: Room) -> Self {
        let shift = (self.shift.0 + across, self.shift.1 + down);
        Self { shift, ..self }.within(room)
    }

    /// The same with a part of the picture (percent: x1, y1, x2, y2) on the stage: moved as far as needed, and smaller
    /// where it does not fit.
    #[must_use]
    pub fn showing(self, part: grounding::NormBox, room: Room) -> Self {
        let fits = |share: f32, stage: f64, picture: f64| {
            stage / (f64::from(share) / 100.0 * picture).max(1e-6)
        };
        let most = fits(part.width(), room.stage.0, room.picture.0).min(fits(
            part.height(),
            room.stage.1,
            room.picture.1,
        ));
        let near = self.by((most / self.scale).min(1.0), (0.0, 0.0), (0.0, 0.0), room);
        let along = |low: f32, high: f32, shift: f64, stage: f64, picture: f64| {
            let at = |edge: f32| (f64::from(edge) / 100.0 - 0.5) * picture * near.scale + shift;
            let (low, high, half) = (at(low), at(high), stage / 2.0);
            if high > half {
                half - high
            } else if low < -half {
                -half - low
            } else {
                0.0
            }
        };
        let across = along(part.x1, part.x2, near.shift.0, room.stage.0, room.picture.0);
        let down = along(part.y1, part.y2, near.shift.1, room.stage.1, room.picture.1);
        near.moved(across, down, room)
    }

    /// No edge of the picture comes farther in than needed: where it is larger than the stage it covers it, where it is
    /// smaller it stands in the middle.
    fn within(self, room: Room) -> Self {
        let along = |shift: f64, stage: f64, picture: f64| {
            let most = ((picture * self.scale - stage) / 2.0).max(0.0);
            if shift.is_finite() {
                shift.clamp(-most, most)
            } else {
                0.0
            }
        };
        Self {
            scale: self.scale,
            shift: (
                along(self.shift.0, room.stage.0, room.picture.0),
                along(self.shift.1, room.stage.1, room.picture.1),
            ),
        }
    }
}

/// What a turn of the wheel does: its distance, in pixels, to times as large.
pub fn wheel(distance: f64) -> f64 {
    (-distance.clamp(-400.0, 400.0) / 240.0).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use grounding::NormBox;

    const ROOM: Room = Room {
        stage: (360.0, 500.0),
        picture: (320.0, 480.0),
    };

    /// Where a point of the picture (0 to 1) stands on the stage.
    fn at(zoom: Zoom, x: f64, y: f64) -> (f64, f64) {
        let along =
            |share: f64, picture: f64, shift: f64| (share - 0.5) * picture * zoom.scale + shift;
        (
            along(x, ROOM.picture.0, zoom.shift.0),
            along(y, ROOM.picture.1, zoom.shift.1),
        )
    }

    #[test]
    fn what_is_under_the_fingers_stays_there() {
        let start = Zoom::default().by(4.0, (0.0, 0.0), (0.0, 0.0), ROOM);
        let (x, y) = at(start, 0.4, 0.6);
        let near = start.by(1.5, (x, y), (x + 20.0, y - 10.0), ROOM);
        let (to_x, to_y) = at(near, 0.4, 0.6);
        assert!((to_x - x - 20.0).abs() < 1e-9 && (to_y - y + 10.0).abs() < 1e-9);
        assert!(near.is_near() && !Zoom::default().is_near());
    }

    #[test]
    fn whatever_hands_do_the_picture_covers_the_stage_or_stands_in_its_middle() {
        let mut zoom = Zoom::default();
        let mut next = 7_u64;
        let mut number = |low: f64, high: f64| {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            low + (high - low) * (next >> 40) as f64 / (1_u64 << 24) as f64
        };
        for step in 0..2000 {
            zoom = match step % 3 {
                0 => zoom.by(
                    number(0.2, 4.0),
                    (number(-300.0, 300.0), 9.0),
                    (number(-300.0, 300.0), -9.0),
                    ROOM,
                ),
                1 => zoom.moved(number(-900.0, 900.0), number(-900.0, 900.0), ROOM),
                _ => zoom.by(f64::NAN, (f64::INFINITY, 0.0), (0.0, 0.0), ROOM),
            };
            assert!((1.0..=MOST).contains(&zoom.scale), "{zoom:?}");
            let ((left, top), (right, bottom)) = (at(zoom, 0.0, 0.0), at(zoom, 1.0, 1.0));
            for (low, high, stage) in [(left, right, 360.0), (top, bottom, 500.0)] {
                let covers = low <= -stage / 2.0 + 1e-6 && high >= stage / 2.0 - 1e-6;
                let middle = (low + high).abs() < 1e-6 && high - low <= stage + 1e-6;
                assert!(covers || middle, "{zoom:?}: {low} {high}");
            }
        }
    }

    #[test]
    fn a_box_that_is_found_is_brought_on_the_stage() {
        let far = Zoom::default().by(8.0, (-150.0, -230.0), (-150.0, -230.0), ROOM);
        let found = NormBox {
            x1: 80.0,
            y1: 90.0,
            x2: 90.0,
            y2: 93.0,
        };
        let seen = far.showing(found, ROOM);
        for (x, y) in [(0.8, 0.9), (0.9, 0.93)] {
            let (x, y) = at(seen, x, y);
            assert!(
                x.abs() <= 180.0 + 1e-3 && y.abs() <= 250.0 + 1e-3,
                "{x} {y}"
            );
        }
        assert_eq!(
            seen.scale, 8.0,
            "it fits, so that nothing has to be smaller"
        );
        let wide = far.showing(NormBox::FULL, ROOM);
        assert!(wide.scale < 1.1, "{wide:?}");
        let there = Zoom::default();
        assert_eq!(there.showing(found, ROOM), there);
    }

    #[test]
    fn the_wheel_goes_both_ways() {
        assert!((wheel(-240.0) - 2.0).abs() < 1e-9 && (wheel(240.0) - 0.5).abs() < 1e-9);
        assert!(wheel(-1e9).is_finite());
    }
}
