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
//! Both are tried on a piece of the picture, where most is drawn or printed. A picture that is read well as it is costs nothing
//! but its tilt's profile.

use picture::GrayImage;

use crate::canvas::Pixels;
use crate::char_logits::{CLASSES, HALVES, class_of, is_mark};
use crate::proposal::{Clock, timed};
use crate::tilt::{Ink, densest};
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
    let pixels = timed(&mut clock.image, || Pixels::of(config, grey, longest_edge));
    let (found, _) = encode_on(grey, turn, pixels, clock, encode).await?;
    Ok(found)
}

/// Encodes a grey picture under a turn, on a canvas that has about so many pixels for the picture as it lies: what was found, and
/// the canvas' width.
async fn encode_on<T, E>(
    grey: &GrayImage,
    turn: Turn,
    pixels: Pixels,
    clock: &mut Timings,
    encode: &mut impl AsyncFnMut(Vec<f32>, [usize; 2]) -> Result<(T, Vec<f32>), E>,
) -> Result<(Upright<T>, u32), E> {
    let [width, height] = canvas::turned_size(pixels.turned(turn.quarters), &turn);
    let values = timed(&mut clock.image, || {
        let canvas = turn.draw(grey, width, height);
        canvas::normalised(canvas.as_raw()).collect()
    });
    let start = Clock::start();
    let (encoded, char_logits) = encode(values, [height as usize, width as usize]).await?;
    clock.vision += start.ms();
    let found = Upright {
        encoded,
        char_logits,
        turn,
    };
    Ok((found, width))
}

/// Encodes a picture the way up in which it reads best. A tilt that the profile suggests, and quarter turns where the whole
/// picture does not read well, are tried on a piece of it first, so that the whole is encoded once, and twice only where a
/// quarter turn is right. `encode` is that of [`encode_turned`].
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
    let (pixels, ink, tilt) = timed(&mut clock.image, || {
        let ink = Ink::of(grey);
        let tilt = ink.tilt();
        (Pixels::of(config, grey, longest_edge), ink, tilt)
    });
    let window = Piece::window(grey, pixels);
    let mut turn = level;
    if let Some(tilt) = tilt {
        let piece = Piece::of(grey, pixels, ink.densest(window));
        let tilted = Turn { tilt, ..level };
        let as_it_lies = piece.read(level, clock, encode).await?;
        let read = piece.read(tilted, clock, encode).await?;
        if read.beats(as_it_lies, &tilted, FEW_ON_PIECE) {
            turn = tilted;
        }
    }
    let (found, width) = encode_on(grey, turn, pixels, clock, encode).await?;
    let as_found = reading(&found.char_logits);
    if as_found.is_well() || as_found.printed < FEW {
        return Ok(found);
    }
    // Where something is printed, although it cannot be read.
    let piece = Piece::of(grey, pixels, printed_most(&found, width, window));
    let on_piece = piece.read(turn, clock, encode).await?;
    let mut best: Option<(Reading, Turn)> = None;
    for quarters in [1, 2, 3] {
        let turn = Turn { quarters, ..level };
        let read = piece.read(turn, clock, encode).await?;
        // Of those that beat the picture as it lies, the one with most letters: on its head, print beats print on its side.
        let most = best.is_none_or(|(best, _)| read.letters > best.letters);
        if read.beats(on_piece, &turn, FEW_ON_PIECE) && most {
            best = Some((read, turn));
        }
    }
    let Some((_, turn)) = best else {
        return Ok(found);
    };
    let (other, _) = encode_on(grey, turn, pixels, clock, encode).await?;
    let beats = reading(&other.char_logits).beats(as_found, &turn, FEW);
    Ok(if beats { other } else { found })
}

/// A piece of a picture, on which turns are tried: print on it is as large as on the whole picture's canvas.
struct Piece {
    grey: GrayImage,
    /// Pixels that it has on a canvas.
    pixels: Pixels,
}

/// Side of a piece on the canvas, pixels.
const SIDE: f64 = 320.0;

impl Piece {
    /// Sides of a piece as shares of the picture's, which has so many pixels on its canvas.
    fn window(grey: &GrayImage, pixels: Pixels) -> [f64; 2] {
        let [w, h] = [grey.width(), grey.height()].map(|side| f64::from(side.max(1)));
        let side = SIDE / (pixels.turned(0) as f64 / (w * h)).sqrt();
        [w, h].map(|whole| (side / whole).min(1.0))
    }

