//! LM Studio: chat completions from the server in its Developer tab.
//!
//! Errors may be a plain string, and inside a stream an event named `error`. Pages are answered only after "Enable
//! CORS" was switched on ([`crate::help`]). Format: lmstudio.ai/docs, "OpenAI compatibility endpoints".

use crate::ollama;
use crate::provider::Profile;

pub(crate) const PROFILE: Profile = Profile {
    id: "lmstudio",
    name: "LM Studio",
    base_url: "http://localhost:1234/v1",
    model: "qwen/qwen3-vl-4b",
    ..ollama::PROFILE
};
