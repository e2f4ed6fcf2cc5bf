//! `cropvlm pull` against a small server that speaks the hub's routes: listing, files by commit with
//! ranges, redirects, refusals, and connections that break.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use common::{Reply, Request, Server};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_secretsecretsecret";

/// A repository `me/tiny` with a large file (checksum known) and two small ones.
fn files() -> BTreeMap<&'static str, Vec<u8>> {
    let large: Vec<u8> = (0..700_000u32).map(|i| (i * 31 % 251) as u8).collect();
    BTreeMap::from([
        ("config.json", b"{\"model_type\": \"idefics3\"}".to_vec()),
        ("data/a b#1.txt", b"strange name".to_vec()),
        ("model.safetensors", large),
    ])
}

/// The id that git gives a file of this content.
fn git_blob(content: &[u8]) -> String {
    let begun = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
    format!("{:x}", begun.chain_update(content).finalize())
}

fn listing(repo: &str) -> Reply {
    let siblings: Vec<_> = files()
        .iter()
        .map(|(name, content)| {
            let mut file = json!({"rfilename": name, "size": content.len(), "blobId": git_blob(content)});
            if content.len() > 1000 {
                file["lfs"] = json!({"sha256": format!("{:x}", Sha256::digest(content)), "size": content.len(), "pointerSize": 134});
            }
            file
        })
        .collect();
    Reply::new(
        200,
        json!({"id": repo, "sha": COMMIT, "siblings": siblings, "private": false}).to_string(),
    )
    .with("content-type", "application/json")
}

/// A file as the hub sends it, from the byte that is asked for.
fn file(request: &Request, content: &[u8]) -> Reply {
    let etag = format!("\"{}\"", content.len());
    let Some(range) = request.header("range") else {
        return Reply::new(200, content)
            .with("etag", etag)
            .with("x-repo-commit", COMMIT);
    };
    let from: usize = range
        .strip_prefix("bytes=")
        .and_then(|r| r.strip_suffix('-'))
        .expect("open range")
        .parse()
        .expect("number");
    if from >= content.len() {
        return Reply::new(416, "").with("content-range", format!("bytes */{}", content.len()));
    }
    Reply::new(206, &content[from..])
        .with("etag", etag)
        .with("x-repo-commit", COMMIT)
        .with(
            "content-range",
            format!("bytes {from}-{}/{}", content.len() - 1, content.len()),
        )
}

/// The hub's routes.
fn hub(request: &Request) -> Reply {
    assert_eq!(request.method, "GET");
    assert!(
        request
            .header("user-agent")
            .expect("user agent")
            .contains("cropvlm/")
    );
    if request.path == "/api/models/me/tiny/revision/main?blobs=true" {
        return listing("me/tiny");
    }
    let known = files();
    let decoded = request.path.replace("%20", " ").replace("%23", "#");
    let found = decoded.strip_prefix(&format!("/me/tiny/resolve/{COMMIT}/"));
    match found.and_then(|name| known.get(name)) {
        Some(content) => file(request, content),
        None => Reply::new(404, "{\"error\": \"Entry not found\"}")
            .with("x-error-code", "EntryNotFound"),
    }
}

fn pull(server: &str, folder: &Path, arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    command.arg("pull").args(arguments).current_dir(folder);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ] {
        command.env_remove(name);
    }
    command
        .env("HF_ENDPOINT", server)
        .env("HF_HOME", folder.join("no-home"));
    if let Some(token) = token {
        command.env("HF_TOKEN", token);
    }
    command.output().expect("cropvlm runs")
}

fn words(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).expect("utf-8");
    assert!(
        !text.contains("panicked") && !text.contains("secret"),
        "{text}"
    );
    text
}

fn assert_whole(folder: &Path) {
    for (name, content) in files() {
        assert_eq!(
            std::fs::read(folder.join(name)).expect(name),
            content,
            "{name}"
        );
    }
    assert!(parts(folder).is_empty(), "{:?}", parts(folder));
}

