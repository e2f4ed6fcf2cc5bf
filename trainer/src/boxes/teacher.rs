//! Boxes from a large vision-language model, as CropVLM has them from Qwen2.5-VL-7B: it is asked for
//! `bbox_2d`, and each box is grown by the quintile of its relative area over the data set.
//!
//! A reply is a file of its own, named by what was asked: the picture's bytes, the size it was sent in,
//! the question, the model and the prompt. So a run that was stopped goes on, another reading of the
//! coordinates asks nobody, and another model does not get this one's replies.
//!
//! Departures from the reference: a question whose reply holds no box is left out, where the reference
//! takes the whole picture; boxes stay fractions of percents, where it cuts them to whole ones.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use anyhow::{Context, Result, anyhow, bail};
use grounding::{Quintiles, Sample};
use picture::Filter;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vlm_api::{Endpoint, Image, Key, MediaType, Provider};

use super::{Args, parse};
use crate::counting::Counting;
use crate::data::DataSet;
use crate::data::output::{self, Output};
use crate::http::{Failure, Http, HttpSettings};
use crate::stop::Stop;
use crate::vlm;
use crate::write;

/// Sides of a picture are sent in multiples of this: patches of 14 pixels, two by two to a token.
const GRID: u32 = 28;
/// Quality of the JPEG that is sent.
const QUALITY: u8 = 92;

/// A reply, as it lies on the disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    model: String,
    question: String,
    sent: (u32, u32),
    reply: String,
    finish_reason: Option<String>,
}

/// Everything that asking needs.
struct Teacher<'a> {
    set: &'a DataSet,
    provider: Provider,
    endpoint: Endpoint,
    http: Http,
    send_edge: u32,
    cache: PathBuf,
}

/// What became of a question.
enum Asked {
    Reply(Stored),
    Failed(Failure),
}

/// Asks for every question, then writes all boxes; returns the summary.
///
/// # Errors
/// An address, key or model that the provider refuses; pictures that cannot be read; questions to which
/// no reply came at all (those that came are kept).
pub fn run(args: &Args, set: &DataSet, stop: &Stop) -> Result<Value> {
    let teacher = Teacher::new(args, set, stop)?;
    let replies = teacher.ask_all(args, stop)?;
    let mut boxes = Vec::with_capacity(replies.len());
    let mut left_out = 0;
    for (sample, stored) in set.samples.iter().zip(&replies) {
        match parse::parse(&stored.reply, stored.sent, args.asking.coordinates) {
            Ok(bbox) => boxes.push((sample, bbox)),
            Err(why) => {
                left_out += 1;
                if left_out <= 5 {
                    let said: String = stored.reply.chars().take(80).collect();
                    eprintln!(
                        "question {}: left out: {why}; the reply was {said:?}",
                        sample.id
                    );
                }
            }
        }
    }
    let areas: Vec<f32> = boxes.iter().map(|(_, bbox)| bbox.area()).collect();
    let Some(quintiles) = Quintiles::of(&areas) else {
        bail!(
            "none of {} replies holds a box; they lie in {}",
            replies.len(),
            teacher.cache.display()
        );
    };
    let mut lines = Vec::with_capacity(boxes.len());
    for (sample, bbox) in &boxes {
        let grown = if args.asking.no_grow {
            *bbox
        } else {
            quintiles.grow(*bbox)
        };
        let more = [("teacher_box", output::short(bbox.to_array()))];
        lines.push(output::line(
            set,
            &args.out,
            sample,
            Some(grown),
            "teacher",
            &more,
        )?);
    }
    Output::write(&args.out, &lines)?;
    Ok(json!({
        "questions": boxes.len(),
        "left_out": left_out,
        "area_quintiles": if args.asking.no_grow { Value::Null } else { json!(quintiles.borders) },
    }))
}

