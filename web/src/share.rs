//! Links that bring a picture's address, a question and a box along.
//!
//! All of it stands behind the `#`, which browsers do not send to any server. A link holds these three and nothing
//! else: keys and answers have no place in it.

use grounding::NormBox;

/// What a link brings along.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    /// Address of the picture: of this page's samples (relative), or `http(s)://`.
    pub picture: Option<String>,
    /// The question.
    pub question: Option<String>,
    /// The box in percent.
    pub bbox: Option<NormBox>,
}

impl Shared {
    /// Reads the part of an address behind `#`, with or without it. What cannot be read is left out.
    ///
    /// ```
    /// use cropvlm_web::share::Shared;
    /// let shared = Shared::from_hash("#picture=samples%2Fshop.jpg&question=What+is+the+total%3F&box=10,20,30,40");
    /// assert_eq!(shared.picture.as_deref(), Some("samples/shop.jpg"));
    /// assert_eq!(shared.question.as_deref(), Some("What is the total?"));
    /// ```
    pub fn from_hash(hash: &str) -> Shared {
        let mut shared = Shared::default();
        for pair in hash.trim_start_matches('#').split('&') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = unescape(value);
            match name {
                "picture" if !value.is_empty() => shared.picture = Some(value),
                "question" if !value.trim().is_empty() => shared.question = Some(value),
                "box" => shared.bbox = value.parse().ok(),
                _ => {}
            }
        }
        shared
    }

    /// The part behind `#`.
    pub fn hash(&self) -> String {
        let parts = [
            self.picture
                .as_ref()
                .map(|at| format!("picture={}", escape(at))),
            self.question
                .as_ref()
                .map(|text| format!("question={}", escape(text))),
            self.bbox.map(|edges| format!("box={edges}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("&")
    }

    /// Whether it brings nothing along.
    pub fn is_empty(&self) -> bool {
        *self == Shared::default()
    }
}

/// Everything but letters, digits and `-_.~/:` as `%XX`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b':' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// `%XX` and `+` read back; a broken `%` stands for itself.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let digit = |offset: usize| {
            bytes
                .get(at + offset)
                .and_then(|&d| char::from(d).to_digit(16))
        };
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            (b'+', ..) => {
                plain.push(b' ');
                at += 1;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_come_back_as_they_were_written() {
        let shared = Shared {
            picture: Some("https://example.org/a b.jpg?size=1&x=%20#y".into()),
            question: Some("Wie viel kostet „Käse & Brot“ + 100 %?".into()),
            bbox: Some(NormBox {
                x1: 1.5,
                y1: 2.0,
                x2: 30.25,
                y2: 100.0,
            }),
        };
        assert_eq!(Shared::from_hash(&format!("#{}", shared.hash())), shared);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for hash in [
            "",
            "#",
            "#x",
            "#box=1,2,3",
            "#box=10,10,5,20",
            "#key=sk-1",
            "#question=+",
            "#picture=",
        ] {
            assert!(Shared::from_hash(hash).is_empty(), "{hash}");
        }
        assert_eq!(
            Shared::from_hash("question=100%").question.as_deref(),
            Some("100%")
        );
        assert_eq!(
            Shared::from_hash("question=%ff").question.as_deref(),
            Some("\u{fffd}")
        );
    }
}
