//! llama.cpp's `llama-server`: chat completions from a model with `--mmproj`.
//!
//! The list of models is public even where a key is set, so testing it proves no key. The server has one model; its
//! name in the request does not matter, but must not be empty here. Format: tools/server/README.md of llama.cpp.

use crate::ollama;
use crate::provider::Profile;

pub(crate) const PROFILE: Profile = Profile {
    id: "llamacpp",
    name: "llama.cpp server",
    base_url: "http://localhost:8080/v1",
    model: "default",
    ..ollama::PROFILE
};
