//! Learning to focus (LFPC) in small, on two cores, three seeds: the information gap and the grounding reward beside plain
//! GRPO, and whether the reader looks at the crops that come of it.
//!
//! ```text
//! data gap (pages to train on) -> grpo (variant, seed s) -> eval --conditions full,full+crop,true,noise,blank -> docs/focus.md
//! render (held-out pages) ---------------------------------^
//! ```
//!
//! A row of the table is a [`Variant`]: `trainer/configs/smoke.toml` with overrides, from the committed policy. What is
//! done is not done again (`runs.rs`). Text around the table is a person's.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::runs::{self, Runs, over, share, words};
use crate::step::note;
use crate::{markers, program, root};

/// What `cargo xtask focus` does.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Take the built `cropvlm` as it is
    #[arg(long)]
    no_build: bool,
    /// Write the table of what has been measured, and nothing else
    #[arg(long)]
    table: bool,
}

/// Everything that is made.
const OUT: &str = "runs/focus";
const CONFIG: &str = "trainer/configs/smoke.toml";
const POLICY: &str = "trainer/smoke/policy";
const READER: &str = "trainer/smoke/reader";
const PAGES: &str = "trainer/smoke/train/samples.jsonl";
const HELD: &str = "runs/focus/held/samples.jsonl";
const GAP: &str = "runs/focus/gap.jsonl";
const DOCUMENT: &str = "docs/focus.md";
const SEEDS: [u64; 3] = [0, 1, 2];

/// One way to train.
struct Variant {
    name: &'static str,
    /// What the table calls it.
    title: &'static str,
    /// `--set` of each.
    set: &'static [&'static str],
}

/// LFPC's weights of stage I.
const STAGE_ONE: &str =
    "rewards={likelihood=0.0, validity=0.0, accuracy=0.8, format=0.2, tool_bonus=1.2}";
const WITH_GAP: &str = "information_gap=true";
const GAP_DATA: &str = "data=[{samples=\"runs/focus/gap.jsonl\"}]";

const VARIANTS: [Variant; 5] = [
    Variant {
        name: "plain",
        title: "plain GRPO: likelihood",
        set: &[],
    },
    Variant {
        name: "grounding",
        title: "grounding reward alone",
        set: &["rewards={likelihood=0.0, grounding=1.0}"],
    },
    Variant {
        name: "both",
        title: "likelihood and grounding reward",
        set: &["rewards={likelihood=1.0, grounding=1.0}"],
    },
    Variant {
        name: "stage",
        title: "accuracy, format, tool bonus; no gap",
        set: &[STAGE_ONE],
    },
    Variant {
        name: "gap",
        title: "the same with the information gap",
        set: &[STAGE_ONE, WITH_GAP, GAP_DATA],
    },
];

/// Runs what has not been run, and writes the table.
pub fn run(options: &Options) -> Result<()> {
    if !options.table {
        if !options.no_build {
            program::build()?;
        }
        everything(&Runs::new(OUT)?)?;
    }
    let Some(table) = table(|name| runs::measured(OUT, name))? else {
        note(&format!(
            "nothing is measured yet: {DOCUMENT} stays as it is"
        ));
        return Ok(());
    };
    println!("\n{table}");
    markers::write(&root().join(DOCUMENT), "focus", &table)?;
    note(&format!("written to {DOCUMENT}"));
    Ok(())
}

fn everything(runs: &Runs) -> Result<()> {
    let held = runs.once(
        "held",
        &[],
        &words(&format!(
            "render --out {OUT}/held --count 400 --seed 2 --kinds card --no-system-fonts"
        )),
    )?;
    let gap = runs.once(
        "gap",
        &[],
        &words(&format!(
            "data gap --model {READER} --max-tokens 6 --data {PAGES} --out {GAP}"
        )),
    )?;
    measure(runs, "start", &held, POLICY)?;
    let file = root().join(CONFIG);
    let config = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
    for variant in &VARIANTS {
        for seed in SEEDS {
            let name = format!("{}-{seed}", variant.name);
            let mut line = words(&format!(
                "grpo --config {CONFIG} --out {OUT}/{name} --set seed={seed}"
            ));
            for set in variant.set {
                line.extend(["--set".to_owned(), (*set).to_owned()]);
            }
            let trained = runs.once(&name, &[gap.clone(), config.clone()], &line)?;
            let before = format!("{trained}\n{held}");
            measure(runs, &name, &before, &format!("{OUT}/{name}/model"))?;
        }
    }
    Ok(())
}

