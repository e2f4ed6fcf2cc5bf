//! Why a browser gets no reply, and what to do: CORS, the permission for the local network, mixed content.
//!
//! A browser tells a page nothing about a request that got no reply: server off, origin not allowed and permission
//! refused look alike. What can be told apart by address and permission is; the rest is listed, likeliest first.
//! All words about the settings of servers are here. Sources: docs.ollama.com/faq; lmstudio.ai/docs/app/api and
//! `lms server start --help`; llama.cpp, tools/server/README.md; docs.vllm.ai, "vllm serve"; developer.chrome.com,
//! "Local Network Access" (Chrome 142 asks; since 145 the setting is called "Apps on device" or "Local network").

use crate::Provider;
use crate::request::origin_of;

/// What the browser says about requests to this computer or its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permission {
    /// Refused by the person, or by policy.
    Denied,
    /// Granted, or not needed.
    Granted,
    /// The browser asks, or does not say.
    #[default]
    Unknown,
}

/// What large providers do with large pictures.
const SHRUNK: &str = "Large pictures are shrunk there before the model sees them: small print is then legible in the crop only. For a model that takes one picture only, switch on \"Crop only\".";

/// How to make a provider answer web pages, one step a line; commands and settings as they are typed.
pub fn setup(provider: Provider, page_origin: &str) -> Vec<String> {
    let origin = page_origin;
    let steps: &[&str] = match provider {
        Provider::Ollama => &[
            "Ollama answers pages on localhost by itself. For any other page its origin has to be named in OLLAMA_ORIGINS.",
            "In a terminal: OLLAMA_ORIGINS={origin} ollama serve",
            "As a Linux service: sudo systemctl edit ollama, add [Service] and Environment=\"OLLAMA_ORIGINS={origin}\", then sudo systemctl restart ollama",
            "macOS app: launchctl setenv OLLAMA_ORIGINS \"{origin}\", then restart Ollama. Windows: set the environment variable OLLAMA_ORIGINS to {origin}, then restart Ollama.",
            "The model has to see: for example ollama pull qwen2.5vl:3b",
            "Some models take one picture a message there (llama3.2-vision, llava): for those switch on \"Crop only\".",
        ],
        Provider::LmStudio => &[
            "LM Studio answers web pages only when told to: Developer, Server Settings, switch on \"Enable CORS\".",
            "In a terminal: lms server start --cors",
            "Load a model that takes images (marked with an eye).",
            "LM Studio may shrink pictures before the model sees them: small print is then legible in the crop only. If two pictures are too much, switch on \"Crop only\".",
        ],
        Provider::LlamaCpp => &[
            "llama-server answers all web pages unless it was started with --cors-origins; then that has to name this page: --cors-origins {origin}",
            "It needs the part that sees: llama-server -m MODEL.gguf --mmproj MMPROJ.gguf --port 8081",
            "Large pictures are shrunk to the model's limit of tokens (--image-max-tokens): the crop keeps what the full picture loses.",
            "Its usual port, 8080, may be taken by this page: then give it another one, as above, and change the base URL.",
        ],
        Provider::Vllm => &[
            "vLLM answers all web pages unless it was started with --allowed-origins; then that has to name this page: vllm serve MODEL --allowed-origins '[\"{origin}\"]'",
            "A server that was started for one picture a question says \"At most 1 image(s)\": start it with --limit-mm-per-prompt '{\"image\": 2}', or switch on \"Crop only\".",
        ],
        Provider::OpenAi => &[
            "OpenAI answers web pages. For another server that speaks chat completions choose Other (OpenAI-compatible).",
            SHRUNK,
        ],
        Provider::OpenAiResponses => &[
            "OpenAI answers web pages; the request is not stored there.",
            SHRUNK,
        ],
        Provider::Anthropic => &[
            "Anthropic answers web pages that send the header anthropic-dangerous-direct-browser-access, as this one does. An organization may have switched that off.",
            SHRUNK,
        ],
        Provider::Gemini => &[
            "Google answers web pages. The key travels in a header, never in the address.",
            SHRUNK,
        ],
        Provider::Mistral => &["Mistral answers web pages.", SHRUNK],
        Provider::OpenRouter => &[
            "OpenRouter answers web pages and reports what each answer cost.",
            SHRUNK,
        ],
        Provider::Other => &[
            "Any server that speaks OpenAI's chat completions. Its base URL often ends in /v1; the model's name is the one that the server knows.",
            "The server has to allow this page's origin, {origin} (CORS).",
            "Leave the key empty where the server wants none.",
            "If it takes one picture a question only, or shrinks pictures until small print is lost, switch on \"Crop only\".",
        ],
    };
    steps
        .iter()
        .map(|step| step.replace("{origin}", origin))
        .collect()
}

/// What may be wrong where no reply came at all, likeliest first.
pub fn no_reply(
    provider: Provider,
    base_url: &str,
    page_origin: &str,
    permission: Permission,
) -> Vec<String> {
    let target = origin_of(base_url.trim());
    let near = is_near(host_of(target));
    let page_is_near = is_near(host_of(page_origin));
    let mut reasons = Vec::new();
    let loopback = is_loopback(host_of(target));
    if page_origin.starts_with("https:") && target.starts_with("http:") && !loopback {
        reasons.push(format!(
            "This page came over https and may not ask {target} over http. Use https there, or open the page from your own computer."
        ));
    }
    if near && !page_is_near {
        let setting = if loopback {
            "Apps on device"
        } else {
            "Local network"
        };
        reasons.push(if permission == Permission::Denied {
            format!(
                "The browser does not let this page reach your own computer or network. Allow it: the icon left of the address, Site settings, \"{setting}\" (older: \"Local network access\")."
            )
        } else {
            format!(
                "The browser may ask whether this page may reach devices on your network: answer Allow. Afterwards it stands under Site settings, \"{setting}\"."
            )
        });
    }
    if near {
        reasons.push(format!(
            "The server at {target} may not be running, or listens elsewhere."
        ));
        reasons.extend(setup(provider, page_origin));
    } else {
        reasons.push(format!(
            "The address {target} may be wrong, the connection down, or a blocker in the browser or network in the way."
        ));
        reasons.push(format!(
            "If it is a server of your own, it has to allow this page's origin, {page_origin} (CORS)."
        ));
    }
    reasons
}

/// Whether an address is on this very computer, for which browsers have a permission of its own.
pub fn on_this_computer(base_url: &str) -> bool {
    is_loopback(host_of(origin_of(base_url.trim())))
}

fn host_of(origin: &str) -> &str {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "::1"
}

/// On this computer, or in a network of one's own (RFC 1918, link-local, `.local`).
fn is_near(host: &str) -> bool {
    let parts: Vec<u8> = host
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    let private = parts.len() == 4
        && matches!(
            parts[..2],
            [10, _] | [192, 168] | [172, 16..=31] | [169, 254] | [0, 0]
        );
    is_loopback(host) || private || host.ends_with(".local")
}
