//! The answers in numbers: one row for each cell, as JSON and as a Markdown table.

use anyhow::Result;
use grounding::answers::{anls, exact_match, most_frequent, vqa_accuracy, without_full_stop};
use serde::Serialize;

use super::ask::Asking;
use super::conditions::Condition;
use super::diagnostic::{Diagnostic, interval};
use super::refusal::is_refusal;

/// One row. Means are over answered questions, refusals included; errors are in none of them. Where nothing was answered
/// there is no mean: NaN, null in JSON, an empty cell in the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Pictures that came with the questions.
    pub condition: Condition,
    /// By how much the crop's area grew.
    pub expand: f32,
    /// Longest edge of every picture.
    pub longest_edge: Option<u32>,
    /// Answered questions.
    pub n: usize,
    /// Mean VQA accuracy.
    pub vqa: f64,
    /// Half of the width of its 95 % interval (normal approximation).
    pub vqa_margin: f64,
    /// Its 95 % interval by bootstrap over pictures.
    pub vqa_interval: Option<[f64; 2]>,
    /// Mean ANLS, threshold 0.5.
    pub anls: f64,
    /// Share of answers that are an accepted one, letter by letter.
    pub exact: f64,
    /// Mean log p of the accepted answer, nats, where the target can say it.
    pub logprob: Option<f64>,
    /// Mean difference of VQA accuracy to the full image alone, over questions answered in both.
    pub vqa_gain: Option<f64>,
    /// The same of ANLS.
    pub anls_gain: Option<f64>,
    /// Answers that refuse.
    pub refused: usize,
    /// Questions without an answer, because of an error.
    pub errors: usize,
    /// Questions that have not been asked.
    pub missing: usize,
    /// Answers for which there was no valid box, so that the full image came alone.
    pub boxless: usize,
    /// Mean milliseconds of an answer.
    pub ms_per_answer: f64,
    /// Mean tokens of a prompt, where they are known.
    pub prompt_tokens: Option<f64>,
}

/// Scores of one question: VQA accuracy, ANLS, exact.
type Scores = Option<[f64; 3]>;

/// Rows in the order of the cells.
pub fn rows(asking: &Asking<'_>) -> Vec<Row> {
    let scores: Vec<Vec<(String, Scores)>> = asking
        .cells
        .iter()
        .map(|cell| {
            let keys = asking.keys(cell);
            keys.map(|(sample, key)| {
                let item = asking.items.get(&key);
                // Scored anew, so that a file made by an older version counts by today's rules.
                let scores = item.and_then(|item| item.answer).map(|answer| {
                    let answer = without_full_stop(&answer);
                    [
                        vqa_accuracy(answer, &sample.answers),
                        anls(answer, &sample.answers),
                        f64::from(u8::from(exact_match(answer, &sample.answers))),
                    ]
                });
                (sample.id.clone(), scores)
            })
            .collect()
        })
        .collect();
    (0..asking.cells.len())
        .map(|at| row(asking, &scores, at))
        .collect()
}

