//! Any other server that speaks OpenAI's chat completions: a gateway, a proxy, a server of one's own.
//!
//! Nothing is known of it: address and model have to be typed, a key only where its owner wants one, and what it asks
//! of web pages is its own affair.

use crate::ollama;
use crate::provider::Profile;

pub(crate) const PROFILE: Profile = Profile {
    id: "other",
    name: "Other (OpenAI-compatible)",
    base_url: "",
    model: "",
    local: false,
    ..ollama::PROFILE
};
