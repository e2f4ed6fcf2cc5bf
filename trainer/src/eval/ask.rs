//! Asking the target every question in every cell.
//!
//! A model folder is asked one question after the other, all about one picture together, because it
//! encodes a full image once. A provider is asked several at the same time, one question's cells after
//! each other. Errors of single questions are kept and counted; when too many follow each other, or when
//! one concerns all (a refused key), the run ends and says why.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use grounding::answers::{anls, exact_match, vqa_accuracy, without_full_stop};
use grounding::{NormBox, Sample};

use super::conditions::{Cell, Condition};
use super::items::{Item, Items, Key};
use super::proposers::Boxes;
use super::refusal::is_refusal;
use crate::counting::Counting;
use crate::vlm::{Answering, Given, NoAnswer, Original, Shown, Target};

/// So many errors in a row end the run.
const ERRORS_IN_A_ROW: usize = 10;

/// Everything that is asked, and where the answers go.
pub struct Asking<'a> {
    /// Questions; those without answers are left out before.
    pub samples: &'a [Sample],
    /// What was proposed for each.
    pub boxes: &'a [Boxes],
    /// What is shown.
    pub cells: &'a [Cell],
    /// The target's name.
    pub target: &'a str,
    /// Answers.
    pub items: &'a Items,
    /// A picture's file.
    pub file: &'a (dyn Fn(&str) -> Result<Vec<u8>> + Sync),
}

/// One question in one cell.
struct Job<'a> {
    sample: &'a Sample,
    cell: Cell,
    bbox: Option<NormBox>,
}

/// Jobs about one picture at one resolution.
struct Bundle<'a> {
    image: &'a str,
    longest_edge: Option<u32>,
    jobs: Vec<Job<'a>>,
}

/// How a run ended.
pub enum End {
    /// Everything has been asked.
    Complete,
    /// Ctrl-C.
    Stopped,
}

impl Asking<'_> {
    /// Keys of a cell, sample by sample, with the boxes that the cell shows.
    pub fn keys<'s>(&'s self, cell: &'s Cell) -> impl Iterator<Item = (&'s Sample, Key)> {
        let each = self.samples.iter().zip(self.boxes);
        each.filter(|(sample, _)| cell.takes(sample))
            .map(|(sample, boxes)| {
                let bbox = cell.bbox(sample, boxes);
                (sample, Key::new(&sample.id, cell, bbox, self.target))
            })
    }

    /// What has not been answered yet; `together`: all questions about one picture in one bundle.
    fn bundles(&self, together: bool) -> Vec<Bundle<'_>> {
        let mut bundles: Vec<Bundle<'_>> = Vec::new();
        let mut places: BTreeMap<(String, Option<u32>), usize> = BTreeMap::new();
        for (sample, boxes) in self.samples.iter().zip(self.boxes) {
            for cell in self.cells.iter().filter(|cell| cell.takes(sample)) {
                let bbox = cell.bbox(sample, boxes);
                if self
                    .items
                    .has(&Key::new(&sample.id, cell, bbox, self.target))
                {
                    continue;
                }
                let name = if together { &sample.image } else { &sample.id };
                let place = (name.clone(), cell.longest_edge);
                let at = *places.entry(place).or_insert_with(|| {
                    bundles.push(Bundle {
                        image: &sample.image,
                        longest_edge: cell.longest_edge,
                        jobs: Vec::new(),
                    });
                    bundles.len() - 1
                });
                bundles[at].jobs.push(Job {
                    sample,
                    cell: *cell,
                    bbox,
                });
            }
        }
        bundles
    }

    /// Asks everything that has not been answered.
    ///
    /// # Errors
    /// What concerns all questions, too many errors in a row, a disk that is full.
    pub fn run(&self, target: &Target) -> Result<End> {
        match target {
            Target::Local(local) => {
                let bundles = self.bundles(true);
                let run = Run::new(self, &bundles);
                for bundle in &bundles {
                    run.bundle(&**local, bundle);
                }
                run.end()
            }
            Target::Remote(remote, parallel) => {
                let bundles = self.bundles(false);
                let run = Run::new(self, &bundles);
                let next = AtomicUsize::new(0);
                std::thread::scope(|scope| {
                    for _ in 0..(*parallel).min(bundles.len()) {
                        scope.spawn(|| {
                            while let Some(bundle) =
                                bundles.get(next.fetch_add(1, Ordering::SeqCst))
                            {
                                run.bundle(&**remote, bundle);
                            }
                        });
                    }
                });
                run.end()
            }
        }
    }
}

/// A run under way; threads share it.
struct Run<'a> {
    asking: &'a Asking<'a>,
    total: usize,
    done: AtomicUsize,
    errors: AtomicUsize,
    in_a_row: AtomicUsize,
    /// Nothing more is asked: Ctrl-C, or `fatal` says why.
    over: AtomicBool,
    fatal: Mutex<Option<String>>,
    counting: Counting,
}

