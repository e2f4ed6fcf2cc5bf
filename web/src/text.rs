//! Every word a person reads on the page, in one place.
//!
//! Fixed labels are put into the page by [`LABELS`] (an element says which with `data-text`); sentences with
//! something in them are functions. Sentences about files come from the `picture` crate and about answers of an
//! endpoint from `vlm-api`, which the command line shows too.

pub mod asking;

use crate::places::Place;
use crate::protocol::{DeviceKind, MAX_QUESTION, Proposed, Running, Stage, Why};
use crate::samples::Sample;

/// `data-text` of an element and what it says.
pub const LABELS: &[(&str, &str)] = &[
    (
        "tagline",
        "Ask about a detail. Your browser finds where to look.",
    ),
    ("stage", "Starting"),
    (
        "intro",
        "Vision models miss small print. This page finds the one part of a picture that answers a question, so that a model, or you, can read it large.",
    ),
    ("paper", "The idea: CropVLM"),
    ("image", "Image"),
    ("camera", "Take a photo"),
    ("from-web", "From the web"),
    ("address", "Address of the picture"),
    ("load", "Load"),
    ("samples", "Try one of these"),
    ("earlier", "Earlier"),
    ("drop", "Drop a picture here, paste one, or choose a file"),
    ("drop-note", "It stays in this browser until you press Ask."),
    ("question", "Question"),
    ("propose", "Propose crop"),
    ("evidence", "Where the model sees evidence"),
    ("canvas", "As the model sees it"),
    ("crop-title", "The crop"),
    (
        "crop-empty",
        "The part of the picture that the model proposes appears here, in its original pixels.",
    ),
    ("size", "Size"),
    ("save", "Save crop"),
    ("copy", "Copy"),
    ("share", "Copy link"),
    ("zoom", "Look again inside"),
    ("elsewhere", "Other places"),
    ("reset", "Reset"),
    ("inside", "What the model did"),
    (
        "inside-note",
        "The network sees the picture small and grey, reads the question once, and gives every cell of a grid a chance to hold the answer. The box covers the likeliest cells.",
    ),
    ("ask-title", "Ask a vision model"),
    (
        "ask-note",
        "Sends the picture and the crop to a provider of your choice, or to a model on your own computer.",
    ),
    ("base-url", "Base URL"),
    ("model", "Model"),
    ("key", "Key"),
    (
        "key-note",
        "Kept in memory only, gone when you close the page, unless you ask for more below.",
    ),
    ("ask", "Ask"),
    ("stop", "Stop"),
    ("answer", "Answer"),
    (
        "footer",
        "The cropping model runs on this device. Nothing is uploaded before you press Ask.",
    ),
    (
        "offline",
        "From now on this page works without a connection, too.",
    ),
    ("update", "A newer version of this page is there."),
    ("take-update", "Reload"),
];

/// Description of the picture for people who do not see it.
pub const PICTURE_ALT: &str = "Your picture";
/// Description of the picture as the network gets it.
pub const CANVAS_ALT: &str = "The picture as the network gets it: small and grey";
/// Names of buttons that show a picture, and of the box's handle.
pub const UNDO: &str = "Undo";
/// See [`UNDO`].
pub const REDO: &str = "Redo";
/// See [`UNDO`].
pub const GRIP: &str = "Box: arrow keys move it, Shift and arrow keys resize it, plus and minus scale it, Escape resets it";
/// The box stands again where the model put it.
pub const RESET: &str = "The box stands where the model put it.";
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
/// The policy has no view of its own.
pub const NO_CANVAS: &str =
    "This model gets the picture in colour, cut into tiles; there is no single view to show.";
/// While a picture comes from the web.
pub const FETCHING: &str = "Fetching the picture…";
/// What was typed is no address.
pub const NO_ADDRESS: &str = "Enter the full address of a picture, beginning with https://.";
/// More bytes than a picture should have.
pub const PICTURE_TOO_LARGE: &str =
    "That picture has more than 64 MB. Save it smaller and choose the file.";
/// Accessible name of the box.
pub const BOX_NAME: &str = "Proposed crop";
/// Description of the crop.
pub const CROP_ALT: &str = "The crop, cut from the original";

/// No picture yet.
pub const NEED_PICTURE: &str =
    "Choose a picture first: drop one on the page, paste one, or use Image.";
/// No question yet.
pub const NEED_QUESTION: &str = "Type a question first, for example: What is the total?";
/// "Ask" without a crop.
pub const NEED_CROP: &str = "Propose a crop first: the picture and the crop are sent together.";
/// "Ask" without a base URL.
pub const NEED_BASE_URL: &str =
    "Enter the base URL of an endpoint, for example https://api.openai.com/v1.";
/// "Ask" without a model.
pub const NEED_MODEL: &str = "Enter the name of a model that the endpoint offers.";
/// Something other than a file was dropped or pasted.
pub const NO_FILE: &str = "There was no picture in that. Drop or paste an image file.";
/// The browser cannot show what the worker could read, or has not been able to load it.
pub const NOT_SHOWN: &str =
    "This browser cannot show that picture. Save it as PNG or JPEG and choose it again.";
