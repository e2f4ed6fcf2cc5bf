//! The batch of a step: pages of about the same proportions, a view of each, questions and lines.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use mapnet::PrintCanvas;
use mapnet::question::key_of;
use policy::map::loss::Targets;
use policy::map::reading::Line;
use policy::{Canvas, Policy};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::augment::{View, degrade};
use super::config::SftConfig;
use super::pages::{self, Page, Printed, Question, Source};
use super::reword::Rewording;
use crate::data::Skipped;

/// Every page of every source.
pub struct Batches {
    sources: Vec<Source>,
    /// The canvas that the policy sees pages on.
    canvas: Canvas,
    /// How canvases follow the print of their pages, where they do.
    print: Option<PrintCanvas>,
    /// Pages whose pictures cannot be used.
    skipped: Skipped,
    /// Labels in other words, where that is wanted.
    rewording: Option<Rewording>,
}

/// Share of a box that has to be on the canvas for its question to be asked.
const INSIDE: f64 = 0.97;

impl Batches {
    /// Reads the sources of a configuration.
    ///
    /// # Errors
    /// Files that cannot be read; no page at all; too many pictures that are missing; `reword` of a policy without a table of
    /// words.
    pub fn open(config: &SftConfig, policy: &Policy) -> Result<Self> {
        let rewording = match policy {
            _ if config.data.iter().all(|data| data.reword == 0.0) => None,
            Policy::Map(policy) => policy.words().map(Rewording::new),
            Policy::Text(_) => None,
        };
        if rewording.is_none() && config.data.iter().any(|data| data.reword > 0.0) {
            bail!("reword needs a map policy with a table of words: name one as `words`");
        }
        let print = match policy {
            _ if config.print_pixels == 0 => None,
            Policy::Map(policy) => policy.config.print.map(|print| PrintCanvas {
                max_pixels: config.print_pixels.min(print.max_pixels),
                ..print
            }),
            Policy::Text(_) => None,
        };
        if print.is_none() && config.print_pixels > 0 {
            bail!("print_pixels needs a map policy whose config.json has print");
        }
        let mut sources: Vec<Source> =
            config.data.iter().map(pages::open).collect::<Result<_>>()?;
        let unusable: Vec<_> = sources
            .iter_mut()
            .flat_map(|s| s.unusable.drain(..))
            .collect();
        let names: BTreeSet<&String> = unusable.iter().map(|(name, _)| name).collect();
        let pages: usize = sources.iter().map(|s| s.pages.len()).sum();
        let skipped = Skipped::new(pages + names.len(), config.max_bad);
        for (name, error) in &unusable {
            skipped.skip(name, error)?;
        }
        if sources.iter().all(|s| s.pages.is_empty()) {
            bail!("the data holds no page with questions or lines");
        }
        Ok(Self {
            sources,
            canvas: policy.canvas(),
            print,
            skipped,
            rewording,
        })
    }