impl<'a> Teacher<'a> {
    fn new(args: &Args, set: &'a DataSet, stop: &Stop) -> Result<Self> {
        let asking = &args.asking;
        let provider = vlm::provider(&asking.provider);
        let usual = provider.profile().base_url;
        let key_env = asking
            .key_env
            .clone()
            .or_else(|| vlm::key_variable(provider));
        let key_env = key_env.unwrap_or_default();
        let key = std::env::var(&key_env).unwrap_or_default();
        let endpoint = Endpoint {
            base_url: asking.base_url.clone().unwrap_or_else(|| usual.into()),
            model: asking.model.clone().unwrap_or_default(),
            key: Key::new(&key).with_context(|| format!("environment variable {key_env}"))?,
        };
        // What is wrong with the address is said before any picture is read.
        provider.prompt_request(&endpoint, &[], "test")?;
        let cache = match &asking.cache {
            Some(cache) => cache.clone(),
            None => {
                let mut name = args.out.as_os_str().to_owned();
                name.push(".teacher");
                name.into()
            }
        };
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("{}: cannot be made", cache.display()))?;
        let http = Http::new(HttpSettings::default(), stop.clone());
        Ok(Self {
            set,
            provider,
            endpoint,
            http,
            send_edge: asking.send_edge,
            cache,
        })
    }

    /// The replies to all questions, in their order.
    fn ask_all(&self, args: &Args, stop: &Stop) -> Result<Vec<Stored>> {
        let samples = &self.set.samples;
        let next = AtomicUsize::new(0);
        let broken = AtomicBool::new(false);
        let mut replies: Vec<Option<Stored>> = samples.iter().map(|_| None).collect();
        let mut failures: Vec<(usize, Failure)> = Vec::new();
        let first_error: Mutex<Option<anyhow::Error>> = Mutex::new(None);
        let counting = Counting::to(samples.len(), "questions").json(args.json);
        std::thread::scope(|scope| {
            let (sender, results) = mpsc::channel();
            for _ in 0..args.asking.parallel {
                let (sender, next, broken, first_error) =
                    (sender.clone(), &next, &broken, &first_error);
                scope.spawn(move || {
                    while !broken.load(Ordering::SeqCst) && !stop.raised() {
                        let i = next.fetch_add(1, Ordering::SeqCst);
                        let Some(sample) = samples.get(i) else { return };
                        match self.ask(sample) {
                            Ok(asked) => {
                                if let Asked::Failed(failure) = &asked {
                                    broken.fetch_or(failure.concerns_all(), Ordering::SeqCst);
                                }
                                if sender.send((i, asked)).is_err() {
                                    return;
                                }
                            }
                            Err(error) => {
                                broken.store(true, Ordering::SeqCst);
                                let error = error.context(format!("question {}", sample.id));
                                let mut first =
                                    first_error.lock().unwrap_or_else(PoisonError::into_inner);
                                first.get_or_insert(error);
                                return;
                            }
                        }
                    }
                });
            }
            drop(sender);
            let mut done = 0;
            for (i, asked) in results {
                done += 1;
                match asked {
                    Asked::Reply(stored) => replies[i] = Some(stored),
                    Asked::Failed(failure) => failures.push((i, failure)),
                }
                counting.done(done);
            }
        });
        if let Some(error) = first_error
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            return Err(error);
        }
        let have = replies.iter().flatten().count();
        if have == samples.len() {
            return Ok(replies.into_iter().flatten().collect());
        }
        let kept = format!(
            "{have} of {} replies are kept in {}; the same command asks for the rest",
            samples.len(),
            self.cache.display()
        );
        failures.sort_by_key(|(i, failure)| (!failure.concerns_all(), *i));
        match failures
            .into_iter()
            .find(|(_, failure)| *failure != Failure::Stopped)
        {
            Some((i, failure)) => {
                Err(anyhow!("question {}: {failure}", samples[i].id).context(kept))
            }
            None => Err(stop.interrupted(format!("stopped; {kept}"))),
        }
    }

    /// The stored reply to a question, or a new one.
    fn ask(&self, sample: &Sample) -> Result<Asked> {
        let source = self.set.source(&sample.image)?;
        let bytes = source.bytes()?;
        let sent = sent_size(sample.width, sample.height, self.send_edge);
        let text = prompt(&sample.question, sent);
        let file = self.cache.join(format!("{}.json", self.key(&bytes, &text)));
        if let Some(stored) = stored(&file) {
            return Ok(Asked::Reply(stored));
        }
        let picture = picture::decode(&bytes).with_context(|| source.to_string())?;
        let picture = picture::resize(&picture, sent.0, sent.1, Filter::Bicubic);
        let jpeg = picture::encode_jpeg(&picture, QUALITY).with_context(|| source.to_string())?;
        let image = Image {
            media_type: MediaType::Jpeg,
            bytes: &jpeg,
        };
        let request = self
            .provider
            .prompt_request(&self.endpoint, &[image], &text)?;
        let answer = match self.http.ask(self.provider, &request, &self.endpoint.key) {
            Ok(answer) => answer,
            Err(failure) => return Ok(Asked::Failed(failure)),
        };
        let stored = Stored {
            model: self.endpoint.model.clone(),
            question: sample.question.clone(),
            sent,
            reply: answer.text,
            finish_reason: answer.finish_reason,
        };
        write::file(&file, serde_json::to_string(&stored)?.as_bytes())?;
        Ok(Asked::Reply(stored))
    }

    fn key(&self, picture: &[u8], prompt: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(Sha256::digest(picture));
        hash.update(self.endpoint.model.as_bytes());
        hash.update([0]);
        // Question and size are part of the prompt.
        hash.update(prompt.as_bytes());
        format!("{:x}", hash.finalize())
    }
}

