//! Signals, lost terminals and readers that leave: a run saves and ends with a status of its own, or goes on; nothing
//! panics.

#![cfg(target_os = "linux")] // `env --default-signal` and `script`
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod run;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use self::run::{TINY_MAP, cropvlm, place, sft, signal, step, text_of, wait_for};

/// A run that would take days and never saves by itself.
fn long(folder: &Path) -> PathBuf {
    place(folder, 100_000_000, TINY_MAP)
}

const NEVER: [&str; 2] = ["--set", "checkpoint_every=100000000"];

/// The run under `env` with such an option: whatever this test itself was started with, signals are as it says.
fn under(option: &str, config: &Path, out: &Path) -> Command {
    let mut command = Command::new("env");
    command.arg(option).arg(env!("CARGO_BIN_EXE_cropvlm"));
    command.args(sft(config, out).get_args()).args(NEVER);
    command
}

fn lines(out: &Path) -> usize {
    let text = std::fs::read_to_string(out.join("metrics.jsonl"));
    text.map_or(0, |text| text.lines().count())
}

fn trains(child: &mut Child, out: &Path) {
    let before = lines(out);
    wait_for(child, "further steps", || lines(out) > before + 2);
}

/// A pipe that nobody reads.
fn no_reader() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_signal_saves_and_ends_with_a_status_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = long(folder.path());
    for (name, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let out = folder.path().join(name);
        let mut command = under("--default-signal=INT,TERM,HUP", &config, &out);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        trains(&mut child, &out);
        signal(&child, name);
        let done = child.wait_with_output().unwrap();
        let text = text_of(&done);
        assert_eq!(done.status.code(), Some(status), "{name}: {text}");
        let saved = step(&out).expect("a checkpoint");
        assert!(
            text.contains(&format!("stopped at step {saved};")),
            "{text}"
        );
        assert!(out.join("model/model.safetensors").exists());
        // What was measured and what was saved belong together.
        assert_eq!(lines(&out) as u64, saved);
    }
}

#[test]
fn nohup_outlives_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let config = long(folder.path());
    let out = folder.path().join("run");
    let mut command = under("--ignore-signal=HUP", &config, &out);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    trains(&mut child, &out);
    signal(&child, "HUP");
    trains(&mut child, &out);
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// A terminal of its own, made by `script`, that goes away: with the hangup that follows, and for a program that was
/// told not to mind, whose progress cannot be printed any more.
#[test]
fn a_lost_terminal_loses_no_step() {
    let folder = tempfile::tempdir().unwrap();
    let config = long(folder.path());
    for option in ["--default-signal=HUP", "--ignore-signal=HUP"] {
        let out = folder.path().join(option);
        let pid = folder.path().join("pid");
        let run = under(option, &config, &out);
        let words = run.get_args().map(|word| format!("'{}'", word.display()));
        let words = words.collect::<Vec<_>>().join(" ");
        let inside = format!("echo $$ > '{}'; exec env {words}", pid.display());
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &inside, "/dev/null"]);
        let mut script = script
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        trains(&mut script, &out);
        let pid = std::fs::read_to_string(&pid).unwrap().trim().to_string();
        script.kill().unwrap();
        script.wait().unwrap();
        let start = std::time::Instant::now();
        let wait = |there: &dyn Fn() -> bool, what: &str| {
            while !there() {
                assert!(start.elapsed().as_secs() < 240, "{what}");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        };
        if option == "--ignore-signal=HUP" {
            let before = lines(&out);
            wait(&|| lines(&out) > before + 2, "it does not go on");
            let sent = Command::new("kill").args(["-TERM", &pid]).status();
            assert!(sent.unwrap().success());
        }
        wait(&|| ended(&pid), "it does not end");
        let saved = step(&out).expect("a checkpoint");
        assert_eq!(lines(&out) as u64, saved);
    }
}

/// Whether a process is gone, or a zombie that nobody has asked for yet.
fn ended(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_none_or(|state| state.starts_with('Z'))
}

/// `cropvlm sft 2>&1 | tee log`: Ctrl-C ends `tee` as well.
#[test]
fn ctrl_c_saves_when_the_reader_of_the_progress_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let config = long(folder.path());
    let out = folder.path().join("run");
    let mut command = under("--default-signal=INT", &config, &out);
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    trains(&mut child, &out);
    drop(reader);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(step(&out), Some(lines(&out) as u64));
}

/// A data set to be shown: its description is a few lines on standard output.
fn shown(folder: &Path) -> Command {
    let mut command = cropvlm();
    command.arg("data").arg("--data");
    command.arg(folder.join("pages/samples.jsonl"));
    command
}

fn quiet(done: &Output) {
    let text = text_of(done);
    assert!(!text.contains("panicked"), "{text}");
    assert!(!text.contains("RUST_BACKTRACE"), "{text}");
}

/// `cropvlm data … | head -1`, at its worst: the reader is gone before the first line.
#[test]
fn a_reader_that_leaves_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 2, TINY_MAP);
    let mut command = shown(folder.path());
    command.stdout(no_reader()).stderr(Stdio::piped());
    let done = command.spawn().unwrap().wait_with_output().unwrap();
    quiet(&done);
    assert!(done.status.success());
    assert_eq!(text_of(&done), "");
    // Nor does one of the progress.
    let out = folder.path().join("run");
    let done = sft(&config, &out).stderr(no_reader()).status().unwrap();
    assert!(done.success());
    assert_eq!(step(&out), Some(2));
}

#[test]
fn a_full_disk_under_the_output_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 2, TINY_MAP);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut command = shown(folder.path());
    command.stdout(full()).stderr(Stdio::piped());
    let done = command.spawn().unwrap().wait_with_output().unwrap();
    quiet(&done);
    // A result that is lost is not a success.
    assert_eq!(done.status.code(), Some(1));
    let text = text_of(&done);
    assert!(
        text.starts_with("error: the result could not be printed"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
    // Progress that is lost is nothing.
    let out = folder.path().join("run");
    let done = sft(&config, &out).stderr(full()).status().unwrap();
    assert!(done.success());
    assert_eq!(step(&out), Some(2));
}