impl<'a> Run<'a> {
    fn new(asking: &'a Asking<'a>, bundles: &[Bundle<'_>]) -> Self {
        let total = bundles.iter().map(|bundle| bundle.jobs.len()).sum();
        let all: usize = asking
            .cells
            .iter()
            .map(|cell| asking.keys(cell).count())
            .sum();
        let there = match all - total {
            0 => String::new(),
            n => format!("; {n} are there already"),
        };
        eprintln!("{}: {total} questions to ask{there}", asking.target);
        Self {
            asking,
            total,
            done: AtomicUsize::new(0),
            errors: AtomicUsize::new(0),
            in_a_row: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            fatal: Mutex::new(None),
            counting: Counting::to(total, "answers"),
        }
    }

    fn end(self) -> Result<End> {
        let done = self.done.into_inner();
        drop(self.counting);
        if let Ok(Some(reason)) = self.fatal.into_inner() {
            bail!(
                "{reason}\nstopped after {done} of {} questions; with --items the same command goes on from there",
                self.total
            );
        }
        Ok(if self.over.into_inner() {
            End::Stopped
        } else {
            End::Complete
        })
    }

    fn stop(&self, reason: Option<String>) {
        self.over.store(true, Ordering::SeqCst);
        if let (Some(reason), Ok(mut fatal)) = (reason, self.fatal.lock()) {
            fatal.get_or_insert(reason);
        }
    }

    fn bundle<T: Answering>(&self, target: &T, bundle: &Bundle<'_>) {
        if self.over.load(Ordering::SeqCst) {
            return;
        }
        let picture = || -> Result<_> {
            let file = (self.asking.file)(bundle.image)?;
            let pixels = picture::decode(&file).with_context(|| bundle.image.to_owned())?;
            Ok((file, pixels))
        };
        let (file, pixels) = match picture() {
            Ok(picture) => picture,
            Err(error) => return self.fail(bundle, &NoAnswer::Item(format!("{error:#}"))),
        };
        let original = Original {
            file: &file,
            pixels: &pixels,
        };
        let view = match target.view(&original, bundle.longest_edge) {
            Ok(view) => view,
            Err(error) => return self.fail(bundle, &error),
        };
        for job in &bundle.jobs {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let start = Instant::now();
            // A box that is no valid one gives no crop: the full image is all there is.
            let crop = job
                .bbox
                .map(|bbox| job.cell.picture(&job.sample.id, &pixels, bbox));
            let shown = match (&crop, job.cell.condition) {
                (None, _) => Shown::Full,
                (Some(crop), Condition::Crop) => Shown::Only(crop),
                (Some(crop), _) => Shown::FullAnd(crop),
            };
            let given = target.answer(&view, shown, job.sample);
            self.keep(job, given, start.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// The same error for all jobs of a bundle.
    fn fail(&self, bundle: &Bundle<'_>, error: &NoAnswer) {
        for job in &bundle.jobs {
            let error = match error {
                NoAnswer::Stopped => NoAnswer::Stopped,
                NoAnswer::Item(reason) => NoAnswer::Item(reason.clone()),
                NoAnswer::All(reason) => NoAnswer::All(reason.clone()),
            };
            self.keep(job, Err(error), 0.0);
        }
    }

    fn keep(&self, job: &Job<'_>, given: Result<Given, NoAnswer>, ms: f64) {
        let mut item = Item {
            id: job.sample.id.clone(),
            condition: job.cell.condition,
            expand: job.cell.expand,
            longest_edge: job.cell.longest_edge,
            bbox: job.bbox,
            target: self.asking.target.to_owned(),
            answer: None,
            refused: false,
            vqa: None,
            anls: None,
            exact: None,
            ms: (10.0 * ms).round() / 10.0,
            tokens: None,
            logprob: None,
            error: None,
        };
        match given {
            Ok(given) => {
                self.in_a_row.store(0, Ordering::SeqCst);
                let scored = without_full_stop(&given.text);
                let answers = &job.sample.answers;
                item.vqa = Some(vqa_accuracy(scored, answers));
                item.anls = Some(anls(scored, answers));
                item.exact = Some(exact_match(scored, answers));
                item.refused = is_refusal(&given.text, given.refused);
                item.tokens = given.tokens;
                item.logprob = given.logprob;
                item.answer = Some(given.text);
            }
            Err(NoAnswer::Stopped) => return self.stop(None),
            Err(NoAnswer::All(reason)) => return self.stop(Some(reason)),
            Err(NoAnswer::Item(reason)) => {
                self.errors.fetch_add(1, Ordering::SeqCst);
                if self.in_a_row.fetch_add(1, Ordering::SeqCst) + 1 >= ERRORS_IN_A_ROW {
                    let id = &job.sample.id;
                    self.stop(Some(format!(
                        "{ERRORS_IN_A_ROW} errors in a row, the last one for question {id}: {reason}"
                    )));
                }
                item.error = Some(reason);
            }
        }
        if let Err(error) = self.asking.items.push(item) {
            return self.stop(Some(format!("{error:#}")));
        }
        let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let errors = self.errors.load(Ordering::SeqCst);
        self.counting.done_and(done, &format!(", {errors} errors"));
    }
}