/// A reply that is whole; anything else is asked for again.
fn stored(file: &Path) -> Option<Stored> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// What the teacher is asked. The size stands there because models differ in what they count in.
fn prompt(question: &str, (width, height): (u32, u32)) -> String {
    format!(
        "Which region of this image has to be looked at closely to answer the following question?\n\
         {question}\n\
         The image is {width} x {height} pixels. Reply with JSON only, in pixels of this image: \
         {{\"bbox_2d\": [x1, y1, x2, y2]}}"
    )
}

/// Sides of a picture as it is sent: the longest at most `edge`, both the nearest multiple of the grid,
/// at least two of them.
fn sent_size(width: u32, height: u32, edge: u32) -> (u32, u32) {
    let scale = (f64::from(edge) / f64::from(width.max(height))).min(1.0);
    let side = |side: u32| {
        let cells = (f64::from(side) * scale / f64::from(GRID)).round() as u32;
        cells.clamp(2, (edge / GRID).max(2)) * GRID
    };
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use grounding::NormBox;

    use super::*;

    /// What a box of percents is in the picture that was sent.
    fn in_sent(bbox: NormBox, sent: (u32, u32)) -> [f32; 4] {
        let [x1, y1, x2, y2] = bbox.to_array();
        let (w, h) = (sent.0 as f32 / 100.0, sent.1 as f32 / 100.0);
        [x1 * w, y1 * h, x2 * w, y2 * h]
    }

    #[test]
    fn sides_are_sent_in_whole_cells() {
        assert_eq!(sent_size(1280, 960, 1288), (1288, 952));
        assert_eq!(sent_size(4000, 3000, 1288), (1288, 980));
        assert_eq!(sent_size(3000, 4000, 1288), (980, 1288));
        assert_eq!(sent_size(10, 5000, 1288), (56, 1288));
        assert_eq!(sent_size(5, 5, 1288), (56, 56));
        for (w, h) in [(1, 1), (640, 481), (12_000, 9_000)] {
            let (w, h) = sent_size(w, h, 700);
            assert!(w % 28 == 0 && h % 28 == 0 && w.max(h) <= 700);
        }
    }

    #[test]
    fn a_box_comes_back_as_it_was_drawn() {
        let bbox = NormBox::new(10.0, 25.0, 60.0, 75.0).expect("box");
        let sent = sent_size(4000, 3000, 1288);
        let reply = format!("{{\"bbox_2d\": {:?}}}", in_sent(bbox, sent));
        let back = parse::parse(&reply, sent, parse::Coordinates::Auto).expect("box");
        let pairs = back.to_array().into_iter().zip(bbox.to_array());
        assert!(
            pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-3),
            "{back}"
        );
    }
}