fn parts(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("folder");
    let names = entries.map(|e| e.expect("entry").file_name().into_string().expect("utf-8"));
    names.filter(|name| name.ends_with(".part")).collect()
}

#[test]
fn a_repository_comes_whole_and_is_kept() {
    let server = Server::start(|request, _| hub(request));
    let place = tempfile::tempdir().expect("folder");
    let output = pull(&server.address, place.path(), &["me/tiny"], Some(TOKEN));
    assert!(output.status.success(), "{}", words(&output));
    assert!(words(&output).contains(COMMIT));
    assert_whole(&place.path().join("tiny"));
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    let bearer = format!("Bearer {TOKEN}");
    assert!(
        requests
            .iter()
            .all(|r| r.header("authorization") == Some(&bearer))
    );
    // Again: only the list is asked for.
    assert!(
        pull(&server.address, place.path(), &["me/tiny"], None)
            .status
            .success()
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    assert_eq!(requests[4].header("authorization"), None);
    // A file that was changed here, its length kept, is got again.
    let large = place.path().join("tiny/model.safetensors");
    std::fs::write(&large, vec![0; files()["model.safetensors"].len()]).expect("written");
    assert!(
        pull(&server.address, place.path(), &["me/tiny"], None)
            .status
            .success()
    );
    assert_whole(&place.path().join("tiny"));
}

#[test]
fn some_files_of_a_data_set_at_a_revision() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/api/datasets/me/set/revision/refs%2Fconvert%2Fparquet?blobs=true" => listing("me/set"),
        path if path.starts_with(&format!("/datasets/me/set/resolve/{COMMIT}/")) => {
            file(request, &files()["config.json"])
        }
        other => panic!("{other}"),
    });
    let place = tempfile::tempdir().expect("folder");
    let arguments = [
        "me/set",
        "--dataset",
        "--revision",
        "refs/convert/parquet",
        "--include",
        "*.json",
        "--out",
        "here/x",
    ];
    let output = pull(&server.address, place.path(), &arguments, None);
    assert!(output.status.success(), "{}", words(&output));
    let found: Vec<_> = std::fs::read_dir(place.path().join("here/x"))
        .expect("folder")
        .collect();
    assert_eq!(found.len(), 1);
    let output = pull(
        &server.address,
        place.path(),
        &[
            "me/set",
            "--dataset",
            "--revision",
            "refs/convert/parquet",
            "--list",
        ],
        None,
    );
    assert!(words(&output).contains("700000  model.safetensors"));
    let nothing = [
        "me/set",
        "--dataset",
        "--revision",
        "refs/convert/parquet",
        "--include",
        "*.bin",
    ];
    let said = words(&pull(&server.address, place.path(), &nothing, None));
    assert!(
        said.contains("none of its 3 files fits *.bin") && said.contains("config.json"),
        "{said}"
    );
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let breaks = Mutex::new(vec![400_000, 0, 123_456]);
    let server = Server::start(move |request, _| {
        let mut reply = hub(request);
        if request.path.ends_with("model.safetensors") {
            reply.cut = breaks
                .lock()
                .expect("lock")
                .pop()
                .map(|n| n.min(reply.body.len()));
        }
        reply
    });
    let place = tempfile::tempdir().expect("folder");
    let output = pull(&server.address, place.path(), &["me/tiny"], None);
    assert!(output.status.success(), "{}", words(&output));
    assert_whole(&place.path().join("tiny"));
    let ranges: Vec<Option<String>> = server
        .requests()
        .iter()
        .filter(|r| r.path.ends_with("model.safetensors"))
        .map(|r| r.header("range").map(str::to_owned))
        .collect();
    let from = |n: u32| Some(format!("bytes={n}-"));
    assert_eq!(ranges, [None, from(123_456), from(123_456), from(523_456)]);
}

