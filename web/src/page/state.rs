//! What the page knows: pictures, proposals, the click that is being worked on.

use cropvlm_web::protocol::{Proposed, Running};
use web_sys::{Blob, File, Url};

/// What the page knows.
#[derive(Default)]
pub struct State {
    /// The picture on the stage with its crop.
    pub shown: Option<Shown>,
    /// What was on the stage before a picture that the worker has not accepted yet.
    pub before: Option<Shown>,
    /// A picture that was chosen and is not on the stage yet.
    pub candidate: Option<Picture>,
    /// The click that is being worked on.
    pub click: Option<Click>,
    /// The model, once it is ready.
    pub running: Option<Running>,
    /// How often the worker was started anew since the last click.
    pub restarts: u32,
}

/// A chosen picture.
#[derive(Clone)]
pub struct Picture {
    pub number: u32,
    pub file: File,
    /// `blob:` address for the `<img>`.
    pub url: String,
    /// Pixels, once the worker has decoded it.
    pub size: Option<(u32, u32)>,
}

/// A picture on the stage.
#[derive(Clone)]
pub struct Shown {
    pub picture: Picture,
    pub proposal: Option<Proposal>,
}

/// A proposal with its crop.
#[derive(Clone)]
pub struct Proposal {
    pub proposed: Proposed,
    /// The crop as PNG.
    pub crop: Blob,
    /// `blob:` address of it.
    pub url: String,
}

/// A click on "Propose crop".
#[derive(Clone)]
pub struct Click {
    pub job: u32,
    pub picture: u32,
    pub question: String,
    /// The worker broke once under it and was started anew.
    pub retried: bool,
}

/// Whether this picture is on the stage.
pub fn state_is(shown: &Option<Shown>, number: u32) -> bool {
    shown
        .as_ref()
        .is_some_and(|shown| shown.picture.number == number)
}

/// Gives the memory behind `blob:` addresses back.
pub fn revoke(shown: &Shown) {
    Url::revoke_object_url(&shown.picture.url).ok();
    if let Some(proposal) = &shown.proposal {
        Url::revoke_object_url(&proposal.url).ok();
    }
}
