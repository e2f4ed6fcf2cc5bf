//! Thoughts inside the text: models that reason write `<think>...</think>` before the answer where their server does not
//! put it into a field of its own.
//!
//! Takes text in pieces that are cut anywhere and says which part belongs to the answer. What may be the beginning of
//! a mark is held back until the next piece tells. A closing mark without an opening one means that the opening one
//! stood in the prompt (the chat templates of DeepSeek-R1 and Qwen3 do that): all before it was thought.

/// Marks around thoughts, opening and closing: DeepSeek, Qwen and most others; variants of it; Mistral's Magistral;
/// Kimi-VL.
const MARKS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
];

/// Takes thoughts out of text that comes in pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Splitter {
    /// The mark that ends the thoughts, while inside of them.
    until: Option<&'static str>,
    /// The end of the text so far, if it may be the beginning of a mark.
    held: String,
    /// Blanks are left out: they stood between thoughts and answer.
    skip_blanks: bool,
}

impl Splitter {
    /// Adds a piece to answer and thoughts.
    pub(crate) fn push(&mut self, piece: &str, answer: &mut String, thoughts: &mut String) {
        self.held.push_str(piece);
        while let Some((at, mark, until)) = self.next_mark() {
            let rest = self.held.split_off(at + mark.len());
            self.held.truncate(at);
            let before = std::mem::replace(&mut self.held, rest);
            self.add(&before, answer, thoughts);
            if until.is_none() {
                if self.until.is_none() {
                    // It had been opened in the prompt.
                    thoughts.insert_str(0, answer);
                    answer.clear();
                }
                self.skip_blanks = answer.trim().is_empty();
            }
            self.until = until;
        }
        let keep = self.beginning_of_mark();
        let rest = self.held.split_off(self.held.len() - keep);
        let ready = std::mem::replace(&mut self.held, rest);
        self.add(&ready, answer, thoughts);
    }

    /// The end of the text: what was held back is no mark.
    pub(crate) fn finish(&mut self, answer: &mut String, thoughts: &mut String) {
        let held = std::mem::take(&mut self.held);
        self.add(&held, answer, thoughts);
    }

    fn add(&mut self, text: &str, answer: &mut String, thoughts: &mut String) {
        if self.until.is_some() {
            thoughts.push_str(text);
            return;
        }
        let text = if self.skip_blanks {
            text.trim_start()
        } else {
            text
        };
        self.skip_blanks &= text.is_empty();
        answer.push_str(text);
    }

    /// Marks that count here, each with what ends the thoughts after it.
    fn marks(&self) -> impl Iterator<Item = (&'static str, Option<&'static str>)> + '_ {
        let opening = MARKS
            .into_iter()
            .filter(|_| self.until.is_none())
            .map(|(open, close)| (open, Some(close)));
        let closing = MARKS
            .into_iter()
            .map(|(_, close)| close)
            .filter(|close| self.until.is_none_or(|until| until == *close))
            .map(|close| (close, None));
        opening.chain(closing)
    }

    /// The first mark, where it stands, and what ends the thoughts after it.
    fn next_mark(&self) -> Option<(usize, &'static str, Option<&'static str>)> {
        self.marks()
            .filter_map(|(mark, until)| Some((self.held.find(mark)?, mark, until)))
            .min_by_key(|(at, ..)| *at)
    }

    /// How many bytes at the end may be the beginning of a mark.
    fn beginning_of_mark(&self) -> usize {
        let longest = |mark: &str| {
            let cuts = mark.char_indices().map(|(at, _)| at).skip(1);
            cuts.filter(|&at| self.held.ends_with(&mark[..at])).max()
        };
        let marks = self.marks().filter_map(|(mark, _)| longest(mark));
        marks.max().unwrap_or(0)
    }
}
