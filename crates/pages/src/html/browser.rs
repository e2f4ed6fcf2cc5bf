//! Chromium, driven through the DevTools protocol over a pair of pipes: a page of HTML in, its picture and boxes out.
//!
//! With `--remote-debugging-pipe` Chromium takes its commands, JSON that ends in a zero byte, from file descriptor 3 and answers on
//! 4. Four commands are all that is needed, so there is no client library and no socket. One page is open; whoever wants a picture
//! waits for his turn.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use serde::Deserialize;
use serde_json::{Value, json};

/// How long Chromium may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names under which Chromium is installed.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// A printed line as the browser laid it out, CSS pixels.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// Its ink: left, top, right, bottom.
    #[serde(rename = "box")]
    pub bbox: [f32; 4],
}

/// Where everything stands, CSS pixels.
#[derive(Debug, Deserialize)]
pub struct Layout {
    /// Every printed line.
    pub lines: Vec<Line>,
    /// The lines of each marked part.
    pub parts: BTreeMap<String, Vec<[f32; 4]>>,
    /// Height of what was laid out.
    pub height: f32,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Viewport {
    /// Width, CSS pixels.
    pub width: u32,
    /// Height, CSS pixels; `None`: as high as the page.
    pub height: Option<u32>,
    /// Picture pixels a CSS pixel.
    pub scale: f64,
}

/// Longest picture that is taken, CSS pixels.
const LONGEST: u32 = 2600;

/// A running Chromium with one page.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<std::io::Result<Vec<u8>>>,
    session: Option<String>,
    frame: String,
    count: u64,
    profile: PathBuf,
}

impl Browser {
    /// Starts Chromium: the given program, the one that the environment variable CHROMIUM names, or the first that is installed.
    ///
    /// # Errors
    /// None is there, or it does not answer.
    pub fn start(program: Option<&Path>) -> Result<Self> {
        let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
        let program = program.map(Path::to_path_buf).or(named).or_else(installed);
        let program = program.context(
            "Chromium is missing; install it, or name the program with --chromium or in CHROMIUM",
        )?;
        let profile = std::env::temp_dir().join(format!("cropvlm-html-{}", std::process::id()));
        // The shell lays the two pipes on descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null"])
            .arg(&program)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox", // pages are our own; in containers there is no sandbox to be had
                "--disable-gpu",
                "--no-first-run",
                "--hide-scrollbars",
                "--disable-background-networking",
                "--font-render-hinting=none",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{}: cannot be started", program.display()))?;
        let (Some(commands), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("no pipes to Chromium");
        };
        let (send, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let mut message = Vec::new();
                let read = output.read_until(0, &mut message).map(|_| message);
                let more = read.as_ref().is_ok_and(|message| !message.is_empty());
                if send.send(read).is_err() || !more {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            commands,
            answers,
            session: None,
            frame: String::new(),
            count: 0,
            profile,
        };
        browser
            .open()
            .with_context(|| format!("{} does not answer as Chromium does", program.display()))?;
        Ok(browser)
    }

    /// Opens the page.
    fn open(&mut self) -> Result<()> {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", attach)?;
        self.session = Some(text(&session["sessionId"])?);
        let tree = self.call("Page.getFrameTree", json!({}))?;
        self.frame = text(&tree["frameTree"]["frame"]["id"])?;
        Ok(())
    }

    /// Shows a page of HTML: where everything stands, and its picture as PNG.
    ///
    /// # Errors
    /// A Chromium that fails or does not answer.
    pub fn show(&mut self, html: &str, viewport: Viewport) -> Result<(Layout, Vec<u8>)> {
        self.size(viewport, viewport.height.unwrap_or(800))?;
        let content = json!({"frameId": self.frame, "html": html});
        self.call("Page.setDocumentContent", content)?;
        let mut layout = self.layout()?;
        if viewport.height.is_none() {
            let height = (layout.height.ceil() as u32).clamp(64, LONGEST);
            self.size(viewport, height)?;
            layout = self.layout()?;
        }
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}))?;
        let png = base64::engine::general_purpose::STANDARD.decode(text(&shot["data"])?)?;
        Ok((layout, png))
    }

    fn size(&mut self, viewport: Viewport, height: u32) -> Result<()> {
        let metrics = json!({
            "width": viewport.width, "height": height,
            "deviceScaleFactor": viewport.scale, "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        Ok(())
    }

    fn layout(&mut self) -> Result<Layout> {
        let script = include_str!("boxes.js");
        let evaluate = json!({
            "expression": format!("document.fonts.ready.then(() => {script})"),
            "awaitPromise": true, "returnByValue": true,
        });
        let result = self.call("Runtime.evaluate", evaluate)?;
        if let Some(thrown) = result.get("exceptionDetails") {
            bail!("the page's boxes cannot be measured: {thrown}");
        }
        Ok(serde_json::from_value(result["result"]["value"].clone())?)
    }

    /// Sends a command and waits for its answer; events in between are of no interest.
    fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.count += 1;
        let mut command = json!({"id": self.count, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands
            .write_all(&bytes)
            .and_then(|()| self.commands.flush())
            .context("Chromium has ended")?;
        loop {
            let answer = self.answers.recv_timeout(PATIENCE);
            let answer = answer.map_err(|_| anyhow!("Chromium does not answer {method}"))??;
            let Some((_, answer)) = answer.split_last() else {
                bail!("Chromium has ended");
            };
            let mut answer: Value = serde_json::from_slice(answer)?;
            if answer["id"] != self.count {
                continue;
            }
            if let Some(error) = answer.get("error") {
                bail!("Chromium refuses {method}: {}", error["message"]);
            }
            return Ok(answer["result"].take());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let closed = self.call("Browser.close", json!({})).is_ok();
        if !closed {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().context("Chromium answers something else")?;
    Ok(text.to_string())
}

/// The first Chromium on the path.
pub fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut all = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.find(|program| program.is_file())
}
