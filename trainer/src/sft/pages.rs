//! Pages with their questions and printed lines; pictures are decoded once, when first needed, in the
//! colours that the policy sees.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Error, Result, bail};
use mapnet::canvas::luma;
use picture::{Filter, GrayImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::DataConfig;
use crate::data::{self, DataSet, PageLines, PictureSource, alike};

/// A question about a page; boxes as shares of the page's sides.
#[derive(Debug, Clone)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// Every place that answers it, 0 to 1.
    pub boxes: Vec<[f32; 4]>,
}

/// A printed line; box as shares of the page's sides.
#[derive(Debug, Clone)]
pub struct Printed {
    /// What it says.
    pub text: String,
    /// Where, 0 to 1.
    pub bbox: [f32; 4],
}

/// One page.
pub struct Page {
    source: PictureSource,
    /// Width and height as the data say them.
    size: (u32, u32),
    /// Width divided by height.
    pub aspect: f64,
    /// What is asked about it.
    pub questions: Vec<Question>,
    /// What is asked and not on it.
    pub absent: Vec<String>,
    /// What is printed on it.
    pub lines: Vec<Printed>,
    planes: OnceLock<Arc<Vec<GrayImage>>>,
}

/// Pages of one source.
pub struct Source {
    /// The pages.
    pub pages: Vec<Page>,
    /// How often it is drawn, relative to the others.
    pub weight: f64,
    /// Share of questions made from printed lines.
    pub derive: f64,
    /// Share of these in other words.
    pub reword: f64,
    /// Pictures that are seen to be missing or broken already.
    pub unusable: Vec<(String, Error)>,
}

/// Height of most letters, as a share of their line's: a line reaches from its highest to its lowest letter.
const LETTER: f64 = 0.75;

impl Page {
    /// Whether a text is printed on it, as far as its lines are known.
    pub fn prints(&self, text: &str) -> bool {
        let text = text.trim().to_lowercase();
        let mut lines = self.lines.iter();
        lines.any(|line| line.text.to_lowercase().contains(&text))
    }

    /// Height of three quarters of its letters as a share of the page's height, by its printed lines.
    pub fn letter_height(&self) -> Option<f64> {
        let heights = self.lines.iter().map(|line| line.bbox[3] - line.bbox[1]);
        let mut heights: Vec<f32> = heights.filter(|height| *height > 0.0).collect();
        heights.sort_by(f32::total_cmp);
        let height = heights.get(heights.len() * 3 / 4)?;
        Some(f64::from(*height) * LETTER)
    }

    /// What the page's picture is called.
    pub fn name(&self) -> String {
        self.source.place()
    }

    /// The page as one grey plane, or as red, green and blue; its longest edge at most `edge` pixels.
    ///
    /// # Errors
    /// A picture that cannot be read, or has other proportions than its boxes were drawn on, named.
    pub fn planes(&self, edge: u32, colours: usize) -> Result<Arc<Vec<GrayImage>>> {
        if let Some(planes) = self.planes.get() {
            return Ok(planes.clone());
        }
        let rgb = self.source.picture()?;
        let (w, h) = rgb.dimensions();
        if !alike(self.size, (w, h)) {
            let (name, (width, height)) = (self.name(), self.size);
            bail!("{name}: it has {w} x {h} pixels, but its size is given as {width} x {height}");
        }
        let scale = (f64::from(edge) / f64::from(w.max(h))).min(1.0);
        let side = |s: u32| ((f64::from(s) * scale).round() as u32).max(1);
        let plane = |value: &dyn Fn([u8; 3]) -> u8| {
            let at = |x, y| image::Luma([value(rgb.get_pixel(x, y).0)]);
            let plane = GrayImage::from_fn(w, h, at);
            picture::resize_gray(&plane, side(w), side(h), Filter::Bilinear)
        };
        let planes = match colours {
            1 => vec![plane(&luma)],
            _ => (0..3).map(|c| plane(&move |pixel| pixel[c])).collect(),
        };
        Ok(self.planes.get_or_init(|| Arc::new(planes)).clone())
    }
}

