//! One chart as inline SVG: the values as they came (pale), smoothed (strong), a comparison (dashed).
//!
//! About 400 units wide, as wide as its card on a phone, so that its letters stay readable without
//! scaling. Outliers do not flatten the rest: from fifty values on the axis covers the middle 98 percent
//! and whatever the smoothed curve reaches; the values themselves are told on hovering.

use std::fmt::Write;

use super::html::{escape, number, thousands};
use super::read::Series;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;
/// Points that are drawn and can be hovered at most.
const POINTS: usize = 500;

/// A chart's curves.
pub struct Chart<'a> {
    /// What is told to people who cannot see it.
    pub label: &'a str,
    /// The values.
    pub values: &'a Series,
    /// What to compare with.
    pub beside: Option<&'a Series>,
    /// Steps that the axis covers, the same for all charts.
    pub steps: (u64, u64),
    /// Whether the values are planned rather than measured, so that nothing is to be smoothed.
    pub planned: bool,
}

/// Exponential mean over about a twenty-fifth of the values, without the lean to its first one.
pub fn smoothed(values: &Series) -> Series {
    let span = values.len() as f64 / 25.0;
    if span < 2.0 {
        return values.clone();
    }
    let keep = 1.0 - 2.0 / (span + 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    values
        .iter()
        .map(|&(step, value)| {
            sum = keep * sum + value;
            weight = keep * weight + 1.0;
            (step, sum / weight)
        })
        .collect()
}

/// Round numbers between two values, about `wanted` of them.
pub fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted as f64;
    if !(rough > 0.0 && rough.is_finite()) {
        return vec![low];
    }
    let unit = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * unit);
    let step = step
        .into_iter()
        .find(|&s| s >= rough * 0.999)
        .unwrap_or(unit);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// The range of the value axis.
fn range(values: &Series, smooth: &Series, beside: Option<&Series>) -> (f64, f64) {
    let mut sorted: Vec<f64> = values.iter().map(|p| p.1).collect();
    sorted.sort_by(f64::total_cmp);
    let trim = if sorted.len() < 50 {
        0
    } else {
        (sorted.len() / 100).max(1)
    };
    let middle = &sorted[trim..sorted.len() - trim];
    let all = middle.iter().copied();
    let all = all.chain(smooth.iter().map(|p| p.1));
    let all = all.chain(beside.into_iter().flatten().map(|p| p.1));
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if high - low > 1e-12 * high.abs().max(low.abs()) {
        let air = 0.06 * (high - low);
        // A quantity that is never negative gets no axis below zero.
        let floor = if low >= 0.0 {
            (low - air).max(0.0)
        } else {
            low - air
        };
        return (floor, high + air);
    }
    if low == 0.0 {
        return (0.0, 1.0);
    }
    let air = 0.1 * low.abs();
    (low - air, high + air)
}

impl Chart<'_> {
    /// The chart, and its points for the script: steps, values, smoothed values, places in the SVG.
    pub fn svg(&self) -> (String, serde_json::Value) {
        let smooth = if self.planned {
            self.values.clone()
        } else {
            smoothed(self.values)
        };
        let (low, high) = range(self.values, &smooth, self.beside);
        let (first, last) = (
            self.steps.0 as f64,
            self.steps.1.max(self.steps.0 + 1) as f64,
        );
        let x = |step: u64| LEFT + (step as f64 - first) / (last - first) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
        let mut svg = String::new();
        let label = escape(self.label);
        let _ = write!(
            svg,
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" tabindex=\"0\" aria-label=\"{label}\">"
        );
        for value in ticks(low, high, 5) {
            let at = y(value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{}\" y=\"{:.1}\" class=\"y\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(value)
            );
        }
        for step in ticks(first, last, 5)
            .into_iter()
            .filter(|s| s.fract() == 0.0)
        {
            let at = x(step as u64);
            let anchor = if at > WIDTH - 30.0 { "end" } else { "middle" };
            let _ = write!(
                svg,
                "<text x=\"{at:.1}\" y=\"{:.1}\" class=\"x\" text-anchor=\"{anchor}\">{}</text>",
                HEIGHT - 5.0,
                thousands(step as i64)
            );
        }
        // A box of its own, so that outliers end at the frame.
        let _ = write!(
            svg,
            "<svg x=\"{LEFT}\" y=\"{TOP}\" width=\"{w}\" height=\"{h}\" viewBox=\"{LEFT} {TOP} {w} {h}\">",
            w = WIDTH - LEFT - RIGHT,
            h = HEIGHT - TOP - BOTTOM
        );
        let path = |series: &Series| path(series, &x, &y);
        if let Some(beside) = self.beside {
            let _ = write!(svg, "<path class=\"beside\" d=\"{}\"/>", path(beside));
        }
        if smooth != *self.values {
            let _ = write!(
                svg,
                "<path class=\"raw\" d=\"{}\"/>",
                path(&outline(self.values))
            );
        }
        let _ = write!(
            svg,
            "<path class=\"line\" d=\"{}\"/>",
            path(&every(&smooth))
        );
        if self.values.len() <= 25 {
            for &(step, value) in self.values {
                let _ = write!(
                    svg,
                    "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>",
                    x(step),
                    y(value)
                );
            }
        }
        svg.push_str(
            "</svg><g class=\"cursor\" visibility=\"hidden\"><line/><circle r=\"4\"/></g></svg>",
        );
        (svg, self.points(&smooth, &x, &y))
    }

    fn points(
        &self,
        smooth: &Series,
        x: &dyn Fn(u64) -> f64,
        y: &dyn Fn(f64) -> f64,
    ) -> serde_json::Value {
        let round = |v: f64| (v * 10.0).round() / 10.0;
        let (raw, smooth) = (every(self.values), every(smooth));
        let each = raw.iter().zip(&smooth);
        let rows: Vec<serde_json::Value> = each
            .map(|(&(step, value), &(_, mean))| {
                let top = y(mean).clamp(TOP, HEIGHT - BOTTOM);
                serde_json::json!([
                    thousands(step as i64),
                    number(value),
                    number(mean),
                    round(x(step)),
                    round(top)
                ])
            })
            .collect();
        serde_json::Value::Array(rows)
    }
}

/// At most [`POINTS`] of a curve, evenly, the last one included.
fn every(series: &Series) -> Series {
    let places = super::read::spread(series.len(), POINTS);
    places.into_iter().map(|at| series[at]).collect()
}

/// A curve of many points by the lowest and highest of every stretch, so that no spike is lost.
fn outline(series: &Series) -> Series {
    if series.len() <= POINTS {
        return series.clone();
    }
    let stretch = series.len().div_ceil(POINTS / 2);
    let mut out = Vec::with_capacity(POINTS + 2);
    for part in series.chunks(stretch) {
        let by = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        let ends = [part.iter().min_by(by), part.iter().max_by(by)];
        let mut ends: Vec<(u64, f64)> = ends.into_iter().flatten().copied().collect();
        ends.sort_by_key(|p| p.0);
        out.extend(ends);
    }
    out
}

fn path(series: &Series, x: &dyn Fn(u64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let mut d = String::new();
    for (i, &(step, value)) in series.iter().enumerate() {
        let letter = if i == 0 { 'M' } else { 'L' };
        let _ = write!(d, "{letter}{:.1} {:.1}", x(step), y(value));
    }
    d
}