    /// The piece about a place, shares of the picture's sides, moved inside.
    fn of(grey: &GrayImage, pixels: Pixels, centre: [f64; 2]) -> Self {
        let window = Self::window(grey, pixels);
        let sides = [grey.width(), grey.height()];
        let [(x, w), (y, h)] = [0, 1].map(|axis| {
            let whole = f64::from(sides[axis]);
            let length = (window[axis] * whole).round().clamp(1.0, whole.max(1.0));
            let from = (centre[axis] * whole - length / 2.0).clamp(0.0, whole - length);
            (from as u32, length as u32)
        });
        let share = f64::from(w * h) / (f64::from(sides[0]) * f64::from(sides[1])).max(1.0);
        Self {
            grey: image::imageops::crop_imm(grey, x, y, w, h).to_image(),
            pixels: pixels.share(share),
        }
    }

    /// How surely its print is read under a turn of the picture.
    async fn read<T, E>(
        &self,
        turn: Turn,
        clock: &mut Timings,
        encode: &mut impl AsyncFnMut(Vec<f32>, [usize; 2]) -> Result<(T, Vec<f32>), E>,
    ) -> Result<Reading, E> {
        let turn = Turn {
            picture: [self.grey.width(), self.grey.height()],
            ..turn
        };
        let (found, _) = encode_on(&self.grey, turn, self.pixels, clock, encode).await?;
        Ok(reading(&found.char_logits))
    }
}

/// Centre of the window of a picture in which most is printed, by what was read of its canvas.
fn printed_most<T>(found: &Upright<T>, width: u32, window: [f64; 2]) -> [f64; 2] {
    let columns = width as usize / 8 * HALVES;
    let rows = found.char_logits.len() / CLASSES / columns.max(1);
    let share = |i: usize, n: usize| (i as f64 + 0.5) / n as f64;
    let frames = found.char_logits.chunks_exact(CLASSES).enumerate();
    let printed = frames.filter(|(_, frame)| likeliest(frame).is_some());
    let printed = printed.map(|(i, _)| {
        let at = [share(i % columns, columns), share(i / columns, rows)];
        (
            found.turn.point_back(at).map(|v| v.clamp(0.0, 1.0) as f32),
            1.0,
        )
    });
    densest(printed, window)
}

/// How surely the print of a canvas was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Half cells with a surely read letter that tells upright print from turned print.
    pub letters: usize,
    /// Half cells with any surely read letter or digit.
    pub sure: usize,
    /// Half cells in which anything is printed.
    pub printed: usize,
    /// Mean natural logarithm of the best character's probability where something is printed; 0 where nothing is.
    pub surety: f32,
}

/// Mean logarithm from which print counts as well read. Of 18 receipts of sroie/dev the lowest is at -0.42, of 12 upside down the
/// highest at -0.51.
const WELL: f32 = -0.45;

/// Letters that a reading needs at least before a picture is turned for it.
const FEW: usize = 20;

/// The same on a piece of a picture.
const FEW_ON_PIECE: usize = 12;

impl Reading {
    /// Whether the picture can be read as it lies, so that no turn is tried.
    pub fn is_well(&self) -> bool {
        self.letters >= FEW && self.surety > WELL
    }

    /// Whether this reading of a turned picture is so much better than another that the turn is right. A quarter turn has to
    /// read twice as many letters, and more of all (a chart whose labels lie on their side has its numbers upright); half a turn
    /// a quarter more (print on its head is read in part); a tilt, for which the profile speaks already, a tenth
    /// more. Fewer than `few` letters are never enough.
    pub fn beats(&self, other: Reading, turn: &Turn, few: usize) -> bool {
        let (times, of_all) = match turn.quarters {
            0 => (1.1, 0.0),
            2 => (1.25, 0.0),
            _ => (2.0, 1.2),
        };
        let more = |own: usize, other: usize, times: f32| own as f32 > times * other as f32;
        self.letters >= few
            && more(self.letters, other.letters, times)
            && more(self.sure, other.sure, of_all)
    }
}

