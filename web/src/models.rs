//! Which cropping network the page runs: the one that ships with it, SmolVLM from the hub, a folder's address, files.

use serde::{Deserialize, Serialize};

use crate::answerer::{HUB, SMOLVLM, folder};

/// The folder that ships with the page.
pub const DEFAULT: &str = "models/default/";

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one that ships with the page.
    Default,
    /// SmolVLM-256M from the hub.
    Hub,
    /// A folder's address, or a name on the hub.
    Address,
    /// Files of this computer.
    Files,
}

impl Choice {
    /// All, in the order in which they are offered.
    pub const ALL: [Choice; 4] = [Choice::Default, Choice::Hub, Choice::Address, Choice::Files];

    /// Name in `index.html`.
    pub fn id(self) -> &'static str {
        match self {
            Choice::Default => "default",
            Choice::Hub => "hub",
            Choice::Address => "address",
            Choice::Files => "files",
        }
    }

    /// By [`Choice::id`].
    pub fn from_id(id: &str) -> Option<Choice> {
        Choice::ALL.into_iter().find(|choice| choice.id() == id)
    }

    /// What a person reads.
    pub fn words(self) -> &'static str {
        match self {
            Choice::Default => "Default (3.4 MB)",
            Choice::Hub => "SmolVLM-256M from the hub (513 MB)",
            Choice::Address => "A folder's address",
            Choice::Files => "Files on this computer",
        }
    }
}

/// A model folder, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFolder {
    /// Its address, with a closing slash; of files of this computer, whatever tells them from others.
    pub address: String,
    /// A text model that was never taught to write boxes: the box is the training-free one.
    pub training_free: bool,
}

impl ModelFolder {
    /// What a choice means; `typed` is what was typed for an address.
    pub fn of(choice: Choice, typed: &str, training_free: bool) -> ModelFolder {
        match choice {
            Choice::Default => ModelFolder {
                address: DEFAULT.to_owned(),
                training_free: false,
            },
            Choice::Hub => ModelFolder {
                address: folder(HUB, SMOLVLM),
                training_free: true,
            },
            Choice::Address => ModelFolder {
                address: folder(HUB, typed),
                training_free,
            },
            Choice::Files => ModelFolder {
                address: "files/".to_owned(),
                training_free,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hubs_model_was_never_taught_to_crop_and_the_shipped_one_was() {
        assert!(ModelFolder::of(Choice::Hub, "", false).training_free);
        assert!(!ModelFolder::of(Choice::Default, "", true).training_free);
        for training_free in [false, true] {
            let own = ModelFolder::of(Choice::Address, "owner/name", training_free);
            assert_eq!(own.training_free, training_free);
            assert!(own.address.ends_with("/owner/name/resolve/main/"));
        }
    }

    #[test]
    fn choices_are_found_by_their_names() {
        for choice in Choice::ALL {
            assert_eq!(Choice::from_id(choice.id()), Some(choice));
        }
        assert_eq!(Choice::from_id("other"), None);
    }
}
