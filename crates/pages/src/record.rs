//! What a page adds to a data set: its JPEG, its questions with boxes, its printed lines.

use anyhow::Result;
use grounding::JOINED_KINDS;
use serde::{Deserialize, Serialize};

use super::canvas::{Canvas, luma};
use super::geometry::Rect;
use super::nested;
use super::scene::Picture;

/// Print that differs less than this from its ground cannot be read: it is neither asked about nor
/// listed.
const VISIBLE: f32 = 14.0;
const SOURCE: &str = "cropvlm render";
const LICENCE: &str =
    "MIT OR Apache-2.0 (drawn by this project; a photo background keeps its own licence)";

#[derive(Serialize)]
struct SampleLine<'a> {
    id: String,
    image: &'a str,
    question: &'a str,
    answers: &'a [String],
    boxes: Vec<[i64; 4]>,
    /// One place from the value outwards; empty where there are several places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nested: Vec<[i64; 4]>,
    kind: &'a str,
    width: usize,
    height: usize,
    source: &'a str,
    licence: &'a str,
}

#[derive(Serialize, Deserialize)]
struct TextLine {
    #[serde(rename = "box")]
    bbox: [i64; 4],
    text: String,
}

#[derive(Serialize, Deserialize)]
struct LinesLine {
    image: String,
    width: usize,
    height: usize,
    lines: Vec<TextLine>,
}

/// What a page adds to the two files.
#[derive(PartialEq)]
pub struct Record {
    /// Lines of `samples.jsonl`.
    pub samples: String,
    /// Its line of `lines.jsonl`.
    pub lines: String,
}

/// File name of page `index`.
pub fn image_name(index: u64) -> String {
    format!("page_{index:06}.jpg")
}

/// Whole pixels inside the picture; None where nothing is left.
pub fn pixels(r: Rect, w: usize, h: usize) -> Option<[i64; 4]> {
    let (w, h) = (w as f32, h as f32);
    let b = [
        r.x1.floor().max(0.0),
        r.y1.floor().max(0.0),
        r.x2.ceil().min(w),
        r.y2.ceil().min(h),
    ];
    (b[2] - b[0] >= 2.0 && b[3] - b[1] >= 2.0).then(|| b.map(|v| v as i64))
}

/// Difference of print and ground inside `b`, 0..=255, little moved by grain: of the means of 2 x 2
/// pixels, the darkest and the middle ones, or the brightest.
fn contrast(canvas: &Canvas, b: [i64; 4]) -> f32 {
    let mut means = Vec::new();
    let [x1, y1, x2, y2] = b.map(|v| v as usize);
    for y in (y1..y2 - 1).step_by(2) {
        for x in (x1..x2 - 1).step_by(2) {
            let at = |x: usize, y: usize| {
                let i = (y * canvas.w + x) * 3;
                luma([canvas.data[i], canvas.data[i + 1], canvas.data[i + 2]])
            };
            means.push((at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) * 0.25);
        }
    }
    means.sort_by(f32::total_cmp);
    let share = |k: f32| {
        means
            .get((means.len() as f32 * k) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    (share(0.6) - share(0.04)).max(share(0.96) - share(0.4))
}

/// Encodes a picture and writes its lines of the two files.
pub fn finish(
    mut picture: Picture,
    page_kind: &str,
    index: u64,
    debug_boxes: bool,
) -> Result<(Vec<u8>, Record)> {
    let (w, h) = (picture.page.canvas.w, picture.page.canvas.h);
    let image = format!("images/{}", image_name(index));
    let seen =
        |r: Rect, canvas: &Canvas| pixels(r, w, h).filter(|b| contrast(canvas, *b) >= VISIBLE);
    let lines: Vec<TextLine> = picture
        .page
        .lines
        .iter()
        .filter_map(|l| {
            Some(TextLine {
                bbox: seen(l.rect, &picture.page.canvas)?,
                text: l.text.trim().to_string(),
            })
        })
        .collect();
    let print: Vec<Rect> = lines.iter().map(|line| rect(line.bbox)).collect();
    let mut samples = String::new();
    for (i, ask) in picture.page.asks.iter().enumerate() {
        let boxes: Vec<[i64; 4]> = ask
            .rects
            .iter()
            .filter_map(|r| seen(*r, &picture.page.canvas))
            .collect();
        if boxes.len() != ask.rects.len() {
            continue;
        }
        let line = SampleLine {
            id: format!("{page_kind}_{index:06}_{i}"),
            image: &image,
            question: &ask.question,
            answers: &ask.answers,
            nested: nested_boxes(ask.kind, &boxes, &print, (w, h)),
            boxes,
            kind: ask.kind,
            width: w,
            height: h,
            source: SOURCE,
            licence: LICENCE,
        };
        samples.push_str(&serde_json::to_string(&line)?);
        samples.push('\n');
    }
    if debug_boxes {
        picture.grey = false;
        let canvas = &mut picture.page.canvas;
        for line in &picture.page.lines {
            canvas.frame(line.rect, 1.0, [120, 120, 120]);
        }
        for rect in picture.page.asks.iter().flat_map(|a| &a.rects) {
            canvas.frame(rect.grown(1.0), 2.0, [230, 30, 30]);
        }
    }
    let lines = serde_json::to_string(&LinesLine {
        image,
        width: w,
        height: h,
        lines,
    })? + "\n";
    Ok((jpeg(&picture)?, Record { samples, lines }))
}

fn rect(b: [i64; 4]) -> Rect {
    let [x1, y1, x2, y2] = b.map(|edge| edge as f32);
    Rect::new(x1, y1, x2, y2)
}

/// The column `nested` of a question: nothing where several places answer it, for it has room for one.
fn nested_boxes(
    kind: &str,
    boxes: &[[i64; 4]],
    print: &[Rect],
    size: (usize, usize),
) -> Vec<[i64; 4]> {
    let places = boxes.iter().map(|b| rect(*b));
    let place = match boxes.len() == 1 || JOINED_KINDS.contains(&kind) {
        true => places.reduce(Rect::union),
        false => None,
    };
    let Some(place) = place else {
        return Vec::new();
    };
    let found = nested::around(place, print, size);
    found
        .into_iter()
        .map(|r| [r.x1, r.y1, r.x2, r.y2].map(|edge| edge as i64))
        .collect()
}

fn jpeg(picture: &Picture) -> Result<Vec<u8>> {
    let canvas = &picture.page.canvas;
    let (w, h) = (u16::try_from(canvas.w)?, u16::try_from(canvas.h)?);
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, picture.quality);
    if picture.quality < 90 {
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
    }
    if picture.grey {
        let grey: Vec<u8> = canvas.data.chunks_exact(3).map(|p| p[1]).collect();
        encoder.encode(&grey, w, h, jpeg_encoder::ColorType::Luma)?;
    } else {
        encoder.encode(&canvas.data, w, h, jpeg_encoder::ColorType::Rgb)?;
    }
    Ok(bytes)
}
