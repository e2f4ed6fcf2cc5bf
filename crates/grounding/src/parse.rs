//! Reading a box out of what a policy wrote.
//!
//! Strict on purpose: the validity reward teaches the form, so the form has to be one. Accepted is,
//! after taking white space off both ends, exactly
//!
//! ```text
//! [x1, y1, x2, y2].
//! ```
//!
//! with one space after each comma and nowhere else, the full stop, and four decimal integers from 0
//! to 100 without sign or leading zeros, `x2 > x1`, `y2 > y1`. In other words: what
//! [`NormBox::completion`] writes, and nothing that it would not write. Text before or after, other
//! brackets, fractions, missing full stop: all refused, each with its own reason.

use thiserror::Error;

use crate::NormBox;

/// What the reference rewards with a quarter: the policy says that no crop is needed.
pub const NOT_NEEDED: &str = "Not needed.";

/// Why a completion holds no box. Data, not a failure: it is counted and rewarded, the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum ParseError {
    /// The literal `Not needed.`
    #[error("the completion says that no crop is needed")]
    NotNeeded,
    /// Not of the form `[x1, y1, x2, y2].`
    #[error("the completion is not of the form [x1, y1, x2, y2].")]
    Form,
    /// One of the four is no integer from 0 to 100 in its plain spelling.
    #[error("number {index} of the completion is no integer from 0 to 100")]
    Number {
        /// Which one, 1 to 4.
        index: usize,
    },
    /// Four good numbers that span no area.
    #[error("the completion's box spans no area: x2 > x1 and y2 > y1 are needed")]
    Order,
}

/// The box that a completion holds.
///
/// Accepted is, white space around it aside, exactly `[x1, y1, x2, y2].`: one space after each comma
/// and nowhere else, the full stop, four integers from 0 to 100 without sign or leading zeros,
/// `x2 > x1`, `y2 > y1`. What parses is written the same by [`NormBox::completion`].
///
/// # Errors
/// [`ParseError`]: `Not needed.` is its own outcome.
pub fn parse_completion(completion: &str) -> Result<NormBox, ParseError> {
    let text = completion.trim();
    if text == NOT_NEEDED {
        return Err(ParseError::NotNeeded);
    }
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix("]."))
        .ok_or(ParseError::Form)?;
    let parts: Vec<&str> = inner.split(", ").collect();
    let &[_, _, _, _] = parts.as_slice() else {
        return Err(ParseError::Form);
    };
    let mut edges = [0u8; 4];
    for (index, part) in parts.iter().enumerate() {
        edges[index] = percent(part).ok_or(ParseError::Number { index: index + 1 })?;
    }
    let [x1, y1, x2, y2] = edges.map(f32::from);
    NormBox::new(x1, y1, x2, y2).map_err(|_| ParseError::Order)
}

/// An integer from 0 to 100 in its one plain spelling.
fn percent(text: &str) -> Option<u8> {
    let plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|&v: &u8| plain && v <= 100)
}
