//! `sft` as a person runs it: killed and resumed it ends where an uninterrupted run ends, bit for
//! bit, for both kinds of policy; and it learns.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod run;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use safetensors::SafeTensors;
use serde_json::Value;
use smolvlm::{ModelFiles, Precision, SmolVlm, tiny};

use self::run::{TINY_MAP, finish, kill_unfinished, metrics, place, sft, step};

#[test]
fn minutes_end_a_run_with_its_rate_down_and_blocks_are_added() {
    let folder = tempfile::tempdir().expect("folder");
    let first = place(folder.path(), 1, TINY_MAP);
    finish(&first, &folder.path().join("first"));
    let init = folder.path().join("first/model");
    let more = format!("init = {init:?}\nblocks = [2, 1, 2]\nminutes = 0.05");
    let config = place(folder.path(), 1_000_000, &more);
    let out = folder.path().join("second");
    finish(&config, &out);
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let rates = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["lr"].as_f64().expect("a rate")
    });
    let rates: Vec<f64> = rates.collect();
    let highest = rates.iter().copied().fold(0.0, f64::max);
    assert!(
        // A step that takes long leaves the last rate higher than the floor.
        rates.len() > 1 && rates[rates.len() - 1] < 0.5 * highest,
        "{rates:?}"
    );
    let shape = std::fs::read_to_string(out.join("model/config.json")).expect("config");
    let shape: Value = serde_json::from_str(&shape).expect("JSON");
    assert_eq!(shape["blocks"], serde_json::json!([2, 1, 2]));
}

fn weights(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("checkpoint/weights.safetensors")).expect("weights")
}

/// Runs once without a stop and once killed after its first checkpoint.
fn resumes_exactly(config: &Path, folder: &Path) {
    let (whole, killed) = (folder.join("whole"), folder.join("killed"));
    finish(config, &whole);
    kill_unfinished(|| sft(config, &killed), &killed);
    let last = step(&whole).expect("a checkpoint");
    assert!(step(&killed).expect("a checkpoint") < last);
    finish(config, &killed);
    assert_eq!(weights(&whole), weights(&killed));
    let optimizer = |out: &Path| std::fs::read(out.join("checkpoint/optimizer.safetensors"));
    assert_eq!(optimizer(&whole).unwrap(), optimizer(&killed).unwrap());
    assert_eq!(metrics(&whole), metrics(&killed));
}

#[test]
fn a_killed_map_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().expect("folder");
    let config = place(folder.path(), 8, TINY_MAP);
    resumes_exactly(&config, folder.path());
}

#[test]
fn a_killed_text_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().expect("folder");
    let model = folder.path().join("tiny");
    tiny::files().save(&model).expect("tiny model");
    let config = place(folder.path(), 4, &format!("init = {model:?}"));
    resumes_exactly(&config, folder.path());
}

#[test]
fn an_adapter_run_goes_on_bit_for_bit_and_leaves_the_base_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let model = folder.path().join("tiny");
    let start = SmolVlm::random(&tiny::files(), 1, &Device::flex()).expect("model");
    let files = pollster::block_on(start.save(Precision::F32)).expect("files");
    files.save(&model).expect("tiny model");
    let adapter = "[adapter]\nr = 2\nlora_alpha = 4\nlora_dropout = 0.1\n\
                   target_modules = [\"q_proj\", \"fc1\", \"proj\"]";
    let memory = "accumulation = 2\ngradient_checkpointing = true";
    let config = place(
        folder.path(),
        4,
        &format!("init = {model:?}\n{memory}\n{adapter}"),
    );
    resumes_exactly(&config, folder.path());
    // model/ is the base with the adapter merged: no more than the targets differ.
    let run = folder.path().join("whole");
    let tensors = |folder: &Path| {
        let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
        let found = SafeTensors::deserialize(&bytes).expect("safetensors");
        let all = found.tensors().into_iter();
        all.map(|(name, view)| (name, view.data().to_vec()))
            .collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (tensors(&model), tensors(&run.join("model")));
    let differ: Vec<&String> = before
        .keys()
        .filter(|name| before[*name] != after[*name])
        .collect();
    // 2 layers of the decoder and 2 of the vision tower have q_proj, the latter fc1, and one proj.
    assert_eq!(differ.len(), 2 + 2 + 2 + 1, "{differ:?}");
    // adapter/ on the base is the same model.
    let device = Device::flex();
    let load = |folder: &Path| ModelFiles::from_dir(folder).expect("files");
    let mut again = SmolVlm::load(&load(&model), &device).expect("base");
    again
        .load_adapter(&load(&run.join("adapter")))
        .expect("adapter");
    let merged = pollster::block_on(again.merge_adapter().save(Precision::F32)).expect("files");
    assert!(
        merged.get("model.safetensors").expect("weights")
            == load(&run.join("model"))
                .get("model.safetensors")
                .expect("weights")
    );
    // Checkpoints hold the factors only.
    let small = std::fs::metadata(run.join("checkpoint/weights.safetensors")).expect("file");
    let whole = std::fs::metadata(run.join("model/model.safetensors")).expect("file");
    assert!(small.len() * 10 < whole.len());
}

