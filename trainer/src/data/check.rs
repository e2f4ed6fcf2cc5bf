//! `cropvlm data --check`: every picture of a set is decoded, so that a broken one is known before a run meets it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::size::alike;
use super::{DataSet, PictureSource};
use crate::counting::Counting;

/// What is wrong with the questions of a set, in their order, each with file and place.
pub fn broken(set: &DataSet) -> Vec<String> {
    let mut wrong: Vec<String> = set
        .unusable
        .iter()
        .map(|error| format!("{error:#}"))
        .collect();
    // In the order of the questions: a parquet file is read forwards.
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let mut first: Vec<usize> = Vec::new();
    for (at, sample) in set.samples.iter().enumerate() {
        known.entry(&sample.image).or_insert_with(|| {
            first.push(at);
            first.len() - 1
        });
    }
    let found: Mutex<BTreeMap<usize, String>> = Mutex::default();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let counting = Counting::to(first.len(), "pictures");
    let work = || {
        while let Some(&at) = first.get(next.fetch_add(1, Ordering::SeqCst)) {
            if let Some(reason) = problem(set, at)
                && let Ok(mut found) = found.lock()
            {
                found.insert(at, reason);
            }
            counting.done(done.fetch_add(1, Ordering::SeqCst) + 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    drop(counting);
    let found = found.into_inner().unwrap_or_default();
    for (at, sample) in set.samples.iter().enumerate() {
        let reason = known
            .get(sample.image.as_str())
            .and_then(|i| found.get(&first[*i]));
        if let Some(reason) = reason {
            let (place, id) = (set.place(at), &sample.id);
            wrong.push(format!("{place}: sample \"{id}\": {reason}"));
        }
    }
    wrong
}

/// What is wrong with a question's picture, if anything.
fn problem(set: &DataSet, at: usize) -> Option<String> {
    let sample = &set.samples[at];
    let picture = match set
        .source(&sample.image)
        .and_then(|s: PictureSource| s.picture())
    {
        Ok(picture) => picture,
        Err(error) => return Some(format!("{error:#}")),
    };
    let (stated, own) = ((sample.width, sample.height), picture.dimensions());
    (!alike(stated, own)).then(|| {
        format!(
            "{}: its size is given as {} x {} pixels, but it has {} x {}",
            sample.image, stated.0, stated.1, own.0, own.1
        )
    })
}
