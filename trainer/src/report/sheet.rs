//! The contact sheet of a GRPO run: pictures with every rollout's box, step by step.
//!
//! A box's colour is its advantage: blue for better than its group's mean, orange for worse, grey between
//! (told apart with every common colour blindness); a number on each box leads to its row in the table, so
//! that nothing depends on colour alone. The true box, where it is known, is dashed.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grounding::NormBox;
use picture::{Filter, RgbImage};

use super::html::{escape, number, signed, thousands};
use super::read::{Group, Rollout, Run};
use crate::data::PictureSource;

/// JPEG quality of the pictures.
const QUALITY: u8 = 75;
/// Advantage 0, the group's best and its worst, as red, green, blue.
const GREY: [f64; 3] = [150.0, 150.0, 150.0];
const BLUE: [f64; 3] = [0.0, 114.0, 178.0];
const ORANGE: [f64; 3] = [213.0, 94.0, 0.0];

/// A contact sheet.
pub struct Sheet<'a> {
    /// Its run.
    pub run: &'a Run,
    /// Folder that the pictures' paths start from.
    pub root: Option<&'a Path>,
    /// Longest edge of its pictures, in pixels.
    pub edge: u32,
}

/// A small JPEG in a `data:` URL, with its width and height.
pub type Small = (String, u32, u32);

/// A picture whose longest edge has at most so many pixels.
///
/// # Errors
/// A picture without pixels.
pub fn small(picture: &RgbImage, edge: u32) -> Result<Small> {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(edge) / f64::from(width.max(height))).min(1.0);
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let small = picture::resize(picture, side(width), side(height), Filter::Lanczos);
    let jpeg = picture::encode_jpeg(&small, QUALITY)?;
    let url = format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg));
    Ok((url, small.width(), small.height()))
}

impl Sheet<'_> {
    /// The sheet as HTML, empty for a run without rollouts.
    pub fn html(&self) -> String {
        let groups = &self.run.groups;
        if groups.is_empty() {
            return String::new();
        }
        let shown = match self.run.groups_in_all {
            all if all == groups.len() => format!("All {all} groups of the run."),
            all => format!(
                "{} of {} groups, spread evenly over the run; <code>--groups N</code> shows more.",
                groups.len(),
                thousands(all as i64)
            ),
        };
        let mut html = format!(
            "<h2 id=\"rollouts\">What it tried, step by step</h2>\
             <p>For every question the policy proposes several boxes (a <em>group</em> of <em>rollouts</em>). Each is \
             rewarded for how well a reader answers with its crop. A rollout's <em>advantage</em> is its reward minus \
             its group's mean: training makes the boxes above the mean likelier and those below it less likely. {shown}</p>\
             <p class=\"legend\"><span class=\"ends\"><span>worse</span><span class=\"scale\"></span><span>better than the group</span></span>\
             <span class=\"ends\"><span class=\"truth key\"></span><span>true box</span></span></p>\
             <div class=\"pager\" hidden><button type=\"button\" class=\"back\" aria-label=\"Previous group\">&#8249;</button>\
             <input type=\"range\" min=\"0\" max=\"{}\" value=\"0\" aria-label=\"Group\">\
             <button type=\"button\" class=\"on\" aria-label=\"Next group\">&#8250;</button><output></output></div>",
            groups.len() - 1
        );
        let mut pictures = HashMap::new();
        for group in groups {
            let picture = pictures
                .entry(group.image.as_str())
                .or_insert_with(|| self.picture(&group.image).map_err(|e| format!("{e:#}")));
            self.group(&mut html, group, picture);
        }
        html
    }

    fn picture(&self, image: &str) -> Result<Small> {
        let picture = PictureSource::at(&self.find(image))?.picture()?;
        small(&picture, self.edge)
    }

    /// Under `--root`, as it is written, beside the run or above it; the first that is there. A row of a
    /// parquet file (`file.parquet#row`) is where its file is.
    fn find(&self, image: &str) -> PathBuf {
        let path = Path::new(image);
        let file = image.rsplit_once('#').map_or(image, |(file, _)| file);
        let above = self.run.folder.parent();
        let mut places = [
            self.root,
            Some(Path::new("")),
            Some(&self.run.folder),
            above,
        ]
        .into_iter()
        .flatten();
        places
            .find(|place| place.join(path).is_file() || place.join(file).is_file())
            .map_or_else(|| path.to_path_buf(), |place| place.join(path))
    }

    fn group(&self, html: &mut String, group: &Group, picture: &Result<Small, String>) {
        let answer = match group.answer.as_str() {
            "" => String::new(),
            answer => format!("<p class=\"answer\">Answer: <b>{}</b></p>", escape(answer)),
        };
        let _ = write!(
            html,
            "<article class=\"group\" data-step=\"{step}\"><h3>Step {step}</h3><p class=\"question\">{}</p>{answer}<div class=\"both\"><div class=\"look\">",
            escape(&group.question),
            step = thousands(group.step as i64),
        );
        open_picture(html, &group.id, picture);
        truths(html, &group.true_boxes);
        let most = most(group);
        for (i, rollout) in group.rollouts.iter().enumerate() {
            let Some(bbox) = rollout.bbox else { continue };
            let _ = write!(
                html,
                "<div class=\"box c{}\" data-rollout=\"{i}\" style=\"{};--c:{}\"><b>{}</b></div>",
                i % 4,
                place(bbox),
                colour(rollout, most),
                i + 1
            );
        }
        html.push_str("</div></div>");
        table(html, group, most);
        html.push_str("</div></article>");
    }
}

