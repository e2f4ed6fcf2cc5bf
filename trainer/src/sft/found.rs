//! How well a map policy reads: the share of printed lines that it finds on their page by their text.

use std::path::Path;

use anyhow::{Context, Result};
use mapnet::char_logits::{HALVES, classes_of};
use mapnet::text_search::{Match, Text};
use policy::MapPolicy;

use crate::data::{self, PageLines};

/// Pages that are measured.
const PAGES: usize = 20;

/// Letters and digits that a line needs to be looked for.
const LEAST: usize = 4;

/// Share of the lines of a file whose best place is their own. Texts that stand twice on a page
/// are left out.
///
/// # Errors
/// Files that cannot be read, a failed device.
pub fn share(policy: &MapPolicy, file: &Path) -> Result<f64> {
    let pages = data::json_lines::<PageLines>(file).context("printed lines")?;
    let (mut found, mut all) = (0usize, 0usize);
    for page in pages.iter().take(PAGES) {
        let path = data::find_image(file, None, &page.image)?;
        let picture = data::picture(&path)?;
        let encoded = pollster::block_on(policy.encode(&picture, None))?;
        let Some(index) = encoded.text.first() else {
            continue;
        };
        let texts: Vec<Vec<u8>> = page.lines.iter().map(|l| classes_of(&l.text)).collect();
        for (line, text) in page.lines.iter().zip(&texts) {
            let letters = line.text.chars().filter(|c| c.is_alphanumeric()).count();
            let twice = texts.iter().filter(|other| *other == text).count() > 1;
            if letters < LEAST || twice {
                continue;
            }
            all += 1;
            let share = |v: f32, side: u32, cells: usize| v / side as f32 * cells as f32;
            let [x1, y1, x2, y2] = line.bbox;
            let x = [x1, x2].map(|v| share(v, page.width, index.columns) / HALVES as f32);
            let y = [y1, y2].map(|v| share(v, page.height, index.rows));
            let inside = |place: &Match| {
                let middle = (place.from + place.to) as f32 / 2.0 / HALVES as f32;
                let row = place.row as f32 + 0.5;
                row > y[0] - 0.6 && row < y[1] + 0.6 && middle > x[0] && middle < x[1]
            };
            let text = Text::anywhere(&line.text);
            found += usize::from(index.find(&text, 1).first().is_some_and(inside));
        }
    }
    Ok(found as f64 / all.max(1) as f64)
}