/// While a picture is being decoded.
pub const READING: &str = "Reading the picture…";
/// While a proposal is being computed.
pub const WORKING: &str = "Looking for the place that answers this…";
/// While a click waits for the model.
pub const WAITING: &str = "The model is still loading. The crop follows as soon as it is there.";
/// While a picture is encoded and sent.
pub const SENDING: &str = "Sending the picture and the crop…";
/// The answer was stopped by the person.
pub const STOPPED: &str = "Stopped.";
/// The model gave no box.
pub const NO_BOX: &str = "The model found no place for this question. Try other words.";
/// A newer click made this one pointless.
pub const SUPERSEDED: &str = "A newer picture or question took its place.";
/// The worker could not be started at all.
pub const NO_WORKER: &str = "This browser cannot run the model: it needs WebAssembly with SIMD and module workers. A current browser has both.";
/// The graphics device went away and the CPU takes over.
pub const FELL_BACK: &str = "The graphics device stopped working. Trying again on the CPU…";
/// The worker broke twice.
pub const BROKEN: &str = "The model stopped working on this picture. The page has restarted it: try again, or try a smaller picture.";

/// A question that is too long.
pub fn question_too_long(characters: usize) -> String {
    format!(
        "The question has {} characters and at most {} are read. Shorten it.",
        grouped(characters),
        grouped(MAX_QUESTION)
    )
}

/// What the model's state chip says, short.
pub fn stage(stage: &Stage) -> String {
    match stage {
        Stage::Download {
            received,
            total: Some(total),
        } if *total > 0.0 => {
            format!(
                "Loading the model, {:.0} of {:.0} MB",
                received / 1e6,
                total / 1e6
            )
        }
        Stage::Download { received, .. } => format!("Loading the model, {:.0} MB", received / 1e6),
        Stage::Upload => "Building the network".into(),
        Stage::WarmUp => "Warming up".into(),
        Stage::Ready(running) => format!("Ready on {}", device(running.device)),
        Stage::Failed { .. } => "The model is not available".into(),
    }
}

/// Why it runs where it runs, one sentence.
pub fn running(running: &Running) -> String {
    let here = device(running.device);
    let time = milliseconds(running.milliseconds);
    match &running.why {
        Why::Asked => format!("Runs on {here}, as the address asks ({time} a proposal)."),
        Why::NoWebGpu => {
            format!("Runs on {here} ({time} a proposal): this browser offers no WebGPU.")
        }
        Why::Measuring => format!("Runs on {here} ({time} a proposal); WebGPU is being measured."),
        Why::Faster { other_ms } => {
            let other = device(other_of(running.device));
            format!(
                "Runs on {here}: {time} a proposal, against {} on {other}.",
                milliseconds(*other_ms)
            )
        }
        Why::WebGpuFailed(reason) => {
            format!(
                "Runs on {here} ({time} a proposal): WebGPU failed here ({}).",
                short(reason)
            )
        }
    }
}

/// A device in a sentence.
pub fn device(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "the CPU",
        DeviceKind::WebGpu => "WebGPU",
    }
}

fn other_of(kind: DeviceKind) -> DeviceKind {
    match kind {
        DeviceKind::Cpu => DeviceKind::WebGpu,
        DeviceKind::WebGpu => DeviceKind::Cpu,
    }
}

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
    figures.push(("Question and map", milliseconds(parts.question)));
    figures.push(("Reading the box off", milliseconds(parts.read_off)));
    if let Some(evidence) = &proposed.evidence {
        figures.push((
            "Cells of the map",
            format!("{} × {}", evidence.width, evidence.height),
        ));
        let sure = evidence.values.iter().copied().max().unwrap_or(0);
        figures.push(("Chance of the best cell", percent(f32::from(sure) / 255.0)));
    }
    // Among five million boxes that differ by a percent, the chance of this very one is small by nature.
    if let Some(chance) = proposed.chance {
        figures.push(("Chance of this very box", percent(chance)));
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

/// Size of the picture.
pub fn picture_facts(width: u32, height: u32) -> String {
    format!(
        "{} × {} pixels",
        grouped(width as usize),
        grouped(height as usize)
    )
}

/// The model's files could not be fetched.
pub fn model_not_fetched(file: &str, reason: &str) -> String {
    format!(
        "The model file {file} could not be loaded ({reason}). Check the connection, then press Propose crop again."
    )
}

/// The model's files were fetched but are no model.
pub fn model_not_loaded(reason: &str) -> String {
    format!("The model could not be loaded: {reason}")
}

/// A share as percent, with a digit where it is small.
pub fn percent(share: f32) -> String {
    let percent = share * 100.0;
    if percent < 0.1 {
        "less than 0.1 %".into()
    } else if percent < 10.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// A duration for people.
pub fn milliseconds(ms: f64) -> String {
    if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1_000.0)
    }
}

/// The first line of what a library says, at most 140 characters of it.
fn short(reason: &str) -> String {
    let line = reason
        .trim()
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    match line.char_indices().nth(140) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// 12000 as 12,000.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(12_000), "12,000");
        assert_eq!(grouped(999), "999");
        assert_eq!(percent(0.0432), "4.3 %");
        assert_eq!(milliseconds(1234.0), "1.2 s");
        assert!(question_too_long(10_000).contains("10,000"));
    }

    #[test]
    fn says_which_device_runs_and_why() {
        let text = running(&Running {
            device: DeviceKind::Cpu,
            why: Why::Faster { other_ms: 9_000.0 },
            milliseconds: 300.0,
        });
        assert_eq!(
            text,
            "Runs on the CPU: 300 ms a proposal, against 9.0 s on WebGPU."
        );
    }
}