fn row(asking: &Asking<'_>, scores: &[Vec<(String, Scores)>], at: usize) -> Row {
    let cell = &asking.cells[at];
    let items: Vec<_> = asking
        .keys(cell)
        .map(|(_, key)| asking.items.get(&key))
        .collect();
    let answered: Vec<_> = items
        .iter()
        .flatten()
        .filter(|item| item.answer.is_some())
        .collect();
    let of = |which: usize| {
        scores[at]
            .iter()
            .filter_map(move |(_, s)| s.map(|s| s[which]))
    };
    let (vqa, margin) = mean_and_margin(of(0));
    let pictures: Vec<&str> = asking
        .keys(cell)
        .map(|(sample, _)| sample.image.as_str())
        .collect();
    let known = pictures.iter().zip(&scores[at]);
    let known = known.filter_map(|(picture, (_, scores))| Some((*picture, (*scores)?[0])));
    let bounds = interval(&known.collect::<Vec<_>>());
    let plain = asking.cells.iter().position(|other| {
        other.condition == Condition::Full && other.longest_edge == cell.longest_edge
    });
    let gain = |which: usize| {
        let plain = plain.filter(|&plain| plain != at)?;
        let base: std::collections::HashMap<&str, [f64; 3]> = scores[plain]
            .iter()
            .filter_map(|(id, s)| Some((id.as_str(), (*s)?)))
            .collect();
        let pairs = scores[at]
            .iter()
            .filter_map(|(id, s)| Some((*s)?[which] - base.get(id.as_str())?[which]));
        let gains: Vec<f64> = pairs.collect();
        (!gains.is_empty()).then(|| mean_and_margin(gains.into_iter()).0)
    };
    let tokens: Vec<f64> = answered
        .iter()
        .filter_map(|item| item.tokens.map(|(prompt, _)| prompt as f64))
        .collect();
    let logs: Vec<f64> = answered.iter().filter_map(|item| item.logprob).collect();
    let refused = |text: &Option<String>, marked| {
        text.as_deref().is_some_and(|text| is_refusal(text, marked))
    };
    let asked = items.iter().flatten().count();
    Row {
        condition: cell.condition,
        expand: cell.expand,
        longest_edge: cell.longest_edge,
        n: answered.len(),
        vqa,
        vqa_margin: margin,
        vqa_interval: bounds.map(|found| [found.low, found.high]),
        anls: mean_and_margin(of(1)).0,
        exact: mean_and_margin(of(2)).0,
        logprob: (!logs.is_empty()).then(|| mean_and_margin(logs.into_iter()).0),
        vqa_gain: gain(0),
        anls_gain: gain(1),
        refused: answered
            .iter()
            .filter(|item| refused(&item.answer, item.refused))
            .count(),
        errors: asked - answered.len(),
        missing: items.len() - asked,
        boxless: if cell.condition == Condition::Full {
            0
        } else {
            answered.iter().filter(|item| item.bbox.is_none()).count()
        },
        ms_per_answer: mean_and_margin(answered.iter().map(|item| item.ms)).0,
        prompt_tokens: (!tokens.is_empty()).then(|| mean_and_margin(tokens.into_iter()).0),
    }
}

/// Why nothing was answered, if something was asked and every answer failed: how many did, and the commonest reason.
pub fn all_failed(asking: &Asking<'_>) -> Option<(usize, String)> {
    let keys = asking.cells.iter().flat_map(|cell| asking.keys(cell));
    let items = keys.filter_map(|(_, key)| asking.items.get(&key));
    let mut reasons: Vec<String> = Vec::new();
    for item in items {
        if item.answer.is_some() {
            return None;
        }
        reasons.extend(item.error);
    }
    let reason = most_frequent(&reasons)?.to_owned();
    Some((reasons.len(), reason))
}

/// Mean, and 1.96 standard errors of it. Of nothing at all there is none: NaN.
fn mean_and_margin(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let margin = match values.len() {
        0 | 1 => 0.0,
        _ => 1.96 * (squares / (n - 1.0) / n).sqrt(),
    };
    (mean, margin)
}

/// Rows as JSON, under the target's name.
///
/// # Errors
/// None that is known of.
pub fn json(target: &str, rows: &[Row], crops: &[Diagnostic]) -> Result<serde_json::Value> {
    Ok(serde_json::json!({
        "name": target, "cells": serde_json::to_value(rows)?, "diagnostic": serde_json::to_value(crops)?,
    }))
}