#[test]
fn a_run_that_was_killed_is_taken_up_by_the_next() {
    let place = tempfile::tempdir().expect("folder");
    let large = files()["model.safetensors"].clone();
    // Nothing but breaks: the run gives up, what came is kept.
    let first = Mutex::new(true);
    let server = Server::start(move |request, _| {
        let mut reply = hub(request);
        if request.path.ends_with("model.safetensors") {
            let first = std::mem::take(&mut *first.lock().expect("lock"));
            reply.cut = Some(if first { 250_000 } else { 0 });
        }
        reply
    });
    let output = pull(&server.address, place.path(), &["me/tiny"], None);
    let said = words(&output);
    assert!(
        !output.status.success() && said.contains("250000 of 700000 bytes have come and are kept"),
        "{said}"
    );
    assert_eq!(parts(&place.path().join("tiny")).len(), 1);
    assert!(!place.path().join("tiny/model.safetensors").exists());
    let server = Server::start(|request, _| hub(request));
    let output = pull(&server.address, place.path(), &["me/tiny"], None);
    assert!(
        output.status.success() && words(&output).contains("(0.5 MB of them got now"),
        "{}",
        words(&output)
    );
    assert_whole(&place.path().join("tiny"));
    assert!(
        server
            .requests()
            .iter()
            .any(|r| r.header("range") == Some("bytes=250000-"))
    );

    // A part that is whole but was not renamed needs no request; one that is too long or wrong none of its bytes.
    let folder = place.path().join("tiny");
    let version: String = format!("{:x}", Sha256::digest(&large))
        .chars()
        .take(12)
        .collect();
    let part = folder.join(format!("model.safetensors.{version}.part"));
    for (content, requests) in [
        (large.clone(), 1),
        (vec![7; large.len()], 2),
        ([&large[..], b"x"].concat(), 2),
        (vec![7; 1000], 3),
    ] {
        std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
        std::fs::write(&part, content).expect("written");
        let server = Server::start(|request, _| hub(request));
        assert!(
            pull(&server.address, place.path(), &["me/tiny"], None)
                .status
                .success()
        );
        assert_whole(&folder);
        assert_eq!(server.requests().len(), requests);
    }
}

#[test]
fn servers_that_do_as_they_like() {
    let place = tempfile::tempdir().expect("folder");
    // Ignores ranges; busy at first; sends large files elsewhere, where no token must go.
    let elsewhere = Server::start(|request, _| {
        assert_eq!(
            request.header("authorization"),
            None,
            "the token left the hub"
        );
        Reply::new(200, files()["model.safetensors"].clone())
    });
    // Another host name for the same machine: the token belongs to the first one only.
    let address = elsewhere.address.replace("127.0.0.1", "localhost");
    let busy = Mutex::new(2);
    let server = Server::start(move |request, _| {
        if !request.path.ends_with("model.safetensors") {
            return hub(request);
        }
        let mut busy = busy.lock().expect("lock");
        if *busy > 0 {
            *busy -= 1;
            return Reply::new(503, "busy").with("retry-after", "0");
        }
        Reply::new(302, "").with("location", format!("{address}/cdn"))
    });
    std::fs::create_dir(place.path().join("tiny")).expect("folder");
    let large = files()["model.safetensors"].clone();
    let version: String = format!("{:x}", Sha256::digest(&large))
        .chars()
        .take(12)
        .collect();
    std::fs::write(
        place
            .path()
            .join(format!("tiny/model.safetensors.{version}.part")),
        &large[..1000],
    )
    .expect("written");
    let output = pull(&server.address, place.path(), &["me/tiny"], Some(TOKEN));
    assert!(output.status.success(), "{}", words(&output));
    assert_whole(&place.path().join("tiny"));
    // Something else than was announced, of the right length: refused, not kept.
    let server = Server::start(|request, _| match hub(request) {
        reply if request.path.ends_with("model.safetensors") => {
            Reply::new(200, vec![1; reply.body.len()])
        }
        reply => reply,
    });
    let output = pull(
        &server.address,
        place.path(),
        &["me/tiny", "--out", "other"],
        None,
    );
    let said = words(&output);
    assert!(
        !output.status.success() && said.contains("SHA-256") && said.contains("model.safetensors"),
        "{said}"
    );
    assert!(!place.path().join("other/model.safetensors").exists());
    assert!(parts(&place.path().join("other")).is_empty());
    // A path that would leave the folder.
    let server = Server::start(|_, _| {
        Reply::new(
            200,
            json!({"sha": COMMIT, "siblings": [{"rfilename": "../../x", "size": 1}]}).to_string(),
        )
    });
    let said = words(&pull(&server.address, place.path(), &["me/tiny"], None));
    assert!(said.contains("outside the folder"), "{said}");
}