    /// Pages that were skipped.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.sources.iter().map(|s| s.pages.len()).sum()
    }

    /// Number of questions.
    pub fn questions(&self) -> usize {
        let pages = self.sources.iter().flat_map(|s| &s.pages);
        pages.map(|p| p.questions.len()).sum()
    }

    /// Number of printed lines.
    pub fn lines(&self) -> usize {
        let pages = self.sources.iter().flat_map(|s| &s.pages);
        pages.map(|p| p.lines.len()).sum()
    }

    /// The canvas that a page wants.
    fn canvas_of(&self, page: &Page) -> Canvas {
        let height = self
            .print
            .and_then(|print| Some((print, page.letter_height()?)));
        let Some((print, height)) = height else {
            return self.canvas;
        };
        Canvas::Pixels(print_pixels(print, height, page.aspect))
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> (&Source, &Page) {
        let total: f64 = self.sources.iter().map(|s| s.weight).sum();
        let mut u = rng.random_range(0.0..total);
        let mut source = &self.sources[0];
        for candidate in self.sources.iter().filter(|s| !s.pages.is_empty()) {
            source = candidate;
            if u < candidate.weight {
                break;
            }
            u -= candidate.weight;
        }
        (
            source,
            &source.pages[rng.random_range(0..source.pages.len())],
        )
    }

    /// Whether a page can be shown; one that cannot is skipped.
    fn usable(&self, config: &SftConfig, page: &Page) -> Result<bool> {
        match page.planes(config.cache_edge, self.canvas.colours()) {
            Ok(_) => Ok(true),
            Err(error) => {
                self.skipped.skip(&page.name(), &error)?;
                Ok(false)
            }
        }
    }

    /// The batch of a step; the same for the same seed and step.
    ///
    /// # Errors
    /// Too many pictures that cannot be read.
    pub fn make(&self, config: &SftConfig, step: u64) -> Result<Targets> {
        let mut rng =
            ChaCha8Rng::seed_from_u64(config.seed ^ (step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (mut source, mut first) = self.draw(&mut rng);
        while !self.usable(config, first)? {
            (source, first) = self.draw(&mut rng);
        }
        let lead = first.aspect;
        let canvas = self.canvas_of(first);
        let mut chosen = vec![(source, first)];
        while chosen.len() < config.pages {
            // Pages of other proportions would have to be stretched or padded; those of other print would not have their canvas.
            let mut next = self.draw(&mut rng);
            for _ in 0..40 {
                let alike = (next.1.aspect / lead).ln().abs() < 0.22;
                if alike && canvas.near(self.canvas_of(next.1)) {
                    break;
                }
                next = self.draw(&mut rng);
            }
            if self.usable(config, next.1)? {
                chosen.push(next);
            }
        }
        let aspect = lead * rng.random_range(-0.2f64..0.2).exp();
        let [width, height] = canvas.size(aspect);
        let mut targets = Targets {
            width,
            height,
            ..Targets::default()
        };
        for (source, page) in chosen {
            self.add(config, source, page, &mut targets, &mut rng)?;
        }
        Ok(targets)
    }

    /// A question whose answer is not on a page: one of the page's own, or another page's about a key that is quoted and not
    /// printed here.
    fn absent(&self, page: &Page, rng: &mut ChaCha8Rng) -> Option<String> {
        if !page.absent.is_empty() && rng.random_bool(0.7) {
            return Some(page.absent[rng.random_range(0..page.absent.len())].clone());
        }
        if page.lines.is_empty() {
            return None;
        }
        for _ in 0..FOREIGN {
            let (source, other) = self.draw(rng);
            let question = match derived(&other.lines, None, rng) {
                Some(question) if rng.random_bool(source.derive) => question.text,
                _ if other.questions.is_empty() => continue,
                _ => other.questions[rng.random_range(0..other.questions.len())]
                    .text
                    .clone(),
            };
            if key_of(&question).is_some_and(|key| !page.prints(key)) {
                return Some(question);
            }
        }
        None
    }

    /// Adds a page: a view with at least one question on it, if some draw finds one.
    fn add(
        &self,
        config: &SftConfig,
        source: &Source,
        page: &Page,
        targets: &mut Targets,
        rng: &mut ChaCha8Rng,
    ) -> Result<()> {
        let planes = page.planes(config.cache_edge, self.canvas.colours())?;
        let canvas_aspect = f64::from(targets.width) / f64::from(targets.height);
        let mut view = whole(page.aspect, canvas_aspect, rng);
        let mut questions = Vec::new();
        for attempt in 0..6 {
            view = if attempt < 3 && rng.random_bool(0.45) {
                zoomed(page, canvas_aspect, rng)
            } else {
                whole(page.aspect, canvas_aspect, rng)
            };
            questions = ask(config, source, self.rewording.as_ref(), page, &view, rng);
            if !questions.is_empty() || config.questions == 0 {
                break;
            }
        }
        let fill = rng.random_bool(0.5).then(|| rng.random_range(0..=255u8));
        let owner = targets.canvases.len();
        // Every plane gets the same light, blur and noise; the dice go on after the last one.
        let mut drawn = Vec::with_capacity(planes.len());
        for (i, plane) in planes.iter().enumerate() {
            let values = view.draw(plane, targets.width, targets.height, fill);
            let width = targets.width as usize;
            drawn.push(match i + 1 == planes.len() {
                true => degrade(values, width, rng),
                false => degrade(values, width, &mut rng.clone()),
            });
        }
        targets.canvases.push(interleaved(drawn));
        // One question with evidence stays, so that every page teaches places, too.
        for question in questions.iter_mut().skip(1) {
            if config.absent > 0.0
                && rng.random_bool(config.absent)
                && let Some(text) = self.absent(page, rng)
            {
                *question = (text, Vec::new());
            }
        }
        for (text, boxes) in questions {
            targets.owners.push(owner);
            targets.questions.push(text);
            targets.boxes.push(boxes);
        }
        if config.reading {
            let lines = page
                .lines
                .iter()
                .filter_map(|line| printed(line, &view, owner));
            targets.lines.extend(lines);
        }
        Ok(())
    }
}

/// Pixels of the canvas on which letters of this height, a share of the page's, are as high as `print` wants them.
fn print_pixels(print: PrintCanvas, height: f64, aspect: f64) -> usize {
    print.pixels([aspect, 1.0], height).round() as usize
}

/// Pages that are asked for a quoted key that another page lacks.
const FOREIGN: usize = 8;

/// A line of the page where it is on the view, if any of it is.
fn printed(line: &Printed, view: &View, canvas: usize) -> Option<Line> {
    let [x1, y1, x2, y2] = line.bbox;
    view.bbox(line.bbox, 0.02)?;
    let middle = (y1 + y2) / 2.0;
    let (top, bottom) = (view.point(x1, y1), view.point(x1, y2));
    Some(Line {
        canvas,
        text: line.text.clone(),
        from: view.point(x1, middle),
        to: view.point(x2, middle),
        height: bottom[1] - top[1],
    })
}

/// Planes of one size, pixel by pixel.
fn interleaved(mut planes: Vec<Vec<u8>>) -> Vec<u8> {
    if planes.len() == 1 {
        return planes.swap_remove(0);
    }
    let pixels = planes.first().map_or(0, Vec::len);
    (0..pixels)
        .flat_map(|i| planes.iter().map(move |plane| plane[i]))
        .collect()
}

/// The whole page with some margin added or cut, stretched by at most what the canvas asks for.
fn whole(page: f64, canvas: f64, rng: &mut ChaCha8Rng) -> View {
    let mut side = |_| rng.random_range(-0.06..0.10);
    let [l, t, r, b]: [f64; 4] = std::array::from_fn(&mut side);
    let window = fit([-l, -t, 1.0 + r, 1.0 + b], page, canvas, rng);
    turned(window, page, rng)
}

/// A window of the page around one of its questions.
fn zoomed(page: &Page, canvas: f64, rng: &mut ChaCha8Rng) -> View {
    let anchor = if page.questions.is_empty() {
        page.lines[rng.random_range(0..page.lines.len())].bbox
    } else {
        let question = &page.questions[rng.random_range(0..page.questions.len())];
        question.boxes[rng.random_range(0..question.boxes.len())]
    }
    .map(f64::from);
    let scale: f64 = rng.random_range(0.4..0.95);
    let mut window = [0.0; 4];
    let jitter: f64 = rng.random_range(-0.15..0.15);
    // The canvas's proportions on this page, the longer side being `scale` of the page's.
    let relative = canvas / page.aspect * jitter.exp();
    let size = if relative > 1.0 {
        [scale, scale / relative]
    } else {
        [scale * relative, scale]
    };
    for i in 0..2 {
        let need = anchor[i + 2] - anchor[i];
        let size = size[i].max(need * 1.1);
        let slack = size - need;
        let start = anchor[i] - rng.random_range(0.0..=1.0) * slack;
        let start = if size < 1.0 {
            start.clamp(-0.03, 1.03 - size)
        } else {
            start
        };
        window[i] = start;
        window[i + 2] = start + size;
    }
    turned(window, page.aspect, rng)
}

/// Widens a window in one direction until it has the canvas's proportions within 25 %.
fn fit(mut window: [f64; 4], page: f64, canvas: f64, rng: &mut ChaCha8Rng) -> [f64; 4] {
    let (w, h) = (window[2] - window[0], window[3] - window[1]);
    let stretch = canvas / (page * w / h);
    let (axis, grow) = if stretch > 1.25 {
        (0, w * (stretch / 1.25 - 1.0))
    } else if stretch < 0.8 {
        (1, h * (0.8 / stretch - 1.0))
    } else {
        return window;
    };
    let before: f64 = rng.random();
    window[axis] -= grow * before;
    window[axis + 2] += grow * (1.0 - before);
    window
}

fn turned(window: [f64; 4], page: f64, rng: &mut ChaCha8Rng) -> View {
    let (mut angle, mut shear) = (0.0, 0.0);
    if rng.random_bool(0.6) {
        angle = rng.random_range(-0.03..0.03);
        shear = rng.random_range(-0.02..0.02);
    }
    let aspect = page * (window[2] - window[0]) / (window[3] - window[1]);
    View::new(window, angle, shear, aspect)
}

/// Questions whose evidence is on the view, in percent of the canvas.
fn ask(
    config: &SftConfig,
    source: &Source,
    rewording: Option<&Rewording>,
    page: &Page,
    view: &View,
    rng: &mut ChaCha8Rng,
) -> Vec<(String, Vec<[f32; 4]>)> {
    let reword = rewording.map(|rewording| (rewording, source.reword));
    let mut own: Vec<&Question> = page.questions.iter().collect();
    shuffle(&mut own, rng);
    let mut own = own.into_iter();
    let mut asked = Vec::new();
    for _ in 0..config.questions * 3 {
        if asked.len() == config.questions {
            break;
        }
        let question = if rng.random_bool(source.derive) {
            derived(&page.lines, reword, rng)
        } else {
            own.next().cloned()
        };
        let Some(question) = question else { continue };
        let boxes: Vec<[f32; 4]> = question
            .boxes
            .iter()
            .filter_map(|b| view.bbox(*b, INSIDE))
            .collect();
        if !boxes.is_empty() {
            asked.push((question.text, boxes));
        }
    }
    asked
}

/// A question about the neighbour of a line whose text stands once on the page. With `reword`, a share of them names a label in
/// other words, and asks for the value right of it, else below it.
fn derived(
    lines: &[Printed],
    reword: Option<(&Rewording, f64)>,
    rng: &mut ChaCha8Rng,
) -> Option<Question> {
    if lines.len() < 2 {
        return None;
    }
    let key = &lines[rng.random_range(0..lines.len())];
    let same = |l: &&Printed| l.text.eq_ignore_ascii_case(&key.text);
    if lines.iter().filter(same).count() != 1 || !key.text.chars().any(char::is_alphabetic) {
        return None;
    }
    if let Some((rewording, share)) = reword
        && share > 0.0
        && rng.random_bool(share)
    {
        let value = value_of(lines, key)?;
        let said = rewording.of(&key.text, rng)?;
        return Some(Question {
            text: REWORDED[rng.random_range(0..REWORDED.len())].replace("{}", &said),
            boxes: vec![value.bbox],
        });
    }
    let right = rng.random_bool(0.6);
    let found = neighbour(lines, key, right)?;
    let forms: &[&str] = if right {
        &[
            "What is written to the right of \"{}\"?",
            "What is written to the right of \"{}\"?",
            "What is the value of \"{}\"?",
            "What is the \"{}\"?",
            "What is next to \"{}\"?",
            "What value is shown for \"{}\"?",
        ]
    } else {
        &[
            "What is written on the line directly below \"{}\"?",
            "What is written on the line directly below \"{}\"?",
            "What stands below \"{}\"?",
            "Which line follows \"{}\"?",
        ]
    };
    let form = forms[rng.random_range(0..forms.len())];
    Some(Question {
        text: form.replace("{}", &key.text),
        boxes: vec![found.bbox],
    })
}

/// What a label is about: a line with a digit right of it, else one below it that is not the first of a column.
fn value_of<'a>(lines: &'a [Printed], label: &Printed) -> Option<&'a Printed> {
    let counts = |line: &&Printed| line.text.chars().any(|c| c.is_ascii_digit());
    let right = neighbour(lines, label, true).filter(counts);
    right.or_else(|| {
        let below = neighbour(lines, label, false).filter(counts)?;
        let next = neighbour(lines, below, false).filter(counts);
        next.is_none().then_some(below)
    })
}

