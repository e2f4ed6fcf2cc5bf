//! "Did the crop matter?": what is asked, what it will cost, and where the answers differ.
//!
//! The same model gets the same question with the full image alone, with the crop beside it, and with a grey
//! picture of the crop's size in its place. The third tells whether the second changed because of what the crop
//! shows, or only because there was a second picture; `cropvlm eval` calls it `full+blank`.

use similar::DiffOp;
use similar::algorithms::{Capture, myers};
use vlm_api::Provider;
use vlm_api::tokens::{Rule, predict};

use crate::protocol::{MAX_SENT_EDGE, fitted};

/// What the model is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The full image.
    Full,
    /// The full image and the crop.
    Crop,
    /// The full image and a grey picture of the crop's size.
    Blank,
}

impl Variant {
    /// All, in the order in which they are asked.
    pub const ALL: [Variant; 3] = [Variant::Full, Variant::Crop, Variant::Blank];

    /// Name in `index.html`.
    pub fn id(self) -> &'static str {
        match self {
            Variant::Full => "full",
            Variant::Crop => "crop",
            Variant::Blank => "blank",
        }
    }
}

/// Which pictures go out with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pictures {
    /// The full image alone.
    Full,
    /// The full image, then the crop or the grey picture.
    Both,
    /// The crop or the grey picture alone: for models that take a single image.
    Second,
}

impl Pictures {
    /// What a variant shows; `crop_only` leaves the full image out where there is another one.
    pub fn of(variant: Variant, crop_only: bool) -> Pictures {
        match (variant, crop_only) {
            (Variant::Full, _) => Pictures::Full,
            (_, false) => Pictures::Both,
            (_, true) => Pictures::Second,
        }
    }
}

/// Sizes in pixels of what would be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The picture as it is.
    pub original: (u32, u32),
    /// The crop.
    pub crop: (u32, u32),
    /// Longest edge that the full image may have.
    pub edge: u32,
    /// Whether the crop goes without the full image.
    pub crop_only: bool,
}

/// Tokens that the images of a question will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The full image as it is sent, pixels.
    pub sent: (u32, u32),
    /// Its tokens.
    pub full: u64,
    /// Tokens of the crop.
    pub crop: u64,
    /// Tokens that shrinking the full image saves.
    pub saved: u64,
    /// Whether the crop goes without the full image.
    pub crop_only: bool,
    /// By which rule.
    pub rule: Rule,
}

impl Forecast {
    /// Tokens of all images of a variant.
    pub fn of(&self, variant: Variant) -> u64 {
        match Pictures::of(variant, self.crop_only) {
            Pictures::Full => self.full,
            Pictures::Both => self.full + self.crop,
            Pictures::Second => self.crop,
        }
    }
}

/// What the provider's published rule says; `None` where there is none for this model.
pub fn forecast(provider: Provider, model: &str, sizes: &Sizes) -> Option<Forecast> {
    let rule = Rule::of(provider, model)?;
    let tokens = |size| predict(provider, model, &[size]);
    let (width, height) = sizes.original;
    let sent = fitted(width, height, sizes.edge);
    let full = tokens(sent)?;
    let unshrunk = tokens(fitted(width, height, MAX_SENT_EDGE))?;
    Some(Forecast {
        sent,
        full,
        crop: tokens(sizes.crop)?,
        saved: unshrunk.saturating_sub(full),
        crop_only: sizes.crop_only,
        rule,
    })
}

/// An answer in pieces; those that the other answer does not have are marked.
///
/// Myers' algorithm alone is asked for: `similar`'s dispatch between all of its algorithms would double the page.
pub fn marked(answer: &str, other: &str) -> Vec<(String, bool)> {
    let (old, new) = (words(other), words(answer));
    let mut changes = Capture::new();
    if myers::diff(&mut changes, &old[..], 0..old.len(), &new[..], 0..new.len()).is_err() {
        return vec![(answer.to_owned(), false)];
    }
    let mut pieces: Vec<(String, bool)> = Vec::new();
    for change in changes.into_ops() {
        // What the other one says and this one does not has no place here.
        let differs = !matches!(change, DiffOp::Equal { .. } | DiffOp::Delete { .. });
        let text = new[change.new_range()].concat();
        match pieces.last_mut() {
            _ if text.is_empty() => {}
            Some((piece, last)) if *last == differs => piece.push_str(&text),
            _ => pieces.push((text, differs)),
        }
    }
    pieces
}

