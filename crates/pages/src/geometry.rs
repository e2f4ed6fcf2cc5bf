//! Points and axis-aligned rectangles in page or image pixels.

/// A rectangle in pixels; `x2`, `y2` exclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x1: f32,
    /// Upper edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Lower edge.
    pub y2: f32,
}

impl Rect {
    /// A rectangle from its four edges.
    pub fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    /// The smallest rectangle that holds both.
    pub fn union(self, o: Self) -> Self {
        Self::new(
            self.x1.min(o.x1),
            self.y1.min(o.y1),
            self.x2.max(o.x2),
            self.y2.max(o.y2),
        )
    }

    /// Every edge moved outwards.
    pub fn grown(self, by: f32) -> Self {
        Self::new(self.x1 - by, self.y1 - by, self.x2 + by, self.y2 + by)
    }

    /// Width in pixels.
    pub fn width(self) -> f32 {
        self.x2 - self.x1
    }

    /// Height in pixels.
    pub fn height(self) -> f32 {
        self.y2 - self.y1
    }

    /// The middle.
    pub fn center(self) -> (f32, f32) {
        ((self.x1 + self.x2) * 0.5, (self.y1 + self.y2) * 0.5)
    }

    /// Length that both share on the x axis; negative is their distance.
    pub fn overlap_x(self, o: Self) -> f32 {
        self.x2.min(o.x2) - self.x1.max(o.x1)
    }

    /// Length that both share on the y axis; negative is their distance.
    pub fn overlap_y(self, o: Self) -> f32 {
        self.y2.min(o.y2) - self.y1.max(o.y1)
    }
}
