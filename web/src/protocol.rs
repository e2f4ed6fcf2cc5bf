//! Messages between page and worker.
//!
//! Each is posted as `[message, payload]`: the message through serde, the payload (a `Blob`, several, or nothing) as
//! it is, because a `Blob` crosses threads without its bytes being copied. Numbers that the page chooses
//! (`picture`, `job`) come back in the replies, so that a late reply to an old question is recognised.

mod running;

use grounding::{NormBox, PixelBox};
use serde::{Deserialize, Serialize};

pub use running::{DeviceChoice, DeviceKind, Running, Stage, Why};

use crate::lesson::{Act, Lesson, Settings};
use crate::models::ModelFolder;
use crate::places::Place;

/// What the page asks of the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Fetch the model and make it ready. Sent once, first; sent again it retries after a failure. The payload is an array of
    /// `File`s where the model is files of this computer.
    Start {
        /// The model folder.
        model: ModelFolder,
        /// What the person asked for.
        device: DeviceChoice,
        /// Threads on the CPU at most, if the person asked for that.
        threads: Option<u32>,
        /// Why the worker before this one stopped, if one did: then this one runs on the CPU and says so.
        after: Option<String>,
        /// See [`ToWorker::TilesPerEdge`].
        tiles_per_edge: u32,
    },
    /// How finely a text policy gets pictures from now on: so many tiles along the longest edge, at least 1.
    TilesPerEdge(u32),
    /// Decode the payload (the bytes of the file as they are) and keep it under this number.
    Picture {
        /// Number of the picture.
        picture: u32,
    },
    /// Send the picture's pixels to be shown: answered by [`FromWorker::Shown`].
    Show {
        /// Number of the picture.
        picture: u32,
    },
    /// Propose a crop. Waits for the model if it is not ready.
    Propose {
        /// Number of the click.
        job: u32,
        /// Number of the picture.
        picture: u32,
        /// As typed.
        question: String,
        /// Look at this part of the picture only: a second zoom. The box comes back in percent of the whole.
        inside: Option<NormBox>,
    },
    /// Several places where the answer may stand: answered by [`FromWorker::Places`].
    Places {
        /// Number of the click.
        job: u32,
        /// Number of the picture.
        picture: u32,
        /// As typed.
        question: String,
    },
    /// Cut a box that a person has moved: answered by [`FromWorker::Cut`].
    Cut {
        /// Number of the change.
        job: u32,
        /// Number of the picture.
        picture: u32,
        /// Percent of width and height.
        bbox: NormBox,
        /// See [`Proposed::quarters`].
        quarters: u32,
    },
    /// Turn a picture by 90 degrees clockwise: answered by [`FromWorker::Turned`].
    Turn {
        /// Number of the picture.
        picture: u32,
    },
    /// Learn on this picture: answered by [`FromWorker::Learning`], several times, and [`FromWorker::Learned`]. Another
    /// question or answer begins anew from the weights that were shipped.
    Learn {
        /// Number of the click.
        job: u32,
        /// Number of the picture.
        picture: u32,
        /// As typed.
        question: String,
        /// What the reader looks for in the crops.
        answer: String,
        /// How.
        settings: Settings,
        /// What.
        act: Act,
    },
    /// Where a text policy looks: answered by [`FromWorker::Attended`].
    Attend {
        /// Number of the click.
        job: u32,
        /// Number of the picture.
        picture: u32,
        /// As typed.
        question: String,
    },
    /// Show the picture as the network gets it: answered by [`FromWorker::Canvas`].
    Canvas {
        /// Number of the picture.
        picture: u32,
    },
    /// Encode the picture for an endpoint: answered by [`FromWorker::Encoded`].
    Encode {
        /// Number of the click on "Ask".
        job: u32,
        /// Number of the picture.
        picture: u32,
        /// Longest edge, pixels: at most [`MAX_SENT_EDGE`], less to save tokens.
        edge: u32,
    },
    /// Enlarge a crop for an endpoint, by Lanczos resampling: answered by [`FromWorker::Enlarged`].
    Enlarge {
        /// Number of the click on "Ask".
        job: u32,
        /// Number of the picture.
        picture: u32,
        /// Pixels of the original.
        pixels: PixelBox,
        /// See [`Proposed::quarters`].
        quarters: u32,
        /// Pixels that they become, upright.
        width: u32,
        /// Pixels that they become.
        height: u32,
    },
    /// Answer in the browser, by the payload's pictures (an array of `Blob`s) and a prompt: answered by [`FromWorker::Answering`],
    /// several times, and [`FromWorker::Answered`].
    Answer {
        /// Number of the question.
        job: u32,
        /// Address of the model folder, with a closing slash.
        model: String,
        /// As it is put to the model.
        prompt: String,
        /// An answer whose chance is wanted, too.
        weighed: Option<String>,
    },
    /// The answer that is being written is not wanted any more.
    StopAnswer {
        /// Its number.
        job: u32,
    },
    /// Make a grey picture that stands in for a crop: answered by [`FromWorker::Blank`].
    Blank {
        /// Number of the click on "Compare".
        job: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

/// What the worker tells the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The worker's module runs and takes messages.
    Hello,
    /// The files on the host are of another build than the page: there is no worker for it any more. The loader says
    /// so (`xtask/src/copy.rs`).
    OtherBuild,
    /// How far the model is.
    Stage(Stage),
    /// The picture could be decoded.
    Picture {
        /// Number of the picture.
        picture: u32,
        /// Pixels, after turning it upright.
        width: u32,
        /// Pixels, after turning it upright.
        height: u32,
        /// What a person should know about the file, a sentence each.
        notes: Vec<String>,
        /// A browser may show the file otherwise than the worker reads it: [`ToWorker::Show`] tells how.
        redraw: bool,
    },
    /// The picture could not be decoded.
    PictureRefused {
        /// Number of the picture.
        picture: u32,
        /// A sentence for a person.
        why: String,
        /// Who may read it all the same.
        other: Option<OtherReader>,
    },
    /// The picture as it was read, at most [`MAX_SHOWN_EDGE`] pixels long. The payload is a PNG or JPEG; without one, it
    /// could not be made.
    Shown {
        /// Number of the picture.
        picture: u32,
    },
    /// The picture turned by 90 degrees. The payload is a PNG; without one, it could not be made.
    Turned {
        /// Number of the picture as it lay.
        picture: u32,
    },
    /// A crop. The payload is the crop as PNG.
    Proposed(Proposed),
    /// What a text policy has written so far.
    Writing {
        /// Number of the click.
        job: u32,
        /// Prompt, and the tokens that are decided.
        writing: Writing,
    },
    /// No crop.
    ProposeRefused {
        /// Number of the click.
        job: u32,
        /// A sentence for a person.
        why: String,
    },
    /// Places, the likeliest first, or a sentence for a person.
    Places {
        /// Number of the click.
        job: u32,
        /// At most [`crate::places::MOST`].
        places: Result<Vec<Place>, String>,
    },
    /// A crop of the group is about to be read.
    Learning {
        /// Number of the click.
        job: u32,
        /// Which, from 1.
        part: u32,
        /// Of how many.
        of: u32,
    },
    /// The next group, or a sentence for a person.
    Learned {
        /// Number of the click.
        job: u32,
        /// The group and the step before it.
        lesson: Result<Lesson, String>,
    },
    /// The pixels that were cut, or a sentence for a person. The payload is the crop as PNG.
    Cut {
        /// Number of the change.
        job: u32,
        /// Pixels of the original.
        pixels: Result<PixelBox, String>,
    },
    /// Where the text policy looks, or a sentence for a person.
    Attended {
        /// Number of the click.
        job: u32,
        /// The map, and the box that follows from it without training.
        attention: Result<Attention, String>,
    },
    /// The picture as the network gets it. The payload is a PNG; without one, it could not be made.
    Canvas {
        /// Number of the picture.
        picture: u32,
        /// Of a text policy: the PNG is a strip of its tiles, one under the other, the global image last.
        tiles: Option<Tiles>,
    },
    /// The picture for an endpoint. The payload is a JPEG or PNG.
    Encoded {
        /// Number of the click on "Ask".
        job: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The enlarged crop. The payload is a PNG.
    Enlarged {
        /// Number of the click on "Ask".
        job: u32,
    },
    /// How far an answer is.
    Answering {
        /// Number of the question.
        job: u32,
        /// What is there.
        progress: Answering,
    },
    /// An answer, or a sentence for a person.
    Answered {
        /// Number of the question.
        job: u32,
        /// What was written.
        answer: Result<Answered, String>,
    },
    /// The grey picture. The payload is a PNG.
    Blank {
        /// Number of the click on "Compare".
        job: u32,
    },
    /// The picture, or the grey one, could not be encoded.
    EncodeRefused {
        /// Number of the click on "Ask".
        job: u32,
        /// A sentence for a person.
        why: String,
    },
    /// The worker cannot go on: the page starts another one, on the CPU.
    Broken {
        /// What the panic said.
        why: String,
    },
}

/// How far an answer in the browser is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answering {
    /// The model is being fetched.
    Download {
        /// Bytes so far.
        received: f64,
        /// Bytes in all, where the server says.
        total: Option<f64>,
    },
    /// It reads pictures and prompt.
    Reading,
    /// It writes: the text so far.
    Writing(String),
}