/// The boxes of a source are the same in every run, also roughened.
const NOISE_SEED: u64 = 0x626f_7865;

/// A box in percent with every edge moved outwards by up to `noise`, inside the picture.
fn rough(bbox: [f32; 4], noise: f64, rng: &mut ChaCha8Rng) -> [f32; 4] {
    if noise <= 0.0 {
        return bbox;
    }
    let mut by = || rng.random_range(0.0..noise) as f32;
    let [x1, y1, x2, y2] = bbox;
    [x1 - by(), y1 - by(), x2 + by(), y2 + by()].map(|v| v.clamp(0.0, 100.0))
}

fn share([x1, y1, x2, y2]: [f32; 4], width: u32, height: u32) -> [f32; 4] {
    let (w, h) = (width.max(1) as f32, height.max(1) as f32);
    [x1 / w, y1 / h, x2 / w, y2 / h]
}

/// Reads a source: questions, and printed lines where it has them.
///
/// # Errors
/// Files that cannot be read or do not parse.
pub fn open(config: &DataConfig) -> Result<Source> {
    let mut pages: Vec<Page> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut page = |pages: &mut Vec<Page>,
                    source: &dyn Fn() -> Result<PictureSource>,
                    image: &str,
                    w: u32,
                    h: u32| {
        if let Some(i) = index.get(image) {
            return Ok::<usize, anyhow::Error>(*i);
        }
        pages.push(Page {
            source: source()?,
            size: (w, h),
            aspect: f64::from(w.max(1)) / f64::from(h.max(1)),
            questions: Vec::new(),
            absent: Vec::new(),
            lines: Vec::new(),
            planes: OnceLock::new(),
        });
        index.insert(image.to_string(), pages.len() - 1);
        Ok(pages.len() - 1)
    };
    let mut set = DataSet::open_usable(&config.samples, None, None)?;
    let left_out = set
        .unusable
        .drain(..)
        .map(|error| (error.to_string(), error));
    let mut unusable: Vec<(String, Error)> = left_out.collect();
    let mut rng = ChaCha8Rng::seed_from_u64(NOISE_SEED);
    for (at, sample) in set.samples.iter().enumerate() {
        let found = page(
            &mut pages,
            &|| set.source(&sample.image),
            &sample.image,
            sample.width,
            sample.height,
        );
        let i = match found {
            Ok(i) => Some(i),
            Err(error) => {
                unusable.push((sample.image.clone(), error.context(set.place(at))));
                None
            }
        };
        let boxes: Vec<[f32; 4]> = sample
            .evidence()
            .iter()
            .map(|b| rough(b.to_array(), config.noise, &mut rng).map(|v| v / 100.0))
            .collect();
        let Some(page) = i.map(|i| &mut pages[i]) else {
            continue;
        };
        let text = sample.question.clone();
        if !boxes.is_empty() {
            page.questions.push(Question { text, boxes });
        } else if sample.answers.is_empty() {
            page.absent.push(text);
        }
    }
    if let Some(file) = &config.lines {
        for read in data::json_lines::<PageLines>(file).context("printed lines")? {
            let source = || data::find_image(file, None, &read.image).map(PictureSource::File);
            let i = match page(&mut pages, &source, &read.image, read.width, read.height) {
                Ok(i) => i,
                Err(error) => {
                    unusable.push((
                        read.image.clone(),
                        error.context(file.display().to_string()),
                    ));
                    continue;
                }
            };
            pages[i].lines = read
                .lines
                .into_iter()
                .filter(|l| {
                    !l.text.trim().is_empty() && l.bbox[2] > l.bbox[0] && l.bbox[3] > l.bbox[1]
                })
                .map(|l| Printed {
                    bbox: share(l.bbox, read.width, read.height),
                    text: l.text,
                })
                .collect();
        }
    }
    pages.retain(|page| !page.questions.is_empty() || !page.lines.is_empty());
    Ok(Source {
        pages,
        weight: config.weight,
        derive: config.derive,
        reword: config.reword,
        unusable,
    })
}
