//! Steps: what is being done, how long it took, and what to do when it cannot be done.
//!
//! Every external program runs through [`run`] or [`output`], with an environment freed of what
//! `cargo run` put there for *this* program: an inherited `CARGO_MANIFEST_DIR` would make build scripts
//! of the inner cargo run again, and an inherited `LD_LIBRARY_PATH` would give one toolchain's libraries
//! to another.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Announces `what`, does `work`, and prints how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {what}");
    std::io::stdout().flush().ok();
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(_) => println!("    done in {seconds:.1} s"),
        Err(_) => println!("    failed after {seconds:.1} s"),
    }
    result
}

/// A note under the step that runs now.
pub fn note(text: &str) {
    println!("    {text}");
}

/// `program` with `args`, in the root of the checkout, with a clean environment.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(crate::root());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || [
                "CARGO_BIN_NAME",
                "CARGO_CRATE_NAME",
                "CARGO_PRIMARY_PACKAGE",
                "OUT_DIR",
                "LD_LIBRARY_PATH",
                "DYLD_FALLBACK_LIBRARY_PATH",
            ]
            .contains(&name.as_ref());
        if ours {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs a command to its end, its output passed through.
pub fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command
        .status()
        .with_context(|| format!("`{line}` could not be started"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs a command quietly; its output is shown only when it fails.
pub fn run_quiet(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{line}` could not be started"))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("`{line}` ended with {}", output.status);
    }
    Ok(())
}

/// Runs a command whose output nobody needs.
pub fn run_silent(command: &mut Command) -> Result<()> {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null());
    run(silent.stderr(Stdio::null()))
}

/// The trimmed standard output of a command, or `None` where it is missing or fails.
pub fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = command(program, args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether this process may write where the system keeps its packages.
pub fn is_root() -> bool {
    output("id", &["-u"]).as_deref() == Some("0")
}

/// `apt-get install`, directly or through `sudo -n`; `None` where this system has no apt or no rights.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if output("apt-get", &["--version"]).is_none() {
        bail!("this system has no apt-get; install by hand: {list}");
    }
    let prefix: &[&str] = if is_root() {
        &[]
    } else if output("sudo", &["-n", "true"]).is_some() {
        &["sudo", "-n"]
    } else {
        bail!("installing packages needs root; run once: sudo apt-get install {list}");
    };
    let apt = |arguments: &[&str]| {
        let mut line: Vec<&str> = prefix.to_vec();
        line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
        line.extend(arguments);
        run_quiet(&mut command(line[0], &line[1..]))
    };
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    // The package list may be older than the mirror: a second try after an update.
    if apt(&install).is_err() {
        note("the package list may be old: updating it and trying again");
        apt(&["update"])?;
        apt(&install).with_context(|| format!("apt-get cannot install {list}"))?;
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