/// What was answered in the browser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// All of it.
    pub text: String,
    /// Tokens of pictures and prompt.
    pub prompt_tokens: u32,
    /// Tokens written.
    pub tokens: u32,
    /// Natural logarithm of the chance of the answer that was to be weighed.
    pub log_prob: Option<f64>,
    /// Whether the model ended by itself, before the limit.
    pub finished: bool,
}

/// Who may read a file that the worker does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OtherReader {
    /// The browser's own decoder: AVIF, SVG, HEIC, whatever it has.
    Browser,
    /// The reader of PDF documents, page by page.
    Pdf,
}

/// A crop and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposed {
    /// Number of the click.
    pub job: u32,
    /// Number of the picture.
    pub picture: u32,
    /// Percent of width and height.
    pub bbox: NormBox,
    /// The pixels of the original that were cut out.
    pub pixels: PixelBox,
    /// The model's chance of this very box, 0 to 1.
    pub chance: Option<f32>,
    /// How likely the picture holds the answer at all, 0 to 1, where the model tells.
    pub present: Option<f32>,
    /// From the start of the work (not of the click) to the box, milliseconds.
    pub milliseconds: f64,
    /// Where the time went.
    pub parts: Parts,
    /// The part of the picture that was looked at, percent; the evidence lies over it.
    pub inside: NormBox,
    /// A second look found nothing smaller: the box is the one that was looked into.
    pub same: bool,
    /// Quarter turns clockwise after which the picture reads, 0 to 3: crops are turned by them.
    pub quarters: u32,
    /// What computed it.
    pub device: DeviceKind,
    /// Where the model saw evidence, if it says.
    pub evidence: Option<Evidence>,
    /// What a text policy read and wrote.
    pub writing: Option<Writing>,
}

