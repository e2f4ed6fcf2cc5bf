//! Requests on their way: `fetch`, answers as they stream in, and what the browser says about permissions.
//!
//! The only place of the page module that sends anything to a provider. Nothing of this page or its browser goes
//! along (no cookies, no referrer, no cache), and nothing is followed elsewhere: a redirect would take the key to an
//! origin that nobody typed.

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use vlm_api::help::Permission;
use vlm_api::{Answer, ApiError, Check, GRACE, Key, Progress, Provider, Request, Works, origin_of};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, ReadableStreamDefaultReader, ReferrerPolicy, RequestCache, RequestCredentials,
    RequestInit, RequestRedirect, Response, ResponseType,
};

/// An answer with the time it took, milliseconds.
pub struct Told {
    pub answer: Answer,
    /// Until its first word.
    pub first: f64,
    /// Until its end.
    pub total: f64,
    /// Natural logarithm of the chance of the answer that was to be weighed.
    pub log_prob: Option<f64>,
}

/// Most bytes of a reply to a test that are read: lists of models are long, but not endless.
const MAX_CHECK: usize = 16 << 20;

/// Asks; `show` gets answer and thoughts so far whenever they change. The answer's end ends it, even where the
/// server keeps the connection open.
pub async fn ask(
    provider: Provider,
    request: &Request,
    key: &Key,
    abort: &AbortController,
    show: impl Fn(&str, &str),
) -> Result<Told, ApiError> {
    let start = now();
    let response = fetch(
        "POST",
        &request.url,
        &request.headers,
        Some(&request.body),
        abort,
    );
    let response = response.await.map_err(|_| request.unreachable())?;
    let response = not_redirected(response, &request.url)?;
    let retry_after = response.headers().get("retry-after").ok().flatten();
    let mut reply = provider.reply(response.status(), retry_after.as_deref(), key);
    let mut first = None;
    if let Some(reader) = reader(&response) {
        // A read that fails is a connection that broke: `finish` knows what that means.
        let mut until = None;
        while let Some(chunk) = read(&reader, until).await {
            let told = reply.push(&chunk);
            // What came before something garbled in the same chunk stays, too.
            if !matches!(told, Ok(false)) {
                if !reply.text().trim().is_empty() {
                    first.get_or_insert_with(now);
                }
                show(reply.text(), reply.thoughts());
            }
            told?;
            match reply.progress() {
                Progress::Open => {}
                // What follows may count tokens; keep-alives do not prolong the wait.
                Progress::Ending => until = until.or(Some(now() + GRACE.as_millis() as f64)),
                Progress::Ended => break,
            }
        }
        // Nothing is read any more: the connection may end. Nobody waits for that.
        drop(reader.cancel());
    }
    let end = now();
    let answer = reply.finish()?;
    Ok(Told {
        answer,
        first: first.unwrap_or(end) - start,
        total: end - start,
        log_prob: None,
    })
}

/// Tests a connection.
pub async fn check(
    provider: Provider,
    check: &Check,
    key: &Key,
    abort: &AbortController,
) -> Result<Works, ApiError> {
    let response = fetch("GET", &check.url, &check.headers, None, abort).await;
    let response = response.map_err(|_| ApiError::Unreachable {
        origin: origin_of(&check.url).to_owned(),
    })?;
    let response = not_redirected(response, &check.url)?;
    let mut body = Vec::new();
    if let Some(reader) = reader(&response) {
        while let Some(chunk) = read(&reader, None).await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_CHECK {
                break;
            }
        }
    }
    provider.checked(response.status(), &body, key)
}

/// What the browser says about requests to this computer (`true`) or its network.
pub async fn permission(loopback: bool) -> Permission {
    // Chrome's names, the newer first; other browsers know none of them, and an unknown name is an error.
    let newer = if loopback {
        "loopback-network"
    } else {
        "local-network"
    };
    for name in [newer, "local-network-access"] {
        match query(name).await.as_deref() {
            Some("denied") => return Permission::Denied,
            Some("granted") => return Permission::Granted,
            Some(_) => return Permission::Unknown,
            None => {}
        }
    }
    Permission::Unknown
}

async fn query(name: &str) -> Option<String> {
    let navigator = web_sys::window()?.navigator();
    let permissions = Reflect::get(&navigator, &"permissions".into()).ok()?;
    let query: Function = Reflect::get(&permissions, &"query".into())
        .ok()?
        .dyn_into()
        .ok()?;
    let descriptor = Object::new();
    Reflect::set(&descriptor, &"name".into(), &name.into()).ok()?;
    let promise: Promise = query
        .call1(&permissions, &descriptor)
        .ok()?
        .dyn_into()
        .ok()?;
    let status = JsFuture::from(promise).await.ok()?;
    Reflect::get(&status, &"state".into()).ok()?.as_string()
}

async fn fetch(
    method: &str,
    url: &str,
    headers: &[(&'static str, String)],
    body: Option<&str>,
    abort: &AbortController,
) -> Result<Response, JsValue> {
    let options = RequestInit::new();
    options.set_method(method);
    if let Some(body) = body {
        options.set_body(&JsValue::from_str(body));
    }
    options.set_signal(Some(&abort.signal()));
    options.set_credentials(RequestCredentials::Omit);
    options.set_referrer_policy(ReferrerPolicy::NoReferrer);
    options.set_cache(RequestCache::NoStore);
    options.set_redirect(RequestRedirect::Manual);
    let request = web_sys::Request::new_with_str_and_init(url, &options)?;
    for (name, value) in headers {
        request.headers().set(name, value)?;
    }
    let window = web_sys::window().ok_or(JsValue::NULL)?;
    JsFuture::from(window.fetch_with_request(&request))
        .await?
        .dyn_into()
}

fn not_redirected(response: Response, url: &str) -> Result<Response, ApiError> {
    if response.type_() == ResponseType::Opaqueredirect {
        return Err(ApiError::Redirected {
            origin: origin_of(url).to_owned(),
        });
    }
    Ok(response)
}

fn reader(response: &Response) -> Option<ReadableStreamDefaultReader> {
    let reader = response.body()?.get_reader();
    reader.dyn_into::<ReadableStreamDefaultReader>().ok()
}

/// The next bytes, or `None` at the end, good or bad, or when it is later than `until` (by [`now`]).
async fn read(reader: &ReadableStreamDefaultReader, until: Option<f64>) -> Option<Vec<u8>> {
    let next = match until {
        None => reader.read(),
        Some(until) => Promise::race(&Array::of2(&reader.read(), &clock(until - now()))),
    };
    let result = JsFuture::from(next).await.ok()?;
    let value = Reflect::get(&result, &"value".into()).ok()?;
    Some(value.dyn_into::<Uint8Array>().ok()?.to_vec())
}

/// Resolves, to nothing, after so many milliseconds.
fn clock(milliseconds: f64) -> Promise {
    Promise::new(&mut |resolve, _| {
        if let Some(window) = web_sys::window() {
            window
                .set_timeout_with_callback_and_timeout_and_arguments_0(
                    &resolve,
                    milliseconds.max(0.0) as i32,
                )
                .ok();
        }
    })
}

fn now() -> f64 {
    let performance = web_sys::window().and_then(|window| window.performance());
    performance.map_or(0.0, |clock| clock.now())
}
