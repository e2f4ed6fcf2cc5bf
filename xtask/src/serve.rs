//! A small static server for `dist/`.
//!
//! It sends the two headers that make a page cross-origin isolated (needed for threads in wasm), the
//! types that module scripts and streaming compilation insist on, and `no-cache`, so that a rebuilt page
//! is what a reload shows. What a browser takes compressed comes compressed ([`compress`]), as from any host
//! on the web. It listens on 127.0.0.1 only and never leaves its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, ensure};
use tiny_http::{Header, Response, Server};

use crate::compress::{self, Kept};
use crate::step::{command, note, output};

/// Serves `dist` until the process is stopped.
pub fn serve(dist: &Path, port: u16, open: bool) -> Result<()> {
    wait(start(dist, port, open)?)
}

/// Begins to serve `dist`; the threads that answer.
pub fn start(dist: &Path, port: u16, open: bool) -> Result<Vec<JoinHandle<()>>> {
    ensure!(
        dist.join("index.html").exists(),
        "there is no page in {}. What to do: `cargo xtask page`",
        dist.display()
    );
    let server = Server::http(("127.0.0.1", port))
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("port {port} cannot be opened. What to do: choose another one, for example --port {}", port.wrapping_add(1)))?;
    let url = format!("http://127.0.0.1:{port}");
    println!(
        "==> serving {} on {url}\n    stop with Ctrl-C",
        dist.display()
    );
    if open {
        open_browser(&url);
    }
    Ok(answering(Arc::new(server), dist))
}

/// Waits until the threads that answer have ended.
pub fn wait(threads: Vec<JoinHandle<()>>) -> Result<()> {
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow!("a thread of the server ended"))?;
    }
    Ok(())
}

/// Threads that answer until the server is unblocked for each of them.
fn answering(server: Arc<Server>, dist: &Path) -> Vec<JoinHandle<()>> {
    let kept = Arc::new(Kept::default());
    let threads = (0..THREADS).map(|_| {
        let (server, kept, dist) = (Arc::clone(&server), Arc::clone(&kept), dist.to_path_buf());
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                answer(request, &dist, &kept);
            }
        })
    });
    threads.collect()
}

/// One may compress the largest file while the others answer.
const THREADS: usize = 4;

fn answer(request: tiny_http::Request, dist: &Path, kept: &Kept) {
    let found = find(dist, request.url()).and_then(|path| {
        let accepted = request.headers().iter();
        let accepted = accepted.filter(|header| header.field.equiv("Accept-Encoding"));
        let accepted: Vec<&str> = accepted.map(|header| header.value.as_str()).collect();
        let coding = compress::choose(&accepted.join(","));
        let sent = kept.read(&path, coding).ok()?;
        Some((path, sent))
    });
    // A client that went away is no concern of ours.
    let _ = match found {
        Some((path, sent)) => {
            let mut response = Response::from_data(sent.bytes.to_vec());
            let coding = sent.coding.name().map(|name| ("Content-Encoding", name));
            for (name, value) in headers(&path).into_iter().chain(coding) {
                if let Ok(header) = Header::from_bytes(name, value) {
                    response.add_header(header);
                }
            }
            // Never in chunks: a length is what progress is counted against.
            request.respond(response.with_chunked_threshold(usize::MAX))
        }
        None => request.respond(Response::from_string("not found").with_status_code(404)),
    };
}

/// The file a URL means, or `None` for one outside of `dist` or not there.
fn find(dist: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.trim_start_matches('/');
    let plain = path
        .split('/')
        .all(|part| part != ".." && !part.contains('\\') && !part.contains(':'));
    if !plain || path.contains('%') {
        return None; // no file of the page has a name that needs escaping
    }
    let file = if path.is_empty() {
        dist.join("index.html")
    } else {
        dist.join(path)
    };
    file.is_file().then_some(file)
}

fn headers(path: &Path) -> [(&'static str, &'static str); 6] {
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        Some("webmanifest") => "application/manifest+json",
        Some("md") => "text/markdown; charset=utf-8",
        _ => "application/octet-stream",
    };
    [
        ("Content-Type", kind),
        ("Cache-Control", "no-cache"),
        ("Vary", "Accept-Encoding"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Embedder-Policy", "require-corp"),
        ("X-Content-Type-Options", "nosniff"),
    ]
}

/// Opens the person's browser; where there is none, the printed address is enough.
fn open_browser(url: &str) {
    let programs: &[&[&str]] = if cfg!(target_os = "macos") {
        &[&["open"]]
    } else if cfg!(windows) {
        &[&["cmd", "/c", "start", ""]]
    } else {
        &[&["xdg-open"]]
    };
    let opened = programs.iter().any(|program| {
        let mut arguments = program[1..].to_vec();
        arguments.push(url);
        output("sh", &["-c", "test -z \"$CI\""]).is_some()
            && command(program[0], &arguments).spawn().is_ok()
    });
    if !opened {
        note("no browser could be opened: open the address above");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn never_leaves_its_folder() {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(find(here, "/Cargo.toml?x=1").is_some());
        for url in [
            "/../Cargo.toml",
            "/src/../../Cargo.toml",
            "/%2e%2e/Cargo.toml",
            "//etc/passwd",
            "/nothing",
        ] {
            assert!(find(here, url).is_none(), "{url}");
        }
    }

    /// Headers and body of an answer.
    fn asked(address: &str, path: &str, accepted: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(address).expect("connected");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: here\r\nAccept-Encoding: {accepted}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("asked");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("answered");
        let end = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("headers")
            + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        (head, bytes[end..].to_vec())
    }

    #[test]
    fn what_a_browser_takes_compressed_comes_compressed() {
        let folder = tempfile::tempdir().expect("folder");
        let plain = "rows that are much alike\n".repeat(400).into_bytes();
        std::fs::write(folder.path().join("page.js"), &plain).expect("file");
        let server = Arc::new(Server::http("127.0.0.1:0").expect("server"));
        let address = server.server_addr().to_string();
        let threads = answering(Arc::clone(&server), folder.path());
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip, deflate", Some("gzip")),
            ("identity", None),
        ] {
            let (head, body) = asked(&address, "/page.js", accepted);
            assert!(head.starts_with("http/1.1 200"), "{head}");
            assert!(head.contains("vary: accept-encoding"), "{head}");
            assert!(
                head.contains(&format!("content-length: {}", body.len())),
                "{head}"
            );
            match coding {
                Some(name) => {
                    assert!(
                        head.contains(&format!("content-encoding: {name}")),
                        "{head}"
                    );
                    assert!(body.len() * 2 < plain.len(), "{} bytes", body.len());
                }
                None => assert!(
                    !head.contains("content-encoding") && body == plain,
                    "{head}"
                ),
            }
        }
        threads.iter().for_each(|_| server.unblock());
        for thread in threads {
            thread.join().expect("ended");
        }
    }
}
