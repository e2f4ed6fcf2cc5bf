//! The whole page: heading, what happened in a sentence, curves, contact sheet, configuration.

use std::fmt::Write;

use super::curves::curves;
use super::html::{duration, escape, number, thousands};
use super::read::{Run, Series};
use super::sheet::Sheet;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The beginning of a page, up to its heading; nothing in it is fetched from anywhere.
pub fn head(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main><header><h1>{title}</h1>"
    )
}

/// The page of a run.
pub fn page(run: &Run, sheet: &Sheet<'_>) -> String {
    let (curves, points) = curves(run);
    let mut html = head(&run.name);
    html.push_str(&sentence(run));
    html.push_str(&facts(run));
    html.push_str(&links(run, !curves.is_empty()));
    html.push_str("</header>");
    if !curves.is_empty() {
        html.push_str(
            "<p class=\"hint\" id=\"curves\">Pale: each step as it came. Strong: smoothed. Point at a curve, or focus it and use the arrow \
             keys, for its values.</p>",
        );
    }
    html.push_str(&curves);
    html.push_str(&sheet.html());
    if let Some(config) = &run.config {
        let _ = write!(
            html,
            "<h2 id=\"configuration\">Configuration</h2><details><summary>config.toml, as the run resolved it</summary><pre>{}</pre></details>",
            escape(config)
        );
    }
    let data = serde_json::Value::Array(points)
        .to_string()
        .replace('<', "\\u003c");
    let _ = writeln!(
        html,
        "</main><script type=\"application/json\" id=\"points\">{data}</script><script>{SCRIPT}</script></body></html>"
    );
    html
}

/// The parts of the page that are there.
fn links(run: &Run, curves: bool) -> String {
    let parts = [
        ("curves", "Curves", curves),
        ("rollouts", "Rollouts", !run.groups.is_empty()),
        ("configuration", "Configuration", run.config.is_some()),
    ];
    let there = parts.iter().filter(|part| part.2);
    let links = there.map(|(id, title, _)| format!("<a href=\"#{id}\">{title}</a>"));
    format!("<nav>{}</nav>", links.collect::<String>())
}

/// What happened, for somebody in a hurry.
fn sentence(run: &Run) -> String {
    let main = ["eval/reward", "reward", "eval/full_recall", "loss"];
    let Some((name, series)) = main.iter().find_map(|name| {
        let series = run.series.get(*name).filter(|s| s.len() >= 2)?;
        Some((*name, series))
    }) else {
        return String::new();
    };
    let (before, after) = ends(series);
    let (what, good) = match name {
        "eval/reward" => ("The reward on held-out questions", after > before),
        "reward" => ("The mean reward", after > before),
        "eval/full_recall" => (
            "The share of held-out questions whose evidence lies wholly inside the box",
            after > before,
        ),
        _ => ("The loss", after < before),
    };
    let moved = match after - before {
        change if change.abs() <= 0.03 * before.abs().max(after.abs()) => "hardly moved",
        change if change > 0.0 => "rose",
        _ => "fell",
    };
    let doubt = if good || moved == "hardly moved" {
        ""
    } else {
        ", which is not what it should do"
    };
    format!(
        "<p class=\"lead\">{what} {moved}: {} in the first tenth of the run, {} in the last{doubt}.</p>",
        number(before),
        number(after)
    )
}

/// Means of the first and the last tenth.
fn ends(series: &Series) -> (f64, f64) {
    let tenth = series.len().div_ceil(10);
    let mean = |part: &[(u64, f64)]| part.iter().map(|p| p.1).sum::<f64>() / part.len() as f64;
    (
        mean(&series[..tenth]),
        mean(&series[series.len() - tenth..]),
    )
}

/// Steps, time, commit and the like.
fn facts(run: &Run) -> String {
    let mut facts: Vec<(&str, String)> = Vec::new();
    let kind = if run.groups_in_all > 0 || run.series.contains_key("reward") {
        "GRPO"
    } else {
        "supervised (SFT)"
    };
    facts.push(("training", kind.to_owned()));
    let steps = thousands(run.last_step() as i64);
    let steps = match run.setting("steps").and_then(|s| s.parse::<i64>().ok()) {
        Some(planned) if planned > 0 => format!("{steps} of {}", thousands(planned)),
        _ => steps,
    };
    facts.push(("steps", steps));
    if let Some(times) = run.series.get("step_time").filter(|s| !s.is_empty()) {
        let mean = times.iter().map(|p| p.1).sum::<f64>() / times.len() as f64;
        // Not every step need have a line.
        facts.push(("time in steps", duration(mean * run.last_step() as f64)));
    }
    for (title, key) in [("seed", "seed"), ("commit", "commit")] {
        let written = run.setting(key).or_else(|| run.comment(key));
        if let Some(value) = written {
            facts.push((title, value));
        }
    }
    let mut html = "<dl>".to_owned();
    for (title, value) in facts {
        let _ = write!(
            html,
            "<div><dt>{title}</dt><dd>{}</dd></div>",
            escape(&value)
        );
    }
    html + "</dl>"
}