/// How a label is asked for that is not quoted.
const REWORDED: [&str; 10] = [
    "What is the {}?",
    "What's the {}?",
    "How much is the {}?",
    "How much {} is there?",
    "What does it say for {}?",
    "{}?",
    "{}",
    "which {} is given",
    "tell me the {}",
    "What is it for {}?",
];

/// The line that stands right of a line, or below it.
fn neighbour<'a>(lines: &'a [Printed], key: &Printed, right: bool) -> Option<&'a Printed> {
    let [kx1, ky1, kx2, ky2] = key.bbox;
    let overlap = |a: (f32, f32), b: (f32, f32)| {
        (a.1.min(b.1) - a.0.max(b.0)) / (a.1 - a.0).min(b.1 - b.0).max(1e-6)
    };
    lines
        .iter()
        .filter(|l| {
            let [x1, y1, x2, y2] = l.bbox;
            if right {
                x1 >= kx2 - 0.01 && overlap((y1, y2), (ky1, ky2)) > 0.5
            } else {
                let gap = y1 - ky2;
                let near = gap > -0.3 * (ky2 - ky1) && gap < 1.5 * (ky2 - ky1);
                near && y1 > ky1 && overlap((x1, x2), (kx1, kx2)) > 0.3
            }
        })
        .min_by(|a, b| {
            let at = |l: &Printed| if right { l.bbox[0] } else { l.bbox[1] };
            at(a).total_cmp(&at(b))
        })
}

fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, x1: f32, y1: f32) -> Printed {
        let bbox = [x1, y1, x1 + 0.2, y1 + 0.04];
        let text = text.to_string();
        Printed { bbox, text }
    }

    #[test]
    fn a_label_is_about_the_number_beside_it_or_alone_below_it() {
        let lines = [
            line("Salt", 0.1, 0.1),
            line("1.2 g", 0.5, 0.1),
            line("Total", 0.1, 0.3),
            line("9.50", 0.1, 0.35),
            line("Price", 0.6, 0.3),
            line("2.00", 0.6, 0.35),
            line("3.00", 0.6, 0.4),
            line("Name", 0.1, 0.8),
            line("Paul", 0.5, 0.8),
        ];
        let value = |label: &str| {
            let label = lines.iter().find(|line| line.text == label);
            value_of(&lines, label.expect("a line")).map(|line| line.text.as_str())
        };
        assert_eq!(value("Salt"), Some("1.2 g"));
        assert_eq!(value("Total"), Some("9.50"));
        assert_eq!(value("Price"), None, "a column has many");
        assert_eq!(value("Name"), None, "no number");
    }

    #[test]
    fn a_canvas_has_letters_of_the_wanted_height_between_its_bounds() {
        let print = PrintCanvas {
            letter_height: 18.0,
            min_pixels: 400_000,
            max_pixels: 1_000_000,
        };
        // Lines of 3 % of a square page's height: letters of 18 pixels on a page of 800 pixels.
        let pixels = |height| print_pixels(print, height, 1.0);
        assert_eq!(pixels(0.03 * 0.75), 640_000);
        assert_eq!(pixels(0.1), 400_000);
        assert_eq!(pixels(0.005), 1_000_000);
        // A page twice as wide as high has twice the pixels.
        assert_eq!(print_pixels(print, 0.03, 2.0), 720_000);
    }
}