#[test]
fn refusals_say_what_to_do() {
    let place = tempfile::tempdir().expect("folder");
    let quoting = json!({"error": format!("bad token {TOKEN}")}).to_string();
    for (status, code, body, token, expected) in [
        (
            401,
            "RepoNotFound",
            "",
            None,
            "no such model, or it is private (401)",
        ),
        (
            401,
            "RepoNotFound",
            "",
            None,
            "set HF_TOKEN or --token-file",
        ),
        (
            401,
            "RepoNotFound",
            "",
            None,
            "add --dataset for a data set",
        ),
        (
            404,
            "RepoNotFound",
            "",
            Some(TOKEN),
            "no such model, or it is private (404)",
        ),
        (401, "GatedRepo", "", None, "accept its terms at"),
        (
            403,
            "GatedRepo",
            "",
            Some(TOKEN),
            "this token's account has no access (403)",
        ),
        (
            401,
            "",
            quoting.as_str(),
            Some(TOKEN),
            "the token was refused (401)",
        ),
        (401, "", quoting.as_str(), Some(TOKEN), "bad token [token]"),
        (
            404,
            "RevisionNotFound",
            "",
            None,
            "no revision \"main\" (404)",
        ),
        (429, "", "", None, "too many requests (429)"),
        (500, "", "", None, "status 500"),
        (200, "", "<html>", None, "does not answer as the hub does"),
    ] {
        let (body, code) = (body.to_owned(), code.to_owned());
        let server = Server::start(move |_, _| {
            Reply::new(status, body.clone())
                .with("x-error-code", code.clone())
                .with("retry-after", "0")
        });
        let output = pull(&server.address, place.path(), &["me/tiny"], token);
        let said = words(&output);
        assert!(
            !output.status.success() && said.contains(expected) && said.contains("me/tiny")
                || status == 200,
            "{said}"
        );
        assert!(said.contains(expected), "{said}");
    }
    // A file that is gone, nobody at home, and what is wrong before anything is sent.
    let server = Server::start(|request, _| match request.path.contains("/resolve/") {
        true => Reply::new(404, "").with("x-error-code", "EntryNotFound"),
        false => listing("me/tiny"),
    });
    let said = words(&pull(&server.address, place.path(), &["me/tiny"], None));
    assert!(
        said.contains("config.json") && said.contains("EntryNotFound"),
        "{said}"
    );
    let said = words(&pull(
        "http://127.0.0.1:9",
        place.path(),
        &["me/tiny"],
        None,
    ));
    assert!(
        said.contains("cannot be reached") && said.contains("online?"),
        "{said}"
    );
    for (arguments, expected) in [
        (&["a/b/c"][..], "is no repository"),
        (&["a/../b"], "is no repository"),
        (&["a/b", "--revision", "x y"], "is no revision"),
        (&["a/b", "--token-file", "absent"], "token file absent"),
    ] {
        let said = words(&pull("http://127.0.0.1:9", place.path(), arguments, None));
        assert!(said.contains(expected), "{said}");
    }
    let said = words(&pull(
        "http://127.0.0.1:9",
        place.path(),
        &["a/b"],
        Some("hf_secret\nsecret"),
    ));
    assert!(said.contains("copy it again"), "{said}");
    let said = words(&pull("ftp://x", place.path(), &["a/b"], None));
    assert!(said.contains("HF_ENDPOINT is"), "{said}");
}

