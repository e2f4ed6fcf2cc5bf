//! The transport against a server of its own, over a real socket.

use std::sync::mpsc;
use std::thread;

use vlm_api::{Key, Provider};

use super::*;

const GOOD: &str = r#"{"choices": [{"message": {"content": "9.00"}, "finish_reason": "stop"}]}"#;

/// Status, headers and body of each reply in turn; afterwards the server is gone.
type Script = Vec<(u16, Vec<(&'static str, String)>, String)>;

/// When a request came, by the clock that dates are read off and by the one that never goes back.
type Came = (SystemTime, Instant);

/// Serves a script and hands over the times at which requests came.
fn serve(script: Script) -> (String, mpsc::Receiver<Came>) {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("a free port");
    let address = server.server_addr().to_ip().expect("an IP address");
    let (sender, times) = mpsc::channel();
    thread::spawn(move || {
        for (status, headers, body) in script {
            let Ok(request) = server.recv() else { return };
            sender.send((SystemTime::now(), Instant::now())).ok();
            let mut reply = tiny_http::Response::from_string(body).with_status_code(status);
            for (name, value) in headers {
                let header = tiny_http::Header::from_bytes(name, value).expect("a header");
                reply.add_header(header);
            }
            request.respond(reply).ok();
        }
    });
    (format!("http://{address}/v1"), times)
}

fn quick() -> HttpSettings {
    HttpSettings {
        timeout: Duration::from_secs(5),
        tries: 3,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_secs(3),
    }
}

fn request(url: &str) -> Request {
    Request {
        url: format!("{url}/chat/completions"),
        headers: vec![("content-type", "application/json".to_owned())],
        body: "{}".to_owned(),
    }
}

fn ask(script: Script) -> (Result<Answer, Failure>, Vec<Came>) {
    let (url, times) = serve(script);
    let http = Http::new(quick(), Stop::default());
    let answer = http.ask(Provider::OpenAi, &request(&url), &Key::default());
    (answer, times.try_iter().collect())
}

fn plain(status: u16, body: &str) -> (u16, Vec<(&'static str, String)>, String) {
    (status, Vec::new(), body.to_owned())
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let (answer, times) = ask(vec![plain(500, ""), plain(503, "later"), plain(200, GOOD)]);
    assert_eq!(answer.expect("an answer").text, "9.00");
    assert_eq!(times.len(), 3);
}

#[test]
fn retry_after_in_seconds_and_as_a_date_is_kept() {
    let after = |value: String| {
        let (answer, times) = ask(vec![
            (429, vec![("Retry-After", value)], String::new()),
            plain(200, GOOD),
        ]);
        assert_eq!(answer.expect("an answer").text, "9.00");
        times
    };
    let times = after("1".to_owned());
    let waited = (times[1].1 - times[0].1).as_secs_f64();
    assert!(waited >= 0.95, "{waited} s");
    // Dates have whole seconds.
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let times = after(date.clone());
    let date = httpdate::parse_http_date(&date).expect("a date");
    assert!(times[1].0 >= date, "{:?}", date.duration_since(times[1].0));
}

#[test]
fn who_asks_for_an_hour_is_not_waited_for() {
    let hour = vec![("Retry-After", "3600".to_owned())];
    let (answer, times) = ask(vec![(429, hour, String::new()), plain(200, GOOD)]);
    let failure = answer.expect_err("no answer");
    assert!(failure.to_string().contains("3600 seconds"), "{failure}");
    assert!(failure.concerns_all());
    assert_eq!(times.len(), 1);
}

#[test]
fn what_cannot_help_is_not_tried_again() {
    for (status, all) in [
        (401, true),
        (404, true),
        (400, false),
        (413, false),
        (302, true),
    ] {
        let (answer, times) = ask(vec![plain(status, "{}"), plain(200, GOOD)]);
        assert_eq!(
            answer.expect_err("no answer").concerns_all(),
            all,
            "{status}"
        );
        assert_eq!(times.len(), 1, "{status}");
    }
}

#[test]
fn tries_end_and_the_last_failure_is_told() {
    let (answer, times) = ask(vec![plain(500, ""), plain(500, ""), plain(502, "")]);
    assert_eq!(
        answer.expect_err("no answer"),
        Failure::Api(ApiError::Server {
            status: 502,
            message: String::new()
        })
    );
    assert_eq!(times.len(), 3);
}

#[test]
fn nobody_there_and_a_server_that_says_nothing() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address");
    let mut settings = quick();
    settings.timeout = Duration::from_millis(200);
    settings.tries = 2;
    let http = Http::new(settings, Stop::default());
    // It takes the connection (the system does) and never replies.
    let silent = http.ask(
        Provider::OpenAi,
        &request(&format!("http://{address}/v1")),
        &Key::default(),
    );
    let silent = silent.expect_err("no answer").to_string();
    assert!(silent.contains("longer than 0.2 s"), "{silent}");
    drop(free);
    let gone = http.ask(
        Provider::OpenAi,
        &request(&format!("http://{address}/v1")),
        &Key::default(),
    );
    let gone = gone.expect_err("no answer").to_string();
    assert!(
        gone.contains(&format!("No reply from http://{address}")),
        "{gone}"
    );
}

/// Serves one event stream and keeps its connection open until the sender is dropped.
fn serve_open(events: &'static str) -> (String, mpsc::Sender<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let (close, closed) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).expect("its head") > 0);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        std::io::Write::write_all(&mut stream, (head.to_owned() + events).as_bytes()).ok();
        closed.recv().ok();
    });
    (format!("http://{address}/v1"), close)
}

#[test]
fn a_stream_that_stays_open_ends_with_its_answer() {
    // With its count of tokens there is nothing to wait for; without, it is waited for a little.
    for (events, tokens) in [
        (
            concat!(
                "data: {\"choices\":[{\"delta\":{\"content\":\"9.00\"},\"finish_reason\":\"stop\"}]}\n\n",
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7}}\n\ndata: [DONE]\n\n",
            ),
            Some(7),
        ),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":\"9.00\"},\"finish_reason\":\"stop\"}]}\n\n",
            None,
        ),
    ] {
        let (url, close) = serve_open(events);
        let http = Http::new(quick(), Stop::default());
        let answer = http.ask(Provider::OpenAi, &request(&url), &Key::default());
        let answer = answer.expect("an answer, while the connection is open");
        assert_eq!(answer.text, "9.00");
        assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), tokens);
        drop(close);
    }
}

#[test]
fn ctrl_c_ends_all_waiting() {
    let stop = Stop::default();
    let (url, _times) = serve(vec![(
        429,
        vec![("Retry-After", "120".to_owned())],
        String::new(),
    )]);
    let mut settings = quick();
    settings.longest_wait = Duration::from_secs(200);
    let http = Http::new(settings, stop.clone());
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            stop.raise();
        });
        let answer = http.ask(Provider::OpenAi, &request(&url), &Key::default());
        assert_eq!(answer, Err(Failure::Stopped));
    });
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn retry_after_is_read_as_the_standard_has_it() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let seconds = |header| retry_after(header, now).map(|wait| wait.as_secs_f64());
    assert_eq!(seconds(" 120 "), Some(120.0));
    assert_eq!(seconds("0.5"), Some(0.5));
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10.0));
    assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0.0));
    assert_eq!(seconds("-3"), None);
    assert_eq!(seconds("soon"), None);
}
