//! Does the crop matter? Both papers' questions as numbers: what the crop adds to the full image (CropVLM), and what
//! happens when it is replaced by the true box, by noise, by grey (LFPC).
//!
//! A model that looks at its crop gains with the true box and drops with noise; one that leans on the full image has
//! given its answer before looking. The papers print no formula for the last; here it is the share of answers beside the
//! crop that are those to the full image alone, without case and closing full stop.
//!
//! Intervals are 95 % percentile bootstrap over pictures, not questions: questions about one picture are no independent
//! draws. All differences are over questions that both sides answered; what is about the crop itself (noise, grey, before
//! looking) leaves out questions for which there was no valid box.

use std::collections::{BTreeMap, HashMap};

use grounding::answers::{comparable, vqa_accuracy, without_full_stop};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::ask::Asking;
use super::conditions::{Cell, Condition};
use super::items::Item;

/// Bootstrap draws.
const DRAWS: usize = 2000;

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Questions.
    pub n: usize,
}

/// What the crop did, at one expansion and one resolution. Differences are of VQA accuracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnostic {
    /// By how much the crop's area grew.
    pub expand: f32,
    /// Longest edge of every picture.
    pub longest_edge: Option<u32>,
    /// Crop beside the full image, less the full image alone.
    pub gain_crop: Option<Interval>,
    /// True box, less the crop.
    pub gain_true: Option<Interval>,
    /// Crop, less noise in its place.
    pub drop_noise: Option<Interval>,
    /// Crop, less grey in its place.
    pub drop_blank: Option<Interval>,
    /// Share of answers beside the crop that the full image alone has given already.
    pub before_looking: Option<Interval>,
}

/// A number of one question with the picture that it is about.
type Of<'a> = (&'a str, f64);

/// Mean and interval; nothing of nothing.
pub fn interval(values: &[Of<'_>]) -> Option<Interval> {
    let mut pictures: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (picture, value) in values {
        let of = pictures.entry(picture).or_default();
        *of = (of.0 + value, of.1 + 1);
    }
    let pictures: Vec<(f64, usize)> = pictures.into_values().collect();
    if pictures.is_empty() {
        return None;
    }
    let mean = |(sum, n): (f64, usize)| sum / n as f64;
    let add = |a: (f64, usize), b: (f64, usize)| (a.0 + b.0, a.1 + b.1);
    let all = pictures.iter().copied().fold((0.0, 0), add);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn = (0..pictures.len()).map(|_| pictures[rng.random_range(0..pictures.len())]);
            mean(drawn.fold((0.0, 0), add))
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (DRAWS - 1) as f64).round() as usize];
    Some(Interval {
        value: mean(all),
        low: at(0.025),
        high: at(0.975),
        n: all.1,
    })
}

/// Answers of a cell by question.
fn answers<'a>(asking: &'a Asking<'_>, cell: Option<&'a Cell>) -> HashMap<&'a str, Item> {
    let keys = cell.into_iter().flat_map(|cell| asking.keys(cell));
    let items =
        keys.filter_map(|(sample, key)| Some((sample.id.as_str(), asking.items.get(&key)?)));
    items.filter(|(_, item)| item.answer.is_some()).collect()
}

/// One for each expansion and resolution at which crops were shown beside the full image.
pub fn diagnostics(asking: &Asking<'_>) -> Vec<Diagnostic> {
    let shown = asking.cells.iter();
    let shown = shown.filter(|cell| cell.condition == Condition::FullCrop);
    shown.map(|cell| diagnostic(asking, cell)).collect()
}

fn diagnostic(asking: &Asking<'_>, cell: &Cell) -> Diagnostic {
    let beside = |condition: Condition, expand: f32| {
        let found = asking.cells.iter().find(|c| {
            c.condition == condition && c.expand == expand && c.longest_edge == cell.longest_edge
        });
        answers(asking, found)
    };
    let crop = answers(asking, Some(cell));
    let full = beside(Condition::Full, 1.0);
    let truth = beside(Condition::FullTrue, cell.expand);
    let noise = beside(Condition::FullNoise, 1.0);
    let blank = beside(Condition::FullBlank, 1.0);
    let over = |others: &HashMap<&str, Item>, boxed: bool, of: &dyn Fn(&Pair) -> f64| {
        let pairs = asking.samples.iter().filter_map(|sample| {
            let (crop, other) = (
                crop.get(sample.id.as_str())?,
                others.get(sample.id.as_str())?,
            );
            let pair = Pair {
                answers: &sample.answers,
                crop: crop.answer.as_deref()?,
                other: other.answer.as_deref()?,
            };
            (!boxed || crop.bbox.is_some()).then(|| (sample.image.as_str(), of(&pair)))
        });
        interval(&pairs.collect::<Vec<_>>())
    };
    Diagnostic {
        expand: cell.expand,
        longest_edge: cell.longest_edge,
        gain_crop: over(&full, false, &|pair| pair.gain()),
        gain_true: over(&truth, false, &|pair| -pair.gain()),
        drop_noise: over(&noise, true, &|pair| pair.gain()),
        drop_blank: over(&blank, true, &|pair| pair.gain()),
        before_looking: over(&full, true, &|pair| pair.same()),
    }
}

