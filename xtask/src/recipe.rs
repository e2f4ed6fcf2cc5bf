//! The paper's recipe in small, with its ablations, on two cores: boxes that a frozen reader searched, SFT on them,
//! GRPO with the reader's rewards, three seeds, measured on pages that nothing was trained on.
//!
//! ```text
//! render (held-out pages) ─────────────────────────────┐
//! boxes --search -> sft (seed s) -> grpo (seed s) -> eval --target reader -> docs/recipe.md
//! ```
//!
//! A row of the table is a [`Variant`]: a committed configuration with overrides. What is done is not done again (`runs.rs`).

use anyhow::{Context, Result};

use crate::runs::{self, Runs, words};
use crate::step::note;
use crate::{markers, program, root};

mod table;

/// What `cargo xtask recipe` does.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Take the built `cropvlm` as it is
    #[arg(long)]
    no_build: bool,
    /// Write the tables of what has been measured, and nothing else
    #[arg(long)]
    table: bool,
}

/// Everything that is made; configurations name this folder, too.
const OUT: &str = "runs/recipe";
const READER: &str = "trainer/smoke/reader";
const PAGES: &str = "trainer/smoke/train/samples.jsonl";
const HELD: &str = "runs/recipe/held/samples.jsonl";
const DOCUMENT: &str = "docs/recipe.md";
const SEEDS: [u64; 3] = [0, 1, 2];
/// Area factors by which crops grow at evaluation.
const EXPAND: &str = "1,1.5,2,4";

/// One way to train.
struct Variant {
    name: &'static str,
    /// What the table calls it.
    title: &'static str,
    /// `sft` or `grpo`.
    command: &'static str,
    /// In trainer/configs/recipe.
    config: &'static str,
    /// `--set` of each.
    set: &'static [&'static str],
    /// The variant that it starts from.
    start: Option<&'static str>,
    /// Whether the expansion of crops is swept.
    expand: bool,
}

/// The usual variant: SFT on searched boxes.
const SFT: Variant = Variant {
    name: "sft",
    title: "SFT on searched boxes",
    command: "sft",
    config: "sft.toml",
    set: &[],
    start: None,
    expand: false,
};
/// The usual variant after it: GRPO with the likelihood reward.
const GRPO: Variant = Variant {
    name: "likelihood",
    title: "+ GRPO, likelihood reward",
    command: "grpo",
    config: "grpo.toml",
    set: &[],
    start: Some("sft"),
    expand: false,
};
const TRUE_BOXES: &str = "data=[{samples=\"trainer/smoke/train/samples.jsonl\", weight=1.0}]";

const VARIANTS: [Variant; 12] = [
    Variant {
        expand: true,
        ..SFT
    },
    Variant {
        expand: true,
        ..GRPO
    },
    Variant {
        name: "accuracy",
        title: "+ GRPO, accuracy reward",
        set: &["rewards.likelihood=0", "rewards.accuracy=1"],
        ..GRPO
    },
    Variant {
        name: "likelihood-at-one",
        title: "+ GRPO, likelihood reward, log-probabilities at temperature 1",
        set: &["logprob_temperature=1"],
        ..GRPO
    },
    Variant {
        name: "accuracy-at-one",
        title: "+ GRPO, accuracy reward, log-probabilities at temperature 1",
        set: &[
            "rewards.likelihood=0",
            "rewards.accuracy=1",
            "logprob_temperature=1",
        ],
        ..GRPO
    },
    Variant {
        name: "crop-only",
        title: "+ GRPO, likelihood, without the full image",
        set: &["reward_model.full_image=false"],
        ..GRPO
    },
    Variant {
        name: "true",
        title: "SFT on true boxes",
        set: &[TRUE_BOXES],
        ..SFT
    },
    Variant {
        name: "true-likelihood",
        title: "+ GRPO, likelihood reward",
        start: Some("true"),
        ..GRPO
    },
    Variant {
        name: "small",
        title: "input of 64 x 64: SFT on searched boxes",
        set: &["model.canvas_pixels=4096"],
        ..SFT
    },
    Variant {
        name: "small-likelihood",
        title: "+ GRPO, likelihood reward",
        start: Some("small"),
        ..GRPO
    },
    Variant {
        name: "large",
        title: "input of 128 x 128: SFT on searched boxes",
        set: &["model.canvas_pixels=16384"],
        ..SFT
    },
    Variant {
        name: "large-likelihood",
        title: "+ GRPO, likelihood reward",
        start: Some("large"),
        ..GRPO
    },
];

