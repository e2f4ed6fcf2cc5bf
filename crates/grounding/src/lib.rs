//! Everything about boxes, prompts and scores that needs no picture, no tensor and no network.
//!
//! A cropping policy reads an image and a question and writes one box; the crop is cut from the
//! original and handed, with the whole image, to a VLM that nobody here trains. This crate holds
//! the words and numbers of that exchange, so that trainer, page and tests cannot disagree about
//! them. It is pure: no I/O, no async, no randomness.
//!
//! ```
//! use grounding::{Case, NormBox, metrics, parse_completion, prompt};
//!
//! // What the policy is asked, and what it wrote.
//! let asked = prompt::policy_prompt("What is the TOTAL?", Case::Capitalize);
//! assert!(asked.starts_with("What is the total?\nOutline the region"));
//! let bbox = parse_completion("[10, 20, 63, 57].")?;
//! assert_eq!(bbox.completion(), "[10, 20, 63, 57].");
//!
//! // What is cut out of a picture of 1000 x 500 pixels.
//! let pixels = bbox.to_pixels(1000, 500);
//! assert_eq!((pixels.x1, pixels.y1, pixels.x2, pixels.y2), (100, 100, 630, 285));
//!
//! // How good the box is.
//! let truth = NormBox::new(20.0, 30.0, 40.0, 35.0)?;
//! assert_eq!(metrics::recall(bbox, truth), 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Facts come from the CropVLM paper (arXiv 2511.19820); no code of its authors was used.

pub mod answers;
mod boxes;
mod error;
mod fixed;
mod grow;
pub mod metrics;
mod parse;
pub mod prompt;
pub mod relative;
pub mod reward;
mod sample;
mod vqa;

pub use boxes::{NormBox, PixelBox};
pub use error::GroundingError;
pub use fixed::FixedBoxes;
pub use grow::{QUINTILE_FACTORS, Quintiles};
pub use parse::{NOT_NEEDED, ParseError, parse_completion};
pub use prompt::Case;
pub use reward::validity_reward;
pub use sample::{JOINED_KINDS, Sample};
