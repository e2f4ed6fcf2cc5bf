//! How many tokens an image will cost, by the rule that its provider publishes.
//!
//! A model whose rule is not published has none here ([`Rule::of`] gives `None`), rather than a guess from its
//! elder sister: OpenAI's page names neither `gpt-6-luna` nor `gpt-6.1-sol`, Anthropic's no Claude 5.5. The page
//! shows the prediction beside the `usage` that the provider counted. Sources, as read in autumn 2026:
//!
//! * OpenAI, "Images and vision", sections "Model sizing behavior" and "Calculating costs"
//!   (developers.openai.com/api/docs/guides/images-vision); requests here leave `detail` to its default, `auto`.
//! * Anthropic, "Vision", section "Resolution and token cost", and "Coordinates and bounding boxes"
//!   (platform.claude.com/docs/en/build-with-claude/vision). The older rule, width x height / 750, is gone.
//! * Google, "Image understanding" and "Media resolution" (ai.google.dev/gemini-api/docs/image-understanding,
//!   .../media-resolution).
//! * Mistral, and the models that local servers run, publish none for their APIs.

use crate::Provider;

/// A published rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// OpenAI's tiles of 512 pixels: fit into 2048 x 2048, shortest side at most 768, tiles counted.
    Tiles {
        /// Tokens of an image.
        base: u64,
        /// Tokens of each tile.
        tile: u64,
    },
    /// OpenAI's patches of 32 pixels.
    Patches32 {
        /// Tokens of a patch, in hundredths.
        hundredths: u64,
        /// Most patches, and the longest edge; larger images are shrunk. `None`: sent as they are.
        limits: Option<(u64, u32)>,
    },
    /// Anthropic's patches of 28 pixels.
    Patches28 {
        /// Most tokens; larger images are shrunk.
        tokens: u64,
        /// Longest edge after padding, pixels.
        edge: u32,
    },
    /// Gemini 2.x: 258 tokens, or 258 a tile. Google calls its own formula rough.
    GeminiTiles,
    /// Gemini 3: about this many whatever the size (`media_resolution` left to its default).
    About(u64),
}

/// OpenAI's families: patches with their budget, then tiles. A dated snapshot counts as its family.
const OPENAI: [(&str, Rule); 26] = [
    ("gpt-6-astra", patches(120, None)),
    ("gpt-5.6-sol", patches(120, None)),
    ("gpt-5.6-terra", patches(120, None)),
    ("gpt-5.6-luna", patches(120, None)),
    ("gpt-5.5", patches(120, Some((10_000, 6_000)))),
    ("gpt-5.4", patches(120, Some((2_500, 2_048)))),
    ("gpt-5.4-mini", patches(120, SMALL)),
    ("gpt-5.4-nano", patches(120, SMALL)),
    ("gpt-5.2", patches(120, SMALL)),
    ("gpt-5.2-chat-latest", patches(120, SMALL)),
    ("gpt-5-mini", patches(120, SMALL)),
    ("gpt-5-nano", patches(150, SMALL)),
    ("gpt-4.1-mini", patches(162, SMALL)),
    ("gpt-4.1-nano", patches(246, SMALL)),
    ("o4-mini", patches(172, SMALL)),
    ("gpt-5", tiles(70, 140)),
    ("gpt-5-chat-latest", tiles(70, 140)),
    ("gpt-4o", tiles(85, 170)),
    ("gpt-4.1", tiles(85, 170)),
    ("gpt-4.5", tiles(85, 170)),
    ("gpt-4.5-preview", tiles(85, 170)),
    ("gpt-4o-mini", tiles(2_833, 5_667)),
    ("o1", tiles(75, 150)),
    ("o1-pro", tiles(75, 150)),
    ("o3", tiles(75, 150)),
    ("computer-use-preview", tiles(65, 129)),
];
/// Budget of OpenAI's smaller models: 1,536 patches, 2,048 pixels.
const SMALL: Option<(u64, u32)> = Some((1_536, 2_048));

/// Anthropic's models of high resolution.
const CLAUDE_HIGH: [&str; 6] = [
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
];
/// Anthropic's models of standard resolution.
const CLAUDE_STANDARD: [&str; 10] = [
    "claude-haiku-4-5",
    "claude-sonnet-4-6",
    "claude-sonnet-4-5",
    "claude-sonnet-4",
    "claude-opus-4-6",
    "claude-opus-4-5",
    "claude-opus-4-1",
    "claude-opus-4",
    "claude-3-7-sonnet",
    "claude-3-5-haiku",
];

const fn patches(hundredths: u64, limits: Option<(u64, u32)>) -> Rule {
    Rule::Patches32 { hundredths, limits }
}

const fn tiles(base: u64, tile: u64) -> Rule {
    Rule::Tiles { base, tile }
}

impl Rule {
    /// The rule of a model, by its name in the provider's spelling; `None` where none is published.
    pub fn of(provider: Provider, model: &str) -> Option<Rule> {
        let model = model.trim().to_ascii_lowercase();
        match provider {
            Provider::OpenAi | Provider::OpenAiResponses => openai(&model),
            Provider::Anthropic => anthropic(&model),
            Provider::Gemini => gemini(model.trim_start_matches("models/")),
            // OpenRouter passes images on and counts as the model's maker does; it writes versions with a dot.
            Provider::OpenRouter => match model.split_once('/')? {
                ("openai", model) => openai(model),
                ("anthropic", model) => anthropic(&model.replace('.', "-")),
                ("google", model) => gemini(model),
                _ => None,
            },
            _ => None,
        }
    }

