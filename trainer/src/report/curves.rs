//! All curves of a run, in groups, each with its sentence.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::chart::{Chart, smoothed};
use super::html::{escape, number, thousands};
use super::read::{Run, Series};
use super::words::{GROUPS, words};

/// What a number is compared with, where the run measures it: the best fixed boxes.
const BASELINE: &str = "eval/baseline/";
/// Evaluations of single kinds of questions: many, so they stay folded.
const KINDS: &str = "eval/kinds/";

/// The curves as HTML, and their points for the script, in the order of the charts.
pub fn curves(run: &Run) -> (String, Vec<serde_json::Value>) {
    let grpo = run.groups_in_all > 0 || run.series.contains_key("reward");
    let mut charts = Charts {
        run,
        steps: (
            run.series
                .values()
                .flatten()
                .map(|p| p.0)
                .min()
                .unwrap_or(0),
            run.last_step(),
        ),
        points: Vec::new(),
    };
    let mut html = String::new();
    for (at, heading) in GROUPS.iter().enumerate() {
        let mut names: Vec<&String> = run
            .series
            .keys()
            .filter(|name| words(name, grpo).group == at && !is_part(name))
            .collect();
        if names.is_empty() {
            continue;
        }
        names.sort_by_key(|name| (rank(name), name.to_string()));
        let _ = write!(html, "<h2>{}</h2><div class=\"cards\">", escape(heading));
        for name in names {
            let said = words(name, grpo);
            charts.card(&mut html, name, &said.title, &said.sentence);
        }
        html.push_str("</div>");
        if at == 0 {
            charts.kinds(&mut html);
        }
    }
    (html, charts.points)
}

/// Shown with another curve, or folded, or no curve at all.
fn is_part(name: &str) -> bool {
    name.starts_with(BASELINE)
        || name.starts_with(KINDS)
        || ["eval/n", "eval/ms_per_item"].contains(&name)
}

/// The numbers that are looked at first.
fn rank(name: &str) -> usize {
    let first = [
        "reward",
        "loss",
        "eval/reward",
        "eval/full_recall",
        "eval/size",
        "eval/recall",
        "eval/iou",
        "rewards/likelihood/mean",
        "rewards/accuracy/mean",
        "rewards/validity/mean",
        "kl",
        "entropy",
        "frac_reward_zero_std",
        "completions/mean_length",
    ];
    first.iter().position(|&f| f == name).unwrap_or(first.len())
}

struct Charts<'a> {
    run: &'a Run,
    steps: (u64, u64),
    points: Vec<serde_json::Value>,
}

impl Charts<'_> {
    fn card(&mut self, html: &mut String, name: &str, title: &str, sentence: &str) {
        let Some(values) = self.run.series.get(name).filter(|s| !s.is_empty()) else {
            return;
        };
        let beside = name
            .strip_prefix("eval/")
            .filter(|rest| *rest != "size") // theirs is the same by definition
            .and_then(|rest| self.run.series.get(&format!("{BASELINE}{rest}")))
            .or_else(|| {
                let kind = name.strip_prefix(KINDS)?.strip_suffix("/full_recall")?;
                self.run
                    .series
                    .get(&format!("{KINDS}{kind}/baseline_full_recall"))
            });
        let last = smoothed(values).last().map_or(0.0, |p| p.1);
        let chart = Chart {
            label: &label(title, values),
            values,
            beside,
            steps: self.steps,
            planned: name == "lr",
        };
        let (svg, points) = chart.svg();
        self.points.push(points);
        let dashed = match beside {
            Some(_) => {
                " <span class=\"dashed\">Dashed: the best fixed boxes of the same size.</span>"
            }
            None => "",
        };
        let _ = write!(
            html,
            "<figure class=\"card\"><figcaption><h3>{}</h3><span class=\"value\">{value}</span><p>{}{dashed}</p></figcaption>{svg}<div class=\"foot\"><output></output><code>{}</code></div></figure>",
            escape(title),
            escape(sentence),
            escape(name),
            value = number(last),
        );
    }

    /// One small chart for each kind of question, folded.
    fn kinds(&mut self, html: &mut String) {
        let kinds: BTreeSet<String> = self
            .run
            .series
            .keys()
            .filter_map(|name| Some(name.strip_prefix(KINDS)?.rsplit_once('/')?.0.to_owned()))
            .collect();
        if kinds.is_empty() {
            return;
        }
        let _ = write!(
            html,
            "<details><summary>Wholly inside, by kind of question ({})</summary><div class=\"cards\">",
            kinds.len()
        );
        for kind in kinds {
            let name = format!("{KINDS}{kind}/full_recall");
            let sentence =
                "Share of these questions whose evidence lies wholly inside the proposed box.";
            self.card(html, &name, &kind, sentence);
        }
        html.push_str("</div></details>");
    }
}

/// The chart in a sentence.
fn label(title: &str, values: &Series) -> String {
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return title.to_owned();
    };
    format!(
        "{title}: {} at step {}, {} at step {}",
        number(first.1),
        thousands(first.0 as i64),
        number(last.1),
        thousands(last.0 as i64)
    )
}