#[test]
fn a_token_stays_with_its_origin_and_another_port_is_another() {
    // On the same host, at another port: no token. The listing, too, is sent on.
    let elsewhere = Server::start(|request, _| {
        let token = request.header("authorization");
        assert_eq!(token, None, "the token left the hub");
        match request.path.contains("/api/") {
            true => listing("me/tiny"),
            false => file(request, &files()["model.safetensors"]),
        }
    });
    let address = elsewhere.address.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        path if path.starts_with("/api/") => {
            Reply::new(307, "").with("location", format!("{address}{path}"))
        }
        path if path.ends_with("model.safetensors") => {
            Reply::new(302, "").with("location", format!("{address}/cdn"))
        }
        // Within the hub it goes along.
        path if path.ends_with("config.json") => {
            Reply::new(302, "").with("location", "/cache/config")
        }
        "/cache/config" => file(request, &files()["config.json"]),
        _ => hub(request),
    });
    let place = tempfile::tempdir().expect("folder");
    let output = pull(&server.address, place.path(), &["me/tiny"], Some(TOKEN));
    assert!(output.status.success(), "{}", words(&output));
    assert_whole(&place.path().join("tiny"));
    assert_eq!(elsewhere.requests().len(), 2);
    let bearer = format!("Bearer {TOKEN}");
    let kept = server.requests();
    assert!(kept.iter().any(|r| r.path == "/cache/config"));
    assert!(
        kept.iter()
            .all(|r| r.header("authorization") == Some(&bearer))
    );
}

#[test]
fn a_listing_is_asked_for_again_while_the_hub_is_busy() {
    let busy = Mutex::new(2);
    let server = Server::start(move |request, _| {
        let mut busy = busy.lock().expect("lock");
        if request.path.starts_with("/api/") && *busy > 0 {
            *busy -= 1;
            return Reply::new(429, "").with("retry-after", "0");
        }
        hub(request)
    });
    let place = tempfile::tempdir().expect("folder");
    let output = pull(&server.address, place.path(), &["me/tiny", "--list"], None);
    let said = words(&output);
    assert!(
        output.status.success() && said.contains("model.safetensors"),
        "{said}"
    );
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn small_files_are_checked_by_their_git_ids() {
    // The right length, another content.
    let server = Server::start(|request, _| match hub(request) {
        reply if request.path.ends_with("config.json") => {
            Reply::new(200, vec![b'x'; reply.body.len()])
        }
        reply => reply,
    });
    let place = tempfile::tempdir().expect("folder");
    let said = words(&pull(&server.address, place.path(), &["me/tiny"], None));
    assert!(
        said.contains("config.json") && said.contains("its git SHA-1 differs"),
        "{said}"
    );
    assert!(!place.path().join("tiny/config.json").exists());
    // One that was changed here is got again.
    let server = Server::start(|request, _| hub(request));
    let run = || pull(&server.address, place.path(), &["me/tiny"], None);
    assert!(run().status.success());
    let config = place.path().join("tiny/config.json");
    std::fs::write(&config, vec![b'y'; files()["config.json"].len()]).expect("written");
    assert!(run().status.success());
    assert_whole(&place.path().join("tiny"));
}

#[test]
fn offline_means_that_nothing_is_asked() {
    let server = Server::start(|request, _| hub(request));
    let place = tempfile::tempdir().expect("folder");
    for (name, value, asks) in [
        ("HF_HUB_OFFLINE", "1", false),
        ("HF_HUB_OFFLINE", "True", false),
        ("TRANSFORMERS_OFFLINE", "yes", false),
        ("HF_HUB_OFFLINE", "0", true),
    ] {
        let before = server.requests().len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        command
            .args(["pull", "me/tiny", "--list"])
            .current_dir(place.path());
        command
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("TRANSFORMERS_OFFLINE");
        command
            .env("HF_ENDPOINT", &server.address)
            .env("NO_PROXY", "127.0.0.1")
            .env(name, value);
        let output = command.output().expect("cropvlm runs");
        let said = words(&output);
        assert_eq!(output.status.success(), asks, "{name}={value}: {said}");
        assert_eq!(
            server.requests().len() - before,
            usize::from(asks),
            "{said}"
        );
        assert!(asks || said.contains(&format!("{name} is set")), "{said}");
    }
}