/// Words and the blanks between them; all together are the text again.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = first.is_whitespace();
        let end = rest.find(|c: char| c.is_whitespace() != blank);
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = after;
    }
    words
}

/// What three answers say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All the same: here the crop changed nothing.
    Same,
    /// With the crop another answer, with the grey picture the first one again: the crop mattered.
    Mattered,
    /// The grey picture changed the answer as well: a second picture is enough, whatever it shows.
    AnyPicture,
    /// Only the grey picture changed the answer.
    BlankOnly,
}

/// Compares answers as a person would: letters' case, blanks and a full stop at the end do not count.
pub fn verdict(full: &str, crop: &str, blank: &str) -> Verdict {
    let [full, crop, blank] = [full, crop, blank].map(plain);
    match (crop == full, blank == full) {
        (true, true) => Verdict::Same,
        (false, true) => Verdict::Mattered,
        (true, false) => Verdict::BlankOnly,
        (false, false) => Verdict::AnyPicture,
    }
}

fn plain(answer: &str) -> String {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let line = words.join(" ").to_lowercase();
    line.trim_end_matches(['.', '!', '。']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[(String, bool)]) -> String {
        let mark = |(piece, differs): &(String, bool)| {
            if *differs {
                format!("[{piece}]")
            } else {
                piece.clone()
            }
        };
        pieces.iter().map(mark).collect()
    }

    #[test]
    fn differing_words_are_marked() {
        let answer = "The total is 9.00 €.";
        assert_eq!(text(&marked(answer, answer)), answer);
        assert_eq!(
            text(&marked(answer, "The total is 8.00 €.")),
            "The total is [9.00] €."
        );
        assert_eq!(text(&marked(answer, "")), format!("[{answer}]"));
        assert_eq!(text(&marked("", answer)), "");
        let whole: String = marked(answer, "9.00")
            .into_iter()
            .map(|(piece, _)| piece)
            .collect();
        assert_eq!(whole, answer, "nothing of the answer is lost");
    }

    #[test]
    fn verdicts_follow_the_answers() {
        assert_eq!(verdict("9.00", " 9.00. ", "9.00"), Verdict::Same);
        assert_eq!(verdict("NO IDEA", "9.00", "no idea."), Verdict::Mattered);
        assert_eq!(verdict("8.00", "9.00", "7.00"), Verdict::AnyPicture);
        assert_eq!(verdict("8.00", "9.00", "9.00"), Verdict::AnyPicture);
        assert_eq!(verdict("9.00", "9.00", "grey"), Verdict::BlankOnly);
    }

    #[test]
    fn a_forecast_adds_up_and_shows_what_shrinking_saves() {
        let sizes = Sizes {
            original: (4000, 3000),
            crop: (512, 512),
            edge: MAX_SENT_EDGE,
            crop_only: false,
        };
        let large = forecast(Provider::OpenAi, "gpt-5.6-luna", &sizes).unwrap();
        assert_eq!(large.sent, (2048, 1536));
        assert_eq!((large.full, large.crop), (3687, 308)); // 64 * 48 and 16 * 16 patches, 1.2 tokens each
        assert_eq!((large.saved, large.of(Variant::Crop)), (0, 3995));
        let small = Sizes { edge: 512, ..sizes };
        let small = forecast(Provider::OpenAi, "gpt-5.6-luna", &small).unwrap();
        assert_eq!((small.sent, small.full), ((512, 384), 231));
        assert_eq!(small.saved, 3687 - 231);
        assert_eq!(small.of(Variant::Full), 231);
        let alone = Sizes {
            crop_only: true,
            ..sizes
        };
        let alone = forecast(Provider::OpenAi, "gpt-5.6-luna", &alone).unwrap();
        assert_eq!(
            [Variant::Full, Variant::Crop, Variant::Blank].map(|variant| alone.of(variant)),
            [3687, 308, 308]
        );
        assert_eq!(forecast(Provider::Ollama, "x", &sizes), None);
    }
}
