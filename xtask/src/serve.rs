//! A small static server for `dist/`.
//!
//! It sends the two headers that make a page cross-origin isolated (needed for threads in wasm), the
//! types that module scripts and streaming compilation insist on, and `no-cache`, so that a rebuilt page
//! is what a reload shows. It listens on 127.0.0.1 only and never leaves its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use tiny_http::{Header, Response, Server};

use crate::step::{command, note, output};

/// Serves `dist` until the process is stopped.
pub fn serve(dist: &Path, port: u16, open: bool) -> Result<()> {
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
    let server = Arc::new(server);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (server, dist) = (Arc::clone(&server), dist.to_path_buf());
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    answer(request, &dist);
                }
            })
        })
        .collect();
    for worker in workers {
        worker
            .join()
            .map_err(|_| anyhow!("a thread of the server ended"))?;
    }
    Ok(())
}

fn answer(request: tiny_http::Request, dist: &Path) {
    let found = find(dist, request.url())
        .and_then(|path| std::fs::File::open(&path).ok().map(|file| (path, file)));
    // A client that went away is no concern of ours.
    let _ = match found {
        Some((path, file)) => {
            let mut response = Response::from_file(file);
            for (name, value) in headers(&path) {
                if let Ok(header) = Header::from_bytes(name, value) {
                    response.add_header(header);
                }
            }
            request.respond(response)
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

fn headers(path: &Path) -> [(&'static str, &'static str); 5] {
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
    use super::find;

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
}
