//! Drawn pages with questions, answers and boxes: what a cropping network learns from where nobody has annotated anything.
//!
//! ```text
//! dice -> maker (receipt, form, …) -> flat page: picture, lines, questions
//!      -> scene (sheet, scan or photo; boxes go along) -> JPEG and record (questions, lines, nested boxes)
//! ```
//!
//! Page i of seed s is the same whatever else is drawn: text, layout, wear and view all come from one stream of random
//! numbers (`dice`).
//!
//! ```
//! use pages::{Backgrounds, Fonts, Mix, Workshop};
//!
//! let workshop = Workshop {
//!     fonts: Fonts::load(None, true)?,
//!     backgrounds: Backgrounds::none(),
//!     mix: Mix::parse(Some("receipt"))?,
//!     browser: None,
//!     seed: 1,
//!     debug_boxes: false,
//! };
//! let (jpeg, record) = workshop.make(0)?;
//! assert!(jpeg.starts_with(&[0xff, 0xd8]) && record.samples.contains("question"));
//! # anyhow::Ok(())
//! ```

mod archive;
mod camera;
mod canvas;
mod card;
mod chart;
mod dice;
mod effects;
mod fonts;
mod form;
mod geometry;
mod html;
mod invoice;
mod kinds;
mod marks;
mod money;
mod nested;
mod page;
mod receipt;
mod record;
mod scene;
mod sign;
mod stamp;
mod table;
mod text;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Mutex;

use anyhow::Result;

use self::dice::Dice;
pub use self::fonts::Fonts;
pub use self::html::browser::Browser;
pub use self::kinds::Mix;
use self::page::Studio;
pub use self::record::{Record, image_name};
pub use self::scene::Backgrounds;

/// Goes up when the same seed would give other pages.
pub const VERSION: u32 = 7;

/// Everything that pages are made of.
pub struct Workshop {
    /// What print is set in.
    pub fonts: Fonts,
    /// What sheets lie on.
    pub backgrounds: Backgrounds,
    /// Kinds of pages, with their weights.
    pub mix: Mix,
    /// What lays out pages of kind html; needed where the mix has them.
    pub browser: Option<Mutex<Browser>>,
    /// Same seed, same pages.
    pub seed: u64,
    /// Whether boxes are drawn into the pictures.
    pub debug_boxes: bool,
}

impl Workshop {
    /// Page `index`: its JPEG and its record. It depends on seed and index alone.
    ///
    /// # Errors
    /// A browser that fails.
    pub fn make(&self, index: u64) -> Result<(Vec<u8>, Record)> {
        let mut dice = Dice::new(self.seed, index);
        let kind = self.mix.pick(&mut dice);
        let mut studio = Studio {
            fonts: &self.fonts,
            dice: &mut dice,
        };
        let mut page = kind.make(&mut studio, &self.backgrounds, self.browser.as_ref())?;
        let most = dice.int(8, 16) as usize;
        page.choose_asks(&mut dice, most);
        let picture = scene::shoot(&mut dice, page, &self.backgrounds);
        record::finish(picture, kind.name(), index, self.debug_boxes)
    }
}
