//! What a batch teaches: canvases, questions with their boxes, printed lines.

/// A printed line on a canvas; positions in percent of the canvas, ends may lie outside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Which canvas.
    pub canvas: usize,
    /// What it says.
    pub text: String,
    /// Middle of its left end, x and y.
    pub from: [f32; 2],
    /// Middle of its right end.
    pub to: [f32; 2],
    /// Its height.
    pub height: f32,
}

/// What one batch of canvases is to teach. Boxes in percent of their canvas.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Canvases, all of one size: grey for the map policy, red, green and blue of pixel after pixel
    /// for the text policy ([`crate::Canvas::colours`]).
    pub canvases: Vec<Vec<u8>>,
    /// Canvas width in pixels.
    pub width: u32,
    /// Canvas height in pixels.
    pub height: u32,
    /// Which canvas a question is about.
    pub owners: Vec<usize>,
    /// Questions.
    pub questions: Vec<String>,
    /// Every place that answers the question.
    pub boxes: Vec<Vec<[f32; 4]>>,
    /// What is printed on the canvases.
    pub lines: Vec<Line>,
}