/// A sentence a row, for a person; errors and what was not asked are named where there are any.
pub fn sentences(target: &str, rows: &[Row]) -> String {
    let of = |row: &Row| {
        let mut text = format!("With {}", row.condition.words());
        if row.expand != 1.0 {
            text.push_str(&format!(" grown to {} times its area", row.expand));
        }
        if let Some(edge) = row.longest_edge {
            text.push_str(&format!(" at {edge} px"));
        }
        if row.n == 0 {
            return format!("{text}: no answer.");
        }
        text.push_str(&format!(
            ": VQA accuracy {:.1} % ± {:.1} over {} questions",
            100.0 * row.vqa,
            100.0 * row.vqa_margin,
            row.n
        ));
        if let Some(gain) = row.vqa_gain.map(|gain| 100.0 * gain) {
            let than = if gain < 0.0 { "less" } else { "more" };
            text.push_str(&format!(
                ", {:.1} points {than} than with the full image alone",
                gain.abs()
            ));
        }
        text.push('.');
        if row.errors + row.missing > 0 {
            text.push_str(&format!(
                " {} failed and {} were not asked.",
                row.errors, row.missing
            ));
        }
        text
    };
    let lines: Vec<String> = rows.iter().map(of).collect();
    format!("{target} answers:\n{}", lines.join("\n"))
}

/// Rows as a Markdown table; scores in percent.
pub fn markdown(target: &str, rows: &[Row]) -> String {
    let known = |v: f64, text: String| if v.is_nan() { String::new() } else { text };
    let percent = |v: f64| known(v, format!("{:.1}", 100.0 * v));
    let signed = |v: Option<f64>| v.map_or("".to_owned(), |v| format!("{:+.1}", 100.0 * v));
    let mut text = format!(
        "{target}\n\n| shown | area x | longest edge | n | VQA | 95 % | ANLS | exact | log p | VQA to full | ANLS to full | refused | no box | errors | s each |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let edge = row
            .longest_edge
            .map_or("own".to_owned(), |edge| edge.to_string());
        let cells = [
            row.condition.name().to_owned(),
            row.expand.to_string(),
            edge,
            row.n.to_string(),
            percent(row.vqa),
            known(row.vqa_margin, format!("± {}", percent(row.vqa_margin))),
            percent(row.anls),
            percent(row.exact),
            row.logprob.map_or(String::new(), |log| format!("{log:.2}")),
            signed(row.vqa_gain),
            signed(row.anls_gain),
            row.refused.to_string(),
            row.boxless.to_string(),
            (row.errors + row.missing).to_string(),
            known(row.ms_per_answer, format!("{:.2}", row.ms_per_answer / 1e3)),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_sentence() {
        let mut row = Row {
            condition: Condition::FullCrop,
            expand: 1.0,
            longest_edge: None,
            n: 80,
            vqa: 0.45,
            vqa_margin: 0.031,
            vqa_interval: None,
            anls: 0.5,
            exact: 0.4,
            logprob: None,
            vqa_gain: Some(0.33),
            anls_gain: None,
            refused: 0,
            errors: 0,
            missing: 0,
            boxless: 0,
            ms_per_answer: 1.0,
            prompt_tokens: None,
        };
        let full = "With the full image and the crop: VQA accuracy 45.0 % ± 3.1 over 80 questions, 33.0 points more than with \
                    the full image alone.";
        assert_eq!(
            sentences("M", std::slice::from_ref(&row)),
            format!("M answers:\n{full}")
        );
        row.expand = 2.0;
        row.longest_edge = Some(512);
        row.vqa_gain = Some(-0.01);
        row.errors = 2;
        let text = sentences("M", std::slice::from_ref(&row));
        assert!(
            text.contains("crop grown to 2 times its area at 512 px: "),
            "{text}"
        );
        assert!(text.contains("1.0 points less"), "{text}");
        assert!(text.ends_with("2 failed and 0 were not asked."), "{text}");
        row.n = 0;
        assert!(sentences("M", &[row]).ends_with("512 px: no answer."));
    }

    #[test]
    fn the_margin_is_that_of_the_normal_approximation() {
        let (mean, margin) = mean_and_margin([0.0, 1.0, 1.0, 0.0].into_iter());
        assert_eq!(mean, 0.5);
        // Sample deviation 0.577, divided by two.
        assert!((margin - 1.96 * 0.577_350_27 / 2.0).abs() < 1e-6);
        assert_eq!(mean_and_margin([0.25].into_iter()), (0.25, 0.0));
        assert!(mean_and_margin(std::iter::empty()).0.is_nan());
    }
}
