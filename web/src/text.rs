//! Every word a person reads on the page, in one place.
//!
//! Fixed labels are put into the page by [`LABELS`] (an element says which with `data-text`); sentences with
//! something in them are functions. Sentences about files come from the `picture` crate and about answers of an
//! endpoint from `vlm-api`, which the command line shows too.

pub mod asking;
mod heard;
pub mod learn;
mod pictures;
mod stage;

use crate::protocol::{DeviceKind, MAX_QUESTION, Running, Stage, Why};

pub use heard::*;
pub use pictures::*;
pub use stage::*;

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
    (
        "reads",
        "It reads print: receipts, forms, tables, signs, plates; not objects.",
    ),
    ("paper", "The idea: CropVLM"),
    ("image", "Image"),
    ("camera", "Take a photo"),
    ("from-web", "From the web"),
    ("address", "Address of the picture"),
    ("load", "Load"),
    ("page", "Page"),
    ("samples", "Try one of these"),
    ("earlier", "Earlier"),
    ("drop", "Drop a picture here, paste one, or choose a file"),
    ("drop-note", "It stays in this browser until you press Ask."),
    ("question", "Question"),
    ("propose", "Propose crop"),
    ("evidence", "Where the model sees evidence"),
    ("canvas", "As the model sees it"),
    ("draw-box", "Draw a box"),
    ("crop-title", "The crop"),
    (
        "crop-empty",
        "The part of the picture that the model proposes appears here, in its original pixels.",
    ),
    (
        "absent",
        "I do not see an answer to that in this picture. What I read is print: words and numbers.",
    ),
    ("guess", "Show the best guess"),
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
    ("longest-edge", "Longest edge"),
    ("prompt", "The prompt as it is sent"),
    ("tokens", "What it wrote"),
    ("ask-title", "Ask a vision model"),
    (
        "ask-note",
        "Sends the picture and the crop to a provider of your choice, or to a model on your own computer; or has SmolVLM answer in this browser.",
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
    ("policy", "Cropping model"),
    (
        "policy-about",
        "Boxes come from this network. It runs on this device; picture and question stay here.",
    ),
    (
        "policy-address",
        "Address of the folder, or its name on the hub",
    ),
    (
        "policy-files",
        "Files of the folder (config.json, tokenizer.json, preprocessor_config.json, model.safetensors …)",
    ),
    (
        "policy-free",
        "It was never taught to write boxes: take the training-free box",
    ),
    ("policy-load", "Load this model"),
    ("policy-remove", "Remove kept models"),
    (
        "offline",
        "From now on this page works without a connection, too.",
    ),
    ("update", "A newer version of this page is there."),
    ("take-update", "Reload"),
    (
        "broken-part",
        "A part of this page did not arrive, or not whole. Check the connection, then reload the page.",
    ),
    (
        "broken-slow",
        "This page is taking long to start. It may still come; if the connection broke off, reload the page.",
    ),
    (
        "broken-browser",
        "This browser cannot run this page: it needs WebAssembly with SIMD and module workers. A current browser has both.",
    ),
    ("reload", "Reload the page"),
];

/// What an element with this `data-text` says.
pub fn label(name: &str) -> Option<&'static str> {
    let mut labels = LABELS.iter().chain(asking::LABELS).chain(learn::LABELS);
    labels
        .find(|(label, _)| *label == name)
        .map(|(_, words)| *words)
}

