//! The grammar of a box: which token may come next so that ` [x1, y1, x2, y2].` ends as a valid
//! box, in the model's own tokens. Pure: no tensors.
//!
//! Valid means: integers 0 to 100 without leading zeros, x2 > x1, y2 > y1. So x1 and y1 end at
//! 99, and x2 begins above x1. Whatever has only one continuation is forced and never sampled:
//! brackets, commas, spaces, the full stop, and the end of a number that cannot grow.

use grounding::NormBox;

use crate::error::{Result, SmolVlmError};
use crate::prompt::Prompts;

/// Number of tokens among which a choice can fall: ten digits, and the first token of each of the
/// two ends of a number.
pub const ALPHABET: usize = 12;

/// Place of "the number ends, another follows" in the alphabet.
const COMMA: usize = 10;
/// Place of "the last number ends" in the alphabet.
const CLOSE: usize = 11;

/// How a tokenizer writes the pieces of a box.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxGrammar {
    digits: [u32; 10],
    open: Vec<u32>,
    comma: Vec<u32>,
    close: Vec<u32>,
}

impl BoxGrammar {
    /// Learns the pieces from the tokenizer, as they stand inside ` [10, 20, 63, 57].`
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`] if it does not write digits one by one: then which token may
    /// follow cannot be said digit by digit.
    pub fn new(prompts: &Prompts) -> Result<Self> {
        let unfit = |text: &str| SmolVlmError::Tokenizer {
            message: format!(
                "it does not write the digits of \"{text}\" one by one, so boxes cannot be constrained"
            ),
        };
        let mut digits = [0; 10];
        for (digit, id) in digits.iter_mut().enumerate() {
            let text = digit.to_string();
            match prompts.encode(&text)?.as_slice() {
                [one] => *id = *one,
                _ => return Err(unfit(&text)),
            }
        }
        // The pieces between two digits; whether they hold together is checked below.
        let sample = " [0, 0, 0, 0].";
        let ids = prompts.encode(sample)?;
        let pieces: Vec<&[u32]> = ids.split(|&id| id == digits[0]).collect();
        let [open, comma, _, _, close] = pieces.as_slice() else {
            return Err(unfit(sample));
        };
        let grammar = Self {
            digits,
            open: open.to_vec(),
            comma: comma.to_vec(),
            close: close.to_vec(),
        };
        let first = |piece: &[u32]| piece.first().copied();
        let distinct = first(&grammar.comma)
            .zip(first(&grammar.close))
            .is_some_and(|(comma, close)| {
                comma != close && !digits.contains(&comma) && !digits.contains(&close)
            });
        for text in ["[10, 20, 63, 57].", "[0, 4, 99, 100].", "[8, 12, 35, 79]."] {
            let written = prompts.encode(&format!(" {text}"))?;
            let bbox = grounding::parse_completion(text).map_err(|_| unfit(text))?;
            if !distinct || grammar.spell(bbox).0 != written {
                return Err(unfit(text));
            }
        }
        Ok(grammar)
    }

    /// The tokens that stand before the first number.
    pub fn open(&self) -> &[u32] {
        &self.open
    }

    /// The tokens a choice can fall on, in the order of `Choice` indices.
    pub fn alphabet(&self) -> [u32; ALPHABET] {
        let mut ids = [0; ALPHABET];
        ids[..10].copy_from_slice(&self.digits);
        ids[COMMA] = self.comma[0];
        ids[CLOSE] = self.close[0];
        ids
    }

    /// The tokens that a choice writes: itself, and what it forces.
    fn tokens(&self, choice: usize) -> &[u32] {
        match choice {
            COMMA => &self.comma,
            CLOSE => &self.close,
            digit => &self.digits[digit..=digit],
        }
    }

    /// All tokens of a box (each edge rounded to whole percents), and the choices among them.
    pub fn spell(&self, bbox: NormBox) -> (Vec<u32>, Vec<Chosen>) {
        let NormBox { x1, y1, x2, y2 } = bbox.rounded();
        let mut state = BoxState::default();
        let mut ids = self.open.clone();
        let mut choices = Vec::new();
        let mut push = |state: &mut BoxState, index| {
            choices.push(Chosen {
                at: ids.len(),
                index,
                allowed: state.allowed(),
            });
            ids.extend(self.tokens(index));
            state.push(index);
        };
        for edge in [x1, y1, x2, y2] {
            for digit in (edge as u32).to_string().bytes() {
                push(&mut state, usize::from(digit - b'0'));
            }
            let end = state.end();
            push(&mut state, end);
        }
        (ids, choices)
    }

    /// Writes a choice: the tokens to read next, and the state after them.
    pub fn push(&self, state: &mut BoxState, choice: usize) -> &[u32] {
        state.push(choice);
        self.tokens(choice)
    }
}

/// One choice inside a spelled box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// Its place among the box's tokens.
    pub at: usize,
    /// What was chosen, an index into the alphabet.
    pub index: usize,
    /// What could have been chosen.
    pub allowed: [bool; ALPHABET],
}

/// How far a box is written.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BoxState {
    numbers: [u32; 4],
    /// Numbers that are complete.
    done: usize,
    /// Digits of the current number.
    digits: usize,
}

impl BoxState {
    /// Smallest and largest value of the current number.
    fn range(&self) -> (u32, u32) {
        match self.done {
            0 | 1 => (0, 99),
            done => (self.numbers[done - 2] + 1, 100),
        }
    }

    /// The choice that ends the current number.
    fn end(&self) -> usize {
        if self.done == 3 { CLOSE } else { COMMA }
    }

    /// Whether the box is complete.
    pub fn is_complete(&self) -> bool {
        self.done == 4
    }

    /// The box, once complete.
    pub fn bbox(&self) -> Option<NormBox> {
        let [x1, y1, x2, y2] = self.numbers.map(|number| number as f32);
        self.is_complete()
            .then(|| NormBox::new(x1, y1, x2, y2).ok())
            .flatten()
    }

    /// Which choices can still lead to a valid box. Never none before the box is complete.
    pub fn allowed(&self) -> [bool; ALPHABET] {
        let mut allowed = [false; ALPHABET];
        if self.is_complete() {
            return allowed;
        }
        let (low, high) = self.range();
        let value = self.numbers[self.done];
        for (digit, allowed) in allowed.iter_mut().take(10).enumerate() {
            // After a leading zero nothing may follow.
            if self.digits == 0 || value > 0 {
                *allowed = reaches(value * 10 + digit as u32, low, high);
            }
        }
        allowed[self.end()] = self.digits > 0 && (low..=high).contains(&value);
        allowed
    }

    /// The only choice there is, if there is only one.
    pub fn forced(&self) -> Option<usize> {
        let allowed = self.allowed();
        let mut open = (0..ALPHABET).filter(|&index| allowed[index]);
        open.next().filter(|_| open.next().is_none())
    }

    fn push(&mut self, choice: usize) {
        debug_assert!(
            self.allowed()[choice],
            "{choice} is not allowed in {self:?}"
        );
        if choice >= COMMA {
            self.done += 1;
            self.digits = 0;
        } else {
            let value = &mut self.numbers[self.done];
            *value = *value * 10 + choice as u32;
            self.digits += 1;
        }
    }
}

/// Whether a number that begins with the digits of `prefix` can lie in `low..=high` (at most 100).
fn reaches(prefix: u32, low: u32, high: u32) -> bool {
    // The values behind a prefix: itself, then ten, then a hundred of them; a leading zero stands alone.
    let mut width = 1;
    let mut start = prefix;
    while start <= high {
        if start + width > low {
            return true;
        }
        if prefix == 0 {
            break;
        }
        start *= 10;
        width *= 10;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every path through the grammar, choices in alphabet order.
    fn walk(state: BoxState, seen: &mut impl FnMut(NormBox)) {
        let allowed = state.allowed();
        if let Some(bbox) = state.bbox() {
            seen(bbox);
            return;
        }
        assert!(allowed.contains(&true), "dead end at {state:?}");
        for choice in (0..ALPHABET).filter(|&choice| allowed[choice]) {
            let mut next = state;
            next.push(choice);
            walk(next, seen);
        }
    }

    #[test]
    fn every_pair_of_edges_is_written_by_exactly_one_path() {
        // x and y are alike and independent: fix y by writing 0 and 1, and walk x.
        let mut count = 0;
        let mut state = BoxState::default();
        let mut x1s = Vec::new();
        for x1 in 0..100u32 {
            state = BoxState::default();
            for digit in x1.to_string().bytes() {
                state.push(usize::from(digit - b'0'));
            }
            assert!(state.allowed()[COMMA]);
            state.push(COMMA);
            state.push(0);
            state.push(COMMA);
            let mut x2s = Vec::new();
            let mut with_x2 = |state: BoxState| {
                let mut last = state;
                last.push(CLOSE_OF_X2);
                last.push(1);
                last.push(CLOSE);
                x2s.push(last.bbox().map(|b| b.x2 as u32));
            };
            for x2 in 1..=100u32 {
                let mut state = state;
                let mut possible = true;
                for digit in x2.to_string().bytes() {
                    let digit = usize::from(digit - b'0');
                    possible &= state.allowed()[digit];
                    if !possible {
                        break;
                    }
                    state.push(digit);
                }
                if possible && state.allowed()[COMMA] {
                    with_x2(state);
                }
            }
            let expected: Vec<_> = (x1 + 1..=100).map(Some).collect();
            assert_eq!(x2s, expected, "after x1 = {x1}");
            count += x2s.len();
            x1s.push(x1);
        }
        assert_eq!(count, 5050);
        assert!(!state.is_complete());
    }

    const CLOSE_OF_X2: usize = COMMA;

    #[test]
    fn no_path_has_a_dead_end() {
        // From a few beginnings, so that the walk stays short.
        for (x1, y1) in [(0, 0), (9, 10), (89, 99), (99, 99), (10, 9)] {
            let mut state = BoxState::default();
            for number in [x1, y1] {
                for digit in u32::to_string(&number).bytes() {
                    state.push(usize::from(digit - b'0'));
                }
                if state.allowed()[COMMA] {
                    state.push(COMMA);
                }
            }
            let mut boxes = 0;
            walk(state, &mut |bbox| {
                assert_eq!((bbox.x1, bbox.y1), (x1 as f32, y1 as f32));
                boxes += 1;
            });
            assert_eq!(boxes, (100 - x1) * (100 - y1));
        }
    }
}
