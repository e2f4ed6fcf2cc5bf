//! Words around the picture: the box, the crop, links, what the model sees.

use crate::places::Place;
use crate::protocol::{Proposed, Tiles};
use crate::samples::Sample;

use super::{NO_BOX, beside_blind, device, grouped, milliseconds, percent, sure};

/// Description of the picture as the network gets it.
pub const CANVAS_ALT: &str = "The picture as the network gets it";
/// Names of buttons that show a picture, and of the box's handle.
pub const UNDO: &str = "Undo";
/// See [`UNDO`].
pub const TURN: &str = "Rotate by 90°";
/// While it is being turned.
pub const TURNING: &str = "Turning the picture";
/// See [`UNDO`].
pub const REDO: &str = "Redo";
/// See [`UNDO`].
pub const GRIP: &str = "Box: arrow keys move it, Shift and arrow keys resize it, plus and minus scale it, Escape resets it";
/// Names of the buttons that show the picture larger and smaller.
pub const NEARER: &str = "Zoom in";
/// See [`NEARER`].
pub const FARTHER: &str = "Zoom out";
/// "Draw a box" was pressed.
pub const DRAW: &str = "Draw the box with a finger or the mouse, from corner to corner.";
/// The box stands again where the model put it.
pub const RESET: &str = "The box stands where the model put it.";
/// A second look ended where it began.
pub const NOTHING_SMALLER: &str =
    "There is nothing smaller in this box that would answer the question alone.";
/// The crop is in the clipboard.
pub const COPIED: &str = "Copied: paste the crop anywhere.";
/// The browser did not take the crop.
pub const NOT_COPIED: &str =
    "This browser does not let pages copy pictures. Save the crop instead.";
/// The link is in the clipboard.
pub const LINK_COPIED: &str =
    "Copied: a link with the picture's address, the question and the box.";
/// The link is in the clipboard, but nobody else has the picture.
pub const LINK_WITHOUT_PICTURE: &str = "Copied: a link with the question and the box. The picture is on this device only and not part of it.";
/// The link could not be copied.
pub const LINK_SHOWN: &str = "The link stands in the address bar: copy it there.";
/// While places are being sought.
pub const SEEKING: &str = "Drawing boxes from what the model believes…";
/// Name of the box that needs no training.
pub const RELATIVE_NAME: &str = "Training-free box, from attention alone";
/// While attention is being computed.
pub const ATTENDING: &str = "Reading the question twice more, to see where the model looks…";
/// What is shown then.
pub const ATTENDED: &str = "Red: where the decoder's middle layer looks for this question, relative to a generic prompt. Dashed: the box that follows from that without any training (ViCrop, rel-att).";
/// A map policy has evidence instead.
pub const NO_ATTENTION: &str = "This model has no attention to show; it draws its evidence itself.";
/// What a text policy does.
pub const WRITES: &str = "The picture becomes image tokens, the question follows, and the model writes the box. Grey tokens were forced: nothing else could still become a valid box. The others show their chance among the tokens that were allowed.";
/// A text policy gets pictures at another size.
pub const FINENESS_CHANGED: &str =
    "From the next proposal on, the model gets the picture at this size.";
/// While a picture comes from the web.
pub const FETCHING: &str = "Fetching the picture…";
/// What was typed is no address.
pub const NO_ADDRESS: &str = "Enter the full address of a picture, beginning with https://.";
/// More bytes than a picture should have.
pub const PICTURE_TOO_LARGE: &str =
    "That picture has more than 64 MB. Save it smaller and choose the file.";
/// Size of a crop, and how the model came to it unless a person has moved the box.
pub fn crop_facts(width: u32, height: u32, share: f32, model: Option<&Proposed>) -> String {
    let mut text = format!(
        "{width} × {height} pixels, {} of the picture",
        percent(share)
    );
    match model {
        Some(model) => {
            let time = milliseconds(model.milliseconds);
            text.push_str(&format!(" · {time} on {}", device(model.device)));
        }
        None => text.push_str(" · set by hand"),
    }
    text
}

/// A longest edge that can be chosen: tiles of so many pixels, so many along it.
pub fn tiles_per_edge(tile: u32, along: u32) -> String {
    let edge = grouped((tile * along) as usize);
    match along {
        1 => format!("{edge} pixels: one tile"),
        _ => format!("{edge} pixels: up to {along} × {along} tiles"),
    }
}

