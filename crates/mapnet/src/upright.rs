//! Which way up a picture is, so that its lines of print lie level before they are read.
//!
//! The network reads level lines only: of receipts turned by a quarter it finds next to nothing, of receipts tilted by
//! ten degrees two thirds. So a picture is turned first. Two measures decide:
//!
//! * **tilt** ([`crate::tilt`]): the angle at which lines and gaps differ most clearly.
//! * **reading**: print that stands upright is read surely, print that lies on its side or on its head is not. The number of
//!   surely read letters decides between the quarter turns, and whether a tilt was one. Only letters count that do not look
//!   like others when they are turned ([`TELLING`]): on its side, print reads as "3", "5" and "s".
//!
//! A picture that is read well as it is costs nothing but its tilt's profile.

use picture::GrayImage;

use crate::char_logits::{CLASSES, class_of, is_mark};
use crate::proposal::{Clock, timed};
use crate::tilt::tilt;
use crate::{MapConfig, Timings, Turn, canvas};

/// Letters that are rarely read where print lies on its side or on its head.
const TELLING: &str = "acdghmnou";

/// Probability from which a character counts as surely read.
const SURE: f32 = 0.9;

/// A picture, encoded the way up in which it reads best.
#[derive(Debug)]
pub struct Upright<T> {
    /// What the encoder made of it.
    pub encoded: T,
    /// Logits of characters `[rows, columns, CLASSES]`, row by row.
    pub char_logits: Vec<f32>,
    /// How the picture was turned.
    pub turn: Turn,
}

/// Encodes a grey picture under a turn. `encode` gets a canvas, values row by row, and its height and width; it gives what
/// it made and the logits of characters.
///
/// # Errors
/// The encoder's own.
pub async fn encode_turned<T, E>(
    config: &MapConfig,
    grey: &GrayImage,
    turn: Turn,
    longest_edge: Option<u32>,
    clock: &mut Timings,
    encode: &mut impl AsyncFnMut(Vec<f32>, [usize; 2]) -> Result<(T, Vec<f32>), E>,
) -> Result<Upright<T>, E> {
    let pixels = canvas::pixels_of(config, &turn, longest_edge);
    let [width, height] = turn.size().map(|side| side.round() as u32);
    let [width, height] = canvas::canvas_size(pixels, width, height);
    let values = timed(&mut clock.image, || {
        let canvas = turn.draw(grey, width, height);
        canvas::normalised(canvas.as_raw()).collect()
    });
    let start = Clock::start();
    let (encoded, char_logits) = encode(values, [height as usize, width as usize]).await?;
    clock.vision += start.ms();
    Ok(Upright {
        encoded,
        char_logits,
        turn,
    })
}

/// Tries the turns that the picture's profile and what can be read of it suggest, and keeps the one that reads best.
/// `encode` is that of [`encode_turned`]; it is called once for a level picture that reads well as it lies.
///
/// # Errors
/// The encoder's own.
pub async fn encode_upright<T, E>(
    config: &MapConfig,
    grey: &GrayImage,
    longest_edge: Option<u32>,
    clock: &mut Timings,
    encode: &mut impl AsyncFnMut(Vec<f32>, [usize; 2]) -> Result<(T, Vec<f32>), E>,
) -> Result<Upright<T>, E> {
    let level = Turn::none(grey.width(), grey.height());
    let mut best = encode_turned(config, grey, level, longest_edge, clock, encode).await?;
    let as_it_lies = reading(&best.char_logits);
    let tilt = timed(&mut clock.image, || tilt(grey));
    // A turn is tried where the picture's profile speaks for it, or for want of anything that reads well.
    let mut tries: Vec<Turn> = Vec::new();
    tries.extend(tilt.map(|tilt| Turn { tilt, ..level }));
    if !as_it_lies.is_well() {
        tries.extend([1, 2, 3].map(|quarters| Turn { quarters, ..level }));
    }
    let mut letters = 0;
    for turn in tries {
        let other = encode_turned(config, grey, turn, longest_edge, clock, encode).await?;
        let read = reading(&other.char_logits);
        // Of those that beat the picture as it lies, the one with most letters: on its head, print beats print on its side.
        if read.beats(as_it_lies, &turn) && read.letters > letters {
            (best, letters) = (other, read.letters);
        }
    }
    Ok(best)
}

