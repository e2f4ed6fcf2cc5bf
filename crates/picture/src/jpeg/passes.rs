//! Which parts of a JPEG have been sent: without its end mark, a progressive file can break off between two passes and
//! look whole. Source: ITU-T T.81, B.2.2, B.2.3 and G.1.

/// What the frame announced and what the scans have brought.
#[derive(Default)]
pub(super) struct Passes {
    progressive: bool,
    /// Each channel's number, and for each of its 64 coefficients how many low bits are still to come.
    channels: Vec<(u8, [Option<u8>; 64])>,
}

impl Passes {
    /// A frame header.
    pub fn frame(&mut self, progressive: bool, body: &[u8]) {
        self.progressive = progressive;
        let channels = body.get(6..).unwrap_or_default().chunks_exact(3);
        self.channels = channels.map(|channel| (channel[0], [None; 64])).collect();
    }

    /// The header of a scan.
    pub fn scan(&mut self, body: &[u8]) {
        let Some((&count, rest)) = body.split_first() else {
            return;
        };
        let Some((channels, &[first, last, bits, ..])) =
            rest.split_at_checked(usize::from(count) * 2)
        else {
            return;
        };
        let (first, last, low) = if self.progressive {
            (first.min(63), last.min(63), bits & 15)
        } else {
            (0, 63, 0)
        };
        for selector in channels.chunks_exact(2) {
            for (number, left) in &mut self.channels {
                if *number == selector[0] && first <= last {
                    left[usize::from(first)..=usize::from(last)].fill(Some(low));
                }
            }
        }
    }

    /// Whether nothing is still to come.
    pub fn all_sent(&self) -> bool {
        let sent = |(_, left): &(u8, [Option<u8>; 64])| left.iter().all(|left| *left == Some(0));
        !self.channels.is_empty() && self.channels.iter().all(sent)
    }
}
