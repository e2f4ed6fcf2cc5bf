//! Where a policy fails: the questions that its boxes serve worst, as pictures.
//!
//! Means say how often, pictures say why. Worst first: boxes that hold nothing of the evidence, then those that cut
//! into it, then those that hold it and are large; among equals the larger box is worse. Beside each picture stands
//! the crop itself, since that is what a reader would get.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use grounding::metrics::{self, TOLERANCE_PX};
use grounding::{NormBox, Sample};

use super::html::{escape, number};
use super::page::head;
use super::sheet::{Small, open_picture, place, small, truths};
use crate::data::DataSet;

/// Longest edge of the crops, pixels.
const CROP_EDGE: u32 = 320;

/// What the sheet is made of.
pub struct Worst<'a> {
    /// Boxes, one {"id","box"} a line.
    pub boxes: &'a Path,
    /// The questions that they were proposed for.
    pub data: PathBuf,
    /// Folder that the pictures' paths start from.
    pub root: Option<&'a Path>,
    /// How many are shown.
    pub count: usize,
    /// Longest edge of the pictures, pixels.
    pub edge: u32,
}

/// How a box fails, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    /// No valid box.
    NoBox,
    /// Nothing of the evidence lies inside.
    Missed,
    /// A part of it.
    Cut,
    /// All of it.
    Inside,
}

/// One question with its box.
struct Case<'a> {
    sample: &'a Sample,
    bbox: Option<NormBox>,
    /// The true box that the proposed one is best for, or else the nearest.
    truth: NormBox,
    failure: Failure,
    recall: f32,
}

impl Worst<'_> {
    /// The page, with the number of questions shown and of those that have a true box.
    ///
    /// # Errors
    /// Files that cannot be read or do not belong together; data without true boxes.
    pub fn page(&self) -> Result<(String, usize, usize)> {
        let set = DataSet::open(&self.data, self.root, None)?;
        let boxes = crate::eval::read_boxes(self.boxes, &set.samples)?;
        let pairs = set.samples.iter().zip(boxes);
        let mut cases: Vec<Case> = pairs.filter_map(|(s, b)| Case::of(s, b)).collect();
        if cases.is_empty() {
            bail!(
                "{}: none of its questions has a true box to compare with",
                self.data.display()
            );
        }
        cases.sort_by(Case::worse);
        let shown = &cases[..self.count.min(cases.len())];
        let mut html = head(&format!("Worst of {}", self.boxes.display()));
        html.push_str(&summary(&cases, shown.len()));
        html.push_str("</header>");
        // Questions of one picture are seldom neighbours here; it is read once all the same.
        let mut pictures = HashMap::new();
        for (place, case) in shown.iter().enumerate() {
            let image = case.sample.image.as_str();
            let picture = pictures
                .entry(image)
                .or_insert_with(|| set.picture(image).map_err(|e| format!("{e:#}")));
            let scaled = |p: &picture::RgbImage, edge| small(p, edge).map_err(|e| format!("{e:#}"));
            let whole = picture
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|p| scaled(p, self.edge));
            let crop = case.bbox.and_then(|bbox| {
                let picture = picture.as_ref().ok()?;
                scaled(&crate::reader::crop(picture, Some(bbox)), CROP_EDGE).ok()
            });
            case.write(&mut html, place + 1, &whole, crop);
        }
        html.push_str("</main></body></html>\n");
        Ok((html, shown.len(), cases.len()))
    }
}

/// How many fail, by kind of question.
fn summary(cases: &[Case], shown: usize) -> String {
    let mut kinds: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        kinds.entry(&case.sample.kind).or_default().push(case);
    }
    let mut html = format!(
        "<p class=\"lead\">The {shown} worst of {} questions, worst first.</p>\
         <p class=\"legend\"><span class=\"ends\"><span class=\"truth key\"></span><span>true box</span></span>\
         <span class=\"ends\"><span class=\"proposed key\"></span><span>proposed box</span></span></p>\
         <div class=\"wide\"><table><thead><tr><th>kind</th><th>questions</th><th>wholly inside</th><th>cut into</th>\
         <th>missed</th><th>mean size</th></tr></thead><tbody>",
        cases.len()
    );
    let mut row = |name: &str, cases: &[&Case]| {
        let count = |f: fn(Failure) -> bool| cases.iter().filter(|c| f(c.failure)).count();
        let percent = |n: usize| number(100.0 * n as f64 / cases.len() as f64);
        let size: f32 = cases.iter().map(|c| c.size()).sum();
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{} %</td><td>{} %</td><td>{} %</td><td>{} %</td></tr>",
            escape(name),
            cases.len(),
            percent(count(|f| f == Failure::Inside)),
            percent(count(|f| f == Failure::Cut)),
            percent(count(|f| f <= Failure::Missed)),
            number(100.0 * f64::from(size) / cases.len() as f64)
        );
    };
    for (kind, cases) in &kinds {
        row(if kind.is_empty() { "(none)" } else { kind }, cases);
    }
    if kinds.len() > 1 {
        row("all", &cases.iter().collect::<Vec<_>>());
    }
    html + "</tbody></table></div>"
}