/// What a text policy read and wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Writing {
    /// The whole prompt, image tokens counted.
    pub prompt: String,
    /// Tokens of the box; with their chance among the allowed ones where there was a choice.
    pub tokens: Vec<(String, Option<f32>)>,
}

/// The tiles that a text policy gets a picture in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiles {
    /// See [`ToWorker::TilesPerEdge`].
    pub tiles_per_edge: u32,
    /// Side of a tile, pixels.
    pub side: u32,
    /// Rows, 0 where there is only the global image.
    pub rows: u32,
    /// Columns, 0 where there is only the global image.
    pub columns: u32,
    /// Image tokens that become of them and the global image.
    pub tokens: u32,
}

impl Tiles {
    /// All of them, the global image included.
    pub fn count(&self) -> u32 {
        self.rows * self.columns + 1
    }

    /// What the prompt calls them, in the order of the strip.
    pub fn names(&self) -> Vec<String> {
        let rows =
            (1..=self.rows).flat_map(|row| (1..=self.columns).map(move |column| (row, column)));
        let tiles = rows.map(|(row, column)| format!("<row_{row}_col_{column}>"));
        tiles.chain(["<global-img>".to_owned()]).collect()
    }
}

/// Where a text policy looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Relative attention over the whole picture.
    pub map: Evidence,
    /// The training-free box, percent.
    pub bbox: NormBox,
}

