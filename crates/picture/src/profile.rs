//! The colour profile of a picture (ICC), kept beside its pixels and written into what is cut from it.
//!
//! Pixels are never converted: the networks were trained on the numbers in the files, as Pillow hands them out. What a
//! number means goes along with a crop instead, so that a wide-gamut photo keeps its colours. A profile for inks does not:
//! CMYK has become RGB by the plain formula. Source: ICC.1:2022, clause 7.2.

/// A colour profile that fits RGB pixels, or grey ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    bytes: Vec<u8>,
    grey: bool,
}

impl Profile {
    /// A profile from its bytes; none where it is broken or for something else than RGB or grey.
    pub fn new(bytes: Vec<u8>) -> Option<Profile> {
        let length = bytes.first_chunk::<4>().map(|b| u32::from_be_bytes(*b))?;
        let whole = bytes.len() >= 128 && u64::from(length) <= bytes.len() as u64;
        if !whole || bytes.get(36..40) != Some(b"acsp") {
            return None;
        }
        let grey = match bytes.get(16..20)? {
            b"RGB " => false,
            b"GRAY" => true,
            _ => return None,
        };
        Some(Profile { bytes, grey })
    }

    /// The profile as it stands in files.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is for pictures with one channel.
    pub fn is_grey(&self) -> bool {
        self.grey
    }
}