/// Boxes of a policy on the held-out pages, and what the reader makes of them.
fn measure(runs: &Runs, name: &str, before: &str, model: &str) -> Result<()> {
    let line = format!(
        "eval --model {model} --data {HELD} --target {READER} --target-max-tokens 6 \
         --conditions full,full+crop,true,noise,blank --json"
    );
    runs.measure(name, before, &words(&line))
}

/// The table of what has been measured; nothing where nothing has.
fn table(measured: impl Fn(&str) -> Result<Option<Value>>) -> Result<Option<String>> {
    let mut text = "| policy | seeds | wholly inside | recall | size | IoU | accuracy with the crop | gain with the true box | drop with noise | answers given before looking |\n\
        |---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut rows = 0;
    let start = measured("start")?.into_iter().collect();
    let mut all = vec![("where all start from", start)];
    for variant in &VARIANTS {
        let mut found = Vec::new();
        for seed in SEEDS {
            found.extend(measured(&format!("{}-{seed}", variant.name))?);
        }
        all.push((variant.title, found));
    }
    for (title, found) in &all {
        if found.is_empty() {
            continue;
        }
        rows += 1;
        let of = |key: &str| over(found, |f| share(&f[key]));
        let crop = |key: &str| {
            over(found, |f| {
                share(&f["target"]["diagnostic"][0][key]["value"])
            })
        };
        let right = over(found, |f| {
            let cells = f["target"]["cells"].as_array()?;
            let crop = cells.iter().find(|cell| cell["condition"] == "full+crop");
            share(&crop?["exact"])
        });
        let cells = [
            (*title).to_owned(),
            found.len().to_string(),
            of("full_recall"),
            of("recall"),
            of("size"),
            of("iou"),
            right,
            crop("gain_true"),
            crop("drop_noise"),
            crop("before_looking"),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    let made = "Made by `cargo xtask focus`; shares in percent, gain and drop in points of VQA accuracy, ± is the deviation over seeds.";
    Ok((rows > 0).then(|| format!("{text}\n{made}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_measured_becomes_rows_and_nothing_no_table() {
        assert_eq!(table(|_| Ok(None)).expect("a table"), None);
        let measured = |name: &str| {
            let size = match name {
                "start" => 0.04,
                "grounding-0" => 0.01,
                "grounding-2" => 0.03,
                _ => return Ok(None),
            };
            Ok(Some(json!({
                "full_recall": 0.9, "recall": 0.95, "size": size, "iou": 0.5,
                "target": {
                    "cells": [
                        {"condition": "full", "exact": 0.1},
                        {"condition": "full+crop", "exact": 0.75},
                    ],
                    "diagnostic": [{
                        "gain_true": {"value": 0.125}, "drop_noise": {"value": 0.5}, "before_looking": null,
                    }],
                },
            })))
        };
        let text = table(measured).expect("a table").expect("rows");
        let start =
            "| where all start from | 1 | 90.0 | 95.0 | 4.00 | 50.0 | 75.0 | 12.5 | 50.0 |  |";
        assert!(text.contains(start), "{text}");
        let grounding = "| grounding reward alone | 2 | 90.0 ± 0.0 | 95.0 ± 0.0 | 2.00 ± 1.41 | ";
        assert!(text.contains(grounding), "{text}");
        assert!(
            !text.contains("plain") && text.lines().count() == 6,
            "{text}"
        );
    }

    #[test]
    fn what_variants_name_is_there() {
        for name in [CONFIG, POLICY, READER, PAGES] {
            assert!(root().join(name).exists(), "{name}");
        }
        assert!(GAP_DATA.contains(GAP) && HELD.starts_with(OUT));
        let names: std::collections::BTreeSet<&str> = VARIANTS.iter().map(|v| v.name).collect();
        assert_eq!(names.len(), VARIANTS.len());
        let document = std::fs::read_to_string(root().join(DOCUMENT)).expect(DOCUMENT);
        for marker in ["<!-- focus -->", "<!-- /focus -->"] {
            assert_eq!(document.matches(marker).count(), 1, "{marker}");
        }
    }
}
