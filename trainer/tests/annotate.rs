//! `annotate` by what its page asks for: pictures as they are trained on, questions that are on the disk at once and that
//! every command reads, refusals in sentences, and nobody else's requests.

mod run;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use picture::RgbImage;
use serde_json::{Value, json};

use self::run::{cropvlm, lines, text_of};

/// A JPEG of 60 x 40 pixels that is to be turned by a quarter.
fn turned() -> Vec<u8> {
    let page = RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 9]));
    let plain = picture::encode_jpeg(&page, 90).expect("jpeg");
    let mut exif =
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let mut file = vec![0xff, 0xd8, 0xff, 0xe1, length[0], length[1]];
    file.append(&mut exif);
    file.extend(&plain[2..]);
    file
}

/// A folder of pictures, and what is none.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        std::fs::create_dir_all(place.path("photos/more")).expect("folder");
        let page = RgbImage::from_pixel(200, 100, image::Rgb([250, 250, 250]));
        let png = picture::encode_png(&page).expect("png");
        for (name, bytes) in [
            ("photos/a page.png", &png[..]),
            ("photos/more/turned.jpg", &turned()),
            ("photos/cut.png", &png[..png.len() / 2]),
            ("photos/notes.txt", b"no picture"),
            ("photos/.hidden.png", b"no picture"),
            ("secret.png", &png),
        ] {
            std::fs::write(place.path(name), bytes).expect("written");
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(place.path("secret.png"), place.path("photos/link.png"))
            .expect("a link");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn out(&self) -> PathBuf {
        self.path("photos/annotations.jsonl")
    }

    fn start(&self) -> Page {
        let mut command = cropvlm();
        command.arg("annotate").arg(self.path("photos"));
        command.args(["--port", "0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut first = String::new();
        let out = child.stdout.take().expect("a pipe");
        let mut out = BufReader::new(out);
        out.read_line(&mut first).expect("a line");
        let (_, address) = first.trim().rsplit_once("http://").expect("an address");
        let address = address.trim_end_matches('/').to_owned();
        Page {
            address,
            child,
            _out: out,
        }
    }
}

/// The program, until the test ends.
struct Page {
    address: String,
    child: Child,
    _out: BufReader<std::process::ChildStdout>,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page {
    /// Status and body of a request, sent as it stands.
    fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if headers.iter().all(|(name, _)| *name != "Host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(head.as_bytes()).expect("sent");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).expect("a reply");
        let end = reply.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.expect("a head");
        let head = String::from_utf8_lossy(&reply[..end]).into_owned();
        assert!(
            head.contains("nosniff") && head.contains("frame-ancestors 'none'"),
            "{head}"
        );
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.expect("a status"), reply[end + 4..].to_vec())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.raw("GET", path, &[], "");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn save(&self, question: &Value) -> (u16, Value) {
        let (status, body) = self.raw("POST", "/api/questions", &[], &question.to_string());
        (status, serde_json::from_slice(&body).expect("json"))
    }

    /// The sentence of what is refused with this status.
    fn refused(&self, question: &Value, status: u16) -> String {
        let (found, said) = self.save(question);
        assert_eq!(found, status, "{said}");
        said["error"].as_str().expect("a sentence").to_owned()
    }
}

fn question() -> Value {
    json!({"image": "a page.png", "question": " What is the total? ", "answers": ["9.00", " ", "9,00"],
        "nested": [[10, 10, 100, 60], [20, 20, 40.5, 30]]})
}

#[test]
fn what_is_saved_is_on_the_disk_and_every_command_reads_it() {
    let place = Place::new();
    let page = place.start();
    let (status, found) = page.get("/api/pictures");
    assert_eq!(status, 200);
    let pictures = found["pictures"].as_array().expect("a list");
    let of = |at: usize| {
        let p = &pictures[at];
        (
            p["name"].as_str(),
            p["width"].as_u64(),
            p["height"].as_u64(),
            p["questions"].as_u64(),
        )
    };
    // Sizes are those of pictures as they are shown.
    assert_eq!(of(0), (Some("a page.png"), Some(200), Some(100), Some(0)));
    let last = pictures.len() - 1;
    assert_eq!(
        of(last),
        (Some("more/turned.jpg"), Some(40), Some(60), Some(0))
    );
    let skipped = found["skipped"].to_string();
    assert!(
        skipped.contains("notes.txt") && !skipped.contains("hidden"),
        "{skipped}"
    );
    #[cfg(unix)]
    assert!(skipped.contains("leads out of the folder"), "{skipped}");

    let (status, line) = page.save(&question());
    assert_eq!(status, 200, "{line}");
    // At once, from the smallest box to the largest, the smallest as the evidence.
    assert_eq!(lines(&place.out()), std::slice::from_ref(&line));
    assert_eq!(
        line["nested"],
        json!([[20.0, 20.0, 40.5, 30.0], [10.0, 10.0, 100.0, 60.0]])
    );
    assert_eq!(line["boxes"], json!([[20.0, 20.0, 40.5, 30.0]]));
    assert_eq!(
        (
            &line["question"],
            &line["answers"],
            &line["width"],
            &line["height"]
        ),
        (
            &json!("What is the total?"),
            &json!(["9.00", "9,00"]),
            &json!(200),
            &json!(100)
        )
    );
    let turned = json!({"image": "more/turned.jpg", "question": "What is below?", "nested": [[0, 50, 40, 60]]});
    let (_, second) = page.save(&turned);
    assert_eq!(
        (&second["id"], &second["image"]),
        (&json!("more_turned-0"), &json!("more/turned.jpg"))
    );
    let mut command = cropvlm();
    command
        .args(["data", "--json", "--check", "--data"])
        .arg(place.out());
    let done = command.output().expect("cropvlm runs");
    assert!(done.status.success(), "{}", text_of(&done));
    let read: Value = serde_json::from_slice(&done.stdout).expect("json");
    assert_eq!(
        (&read["questions"], &read["with_boxes"]),
        (&json!(2), &json!(2))
    );

    // The same question again, better; then another, gone.
    let mut better = question();
    better["id"] = line["id"].clone();
    better["question"] = json!("What is the sum?");
    better["nested"] = json!([]);
    assert_eq!(page.save(&better).0, 200);
    let (_, about) = page.get("/api/questions?image=a%20page.png");
    let about = about.as_array().expect("a list");
    assert_eq!(
        (about.len(), &about[0]["question"]),
        (1, &json!("What is the sum?"))
    );
    let gone = page.raw("DELETE", "/api/questions/more_turned-0", &[], "");
    assert_eq!(gone, (204, Vec::new()));
    let ids: Vec<Value> = lines(&place.out())
        .iter()
        .map(|l| l["id"].clone())
        .collect();
    assert_eq!(ids, [line["id"].clone()]);
    // A new question gets the number that is free.
    assert_eq!(page.save(&question()).1["id"], "a page-1");
}

#[test]
fn pictures_come_as_they_are_trained_on() {
    let place = Place::new();
    let page = place.start();
    let (status, png) = page.raw("GET", "/picture/more%2Fturned.jpg", &[], "");
    assert_eq!(status, 200);
    let shown = picture::decode(&png).expect("a picture");
    let file = std::fs::read(place.path("photos/more/turned.jpg")).expect("file");
    assert_eq!(shown, picture::decode(&file).expect("a picture"));
    assert_eq!(shown.dimensions(), (40, 60));
    // A header without a picture behind it is told when it is looked at.
    let (status, said) = page.get("/picture/cut.png");
    if status != 404 {
        assert_eq!(status, 422, "{said}");
        assert!(
            said["error"]
                .as_str()
                .is_some_and(|e| e.contains("cut.png")),
            "{said}"
        );
    }
    for (path, kind) in [
        ("/", "<!doctype html>"),
        ("/annotate.js", "keydown"),
        ("/annotate.css", "#stage"),
    ] {
        let (status, body) = page.raw("GET", path, &[], "");
        assert!(
            status == 200 && String::from_utf8_lossy(&body).contains(kind),
            "{path}"
        );
    }
}

#[test]
fn nothing_leaves_the_folder_and_nobody_else_asks() {
    let place = Place::new();
    let page = place.start();
    let secret = std::fs::read(place.path("secret.png")).expect("file");
    for path in [
        "/picture/../secret.png",
        "/picture/..%2Fsecret.png",
        "/picture/%2e%2e/secret.png",
        "/picture/link.png",
        "/picture/more%2F..%2F..%2Fsecret.png",
        "/picture/%2Fetc%2Fpasswd",
        "/picture/%ff",
        "/../../etc/passwd",
        "/secret.png",
        "/annotations.jsonl",
    ] {
        let (status, body) = page.raw("GET", path, &[], "");
        assert_eq!(status, 404, "{path}");
        assert!(
            body != secret && !String::from_utf8_lossy(&body).contains("root:"),
            "{path}"
        );
    }
    for name in ["../secret.png", "/etc/passwd", "notes.txt"] {
        let mut elsewhere = question();
        elsewhere["image"] = json!(name);
        assert!(page.refused(&elsewhere, 404).contains(name));
    }
    let body = question().to_string();
    let port = page.address.rsplit_once(':').expect("a port").1;
    let rebound = format!("evil.example:{port}");
    for headers in [
        [("Origin", "https://evil.example")],
        [("Origin", "null")],
        [("Host", rebound.as_str())],
    ] {
        let (status, said) = page.raw("POST", "/api/questions", &headers, &body);
        assert_eq!(status, 403, "{}", String::from_utf8_lossy(&said));
    }
    assert!(!place.out().exists(), "nothing was saved");
    let own = format!("http://{}", page.address);
    assert_eq!(
        page.raw("POST", "/api/questions", &[("Origin", &own)], &body)
            .0,
        200
    );
}

#[test]
fn what_is_no_question_is_refused_in_a_sentence_and_changes_nothing() {
    let place = Place::new();
    let page = place.start();
    page.save(&question());
    let before = std::fs::read_to_string(place.out()).expect("lines");
    let with = |name: &str, value: Value| {
        let mut question = question();
        question[name] = value;
        question
    };
    for (wrong, said) in [
        (with("question", json!("  ")), "the question is empty"),
        (
            with("nested", json!([[0, 0, 10, 10], [50, 50, 90, 90]])),
            "does not lie inside",
        ),
        (
            with("nested", json!([[300, 0, 310, 10]])),
            "no box in an image of 200 x 100 pixels",
        ),
        (with("nested", json!([[5, 5, 5, 9]])), "no box"),
        (with("nested", json!([[5, 5]])), "this is no question"),
        (with("colour", json!("red")), "unknown field `colour`"),
        (json!("hm"), "this is no question"),
    ] {
        let found = page.refused(&wrong, 422);
        assert!(found.contains(said), "{wrong}: {found}");
    }
    assert!(
        page.refused(&with("id", json!("nobody")), 404)
            .contains("nobody")
    );
    assert_eq!(page.raw("DELETE", "/api/questions/nobody", &[], "").0, 404);
    assert_eq!(page.get("/api/questions?image=none.png").0, 404);
    assert_eq!(page.get("/api/questions").0, 422);
    assert_eq!(std::fs::read_to_string(place.out()).expect("lines"), before);
    // Nor is what another program wrote meanwhile.
    let other = format!("{before}{before}");
    std::fs::write(place.out(), &other).expect("written");
    assert!(
        page.refused(&question(), 409)
            .contains("changed by another program")
    );
    assert_eq!(std::fs::read_to_string(place.out()).expect("lines"), other);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_and_the_next_start_goes_on() {
    let place = Place::new();
    // A line of another picture, with a field that the page does not know.
    let foreign = json!({"id": "x", "image": "../elsewhere.png", "question": "Q?", "width": 9, "height": 9, "score": 1.5});
    std::fs::write(place.out(), format!("{foreign}\n")).expect("written");
    let mut page = place.start();
    page.save(&question());
    run::signal(&page.child, "INT");
    let status = page.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0), "to end it so is how it ends");
    let page = place.start();
    let (_, found) = page.get("/api/pictures");
    assert_eq!(found["pictures"][0]["questions"], 1, "{found}");
    assert_eq!(page.save(&question()).1["id"], "a page-1");
    let found = lines(&place.out());
    assert_eq!((found.len(), &found[0]), (3, &foreign));
}

#[test]
fn what_cannot_be_annotated_is_said_before() {
    let place = Place::new();
    let refusal = |mut command: Command| {
        let done = command.output().expect("cropvlm runs");
        let said = text_of(&done);
        assert!(
            !done.status.success() && !said.contains("panicked"),
            "{said}"
        );
        said
    };
    let annotate = |folder: &Path| {
        let mut command = cropvlm();
        command.args(["annotate", "--port", "0"]).arg(folder);
        command
    };
    let none = place.path("none");
    assert!(refusal(annotate(&none)).contains("there is no such folder"));
    assert!(refusal(annotate(&place.path("secret.png"))).contains("is a file"));
    std::fs::create_dir(&none).expect("folder");
    std::fs::write(none.join("a.txt"), "text").expect("written");
    let said = refusal(annotate(&none));
    assert!(
        said.contains("holds no picture") && said.contains("1 other file"),
        "{said}"
    );
    std::fs::write(place.out(), "{\"id\": 1}\n").expect("written");
    let said = refusal(annotate(&place.path("photos")));
    assert!(said.contains("annotations.jsonl, line 1"), "{said}");
    std::fs::remove_file(place.out()).expect("removed");
    let page = place.start();
    let port = page.address.rsplit_once(':').expect("a port").1.to_owned();
    let mut command = cropvlm();
    command
        .args(["annotate", "--port", &port])
        .arg(place.path("photos"));
    assert!(refusal(command).contains("name another one"));
}