/// Opens the element of a picture, on which boxes are laid; a picture that is gone is said in its place.
pub fn open_picture(html: &mut String, id: &str, picture: &Result<Small, String>) {
    let _ = match picture {
        Ok((url, width, height)) => write!(
            html,
            "<div class=\"picture\" style=\"--ratio:{:.4}\"><img src=\"{url}\" width=\"{width}\" height=\"{height}\" loading=\"lazy\" alt=\"{}\">",
            f64::from(*width) / f64::from(*height),
            escape(&format!("The picture of question {id}"))
        ),
        Err(error) => write!(
            html,
            "<div class=\"picture lost\" style=\"--ratio:1\"><span>{} (set <code>--root</code>)</span>",
            escape(error)
        ),
    };
}

/// Dashed boxes where the evidence stands.
pub fn truths(html: &mut String, boxes: &[NormBox]) {
    for &truth in boxes {
        let _ = write!(
            html,
            "<div class=\"truth\" style=\"{}\"></div>",
            place(truth)
        );
    }
}

/// The largest advantage of a group, either way.
fn most(group: &Group) -> f64 {
    let sizes = group
        .rollouts
        .iter()
        .filter_map(|r| r.advantage.map(f64::abs));
    sizes.fold(0.0, f64::max)
}

/// The rollouts in numbers, the best one first.
fn table(html: &mut String, group: &Group, most: f64) {
    let mut names: Vec<&String> = group
        .rollouts
        .iter()
        .flat_map(|r| r.rewards.keys())
        .collect();
    names.sort();
    names.dedup();
    html.push_str(
        "<div class=\"wide\"><table><thead><tr><th>rollout</th><th>advantage</th><th>reward</th>",
    );
    for name in &names {
        let _ = write!(html, "<th>{}</th>", escape(name));
    }
    html.push_str("<th>log p</th><th>box</th></tr></thead><tbody>");
    let mut order: Vec<usize> = (0..group.rollouts.len()).collect();
    let advantage = |i: &usize| group.rollouts[*i].advantage.unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| advantage(b).total_cmp(&advantage(a)));
    for i in order {
        let rollout = &group.rollouts[i];
        let cell = |value: Option<f64>| value.map_or_else(|| "&ndash;".to_owned(), number);
        let _ = write!(
            html,
            "<tr data-rollout=\"{i}\" tabindex=\"0\" style=\"--c:{}\"><th scope=\"row\"><b>{}</b></th><td>{}</td><td>{}</td>",
            colour(rollout, most),
            i + 1,
            rollout
                .advantage
                .map_or_else(|| "&ndash;".to_owned(), signed),
            cell(rollout.reward)
        );
        for name in &names {
            let value = rollout.rewards.get(*name).copied().flatten();
            let _ = write!(html, "<td>{}</td>", cell(value));
        }
        let written = match rollout.bbox {
            Some(bbox) => format!("{bbox}").replace(',', ", "),
            None => format!("none: <q>{}</q>", escape(&shortened(&rollout.completion))),
        };
        let _ = write!(
            html,
            "<td>{}</td><td class=\"text\">{written}</td></tr>",
            cell(rollout.logprob)
        );
    }
    html.push_str("</tbody></table></div>");
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// A box as CSS.
pub fn place(bbox: NormBox) -> String {
    format!(
        "left:{}%;top:{}%;width:{}%;height:{}%",
        bbox.x1,
        bbox.y1,
        bbox.width(),
        bbox.height()
    )
}

/// Grey for an advantage of 0, full blue or orange for the largest of the group.
pub fn colour(rollout: &Rollout, most: f64) -> String {
    let advantage = rollout.advantage.unwrap_or(0.0);
    let share = if most > 0.0 { advantage / most } else { 0.0 };
    let end = if share >= 0.0 { BLUE } else { ORANGE };
    // Half of the way at once: a small advantage has a side too.
    let part = match share.abs() {
        0.0 => 0.0,
        size => 0.5 + 0.5 * size,
    };
    let mix = |i: usize| (GREY[i] + part * (end[i] - GREY[i])).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}
