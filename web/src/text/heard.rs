//! What people hear who do not see the picture: where the box is, what a step of the history holds; and how sure the model
//! is, in words.

use grounding::{NormBox, PixelBox};

use super::grouped;

/// By what a box came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The model found it.
    Found,
    /// A hand moved it, or drew it.
    Moved,
}

/// A box that has come: "Box found: 26 % wide, 4 % high, right, middle; crop 312 × 213".
///
/// ```
/// use cropvlm_web::text::{Came, box_heard};
/// use grounding::{NormBox, PixelBox};
/// let edges = NormBox { x1: 70.0, y1: 40.0, x2: 96.0, y2: 58.0 };
/// let pixels = edges.to_pixels(1200, 1183);
/// assert_eq!(
///     box_heard(Came::Found, edges, pixels),
///     "Box found: 26 % wide, 18 % high, right, middle; crop 312 × 213"
/// );
/// ```
pub fn box_heard(came: Came, edges: NormBox, pixels: PixelBox) -> String {
    let came = match came {
        Came::Found => "Box found",
        Came::Moved => "Box moved",
    };
    let (width, height) = (share(edges.width()), share(edges.height()));
    let crop = crop_size(pixels);
    format!(
        "{came}: {width} % wide, {height} % high, {}; crop {crop}",
        position(edges)
    )
}

/// Where a box stands: across, then down.
pub fn position(edges: NormBox) -> String {
    let third = |low: f32, high: f32, names: [&'static str; 3]| {
        names[(((low + high) / 200.0 * 3.0) as usize).min(2)]
    };
    let across = third(edges.x1, edges.x2, ["left", "centre", "right"]);
    let down = third(edges.y1, edges.y2, ["top", "middle", "bottom"]);
    format!("{across}, {down}")
}

/// What a button for an earlier step is called: no two are alike, because each has its number.
pub fn step_heard(number: usize, question: &str, edges: NormBox, pixels: PixelBox) -> String {
    let question = if question.is_empty() {
        "No question"
    } else {
        question
    };
    let (place, crop) = (position(edges), crop_size(pixels));
    format!("Step {number}: {question} {place}, crop {crop}")
}

/// Whole percents; what is less than one has a digit.
fn share(percent: f32) -> String {
    if percent < 1.0 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.0}")
    }
}

fn crop_size(pixels: PixelBox) -> String {
    let side = |pixels: u32| grouped(pixels as usize);
    format!("{} × {}", side(pixels.width()), side(pixels.height()))
}

/// How sure a model is of a place, from the chance of its best cell.
pub fn sure(best: f32) -> &'static str {
    match best {
        b if b >= 0.6 => "sure of the place",
        b if b >= 0.25 => "fairly sure of the place",
        _ => "unsure: look at Other places, too",
    }
}

/// How much likelier a box is than one that is drawn blindly, from its chance; 101 edges a side make 5050² boxes.
pub fn beside_blind(chance: f32) -> String {
    const BOXES: f64 = 5050.0 * 5050.0;
    let times = f64::from(chance) * BOXES;
    match times {
        t if t < 2.0 => "no likelier".into(),
        t if t >= 2e6 => format!(
            "{} million times likelier",
            grouped((t / 1e6).round() as usize)
        ),
        t => {
            // One digit and zeros: more would promise more than is known.
            let digit = 10_f64.powf(t.log10().floor());
            let told = (t / digit).round() * digit;
            format!("about {} times likelier", grouped(told as usize))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: NormBox = NormBox {
        x1: 1.0,
        y1: 90.0,
        x2: 1.5,
        y2: 94.0,
    };

    #[test]
    fn small_boxes_and_their_places_are_heard() {
        let pixels = EDGES.to_pixels(1000, 1000);
        let heard = box_heard(Came::Moved, EDGES, pixels);
        assert_eq!(
            heard,
            "Box moved: 0.5 % wide, 4 % high, left, bottom; crop 5 × 40"
        );
        assert_eq!(position(NormBox::FULL), "centre, middle");
        // A step of a key is another sentence, so that it is heard.
        let next = NormBox { x2: 2.5, ..EDGES };
        assert_ne!(
            box_heard(Came::Moved, next, next.to_pixels(1000, 1000)),
            heard
        );
    }

    #[test]
    fn steps_of_one_question_have_names_of_their_own() {
        let pixels = EDGES.to_pixels(1000, 1000);
        let name = |number| step_heard(number, "What is the date?", EDGES, pixels);
        assert_ne!(name(1), name(2));
        assert_eq!(
            name(3),
            "Step 3: What is the date? left, bottom, crop 5 × 40"
        );
    }

    #[test]
    fn chances_are_told_in_words() {
        assert!(sure(0.9).starts_with("sure") && sure(0.1).contains("Other places"));
        assert_eq!(beside_blind(0.000_9), "about 20,000 times likelier");
        assert_eq!(beside_blind(0.5), "13 million times likelier");
        assert_eq!(beside_blind(0.0), "no likelier");
    }
}