/// Runs what has not been run, and writes the tables.
pub fn run(options: &Options) -> Result<()> {
    if !options.table {
        if !options.no_build {
            program::build()?;
        }
        Recipe(Runs::new(OUT)?).everything()?;
    }
    let tables = table::tables(&VARIANTS, &SEEDS, |name| runs::measured(OUT, name))?;
    println!("\n{}\n\n{}", tables.rows, tables.expansion);
    let file = root().join(DOCUMENT);
    markers::write(&file, "recipe", &tables.rows)?;
    markers::write(&file, "recipe: expansion", &tables.expansion)?;
    note(&format!("written to {DOCUMENT}"));
    Ok(())
}

/// The steps.
struct Recipe(Runs);

impl Recipe {
    fn everything(&self) -> Result<()> {
        let held = self.0.once(
            "held",
            &[],
            &words(&format!(
                "render --out {OUT}/held --count 400 --seed 2 --kinds card --no-system-fonts"
            )),
        )?;
        let reference = words(&format!(
            "eval --data {HELD} --target {READER} --target-max-tokens 6 --conditions full,full+true --json"
        ));
        self.0.measure("reference", &held, &reference)?;
        // A cell of the grid is about as large as the evidence; noise of a cell's size would make crops that this
        // reader cannot read (docs/recipe.md).
        let boxes = self.0.once("boxes", &[], &words(&format!(
            "boxes --search --no-noise --grid 8 --reader {READER} --data {PAGES} --out {OUT}/boxes.jsonl"
        )))?;
        for variant in &VARIANTS {
            for seed in SEEDS {
                self.variant(variant, seed, &boxes, &held)?;
            }
        }
        Ok(())
    }

    /// Trains one variant with one seed, and measures it.
    fn variant(&self, variant: &Variant, seed: u64, boxes: &str, held: &str) -> Result<()> {
        let name = format!("{}-{seed}", variant.name);
        let config = format!("trainer/configs/recipe/{}", variant.config);
        let out = format!("{OUT}/{name}");
        let mut line = words(&format!(
            "{} --config {config} --out {out} --set seed={seed}",
            variant.command
        ));
        let mut before = vec![boxes.to_owned()];
        if let Some(start) = variant.start {
            let start = format!("{start}-{seed}");
            line.extend(["--set".to_owned(), format!("policy={OUT}/{start}/model")]);
            before.push(self.0.stamp(&start)?);
        }
        for set in variant.set {
            line.extend(["--set".to_owned(), (*set).to_owned()]);
        }
        let file = root().join(&config);
        before.push(std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?);
        let trained = self.0.once(&name, &before, &line)?;
        let mut line = words(&format!(
            "eval --model {out}/model --data {HELD} --target {READER} --target-max-tokens 6 --conditions full+crop,crop --json"
        ));
        if variant.expand {
            line.extend(["--expand".to_owned(), EXPAND.to_owned()]);
        }
        self.0.measure(&name, &format!("{trained}\n{held}"), &line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_starts_from_one_before_it_and_has_its_configuration() {
        for (i, variant) in VARIANTS.iter().enumerate() {
            let earlier = &VARIANTS[..i];
            assert!(earlier.iter().all(|v| v.name != variant.name));
            if let Some(start) = variant.start {
                assert!(earlier.iter().any(|v| v.name == start), "{start}");
            }
            assert_eq!(variant.command == "grpo", variant.start.is_some());
            let config = root().join("trainer/configs/recipe").join(variant.config);
            assert!(config.is_file(), "{}", config.display());
        }
    }
}