#[test]
fn an_adapter_that_does_not_fit_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let model = folder.path().join("tiny");
    tiny::files().save(&model).expect("tiny model");
    for (start, adapter, expected) in [
        (TINY_MAP.to_string(), "r = 2", "only a text policy"),
        (
            format!("init = {model:?}"),
            "target_modules = [\"qproj\"]",
            "got qproj",
        ),
        (format!("init = {model:?}"), "rank = 2", "rank"),
    ] {
        let config = place(folder.path(), 4, &format!("{start}\n[adapter]\n{adapter}"));
        let out = sft(&config, &folder.path().join("run"))
            .output()
            .expect("sft runs");
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && error.contains(expected), "{error}");
    }
}

/// The task `answer`: a reader, measured from crops and from whole pages.
#[test]
fn a_killed_reader_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().expect("folder");
    let model = folder.path().join("tiny");
    tiny::files().save(&model).expect("tiny model");
    let samples = folder.path().join("pages/samples.jsonl");
    let extra = format!(
        "task = \"answer\"\ninit = {model:?}\nanswer.batch = 3\n[eval]\ndata = {samples:?}\nlimit = 2"
    );
    let config = place(folder.path(), 4, &extra);
    resumes_exactly(&config, folder.path());
    let metrics = folder.path().join("killed/metrics.jsonl");
    let metrics = std::fs::read_to_string(metrics).expect("metrics");
    let last: Value = serde_json::from_str(metrics.lines().last().expect("a line")).expect("json");
    for name in [
        "crop/likelihood",
        "crop/exact",
        "whole/likelihood",
        "whole/exact",
    ] {
        assert!(last[format!("eval/{name}")].is_number(), "{name} in {last}");
    }
}

#[test]
fn a_few_hundred_steps_lower_the_loss() {
    let folder = tempfile::tempdir().expect("folder");
    let config = place(folder.path(), 150, TINY_MAP);
    let text = std::fs::read_to_string(&config).expect("config");
    let text = text.replace("checkpoint_every = 1\n", "checkpoint_every = 150\n");
    std::fs::write(&config, text).expect("config");
    let out = folder.path().join("run");
    finish(&config, &out);
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let losses: Vec<f64> = metrics
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("json")["loss"]
                .as_f64()
                .unwrap()
        })
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (first, last) = (mean(&losses[..20]), mean(&losses[130..]));
    assert!(last < 0.8 * first, "{first} -> {last}");
    assert!(out.join("model/model.safetensors").exists());
}

#[test]
fn dense_targets_are_a_text_policys() {
    let folder = tempfile::tempdir().expect("folder");
    let config = folder.path().join("config.toml");
    let text = "steps = 1\npages = 1\nquestions = 1\ncheckpoint_every = 1\ndense = 0.5\n\n[[data]]\nsamples = \"none.jsonl\"\nweight = 1.0\n";
    std::fs::write(&config, text).expect("config");
    for (task, why) in [
        ("boxes", "dense is a text policy's"),
        ("answer", "dense is for task boxes"),
    ] {
        let out = sft(&config, &folder.path().join("run"))
            .args(["--set", &format!("task={task}")])
            .output()
            .expect("sft runs");
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success());
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_wrong_configuration_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let config = folder.path().join("config.toml");
    std::fs::write(
        &config,
        "steps = 1\npages = 1\nquestions = 1\nnonsense = 3\n",
    )
    .unwrap();
    let out = sft(&config, folder.path()).output().expect("sft runs");
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success());
    assert!(
        error.contains("config.toml") && error.contains("nonsense"),
        "{error}"
    );
}

/// A picture of the pages is cut off; the pages' names as the questions give them.
fn break_a_picture(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("pages/samples.jsonl")).expect("samples");
    let first: Value = serde_json::from_str(text.lines().next().expect("line")).expect("json");
    let name = first["image"].as_str().expect("image").to_owned();
    let path = folder.join("pages").join(&name);
    let whole = std::fs::read(&path).expect("picture");
    std::fs::write(&path, &whole[..whole.len() / 3]).expect("written");
    name
}

#[test]
fn a_broken_picture_is_skipped_and_named_and_too_many_end_the_run() {
    let folder = tempfile::tempdir().expect("folder");
    let config = place(folder.path(), 6, &format!("max_bad = 0.2\n{TINY_MAP}"));
    let broken = break_a_picture(folder.path());
    // One of six pages is broken: a fifth may be.
    let run = |out: &str| {
        let out = folder.path().join(out);
        let done = sft(&config, &out).output().expect("sft runs");
        (
            done.status,
            String::from_utf8_lossy(&done.stderr).into_owned(),
            out,
        )
    };
    let (status, said, first) = run("first");
    assert!(status.success(), "{said}");
    assert!(
        said.contains("1 of 6 samples were skipped: ") && said.contains(&broken),
        "{said}"
    );
    // What is drawn in its place follows from the seed alone.
    let (status, said, second) = run("second");
    assert!(status.success(), "{said}");
    assert_eq!(weights(&first), weights(&second));
    let text = std::fs::read_to_string(&config).expect("config");
    std::fs::write(&config, text.replace("max_bad = 0.2\n", "")).expect("config");
    let (status, said, _) = run("third");
    assert!(!status.success(), "{said}");
    assert!(
        said.contains("1 of 6 samples cannot be used") && said.contains("max_bad = 0.01"),
        "{said}"
    );
    assert!(said.contains(&broken), "{said}");
}