impl<'a> Case<'a> {
    /// `None` for a question whose evidence is not known.
    fn of(sample: &'a Sample, bbox: Option<NormBox>) -> Option<Self> {
        let evidence = sample.evidence();
        let first = *evidence.first()?;
        let Some(proposed) = bbox else {
            return Some(Self {
                sample,
                bbox,
                truth: first,
                failure: Failure::NoBox,
                recall: 0.0,
            });
        };
        let better = |a: &NormBox, b: &NormBox| {
            let of = |truth: NormBox| (metrics::recall(proposed, truth), -gap(proposed, truth));
            let (a, b) = (of(*a), of(*b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        };
        let truth = evidence.iter().copied().max_by(better).unwrap_or(first);
        let score = metrics::score(sample, proposed);
        Some(Self {
            sample,
            bbox,
            truth,
            failure: match score.recall {
                _ if score.full_recall => Failure::Inside,
                recall if recall > 0.0 => Failure::Cut,
                _ => Failure::Missed,
            },
            recall: score.recall,
        })
    }

    fn size(&self) -> f32 {
        self.bbox.map_or(0.0, NormBox::area)
    }

    /// Worst first; the order of the data decides what else is equal.
    fn worse(&self, other: &Self) -> std::cmp::Ordering {
        let order = self.failure.cmp(&other.failure);
        // Annotations are not exact: of what lies inside, only the size counts.
        let by_recall = match self.failure {
            Failure::Cut => self.recall.total_cmp(&other.recall),
            _ => std::cmp::Ordering::Equal,
        };
        order
            .then(by_recall)
            .then(other.size().total_cmp(&self.size()))
    }

    /// What went wrong, in words.
    fn verdict(&self) -> String {
        let percent = |share: f32| format!("{} %", number(100.0 * f64::from(share)));
        let Some(bbox) = self.bbox else {
            return "No valid box was proposed.".to_owned();
        };
        let size = format!(
            "The box takes {} of the picture, the evidence {}.",
            percent(bbox.area()),
            percent(self.truth.area())
        );
        match self.failure {
            Failure::NoBox | Failure::Inside => {
                format!("The evidence lies inside. {size}")
            }
            Failure::Cut => format!(
                "{} of the evidence lies inside; cut off: {}. {size}",
                percent(self.recall),
                sides(bbox, self.truth, self.sample)
            ),
            Failure::Missed => {
                format!(
                    "Nothing of the evidence lies inside; it stands {}. {size}",
                    away(bbox, self.truth)
                )
            }
        }
    }

    fn write(
        &self,
        html: &mut String,
        place_in_order: usize,
        picture: &Result<Small, String>,
        crop: Option<Small>,
    ) {
        let sample = self.sample;
        let _ = write!(
            html,
            "<article class=\"group miss\"><h3>{place_in_order}. {} &middot; {}</h3><p class=\"question\">{}</p>",
            escape(&sample.id),
            escape(&sample.kind),
            escape(&sample.question)
        );
        if let Some(answer) = sample.answers.first() {
            let _ = write!(
                html,
                "<p class=\"answer\">Answer: <b>{}</b></p>",
                escape(answer)
            );
        }
        let _ = write!(
            html,
            "<p class=\"verdict\">{}</p><div class=\"both\"><div class=\"look\">",
            self.verdict()
        );
        open_picture(html, &sample.id, picture);
        truths(html, &sample.evidence());
        if let Some(bbox) = self.bbox {
            let _ = write!(
                html,
                "<div class=\"box proposed\" style=\"{}\"></div>",
                place(bbox)
            );
        }
        html.push_str("</div></div>");
        if let Some((url, width, height)) = crop {
            let _ = write!(
                html,
                "<figure class=\"crop\"><img src=\"{url}\" width=\"{width}\" height=\"{height}\" loading=\"lazy\" alt=\"The crop\">\
                 <figcaption>the crop</figcaption></figure>"
            );
        }
        html.push_str("</div></article>");
    }
}

/// How far two boxes are apart, percent of the sides; 0 where they touch.
fn gap(a: NormBox, b: NormBox) -> f32 {
    let x = (b.x1 - a.x2).max(a.x1 - b.x2).max(0.0);
    let y = (b.y1 - a.y2).max(a.y1 - b.y2).max(0.0);
    x.hypot(y)
}

/// Where the evidence stands from a box that holds nothing of it: `12 % of the width to the left`.
fn away(bbox: NormBox, truth: NormBox) -> String {
    let ways = [
        (bbox.x1 - truth.x2, "of the width to the left"),
        (truth.x1 - bbox.x2, "of the width to the right"),
        (bbox.y1 - truth.y2, "of the height above"),
        (truth.y1 - bbox.y2, "of the height below"),
    ];
    let far = ways.iter().filter(|(gap, _)| *gap > 0.0);
    let words: Vec<String> = far
        .map(|(gap, way)| format!("{} % {way}", number(f64::from(*gap))))
        .collect();
    match words.is_empty() {
        true => "right at its edge".to_owned(),
        false => words.join(" and "),
    }
}

/// The sides on which a box cuts into the evidence by more than the tolerance.
fn sides(bbox: NormBox, truth: NormBox, sample: &Sample) -> String {
    let pixels = |percent: f32, side: u32| percent * side as f32 / 100.0;
    let cuts = [
        (pixels(bbox.x1 - truth.x1, sample.width), "left"),
        (pixels(truth.x2 - bbox.x2, sample.width), "right"),
        (pixels(bbox.y1 - truth.y1, sample.height), "top"),
        (pixels(truth.y2 - bbox.y2, sample.height), "bottom"),
    ];
    let cut = cuts.iter().filter(|(by, _)| *by > TOLERANCE_PX);
    let words: Vec<String> = cut
        .map(|(by, side)| format!("{} px {side}", number(f64::from(*by))))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four questions about one picture of 200 x 100 pixels: held in a large box, cut on the right, missed by a
    /// small box and by a larger one.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        let picture = picture::RgbImage::from_pixel(200, 100, image::Rgb([220, 210, 200]));
        let png = picture::encode_png(&picture).expect("png");
        std::fs::write(folder.path().join("page.png"), png).expect("written");
        let question = |id: &str, kind: &str| {
            serde_json::json!({"id": id, "image": "page.png", "question": format!("Where is <{id}>?"), "answers": ["9 & 1"],
                "boxes": [[20, 10, 60, 20]], "kind": kind, "width": 200, "height": 100})
        };
        let data = [
            question("held", "total"),
            question("cut", "total"),
            question("small", "date"),
            question("large", "date"),
        ];
        let boxes = [
            ("held", [5, 5, 50, 50]),
            ("cut", [5, 5, 20, 50]),
            ("small", [50, 40, 60, 50]),
            ("large", [50, 10, 90, 90]),
        ];
        let boxes = boxes.map(|(id, bbox)| serde_json::json!({"id": id, "box": bbox}));
        for (name, lines) in [("data.jsonl", &data), ("boxes.jsonl", &boxes)] {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    fn page(folder: &Path, count: usize) -> Result<(String, usize, usize)> {
        let worst = Worst {
            boxes: &folder.join("boxes.jsonl"),
            data: folder.join("data.jsonl"),
            root: None,
            count,
            edge: 64,
        };
        worst.page()
    }

    #[test]
    fn the_worst_come_first_and_say_what_was_missed() {
        let folder = folder();
        let (html, shown, all) = page(folder.path(), 50).expect("page");
        assert_eq!((shown, all), (4, 4));
        let at = |id: &str| {
            html.find(&format!("{id} &middot;"))
                .unwrap_or_else(|| panic!("{id}"))
        };
        assert!(at("large") < at("small") && at("small") < at("cut") && at("cut") < at("held"));
        // 20 px of 200 and 10 px of 100 to the true box at 10 to 30 % and 10 to 20 %.
        assert!(html.contains("it stands 20 % of the width to the left. The box takes 32 %"));
        assert!(html.contains("20 % of the width to the left and 20 % of the height above."));
        assert!(html.contains("50 % of the evidence lies inside; cut off: 20 px right."));
        assert!(html.contains("The evidence lies inside. The box takes 20.3 %"));
        // Pictures and crops are inside; what the data holds is text.
        assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 8);
        assert_eq!(html.matches("class=\"truth\" style").count(), 4);
        assert!(html.contains("Where is &lt;cut&gt;?") && html.contains("9 &amp; 1"));
        assert!(html.contains("<th scope=\"row\">total</th><td>2</td><td>50 %</td><td>50 %</td>"));
        for outside in ["http://", "https://", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn only_so_many_are_shown_and_a_missing_box_is_named() {
        let folder = folder();
        let (html, shown, all) = page(folder.path(), 1).expect("page");
        assert_eq!((shown, all), (1, 4));
        assert!(html.contains("large &middot;") && !html.contains("held &middot;"));
        assert!(html.contains("The 1 worst of 4 questions"));
        std::fs::write(
            folder.path().join("boxes.jsonl"),
            "{\"id\": \"held\", \"box\": null}\n",
        )
        .expect("written");
        let error = page(folder.path(), 1).expect_err("refused").to_string();
        assert!(error.contains("no box for question cut"), "{error}");
    }
}