/// The likeliest class of a half cell and its probability, from logits; `None` where nothing is printed, which is where class 0
/// has more than half.
fn likeliest(frame: &[f32]) -> Option<(usize, f32)> {
    let larger = |(best, top), (class, value): (usize, &f32)| {
        if *value > top {
            (class, *value)
        } else {
            (best, top)
        }
    };
    let (best, top) = frame
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), larger);
    let sum: f32 = frame.iter().map(|value| (value - top).exp()).sum();
    ((frame[0] - top).exp() <= 0.5 * sum).then_some((best, 1.0 / sum))
}

/// From logits of characters `[.., CLASSES]`.
pub fn reading(characters: &[f32]) -> Reading {
    let mut telling = [false; CLASSES];
    for c in TELLING.chars() {
        telling[usize::from(class_of(c))] = true;
    }
    let (mut letters, mut all, mut printed, mut surety) = (0, 0, 0usize, 0f64);
    for (best, sure) in characters.chunks_exact(CLASSES).filter_map(likeliest) {
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
        printed,
        surety: (surety / printed.max(1) as f64) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MapError;
    use crate::tilt::tests::lines;

    #[test]
    fn a_quarter_turn_needs_more_letters_and_more_of_all() {
        let reading = |letters, sure| Reading {
            letters,
            sure,
            printed: 2000,
            surety: -0.8,
        };
        let level = Turn::none(30, 20);
        let quarter = Turn {
            quarters: 1,
            ..level
        };
        assert!(reading(300, 900).beats(reading(10, 100), &quarter, FEW));
        // A chart with its labels on their side and its numbers upright.
        assert!(!reading(90, 200).beats(reading(10, 400), &quarter, FEW));
        // Print on its head is read in part.
        let half = Turn {
            quarters: 2,
            ..level
        };
        assert!(!reading(300, 900).beats(reading(240, 700), &half, FEW));
        assert!(reading(300, 900).beats(reading(100, 300), &half, FEW));
        assert!(!reading(19, 900).beats(reading(0, 0), &quarter, FEW));
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

    /// Encodes a picture; of every canvas the share of surely read half cells is the next of `surely`. The turn, and the canvases' pixels.
    fn encoded(grey: &GrayImage, surely: &[f64]) -> (Turn, Vec<usize>) {
        let mut canvases = Vec::new();
        let mut encode = async |values: Vec<f32>, [height, width]: [usize; 2]| {
            assert_eq!(values.len(), height * width);
            let cells = height / 8 * (width / 8 * HALVES);
            let sure = (cells as f64 * surely[canvases.len()]) as usize;
            canvases.push(height * width);
            let mut logits = vec![0f32; cells * CLASSES];
            for frame in logits.chunks_exact_mut(CLASSES).take(sure) {
                frame[usize::from(class_of('a'))] = 12.0;
            }
            Ok::<_, MapError>(((), logits))
        };
        let config = MapConfig::default();
        let mut clock = Timings::default();
        let upright = encode_upright(&config, grey, None, &mut clock, &mut encode);
        let turn = pollster::block_on(upright).expect("encodes").turn;
        (turn, canvases)
    }

    #[test]
    fn a_picture_is_encoded_once_and_turns_are_tried_on_a_piece() {
        // What reads well as it lies.
        let (turn, canvases) = encoded(&lines(0.0), &[1.0]);
        assert!(turn.is_none());
        assert_eq!(canvases.len(), 1);
        // Tilted lines: two pieces, and the whole picture as it reads better.
        let (turn, canvases) = encoded(&lines(10.0), &[0.5, 1.0, 1.0]);
        assert!((turn.tilt + 10.0).abs() <= 0.5, "{turn:?}");
        let (turn_back, _) = encoded(&lines(10.0), &[1.0, 0.5, 1.0]);
        assert!(turn_back.is_none(), "{turn_back:?}");
        let [level, tilted, whole] = canvases[..] else {
            panic!("{canvases:?}");
        };
        assert!(level + tilted < whole, "{canvases:?}");
        // On its head: badly read, the four ways up on a piece, and once more as a whole.
        let (turn, canvases) = encoded(&lines(0.0), &[0.4, 0.4, 0.1, 1.0, 0.1, 1.0]);
        assert_eq!(turn.quarters, 2);
        assert_eq!(canvases.len(), 6);
        let pieces: usize = canvases[1..5].iter().sum();
        assert!(pieces < 2 * canvases[0], "{canvases:?}");
    }
}
