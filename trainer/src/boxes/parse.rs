//! A box out of a teacher's reply.
//!
//! Models write `{"bbox_2d": [x1, y1, x2, y2]}` as they are asked to, bare or in a code fence, alone or
//! in a list, with words before and after; under another key, as a plain list, or as two corners in
//! round brackets. The first four numbers in brackets of their own are taken, behind a key that names a
//! box where there is one; everything else about them is checked.

use grounding::NormBox;

/// What the numbers of a reply mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Coordinates {
    /// By their size: shares if none is above 1, pixels if they lie in the picture, else thousandths.
    Auto,
    /// Pixels of the picture as it was sent.
    Pixels,
    /// Thousandths of width and height.
    Thousandths,
    /// Shares of width and height, 0 to 1.
    Shares,
}

/// Keys that announce a box.
const KEYS: [&str; 5] = ["bbox_2d", "bbox", "box_2d", "bounding_box", "box"];
/// What a box may hang over the picture's edge, as a share of the side: models round, and count from the
/// edge of a grid that is a little larger.
const OVERHANG: f64 = 0.02;

/// The box that a reply means, for a picture that was sent with these sides.
///
/// # Errors
/// Why there is none, in a few words.
pub fn parse(reply: &str, sent: (u32, u32), coordinates: Coordinates) -> Result<NormBox, String> {
    let lower = reply.to_ascii_lowercase();
    let from = KEYS.iter().find_map(|key| lower.find(key)).unwrap_or(0);
    let Some(edges) = four_numbers(&reply[from..]) else {
        return Err("no four numbers in brackets".to_owned());
    };
    let (w, h) = (f64::from(sent.0), f64::from(sent.1));
    let within = |w: f64, h: f64| {
        edges[0].max(edges[2]) <= w * (1.0 + OVERHANG)
            && edges[1].max(edges[3]) <= h * (1.0 + OVERHANG)
    };
    let (w, h) = match coordinates {
        Coordinates::Pixels => (w, h),
        Coordinates::Thousandths => (1000.0, 1000.0),
        Coordinates::Shares => (1.0, 1.0),
        Coordinates::Auto if within(1.0 / (1.0 + OVERHANG), 1.0 / (1.0 + OVERHANG)) => (1.0, 1.0),
        Coordinates::Auto if within(w, h) => (w, h),
        Coordinates::Auto => (1000.0, 1000.0),
    };
    let low = -OVERHANG;
    if !within(w, h) || edges[0].min(edges[2]) < low * w || edges[1].min(edges[3]) < low * h {
        return Err(format!(
            "{edges:?} lies outside the picture of {} x {}",
            sent.0, sent.1
        ));
    }
    let percent = |v: f64, side: f64| (100.0 * v / side).clamp(0.0, 100.0) as f32;
    NormBox::new(
        percent(edges[0], w),
        percent(edges[1], h),
        percent(edges[2], w),
        percent(edges[3], h),
    )
    .map_err(|_| format!("{edges:?} is no box: x2 > x1 and y2 > y1 are needed"))
}

/// The first list of exactly four numbers: `[1, 2, 3, 4]`, or `(1, 2), (3, 4)`.
fn four_numbers(text: &str) -> Option<[f64; 4]> {
    let starts = text.match_indices(['[', '(']).map(|(at, _)| at);
    starts.into_iter().find_map(|at| {
        let (numbers, rest) = numbers(&text[at..])?;
        match numbers[..] {
            [a, b, c, d] => Some([a, b, c, d]),
            // Two corners, with or without a comma between them.
            [a, b] => {
                let rest = rest.trim_start_matches([',', ' ', '\n']);
                match numbers_only(rest)?[..] {
                    [c, d] => Some([a, b, c, d]),
                    _ => None,
                }
            }
            _ => None,
        }
    })
}

fn numbers_only(text: &str) -> Option<Vec<f64>> {
    text.starts_with(['[', '('])
        .then(|| numbers(text))?
        .map(|(numbers, _)| numbers)
}

