//! Ollama: chat completions from a server on one's own computer.
//!
//! Images only as data URLs, which is all that is sent here. A model that is not there is 404 with the advice to
//! pull it. Pages on localhost are answered; others only if `OLLAMA_ORIGINS` names them ([`crate::help`]).
//! Format: docs.ollama.com, "OpenAI compatibility".

use crate::openai;
use crate::provider::{KeyUse, Profile};

pub(crate) const PROFILE: Profile = Profile {
    id: "ollama",
    name: "Ollama",
    base_url: "http://localhost:11434/v1",
    model: "qwen2.5vl:3b",
    key: KeyUse::Optional,
    local: true,
    key_page: None,
    prices_page: None,
    check_proves_key: false,
    ..openai::PROFILE
};
