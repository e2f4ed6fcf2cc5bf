//! What tests of whole runs share: pages, a configuration for a network of a few thousand weights, and runs that are
//! killed while they run.

#![allow(dead_code)] // each test uses its part

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The network.
pub const TINY_MAP: &str = "[model]\nmodel_type = \"cropvlm_map\"\ncanvas_pixels = 9216\n\
    channels = [8, 8, 16, 16]\ndecoder_channels = [8, 8, 8]\nblocks = [1, 1, 1]\n\
    question_dim = 16\nmax_question_bytes = 96\ncoverage = 0.9";

pub fn cropvlm() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cropvlm"))
}

/// Pages to train on and a configuration.
pub fn place(folder: &Path, steps: u64, extra: &str) -> PathBuf {
    let pages = folder.join("pages");
    let out = cropvlm()
        .args(["render", "--count", "6", "--seed", "3", "--no-system-fonts"])
        .args(["--kinds", "receipt", "--out"])
        .arg(&pages)
        .output()
        .expect("render runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let config = folder.join("config.toml");
    let text = format!(
        "seed = 4\nsteps = {steps}\npages = 2\nquestions = 2\nreading = true\ncheckpoint_every = 1\n\
         log_every = 1\n{extra}\n\
         [[data]]\nsamples = {:?}\nlines = {:?}\nweight = 1.0\nderive = 0.2\n",
        pages.join("samples.jsonl"),
        pages.join("lines.jsonl"),
    );
    std::fs::write(&config, text).expect("config");
    config
}

pub fn sft(config: &Path, out: &Path) -> Command {
    let mut command = cropvlm();
    command
        .arg("sft")
        .arg("--config")
        .arg(config)
        .arg("--out")
        .arg(out);
    command.stderr(Stdio::piped());
    command
}

pub fn finish(config: &Path, out: &Path) {
    let done = sft(config, out).output().expect("sft runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Everything that a program printed.
pub fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The step of a run's checkpoint.
pub fn step(out: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(out.join("checkpoint/state.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?["step"].as_u64()
}

/// JSON lines.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("lines");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect()
}

/// Lines of metrics without what a clock says.
pub fn metrics(out: &Path) -> Vec<Value> {
    let mut lines = lines(&out.join("metrics.jsonl"));
    for line in &mut lines {
        let line = line.as_object_mut().expect("object");
        line.retain(|name, _| !name.ends_with("time") && name != "samples_per_second");
    }
    lines
}

/// Sends a signal to a child.
pub fn signal(child: &Child, name: &str) {
    let mut sent = Command::new("kill");
    sent.arg(format!("-{name}")).arg(child.id().to_string());
    assert!(sent.status().expect("kill runs").success(), "{name}");
}

/// Waits until something has come about; a child that ends before is an error.
pub fn wait_for(child: &mut Child, what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "ended before {what}: {ended:?}");
        assert!(start.elapsed() < Duration::from_secs(240), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts a run and kills it (SIGKILL) after its first checkpoint, while it is running. Where it was done before the
/// kill came, it is started again from nothing.
pub fn kill_unfinished(command: impl Fn() -> Command, out: &Path) {
    for _ in 0..20 {
        let mut child = command().stderr(Stdio::null()).spawn().expect("it runs");
        let start = Instant::now();
        while !out.join("checkpoint/state.json").exists() {
            assert!(start.elapsed() < Duration::from_secs(240), "no checkpoint");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("kill");
        // A child that was killed has no status of its own.
        if child.wait().expect("wait").code().is_none() {
            return;
        }
        std::fs::remove_dir_all(out).expect("removed");
    }
    panic!("the run was always done before it was killed");
}