    /// Tokens of an image of this size in pixels.
    pub fn tokens(self, width: u32, height: u32) -> u64 {
        let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
        match self {
            Rule::Tiles { base, tile } => base + tile * tiles_512(w, h),
            Rule::Patches32 { hundredths, limits } => {
                (patches_32(w, h, limits) * hundredths).div_ceil(100)
            }
            Rule::Patches28 { tokens, edge } => {
                let (w, h) = fitted_28(width.max(1), height.max(1), tokens, edge);
                patches_28(w, h)
            }
            Rule::GeminiTiles if w <= 384.0 && h <= 384.0 => 258,
            Rule::GeminiTiles => {
                let unit = (w.min(h) / 1.5).floor().max(1.0);
                258 * ((w / unit).ceil() * (h / unit).ceil()) as u64
            }
            Rule::About(tokens) => tokens,
        }
    }

    /// The rule in words, for a person.
    pub fn said(self) -> &'static str {
        match self {
            Rule::Tiles { .. } => "OpenAI's rule of 512-pixel tiles",
            Rule::Patches32 { .. } => "OpenAI's rule of 32-pixel patches",
            Rule::Patches28 { .. } => "Anthropic's rule of 28-pixel patches",
            Rule::GeminiTiles => "Google's rough formula of 258 tokens a tile",
            Rule::About(_) => "Google's table, about the same for every size",
        }
    }
}

/// Tokens of several images together; `None` where no rule is published.
pub fn predict(provider: Provider, model: &str, sizes: &[(u32, u32)]) -> Option<u64> {
    let rule = Rule::of(provider, model)?;
    Some(sizes.iter().map(|&(w, h)| rule.tokens(w, h)).sum())
}

/// Whether a name is this family or a dated snapshot of it (`gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`).
fn is(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with("-20") || matches!(rest, "-latest" | "-preview")
    })
}

fn openai(model: &str) -> Option<Rule> {
    let exact = OPENAI.iter().find(|(family, _)| *family == model);
    let (_, rule) = exact.or_else(|| OPENAI.iter().find(|(family, _)| is(model, family)))?;
    Some(*rule)
}

fn anthropic(model: &str) -> Option<Rule> {
    if CLAUDE_HIGH.iter().any(|family| is(model, family)) {
        let (tokens, edge) = (4_784, 2_576);
        return Some(Rule::Patches28 { tokens, edge });
    }
    let (tokens, edge) = (1_568, 1_568);
    let standard = CLAUDE_STANDARD.iter().any(|family| is(model, family));
    standard.then_some(Rule::Patches28 { tokens, edge })
}

fn gemini(model: &str) -> Option<Rule> {
    let starts = |prefix: &str| model.starts_with(prefix);
    if starts("gemini-2.5-") || starts("gemini-2.0-") {
        return Some(Rule::GeminiTiles);
    }
    // Gemini 3, 3.1, ...: 1,120 tokens an image at the default resolution.
    (starts("gemini-3-") || starts("gemini-3.")).then_some(Rule::About(1_120))
}

/// Tiles after fitting into 2048 x 2048 and shrinking the shortest side to 768. The page says "scale"; smaller
/// images are not enlarged, as the provider's calculator shows.
fn tiles_512(w: f64, h: f64) -> u64 {
    let fit = (2_048.0 / w.max(h)).min(1.0);
    let (w, h) = (w * fit, h * fit);
    let short = (768.0 / w.min(h)).min(1.0);
    let count = |side: f64| (whole(side * short) / 512.0).ceil();
    (count(w) * count(h)) as u64
}

/// Patches after shrinking to the limits, by the published formula.
fn patches_32(w: f64, h: f64, limits: Option<(u64, u32)>) -> u64 {
    let count = |side: f64| (side / 32.0).ceil();
    let all = count(w) * count(h);
    let Some((budget, edge)) = limits else {
        return all as u64;
    };
    let mut scale = (f64::from(edge) / w.max(h)).min(1.0);
    if all > budget as f64 {
        let shrink = (1_024.0 * budget as f64 / (w * h)).sqrt();
        let grid = |side: f64| {
            let patches = side * shrink / 32.0;
            // A side thinner than one patch cannot be rounded down to none.
            if patches < 1.0 {
                1.0
            } else {
                patches.floor() / patches
            }
        };
        scale = scale.min(shrink * grid(w).min(grid(h)));
    }
    let patches = count(whole(w * scale)) * count(whole(h * scale));
    (patches as u64).min(budget)
}

/// Whole pixels; a hair is added, so that 1056 computed as 1055.999... stays 1056.
fn whole(side: f64) -> f64 {
    (side + 1e-6).floor().max(1.0)
}

fn patches_28(w: u32, h: u32) -> u64 {
    u64::from(w.div_ceil(28)) * u64::from(h.div_ceil(28))
}

/// The size that Claude shrinks an image to: the largest of the same shape that keeps both limits, found by
/// bisection along the long side as in Anthropic's reference.
fn fitted_28(w: u32, h: u32, tokens: u64, edge: u32) -> (u32, u32) {
    let fits = |w: u32, h: u32| {
        let padded = |side: u32| u64::from(side.div_ceil(28)) * 28;
        let edge = u64::from(edge);
        padded(w) <= edge && padded(h) <= edge && patches_28(w, h) <= tokens
    };
    if fits(w, h) {
        return (w, h);
    }
    if h > w {
        let (h, w) = fitted_28(h, w, tokens, edge);
        return (w, h);
    }
    let shape = f64::from(w) / f64::from(h);
    let other = |long: u32| ((f64::from(long) / shape).round_ties_even() as u32).max(1);
    let (mut low, mut high) = (1, w);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if fits(middle, other(middle)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, other(low))
}