/// Milliseconds that the parts of a proposal took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Shrinking the picture for the network; 0 where it had been read before.
    pub shrink: f64,
    /// Encoding it; 0 where it had been read before.
    pub encode: f64,
    /// Reading the question and drawing the map (text policy: reading the prompt).
    pub question: f64,
    /// Reading the box off.
    pub read_off: f64,
    /// Whether the picture had been encoded before, for an earlier question or ahead of the click.
    pub known: bool,
}

/// A map over what was looked at; 0 is nothing, 255 the strongest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row by row.
    #[serde(with = "serde_bytes")]
    pub values: Vec<u8>,
}

impl Evidence {
    /// From values between 0 and 1, row by row.
    pub fn of(width: usize, height: usize, values: &[f32]) -> Self {
        let values = values.iter();
        Self {
            width: width as u32,
            height: height as u32,
            values: values.map(|value| (value * 255.0).round() as u8).collect(),
        }
    }
}

/// What can be chosen for [`ToWorker::TilesPerEdge`]: 512, 1,024 and 2,048 pixels for SmolVLM, as in the paper.
pub const TILES_PER_EDGE: [u32; 3] = [1, 2, 4];

/// The longest question that is taken, characters.
pub const MAX_QUESTION: usize = 2_000;

/// Longest edge of the full image sent to an endpoint, pixels: what large providers scale down to anyway.
pub const MAX_SENT_EDGE: u32 = 2_048;

/// What a smaller crop is enlarged to before it is sent, pixels along its longest edge.
pub const ENLARGED_EDGE: u32 = 512;

/// Longest edge of a picture that the worker sends to be shown, pixels: more than a screen has.
pub const MAX_SHOWN_EDGE: u32 = 4_096;

/// The size of a picture that may not be longer than `edge`; one that is not is left as it is.
pub fn fitted(width: u32, height: u32, edge: u32) -> (u32, u32) {
    let scale = (f64::from(edge) / f64::from(width.max(height).max(1))).min(1.0);
    let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way() {
        let proposed = FromWorker::Proposed(Proposed {
            job: 3,
            picture: 2,
            bbox: NormBox {
                x1: 10.0,
                y1: 20.0,
                x2: 30.5,
                y2: 40.0,
            },
            pixels: PixelBox {
                x1: 1,
                y1: 2,
                x2: 3,
                y2: 4,
            },
            chance: Some(0.25),
            present: Some(0.75),
            milliseconds: 12.5,
            parts: Parts {
                shrink: 1.0,
                encode: 2.0,
                question: 3.0,
                read_off: 4.0,
                known: true,
            },
            inside: NormBox::FULL,
            same: false,
            quarters: 3,
            device: DeviceKind::Cpu,
            evidence: Some(Evidence {
                width: 1,
                height: 2,
                values: vec![0, 255],
            }),
            writing: Some(Writing {
                prompt: "Who?".into(),
                tokens: vec![("[".into(), None), ("4".into(), Some(0.5))],
            }),
        });
        let json = serde_json::to_string(&proposed).unwrap();
        assert_eq!(serde_json::from_str::<FromWorker>(&json).unwrap(), proposed);
    }

    #[test]
    fn tiles_are_named_as_in_the_prompt() {
        let tiles = |rows, columns| Tiles {
            tiles_per_edge: 2,
            side: 512,
            rows,
            columns,
            tokens: 64 * (rows * columns + 1),
        };
        let names = ["<row_1_col_1>", "<row_1_col_2>", "<global-img>"];
        assert_eq!(tiles(1, 2).names(), names);
        assert_eq!(tiles(1, 2).count(), 3);
        assert_eq!(tiles(0, 0).names(), ["<global-img>"]);
    }
}