/// The numbers of a bracket that opens here and holds nothing else, and what follows it.
fn numbers(text: &str) -> Option<(Vec<f64>, &str)> {
    let close = if text.starts_with('[') { ']' } else { ')' };
    let (inside, rest) = text[1..].split_once(close)?;
    let numbers = inside.split(',').map(|part| {
        let part = part.trim().trim_matches(['"', '\'']);
        // "inf" and "nan" parse, too.
        part.parse().ok().filter(|v: &f64| v.is_finite())
    });
    Some((numbers.collect::<Option<_>>()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(reply: &str, coordinates: Coordinates) -> Result<[f32; 4], String> {
        parse(reply, (500, 200), coordinates).map(NormBox::to_array)
    }

    #[test]
    fn what_models_write_is_understood() {
        for reply in [
            "{\"bbox_2d\": [50, 20, 250, 100]}",
            "```json\n[\n\t{\"bbox_2d\": [50, 20, 250, 100], \"label\": \"the total\"}\n]\n```",
            "```json\n{\"bbox_2d\": [50, 20, 250, 100]}\n```\nThis region [1] shows the total.",
            "Looking at figure [2, 3], the region is {\"bbox_2d\": [50.0, 20.0, 250.0, 100.0]}",
            "[50, 20, 250, 100]",
            "[[50, 20, 250, 100]]",
            "{'bbox_2d': ['50', '20', '250', '100']}",
            "<|box_start|>(50,20),(250,100)<|box_end|>",
            "[50,20],[250,100]",
            "[{\"bbox_2d\": [50, 20, 250, 100]}, {\"bbox_2d\": [1, 2, 3, 4]}]",
            "{\"BBox_2D\":[ 50 ,20, 250,100 ]}",
            "Box (as asked): [50, 20, 250, 100]",
            "The answer is in [50, 20, 250, 100]. É",
        ] {
            assert_eq!(
                percent(reply, Coordinates::Auto),
                Ok([10.0, 10.0, 50.0, 50.0]),
                "{reply}"
            );
        }
    }

    #[test]
    fn numbers_mean_what_they_are_said_to_mean() {
        assert_eq!(
            percent("[100, 100, 500, 500]", Coordinates::Thousandths),
            Ok([10., 10., 50., 50.])
        );
        assert_eq!(
            percent("[0.1, 0.1, 0.5, 0.5]", Coordinates::Shares),
            Ok([10., 10., 50., 50.])
        );
        // Outside the picture as pixels: thousandths.
        assert_eq!(
            percent("[100, 100, 800, 900]", Coordinates::Auto),
            Ok([10., 10., 80., 90.])
        );
        assert_eq!(
            percent("[0.1, 0.1, 0.5, 1.0]", Coordinates::Auto),
            Ok([10., 10., 50., 100.])
        );
        // A pixel or two over the edge is cut off.
        assert_eq!(
            percent("[-2, 0, 504, 203]", Coordinates::Auto),
            Ok([0., 0., 100., 100.])
        );
    }

    #[test]
    fn what_is_no_box_is_refused() {
        for (reply, coordinates, expected) in [
            (
                "There is no such region.",
                Coordinates::Auto,
                "no four numbers",
            ),
            ("", Coordinates::Auto, "no four numbers"),
            ("[1, 2, 3]", Coordinates::Auto, "no four numbers"),
            ("[1, 2, 3, 4, 5]", Coordinates::Auto, "no four numbers"),
            ("[1, 2, inf, 4]", Coordinates::Auto, "no four numbers"),
            ("[1, 2, x, 4]", Coordinates::Auto, "no four numbers"),
            ("[10, 20, 30", Coordinates::Auto, "no four numbers"),
            ("(1, 2), (3, 4, 5)", Coordinates::Auto, "no four numbers"),
            ("[250, 20, 50, 100]", Coordinates::Auto, "is no box"),
            ("[50, 20, 50, 100]", Coordinates::Auto, "is no box"),
            (
                "[50, 20, 250, 2000]",
                Coordinates::Auto,
                "outside the picture",
            ),
            (
                "[50, 20, 250, 900]",
                Coordinates::Pixels,
                "outside the picture",
            ),
            (
                "[-100, 20, 250, 100]",
                Coordinates::Auto,
                "outside the picture",
            ),
            (
                "[600, 20, 700, 100]",
                Coordinates::Pixels,
                "outside the picture",
            ),
        ] {
            let said = percent(reply, coordinates).expect_err(reply);
            assert!(said.contains(expected), "{reply}: {said}");
        }
    }
}