/// How surely the print of a canvas was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Half cells with a surely read letter that tells upright print from turned print.
    pub letters: usize,
    /// Half cells with any surely read letter or digit.
    pub sure: usize,
    /// Mean natural logarithm of the best character's probability where something is printed; 0 where nothing is.
    pub surety: f32,
}

/// Mean logarithm from which print counts as well read. Of 18 receipts of sroie/dev the lowest is at -0.42, of 12 upside down the
/// highest at -0.51.
const WELL: f32 = -0.45;

/// Letters that a reading needs at least before a picture is turned for it.
const FEW: usize = 20;

impl Reading {
    /// Whether the picture can be read as it lies, so that no turn is tried.
    pub fn is_well(&self) -> bool {
        self.letters >= FEW && self.surety > WELL
    }

    /// Whether this reading of a turned picture is so much better than another that the turn is right. A quarter turn has to
    /// read twice as many letters, and more of all (a chart whose labels lie on their side has its numbers upright); half a turn
    /// one and a half times as many (print on its head is read in part); a tilt, for which the profile speaks already, a tenth
    /// more.
    pub fn beats(&self, other: Reading, turn: &Turn) -> bool {
        let (times, of_all) = match turn.quarters {
            0 => (1.1, 0.0),
            2 => (1.5, 0.0),
            _ => (2.0, 1.2),
        };
        let more = |own: usize, other: usize, times: f32| own as f32 > times * other as f32;
        self.letters >= FEW
            && more(self.letters, other.letters, times)
            && more(self.sure, other.sure, of_all)
    }
}

/// From logits of characters `[.., CLASSES]`.
pub fn reading(characters: &[f32]) -> Reading {
    let mut telling = [false; CLASSES];
    for c in TELLING.chars() {
        telling[usize::from(class_of(c))] = true;
    }
    let (mut letters, mut all, mut printed, mut surety) = (0, 0, 0usize, 0f64);
    for frame in characters.chunks_exact(CLASSES) {
        let (best, top) =
            frame
                .iter()
                .enumerate()
                .fold((0, f32::NEG_INFINITY), |(best, top), (class, value)| {
                    if *value > top {
                        (class, *value)
                    } else {
                        (best, top)
                    }
                });
        let sum: f32 = frame.iter().map(|value| (value - top).exp()).sum();
        // Nothing is printed where class 0 has more than half.
        if (frame[0] - top).exp() > 0.5 * sum {
            continue;
        }
        let sure = 1.0 / sum; // probability of the best class
        printed += 1;
        surety += f64::from(sure.ln());
        if sure > SURE {
            letters += usize::from(telling[best]);
            all += usize::from(!is_mark(best as u8));
        }
    }
    Reading {
        letters,
        sure: all,
        surety: (surety / printed.max(1) as f64) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_needs_more_letters_and_more_of_all() {
        let reading = |letters, sure| Reading {
            letters,
            sure,
            surety: -0.8,
        };
        let level = Turn::none(30, 20);
        let quarter = Turn {
            quarters: 1,
            ..level
        };
        assert!(reading(300, 900).beats(reading(10, 100), &quarter));
        // A chart with its labels on their side and its numbers upright.
        assert!(!reading(90, 200).beats(reading(10, 400), &quarter));
        // Print on its head is read in part.
        let half = Turn {
            quarters: 2,
            ..level
        };
        assert!(!reading(300, 900).beats(reading(240, 700), &half));
        assert!(reading(300, 900).beats(reading(100, 300), &half));
        assert!(!reading(19, 900).beats(reading(0, 0), &quarter));
    }

    #[test]
    fn only_surely_read_telling_letters_count() {
        let frame = |class: u8, logit: f32| {
            let mut frame = vec![0f32; CLASSES];
            frame[usize::from(class)] = logit;
            frame
        };
        let frames = [
            frame(class_of('a'), 12.0), // counts
            frame(class_of('a'), 1.0),  // hardly read
            frame(class_of('5'), 12.0), // looks like other letters when turned
            frame(0, 12.0),             // nothing printed
        ];
        let read = reading(&frames.concat());
        assert_eq!((read.letters, read.sure), (1, 2));
        assert!(read.surety < -0.5, "{}", read.surety);
    }
}
