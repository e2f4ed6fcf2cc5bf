//! An end for a JPEG that has none, in several ways: a picture that comes out alike each time was whole without it.
//!
//! The decoder, as libjpeg, makes up what is missing and says nothing. Counting blocks by hand would mean a second Huffman
//! decoder; different continuations need none. Source of the markers: ITU-T T.81, B.1.1.3.

/// What may follow: ones alone, which no code consists of, so that most readers stop there; then others, for a last code
/// that ones happen to complete.
pub(super) const FILLINGS: [[u8; 2]; 3] = [[0xFF, 0x00], [0x00, 0x00], [0xA5, 0x5A]];

/// How often a filling is repeated.
const LENGTH: usize = 32;

/// Appends bytes that a decoder takes for the next codes, and the end mark.
pub(super) fn fill(file: &mut Vec<u8>, filling: &[u8; 2]) {
    // Half of a marker, or of an FF among the codes: the other half decides, and is missing.
    while file.last() == Some(&0xFF) {
        file.pop();
    }
    let last = last_restart(file);
    // In a file with restart markers, codes behind the end of an interval are passed over: so intervals are begun, too.
    for step in 1..=2 {
        file.extend(filling.repeat(LENGTH));
        if let Some(last) = last {
            file.extend([0xFF, 0xD0 | ((last + step) & 7)]);
        }
    }
    file.extend(filling.repeat(LENGTH));
    file.extend([0xFF, 0xD9]);
}

/// The number of the restart marker that came last in the last scan; 7 where none has come yet, and none for a file
/// without them.
fn last_restart(file: &[u8]) -> Option<u8> {
    let mut interval = false;
    let mut last = None;
    let mut at = 2;
    while let Some(step) = file
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == 0xFF))
    {
        at += step + 1;
        match (file.get(at), file.get(at + 1..)) {
            (Some(&marker @ 0xD0..=0xD7), _) => last = Some(marker & 7),
            (Some(0x00 | 0xFF | 0x01 | 0xD8), _) => {}
            (Some(&marker), Some(&[high, low, ref body @ ..])) => {
                match marker {
                    0xDD => interval = !body.starts_with(&[0, 0]),
                    0xDA => last = None,
                    _ => {}
                }
                at += usize::from(u16::from_be_bytes([high, low]));
            }
            _ => {}
        }
    }
    interval.then_some(last.unwrap_or(7))
}
