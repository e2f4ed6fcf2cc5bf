//! The recipe's tables: means over seeds, and their spread (sample deviation).

use anyhow::Result;
use serde_json::Value;

use super::Variant;
use crate::runs::{over, share};

/// Both tables as Markdown.
pub struct Tables {
    /// A row a variant.
    pub rows: String,
    /// Crops that grow at evaluation.
    pub expansion: String,
}

const MADE: &str = "Made by `cargo xtask recipe`; shares in percent, log p in nats, ± is the deviation over seeds.";

/// Tables of what has been measured.
///
/// # Errors
/// Measurements that cannot be read.
pub fn tables(
    variants: &[Variant],
    seeds: &[u64],
    measured: impl Fn(&str) -> Result<Option<Value>>,
) -> Result<Tables> {
    let mut rows = "| what the reader sees | seeds | accuracy | log p | crop alone: accuracy | wholly inside | recall | size |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    if let Some(found) = measured("reference")? {
        for (condition, title) in [
            ("full", "full image alone"),
            ("full+true", "full image and the true box (the ceiling)"),
        ] {
            let cell = cell(&found, condition, 1.0);
            rows.push_str(&format!(
                "| {title} | | {} | {} | | | | |\n",
                over(cell, |c| share(&c["exact"])),
                over(cell, |c| c["logprob"].as_f64()),
            ));
        }
    }
    let mut expansion = "| boxes | area x | accuracy | log p |\n|---|---|---|---|\n".to_owned();
    for variant in variants {
        let mut found = Vec::new();
        for seed in seeds {
            found.extend(measured(&format!("{}-{seed}", variant.name))?);
        }
        if found.is_empty() {
            continue;
        }
        let cells: Vec<&Value> = found
            .iter()
            .filter_map(|f| cell(f, "full+crop", 1.0))
            .collect();
        let alone = found.iter().filter_map(|f| cell(f, "crop", 1.0));
        rows.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            variant.title,
            found.len(),
            over(cells.iter().copied(), |c| share(&c["exact"])),
            over(cells.iter().copied(), |c| c["logprob"].as_f64()),
            over(alone, |c| share(&c["exact"])),
            over(&found, |f| share(&f["full_recall"])),
            over(&found, |f| share(&f["recall"])),
            over(&found, |f| share(&f["size"])),
        ));
        for factor in [1.0, 1.5, 2.0, 4.0].iter().filter(|_| variant.expand) {
            let cells: Vec<&Value> = found
                .iter()
                .filter_map(|f| cell(f, "full+crop", *factor))
                .collect();
            expansion.push_str(&format!(
                "| {} | {factor} | {} | {} |\n",
                variant.title,
                over(cells.iter().copied(), |c| share(&c["exact"])),
                over(cells.iter().copied(), |c| c["logprob"].as_f64()),
            ));
        }
    }
    Ok(Tables {
        rows: format!("{rows}\n{MADE}"),
        expansion: format!("{expansion}\n{MADE}"),
    })
}

/// The cell of an evaluation.
fn cell<'a>(found: &'a Value, condition: &str, expand: f64) -> Option<&'a Value> {
    let cells = found["target"]["cells"].as_array()?;
    cells
        .iter()
        .find(|cell| cell["condition"] == condition && cell["expand"] == expand)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::recipe::{GRPO, SFT};

    #[test]
    fn seeds_become_means_and_what_is_missing_is_left_out() {
        let measured = |name: &str| {
            let accuracy = match name {
                "sft-0" => 0.5,
                "sft-1" => 0.7,
                "reference" => 0.07,
                _ => return Ok(None),
            };
            Ok(Some(json!({
                "full_recall": 0.9, "recall": 0.95, "size": accuracy / 10.0,
                "target": {"cells": [
                    {"condition": "full", "expand": 1.0, "exact": accuracy, "logprob": -2.3},
                    {"condition": "full+crop", "expand": 1.0, "exact": accuracy, "logprob": -1.5},
                    {"condition": "full+crop", "expand": 2.0, "exact": 0.25, "logprob": -3.0},
                ]},
            })))
        };
        let variants = [
            Variant {
                expand: true,
                ..SFT
            },
            GRPO,
        ];
        let tables = tables(&variants, &[0, 1, 2], measured).expect("tables");
        let expected = "| full image alone | | 7.00 | -2.30 | | | | |\n";
        assert!(tables.rows.contains(expected), "{}", tables.rows);
        let expected = "| SFT on searched boxes | 2 | 60.0 ± 14.1 | -1.50 ± 0.00 |  | 90.0 ± 0.0 | 95.0 ± 0.0 | 6.00 ± 1.41 |\n";
        assert!(tables.rows.contains(expected), "{}", tables.rows);
        assert!(!tables.rows.contains("GRPO"));
        let expected = "| SFT on searched boxes | 2 | 25.0 ± 0.0 | -3.00 ± 0.00 |\n";
        assert!(tables.expansion.contains(expected), "{}", tables.expansion);
    }
}
