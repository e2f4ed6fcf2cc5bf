//! What the page of `cropvlm annotate` asks for, and what it gets.
//!
//! | request | reply |
//! |---|---|
//! | `GET /`, `/annotate.js`, `/annotate.css` | the page |
//! | `GET /api/pictures` | folder, output, pictures with sizes and numbers of questions, what was left out |
//! | `GET /picture/NAME` | the picture as it is trained on, PNG |
//! | `GET /api/questions?image=NAME` | its questions |
//! | `POST /api/questions` | a question to add, or with its `id` to replace; the line as it was saved |
//! | `DELETE /api/questions/ID` | |
//!
//! A refusal has a sentence in `error`. Names are looked up in the list of pictures and never joined to a path. Whoever
//! comes by another name of this computer, or from another page, is refused: a page on the web may send requests to
//! 127.0.0.1, too.

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use super::store::{self, Refused, Store};
use crate::stop::Stop;

/// One encodes a picture while the other saves.
const THREADS: usize = 2;

/// Bytes of a question at most.
const MOST: u64 = 1 << 20;

const PAGE: &str = include_str!("../../assets/annotate/index.html");
const SCRIPT: &str = include_str!("../../assets/annotate/annotate.js");
const STYLE: &str = include_str!("../../assets/annotate/annotate.css");

/// Headers of every reply.
const HEADERS: [(&str, &str); 4] = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// What goes back.
struct Reply {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
}

impl Reply {
    fn text(kind: &'static str, text: &str) -> Self {
        Self {
            status: 200,
            kind,
            body: text.into(),
        }
    }

    fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            kind: "application/json",
            body: value.to_string().into_bytes(),
        }
    }

    fn error(status: u16, reason: &str) -> Self {
        Self::json(status, &json!({ "error": reason }))
    }
}

impl From<Refused> for Reply {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::NotThere(_) => 404,
            Refused::Changed(_) => 409,
            Refused::Wrong(_) => 422,
            Refused::Disk(_) => 500,
        };
        Self::error(status, &refused.to_string())
    }
}

/// Answers until the program is told to stop; hands back what was annotated.
pub fn serve(server: &Server, port: u16, store: Store, stop: &Stop) -> Store {
    let store = Mutex::new(store);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.raised() {
                    // A connection that broke is no concern of the next one.
                    if let Ok(Some(request)) = server.recv_timeout(Duration::from_millis(100)) {
                        respond(request, port, &store);
                    }
                }
            });
        }
    });
    store.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn respond(mut request: Request, port: u16, store: &Mutex<Store>) {
    let reply = match stranger(&request, port) {
        Some(reason) => Reply::error(403, &reason),
        None => answer(&mut request, store),
    };
    let mut response = Response::from_data(reply.body).with_status_code(reply.status);
    for (name, value) in HEADERS.into_iter().chain([("Content-Type", reply.kind)]) {
        if let Ok(header) = Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    // A page that went away reads no reply.
    let _ = request.respond(response);
}

fn header<'r>(request: &'r Request, name: &'static str) -> Option<&'r str> {
    let found = request.headers().iter().find(|h| h.field.equiv(name));
    found.map(|header| header.value.as_str())
}

/// Why a request is not from this page, if it is not.
fn stranger(request: &Request, port: u16) -> Option<String> {
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let host = header(request, "Host").unwrap_or_default();
    if !own.iter().any(|own| own == host) {
        return Some(format!(
            "the address {host} is not this page's: open http://{}/",
            own[0]
        ));
    }
    match header(request, "Origin") {
        Some(origin) if !own.iter().any(|own| origin == format!("http://{own}")) => {
            Some(format!("a page of {origin} may not use this one"))
        }
        _ => None,
    }
}

fn answer(request: &mut Request, store: &Mutex<Store>) -> Reply {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let locked = || store.lock().unwrap_or_else(PoisonError::into_inner);
    let done = |found: Result<Value, Refused>| match found {
        Ok(value) => Reply::json(200, &value),
        Err(refused) => refused.into(),
    };
    let method = request.method().clone();
    match (method, path) {
        (Method::Get, "/") => Reply::text("text/html; charset=utf-8", PAGE),
        (Method::Get, "/annotate.js") => Reply::text("text/javascript; charset=utf-8", SCRIPT),
        (Method::Get, "/annotate.css") => Reply::text("text/css; charset=utf-8", STYLE),
        (Method::Get, "/api/pictures") => Reply::json(200, &locked().list()),
        (Method::Get, "/api/questions") => match query.strip_prefix("image=").and_then(decoded) {
            Some(name) => done(locked().about(&name)),
            None => Reply::error(422, "say of which picture: ?image=NAME"),
        },
        (Method::Post, "/api/questions") => {
            let mut body = Vec::new();
            let read = request.as_reader().take(MOST + 1).read_to_end(&mut body);
            match read {
                Ok(_) if body.len() as u64 > MOST => {
                    Reply::error(422, "the question is longer than a million bytes")
                }
                Ok(_) => done(locked().save(&body)),
                Err(_) => Reply::error(422, "the question did not arrive whole"),
            }
        }
        (Method::Get, _) if path.starts_with("/picture/") => {
            let name = path.strip_prefix("/picture/").and_then(decoded);
            // The lock is held for the look-up alone: decoding takes a while.
            let file = name.map(|name| locked().file(&name));
            match file.map(|file| file.and_then(|file| store::pixels(&file))) {
                Some(Ok(png)) => Reply {
                    status: 200,
                    kind: "image/png",
                    body: png,
                },
                Some(Err(refused)) => refused.into(),
                None => Reply::error(404, "there is no such picture"),
            }
        }
        (Method::Delete, _) if path.starts_with("/api/questions/") => {
            let id = path.strip_prefix("/api/questions/").and_then(decoded);
            match id.map(|id| locked().remove(&id)) {
                Some(Ok(())) => Reply {
                    status: 204,
                    kind: "application/json",
                    body: Vec::new(),
                },
                Some(Err(refused)) => refused.into(),
                None => Reply::error(404, "there is no such question"),
            }
        }
        _ => Reply::error(404, "there is nothing here"),
    }
}

/// Text of a part of an address, `%20` and the like read; `None` where that is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((16 * high + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn addresses_are_read_as_text() {
        let of = |text: &str| decoded(text);
        assert_eq!(of("a%20b%2Fc.png").as_deref(), Some("a b/c.png"));
        assert_eq!(of("%E2%82%AC.jpg").as_deref(), Some("€.jpg"));
        assert_eq!(of("a+b").as_deref(), Some("a+b"));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(of(broken), None, "{broken}");
        }
    }
}
