//! The kinds of pages and how often each is drawn.

use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use super::dice::Dice;
use super::html::browser::Browser;
use super::page::{Page, Studio};
use super::scene::Backgrounds;
use super::{card, chart, form, html, invoice, receipt, sign, stamp, table};

/// A kind of page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Till receipts and small invoices.
    Receipt,
    /// Filled-in office forms, faxes, memos.
    Form,
    /// Business invoices on a whole sheet.
    Invoice,
    /// Bars, columns, pies, lines with printed numbers.
    Chart,
    /// Tables and lists.
    Table,
    /// Signs, posters and labels in photos.
    Sign,
    /// Number plates in photos.
    Plate,
    /// A card with a digit on a cluttered page: for training small models in minutes.
    Card,
    /// Two such cards.
    Cards,
    /// Screens and sheets that Chromium lays out.
    Html,
}

/// Every kind that looks like a real page, with its usual weight.
const ALL: [(Kind, f32); 7] = [
    (Kind::Receipt, 50.0),
    (Kind::Form, 18.0),
    (Kind::Invoice, 6.0),
    (Kind::Chart, 12.0),
    (Kind::Table, 8.0),
    (Kind::Sign, 7.0),
    (Kind::Plate, 5.0),
];

impl Kind {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Form => "form",
            Self::Invoice => "invoice",
            Self::Chart => "chart",
            Self::Table => "table",
            Self::Sign => "sign",
            Self::Plate => "plate",
            Self::Card => "card",
            Self::Cards => "cards",
            Self::Html => "html",
        }
    }

    /// Draws a page of this kind; `browser` lays out those of kind html.
    pub fn make(
        self,
        studio: &mut Studio<'_>,
        backgrounds: &Backgrounds,
        browser: Option<&Mutex<Browser>>,
    ) -> Result<Page> {
        let mut page = match self {
            Self::Receipt => receipt::make(studio)?,
            Self::Form => form::make(studio)?,
            Self::Invoice => invoice::make(studio)?,
            Self::Chart => chart::make(studio)?,
            Self::Table => table::make(studio)?,
            Self::Sign => sign::sign(studio, backgrounds)?,
            Self::Plate => sign::plate(studio, backgrounds)?,
            // Their own questions are all that is to be asked.
            Self::Card => return card::make(studio, false),
            Self::Cards => return card::make(studio, true),
            Self::Html => {
                let browser = browser.context("pages of kind html need Chromium")?;
                html::make(browser, studio.dice)?
            }
        };
        let neighbours = match self {
            Self::Receipt | Self::Form | Self::Invoice => 6,
            Self::Table => 2,

            Self::Chart | Self::Sign | Self::Plate | Self::Card | Self::Cards | Self::Html => 1,
        };
        page.ask_neighbours(studio.dice, neighbours);
        if matches!(self, Self::Receipt | Self::Form | Self::Invoice) && studio.dice.chance(0.1) {
            stamp::add(studio, &mut page)?;
        }
        Ok(page)
    }
}

/// Kinds with weights.
pub struct Mix(pub Vec<(Kind, f32)>);

impl Mix {
    /// Parses `receipt=60,form`; nothing means every kind.
    ///
    /// Errors: an unknown kind, a weight that is no number above 0.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else {
            return Ok(Self(ALL.to_vec()));
        };
        let mut mix = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let known = || {
                ALL.iter()
                    .map(|(kind, _)| *kind)
                    .chain([Kind::Card, Kind::Cards, Kind::Html])
            };
            let Some(kind) = known().find(|k| k.name() == name.trim()) else {
                let known: Vec<&str> = known().map(Kind::name).collect();
                bail!(
                    "unknown kind of page {name:?}; known are {}",
                    known.join(", ")
                );
            };
            let weight: f32 = weight
                .trim()
                .parse()
                .with_context(|| format!("weight of {name}"))?;
            if !(weight.is_finite() && weight > 0.0) {
                bail!("the weight of {name} must be above 0, not {weight}");
            }
            mix.push((kind, weight));
        }
        if mix.is_empty() {
            bail!("--kinds names no kind of page");
        }
        Ok(Self(mix))
    }

    /// Pages out of Chromium only.
    pub fn html() -> Self {
        Self(vec![(Kind::Html, 1.0)])
    }

    /// Whether Chromium is needed.
    pub fn needs_browser(&self) -> bool {
        self.0.iter().any(|(kind, _)| *kind == Kind::Html)
    }

    /// A kind, drawn in proportion to the weights.
    pub fn pick(&self, dice: &mut Dice) -> Kind {
        let weights: Vec<f32> = self.0.iter().map(|m| m.1).collect();
        self.0[dice.weighted(&weights)].0
    }

    /// As on the command line.
    pub fn text(&self) -> String {
        self.0
            .iter()
            .map(|(k, w)| format!("{}={w}", k.name()))
            .collect::<Vec<_>>()
            .join(",")
    }
}