/// The tiles of a picture.
pub fn tiles(tiles: &Tiles) -> String {
    let side = grouped(tiles.side as usize);
    let tokens = grouped(tiles.tokens as usize);
    match tiles.rows {
        0 => format!("The global image alone, {side} × {side} pixels: {tokens} image tokens."),
        rows => format!(
            "{rows} × {} tiles of {side} × {side} pixels, row by row, and the global image: {tokens} image tokens.",
            tiles.columns
        ),
    }
}

/// The question was edited after the crop was proposed.
pub fn crop_of_other(question: &str) -> String {
    format!("This crop belongs to “{question}”. Ask proposes one for your question first.")
}

/// The label on the box.
pub fn tag(width: u32, height: u32) -> String {
    format!("{width} × {height}")
}

/// What the size slider stands for.
pub fn times(factor: f32) -> String {
    let digits = if factor < 10.0 { 1 } else { 0 };
    format!("{factor:.digits$} × area")
}

/// Where a sample comes from.
pub fn sample_title(sample: &Sample) -> String {
    format!("{}: {}", sample.title, sample.source)
}

/// A place, for those who do not see it.
pub fn place(at: usize, place: &Place) -> String {
    format!("Place {}: {}", at + 1, percent(place.share))
}

/// All places in a sentence.
pub fn places(places: &[Place]) -> String {
    let shares: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(at, place)| format!("{} ({})", at + 1, percent(place.share)))
        .collect();
    match shares.as_slice() {
        [] => NO_BOX.to_owned(),
        [_] => format!("The model sees one place only: {}.", shares.join("")),
        _ => format!(
            "How often the model draws each: {}. Pick one on the picture.",
            shares.join(", ")
        ),
    }
}

/// What a proposal was made of: names and figures.
pub fn figures(proposed: &Proposed) -> Vec<(&'static str, String)> {
    let parts = &proposed.parts;
    let mut figures = Vec::new();
    let before = "done before".to_owned();
    let time = |ms: f64| {
        if parts.known {
            before.clone()
        } else {
            milliseconds(ms)
        }
    };
    figures.push(("Shrinking the picture", time(parts.shrink)));
    figures.push(("Encoding it", time(parts.encode)));
    let (asking, boxing) = match proposed.writing {
        Some(_) => ("Reading the question", "Writing the box"),
        None => ("Question and map", "Reading the box off"),
    };
    figures.push((asking, milliseconds(parts.question)));
    figures.push((boxing, milliseconds(parts.read_off)));
    if let Some(evidence) = &proposed.evidence {
        figures.push((
            "Cells of the map",
            format!("{} × {}", evidence.width, evidence.height),
        ));
        let best = evidence.values.iter().copied().max().unwrap_or(0);
        let best = f32::from(best) / 255.0;
        figures.push(("Chance of the best cell", percent(best)));
        figures.push(("The model is", sure(best).to_owned()));
    }
    // Among millions of boxes, the chance of this very one is small by nature, and says nothing by itself.
    if let Some(chance) = proposed.chance {
        figures.push(("Beside a box drawn blindly", beside_blind(chance)));
    }
    if proposed.quarters > 0 {
        let turned = format!("turned by {}° to read it", proposed.quarters * 90);
        figures.push(("The picture was", turned));
    }
    figures.push(("Box, percent", proposed.bbox.to_string().replace(',', ", ")));
    figures
}

/// A picture from the web did not come.
pub fn picture_not_fetched(url: &str) -> String {
    format!(
        "{} does not let other pages read its pictures, or cannot be reached. Save the picture and choose the file.",
        host(url)
    )
}

/// A site answered something else than a picture.
pub fn picture_refused(url: &str, status: u16) -> String {
    format!(
        "{} has no picture at this address (status {status}).",
        host(url)
    )
}

fn host(url: &str) -> &str {
    url.split('/')
        .nth(2)
        .filter(|host| !host.is_empty())
        .unwrap_or(url)
}

/// "Load this model" without files.
pub const NEED_MODEL_FILES: &str =
    "Choose the folder's files first: config.json and what lies beside it.";