/// Description of the picture for people who do not see it.
pub const PICTURE_ALT: &str = "Your picture";
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
/// The browser cannot show what the worker could read.
pub const NOT_SHOWN: &str = "This browser may not show so large a picture. Box and crop come from its own pixels all the same.";
/// A link was made with a picture of somebody's own.
pub const LINK_PICTURE_MISSING: &str = "The link's picture is not included: drop it here.";
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
/// The worker could not be started at all. The page's own module runs, so it is not for want of WebAssembly with SIMD.
pub const NO_WORKER: &str = "A part of this page did not arrive whole, so the model cannot start. Check the connection, then reload the page.";
/// The graphics device went away and the CPU takes over.
pub const FELL_BACK: &str = "The graphics device stopped working. Trying again on the CPU…";
/// The host has another build than this page.
pub const OTHER_BUILD: &str = "A newer version of this page has taken its place, and the model has to start anew with it. Save what you need, then press Reload at the end of the page.";
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
    let here = match (running.device, running.threads) {
        (DeviceKind::Cpu, threads) if threads > 1 => format!("the CPU, {threads} threads"),
        (kind, _) => device(kind).to_owned(),
    };
    let where_it_runs = match &running.why {
        Why::Asked => format!("Runs on {here}, as the address asks."),
        Why::NoWebGpu => {
            format!("Runs on {here} (this browser offers no WebGPU).")
        }
        Why::NotAsked => format!(
            "Runs on {here}. With ?device=auto in its address, this page measures WebGPU, too."
        ),
        Why::Measuring => format!("Runs on {here}; WebGPU is being measured."),
        Why::Faster { own_ms, other_ms } => {
            let other = device(other_of(running.device));
            format!(
                "Runs on {here}: {} a proposal, against {} on {other}.",
                milliseconds(*own_ms),
                milliseconds(*other_ms)
            )
        }
        Why::WebGpuFailed(reason) => {
            format!("Runs on {here}: WebGPU failed here ({}).", short(reason))
        }
    };
    if running.training_free {
        return format!("{where_it_runs} {TRAINING_FREE}");
    }
    where_it_runs
}

/// Where the box comes from, with weights that were never taught to write one.
pub const TRAINING_FREE: &str = "These weights were never taught to crop: the box is the training-free one, around what the model looks at more for this question than for any picture.";

/// For the console: why only one thread computes.
pub fn no_threads(reason: &str) -> String {
    format!(
        "Several threads could not be used ({}); one computes.",
        short(reason)
    )
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

/// `config.json` names a model that is not known here.
pub fn other_model(kind: &str) -> String {
    format!(
        "config.json: model_type is \"{kind}\"; a cropping policy is \"cropvlm_map\", \"idefics3\" or \"smolvlm\""
    )
}

/// `config.json` names a way of quantizing that is not known here.
pub fn other_quantization(method: &str) -> String {
    format!(
        "config.json: quantization_config.quant_method is \"{method}\"; take the folder that is not quantized, or one that cropvlm export --quant wrote"
    )
}

/// A folder that holds no model that answers.
pub const NO_READER: &str = "This folder holds no SmolVLM, so it cannot answer: name one that does, such as HuggingFaceTB/SmolVLM-256M-Instruct.";

/// The second module did not come.
pub fn no_module(reason: &str) -> String {
    format!(
        "The part of this page that computes this did not come ({reason}). Check the connection, then try again."
    )
}

/// Under the question, where the model sees no answer in the picture: the crop's place may be out of view.
pub const NOT_SEEN: &str =
    "I do not see it in this picture. My best guess is behind a button under “The crop”.";

/// A model that a device has no room for; bytes.
pub fn too_large(wanted: f64, room: f64) -> String {
    format!(
        "This model needs about {:.1} GB of memory, and a page on this device can count on {:.1} GB: nothing of its weights was fetched. \
         Weights that `cropvlm export --quant q4` packed need less.",
        wanted / 1e9,
        room / 1e9
    )
}

/// How much of fetched models stays on this device, bytes.
pub fn kept(bytes: f64) -> String {
    let size = match bytes {
        bytes if bytes < 1e6 => format!("{} kB", grouped((bytes / 1e3).ceil() as usize)),
        bytes => format!("{} MB", grouped((bytes / 1e6).round() as usize)),
    };
    format!("{size} of fetched models stay on this device; they work without a connection.")
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
            threads: 1,
            why: Why::Faster {
                own_ms: 300.0,
                other_ms: 9_000.0,
            },
            tile: None,
            training_free: false,
        });
        assert_eq!(
            text,
            "Runs on the CPU: 300 ms a proposal, against 9.0 s on WebGPU."
        );
        let text = running(&Running {
            device: DeviceKind::Cpu,
            threads: 2,
            why: Why::NoWebGpu,
            tile: None,
            training_free: false,
        });
        assert!(text.starts_with("Runs on the CPU, 2 threads (this browser"));
    }
}