/// Two answers to one question.
struct Pair<'a> {
    answers: &'a [String],
    crop: &'a str,
    other: &'a str,
}

impl Pair<'_> {
    fn gain(&self) -> f64 {
        let score = |answer: &str| vqa_accuracy(without_full_stop(answer), self.answers);
        score(self.crop) - score(self.other)
    }

    fn same(&self) -> f64 {
        f64::from(u8::from(comparable(self.crop) == comparable(self.other)))
    }
}

/// A table for a person, in percent points and percent; nothing where nothing can be said.
pub fn markdown(found: &[Diagnostic]) -> String {
    let told = |d: &Diagnostic| d.gain_true.or(d.drop_noise).or(d.drop_blank).is_some();
    if !found.iter().any(told) {
        return String::new();
    }
    let points = |of: Option<Interval>, signed: bool| {
        of.map_or(String::new(), |i| {
            let [value, low, high] = [i.value, i.low, i.high].map(|v| 100.0 * v);
            match signed {
                true => format!("{value:+.1} [{low:+.1}, {high:+.1}]"),
                false => format!("{value:.1} [{low:.1}, {high:.1}]"),
            }
        })
    };
    let mut text = "Does the crop matter? (VQA points, 95 % bootstrap over pictures)\n\n\
        | area x | longest edge | gain with the crop | gain with the true box | drop with noise | drop with grey | answers given before looking |\n\
        |---|---|---|---|---|---|---|\n"
        .to_owned();
    for d in found {
        let edge = d.longest_edge.map_or("own".to_owned(), |e| e.to_string());
        text.push_str(&format!(
            "| {} | {edge} | {} | {} | {} | {} | {} |\n",
            d.expand,
            points(d.gain_crop, true),
            points(d.gain_true, true),
            points(d.drop_noise, true),
            points(d.drop_blank, true),
            points(d.before_looking, false),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_mean_and_is_that_of_pictures() {
        let one: Vec<Of> = ["a", "b", "c", "d"].map(|p| (p, 0.5)).to_vec();
        let flat = interval(&one).expect("an interval");
        assert_eq!(
            (flat.value, flat.low, flat.high, flat.n),
            (0.5, 0.5, 0.5, 4)
        );
        assert_eq!(interval(&[]), None);
        // Forty pictures, half of them right: 0.5 ± 1.96 x 0.5 / sqrt(40) = 0.155.
        let names: Vec<String> = (0..40).map(|i| format!("p{i:02}")).collect();
        let value = |i: usize| f64::from(u8::from(i.is_multiple_of(2)));
        let single: Vec<Of> = names
            .iter()
            .enumerate()
            .map(|(i, p)| (p.as_str(), value(i)))
            .collect();
        let wide = interval(&single).expect("an interval");
        assert!((wide.high - wide.low - 0.31).abs() < 0.04, "{wide:?}");
        assert_eq!(interval(&single), Some(wide), "the same at every run");
        // Ten times the same questions about the same pictures are no more knowledge.
        let tenfold: Vec<Of> = single.iter().flat_map(|of| [*of; 10]).collect();
        let same = interval(&tenfold).expect("an interval");
        assert!(
            (same.low - wide.low).abs() < 1e-9 && same.n == 400,
            "{same:?}"
        );
    }

    #[test]
    fn answers_are_compared_as_they_are_scored() {
        let answers = ["9.00".to_owned()];
        let pair = |crop, other| Pair {
            answers: &answers,
            crop,
            other,
        };
        assert_eq!(
            (pair("9.00.", "nine").gain(), pair("nine", "9.00").gain()),
            (1.0, -1.0)
        );
        assert_eq!(
            (pair("Nine.", "nine").same(), pair("9.00", "nine").same()),
            (1.0, 0.0)
        );
    }

    #[test]
    fn the_table_says_nothing_where_nothing_was_replaced() {
        let some = Some(Interval {
            value: 0.25,
            low: 0.1,
            high: 0.4,
            n: 8,
        });
        let mut found = Diagnostic {
            expand: 1.0,
            longest_edge: None,
            gain_crop: some,
            gain_true: None,
            drop_noise: None,
            drop_blank: None,
            before_looking: some,
        };
        assert_eq!(markdown(std::slice::from_ref(&found)), "");
        found.drop_noise = some;
        let text = markdown(&[found]);
        let row =
            "| 1 | own | +25.0 [+10.0, +40.0] |  | +25.0 [+10.0, +40.0] |  | 25.0 [10.0, 40.0] |";
        assert!(text.contains(row), "{text}");
    }
}
