//! What a person should know about a picture that was read all the same, each as one sentence.

use std::fmt;

/// The colour that shows where a picture is see-through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backdrop {
    /// The usual one.
    White,
    /// For light drawings, which would vanish on white.
    Black,
}

/// Something about a picture's file that does not keep it from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// The end mark is missing; every pixel is there.
    NoEnd,
    /// Bytes follow the end mark.
    BytesAfterEnd,
    /// A checksum of the file is wrong; the one over the pixels themselves is right.
    WrongChecksum,
    /// Several frames, of which the first was read.
    Animated,
    /// Some pixels are see-through; they were put on this colour.
    Transparent(Backdrop),
    /// Colours are stored as printing inks, read by the plain formula.
    Inks,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Note::NoEnd => "The file lacks its last bytes; the picture itself is whole.",
            Note::BytesAfterEnd => {
                "The file goes on behind the picture's end; what follows is left out."
            }
            Note::WrongChecksum => {
                "A checksum in the file is wrong; the picture's own data are whole."
            }
            Note::Animated => "This picture moves; its first frame is what is shown and looked at.",
            Note::Transparent(Backdrop::White) => {
                "Parts of the picture are see-through; they are put on white."
            }
            Note::Transparent(Backdrop::Black) => {
                "Parts of the picture are see-through and the rest is light; it is put on black."
            }
            Note::Inks => {
                "Its colours are stored as printing inks; they are read by the plain formula."
            }
        })
    }
}
