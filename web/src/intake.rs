//! Getting a picture in: what a paste, a drop or a key means, decided here and done by the page.
//!
//! One rule comes first: text that is put into a text field is text, whatever lies beside it. Spreadsheets and word
//! processors put a picture of the cells into the clipboard, too.
//!
//! ```
//! use cropvlm_web::intake::{Intake, Offer, paste};
//! let cells = Offer { text: "4.20".into(), files: vec![("image.png", "image/png").into()], ..Offer::default() };
//! assert_eq!(paste(&cells, true), Intake::Leave);
//! assert!(matches!(paste(&cells, false), Intake::File { at: 0, .. }));
//! ```

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// What lies in a clipboard, or is dragged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Files, in their order.
    pub files: Vec<Offered>,
    /// `text/plain`
    pub text: String,
    /// `text/html`
    pub html: String,
    /// `text/uri-list`
    pub addresses: String,
}

/// A file that is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// Its media type as the browser sees it, empty where it does not know.
    pub media_type: String,
    /// It is a folder.
    pub folder: bool,
}

impl From<(&str, &str)> for Offered {
    /// From name and media type.
    fn from((name, media_type): (&str, &str)) -> Self {
        Offered {
            name: name.into(),
            media_type: media_type.into(),
            folder: false,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intake {
    /// The browser does what it always does.
    Leave,
    /// Take this file.
    File {
        /// Which.
        at: usize,
        /// Names of the others.
        others: Vec<String>,
    },
    /// Fetch the picture at this address; `data:` addresses hold it themselves.
    Address(String),
    /// There is a folder and nothing else.
    Folder,
    /// There is nothing that could be a picture.
    Nothing,
}

/// What a paste means; `in_field`: the cursor stands in a field that takes text.
pub fn paste(offer: &Offer, in_field: bool) -> Intake {
    if in_field && !offer.text.is_empty() {
        return Intake::Leave;
    }
    match pick(offer) {
        // Nobody who pastes words beside all fields expects an answer.
        Intake::Nothing => Intake::Leave,
        _ if in_field && offer.files.is_empty() => Intake::Leave,
        other => other,
    }
}

/// What a drop means, where it is the page's to take: see [`takes_drag`].
pub fn drop(offer: &Offer) -> Intake {
    pick(offer)
}

/// Whether what is dragged is the page's to take. Over a field that takes text only files are, the rest is left to the
/// field; while it is dragged, a page sees the kinds alone.
pub fn takes_drag<'a>(kinds: impl IntoIterator<Item = &'a str>, in_field: bool) -> bool {
    !in_field || kinds.into_iter().any(|kind| kind == "Files")
}

fn pick(offer: &Offer) -> Intake {
    let files = || {
        offer
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| !file.folder)
    };
    let picture = files().find(|(_, file)| looks_like_a_picture(file));
    if let Some((at, _)) = picture.or_else(|| files().next()) {
        let others = offer.files.iter().enumerate();
        let others = others.filter(|(other, _)| *other != at);
        return Intake::File {
            at,
            others: others.map(|(_, file)| file.name.clone()).collect(),
        };
    }
    if !offer.files.is_empty() {
        return Intake::Folder;
    }
    // A picture within a link brings the link's address as its own; only the markup has the picture's.
    if let Some(address) = image_source(&offer.html).filter(|address| is_address(address)) {
        return Intake::Address(address);
    }
    let lines = offer.addresses.lines().chain([offer.text.as_str()]);
    let address = lines.map(str::trim).find(|line| is_address(line));
    address.map_or(Intake::Nothing, |address| {
        Intake::Address(address.to_owned())
    })
}

/// Whether a file is one that the page, or the browser for it, may read as a picture.
fn looks_like_a_picture(file: &Offered) -> bool {
    let ending = file
        .name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    // Endings of kinds that browsers have no media type for.
    let known = [
        "pdf", "heic", "heif", "avif", "jxl", "tif", "tiff", "jpg", "jpeg", "png", "webp",
    ];
    file.media_type.starts_with("image/")
        || file.media_type == "application/pdf"
        || ending.is_some_and(|ending| known.contains(&ending.as_str()))
}

/// Whether this is the address of something that can be fetched, or a `data:` picture.
pub fn is_address(text: &str) -> bool {
    let text = text.trim();
    let begins = |with: &str| {
        text.get(..with.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(with))
    };
    begins("data:image/")
        || (begins("https://") || begins("http://")) && !text.contains(char::is_whitespace)
}

/// The `src` of the first `<img>` in a piece of markup.
fn image_source(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find("<img") {
        let start = from + at + 4;
        from = start;
        // Up to the end of the tag; `>` within quotes belongs to a value.
        let mut quote = None;
        let end = html[start..].find(|c| {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, '>') => return true,
                _ => {}
            }
            false
        });
        let tag = &html[start..end.map_or(html.len(), |end| start + end)];
        if let Some(value) = attribute(tag, "src") {
            return Some(value);
        }
    }
    None
}

/// An attribute's value, with its character references resolved as far as addresses have them.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let end = rest.find(|c: char| c.is_whitespace() || c == '=')?;
        let (found, after) = rest.split_at(end);
        let after = after.trim_start();
        let Some(after) = after.strip_prefix('=').map(str::trim_start) else {
            rest = after;
            continue;
        };
        let (value, next) = match after.chars().next()? {
            quote @ ('"' | '\'') => after[1..].split_once(quote)?,
            _ => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        if found.eq_ignore_ascii_case(name) {
            let plain = value
                .replace("&quot;", "\"")
                .replace("&#38;", "&")
                .replace("&amp;", "&");
            return Some(plain.trim().to_owned());
        }
        rest = next;
    }
}

/// The media type and the bytes of a picture that its address holds: `data:image/png;base64,…`. None where it is broken.
pub fn embedded(address: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = address.trim().split_at_checked("data:".len())?;
    if !scheme.eq_ignore_ascii_case("data:") || !is_address(address) {
        return None;
    }
    let (head, data) = rest.split_once(',')?;
    let mut parts = head.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let data = percent_decoded(data);
    if !parts.any(|part| part.eq_ignore_ascii_case("base64")) {
        return Some((media_type, data));
    }
    let data: Vec<u8> = data
        .into_iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    engine.decode(data).ok().map(|bytes| (media_type, bytes))
}

/// `%41` as `A`; what is no pair of digits stays.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|_| byte == b'%');
        let pair = digits.and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

/// Which page of a document a file stands for: its media type says so, `application/pdf;page=3`; else the first.
pub fn page_of(media_type: &str) -> u32 {
    let page = media_type
        .split(';')
        .find_map(|part| part.trim().strip_prefix("page="));
    page.and_then(|page| page.parse().ok()).unwrap_or(1).max(1)
}

/// The media type of a document's page, see [`page_of`].
pub fn paged(page: u32) -> String {
    format!("application/pdf;page={page}")
}

/// A key that went down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Key<'a> {
    /// `KeyboardEvent.key`
    pub name: &'a str,
    /// `KeyboardEvent.keyCode`: 229 while an input method has the key.
    pub code: u32,
    /// `KeyboardEvent.isComposing`
    pub composing: bool,
}

/// Whether a key belongs to an input method that is composing a word: then it ends the word and nothing else. `open`: a
/// composition has begun and not ended. Safari ends it before the key arrives, and leaves only the code to tell by.
pub fn composes(key: Key, open: bool) -> bool {
    key.composing || key.code == 229 || open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[(&str, &str)]) -> Vec<Offered> {
        names.iter().map(|&file| file.into()).collect()
    }

    fn offer(pictures: &[(&str, &str)], text: &str, html: &str) -> Offer {
        Offer {
            files: files(pictures),
            text: text.into(),
            html: html.into(),
            ..Offer::default()
        }
    }

    const SHOT: &[(&str, &str)] = &[("image.png", "image/png")];
    const ADDRESS: &str = "https://a.example/x.png";
    const MARKUP: &str = "<img src='https://a.example/x.png'>";

    #[test]
    fn text_pasted_into_a_field_is_text_whatever_lies_beside_it() {
        let taken = || Intake::File {
            at: 0,
            others: vec![],
        };
        let sheet = format!("<table><td>4.20</td></table>{MARKUP}");
        let address = || Intake::Address(ADDRESS.into());
        for (offered, within_a_field, outside) in [
            // A spreadsheet puts a picture beside its text.
            (offer(SHOT, "Total\t4.20", &sheet), Intake::Leave, taken()),
            // A screenshot alone is a picture, wherever the cursor stands.
            (offer(SHOT, "", ""), taken(), taken()),
            // Words beside a field are nothing to complain about.
            (offer(&[], "only words", ""), Intake::Leave, Intake::Leave),
            (
                offer(&[], &format!(" {ADDRESS}\n"), ""),
                Intake::Leave,
                address(),
            ),
            // A field takes markup as it likes.
            (offer(&[], "", MARKUP), Intake::Leave, address()),
            // An image beside its address is taken once.
            (offer(SHOT, ADDRESS, MARKUP), Intake::Leave, taken()),
        ] {
            assert_eq!(paste(&offered, true), within_a_field, "{offered:?}");
            assert_eq!(paste(&offered, false), outside, "{offered:?}");
        }
    }

    #[test]
    fn of_several_files_the_first_picture_is_taken_and_the_others_are_named() {
        let offer = Offer {
            files: files(&[
                ("notes.txt", "text/plain"),
                ("IMG_1.HEIC", ""),
                ("b.png", "image/png"),
            ]),
            ..Offer::default()
        };
        let others = vec!["notes.txt".to_owned(), "b.png".to_owned()];
        assert_eq!(drop(&offer), Intake::File { at: 1, others });
        // No picture at all: the sentence about the first says what it is.
        let offer = Offer {
            files: files(&[("a.zip", "application/zip")]),
            ..Offer::default()
        };
        assert_eq!(
            drop(&offer),
            Intake::File {
                at: 0,
                others: vec![]
            }
        );
    }

    #[test]
    fn a_folder_is_named_as_one() {
        let folder = Offered {
            name: "scans".into(),
            folder: true,
            ..Offered::default()
        };
        let mut offer = Offer {
            files: vec![folder],
            ..Offer::default()
        };
        assert_eq!(drop(&offer), Intake::Folder);
        offer.files.extend(files(&[("a.jpg", "image/jpeg")]));
        assert_eq!(
            drop(&offer),
            Intake::File {
                at: 1,
                others: vec!["scans".into()]
            }
        );
    }

    #[test]
    fn a_picture_within_a_link_is_the_picture() {
        let html = "<meta charset=utf-8><a href=\"https://a.example/page\"><IMG alt='a > b' data-src='no' \
                    src=\"https://a.example/x.png?a=1&amp;b=2\"></a>";
        let offer = Offer {
            html: html.into(),
            addresses: "# a comment\r\nhttps://a.example/page\r\n".into(),
            ..Offer::default()
        };
        assert_eq!(
            drop(&offer),
            Intake::Address("https://a.example/x.png?a=1&b=2".into())
        );
        let plain = Offer {
            html: String::new(),
            ..offer
        };
        assert_eq!(
            drop(&plain),
            Intake::Address("https://a.example/page".into())
        );
        assert_eq!(image_source("<img>"), None);
        assert_eq!(
            image_source("<img src=https://a.example/x.png width=3>").as_deref(),
            Some("https://a.example/x.png")
        );
        assert_eq!(
            image_source("<img alt='ü>' src='data:image/gif;base64,R0'").as_deref(),
            Some("data:image/gif;base64,R0")
        );
        assert_eq!(
            drop(&Offer {
                text: "only words".into(),
                ..Offer::default()
            }),
            Intake::Nothing
        );
    }

    #[test]
    fn a_data_picture_is_read_from_its_address() {
        let offer = Offer {
            html: "<img src='data:image/png;base64,iVBORw0K'>".into(),
            ..Offer::default()
        };
        let address = "data:image/png;base64,iVBORw0K".to_owned();
        assert_eq!(drop(&offer), Intake::Address(address.clone()));
        assert_eq!(
            embedded(&address),
            Some(("image/png".into(), b"\x89PNG\r\n".to_vec()))
        );
        let svg = "DATA:image/svg+xml;charset=utf-8,%3Csvg%20a='50%'/>";
        assert_eq!(
            embedded(svg),
            Some(("image/svg+xml".into(), b"<svg a='50%'/>".to_vec()))
        );
        assert_eq!(
            embedded("data:image/png;base64,iVBORw0K%3D%3D").map(|it| it.0),
            None,
            "too much of the filling"
        );
        assert_eq!(
            embedded("data:image/png;base64,iVBO Rw%3D%3D"),
            Some(("image/png".into(), b"\x89PNG".to_vec()))
        );
        assert_eq!(embedded("data:image/png;base64,?"), None);
        assert_eq!(embedded("data:image/png"), None);
        assert_eq!(embedded("data:text/html,<b>"), None);
        assert_eq!(embedded("https://a.example/x,png"), None);
    }

    #[test]
    fn a_page_of_a_document_is_named_by_the_media_type() {
        for (media_type, page) in [
            ("application/pdf", 1),
            ("application/pdf;page=0", 1),
            ("application/pdf; page=12", 12),
            ("", 1),
        ] {
            assert_eq!(page_of(media_type), page, "{media_type}");
        }
        assert_eq!(page_of(&paged(7)), 7);
    }

    #[test]
    fn what_is_dragged_over_a_field_is_the_fields_unless_it_is_a_file() {
        assert!(!takes_drag(["text/plain", "text/html"], true));
        assert!(takes_drag(["Files", "text/plain"], true));
        assert!(takes_drag(["text/plain"], false));
        assert!(takes_drag([], false));
    }

    #[test]
    fn an_enter_that_ends_a_composition_submits_nothing() {
        let enter = |code, composing| Key {
            name: "Enter",
            code,
            composing,
        };
        assert!(
            composes(enter(13, true), true),
            "Chrome, Firefox: the key within the composition"
        );
        assert!(
            composes(enter(229, true), false),
            "Chrome: the input method has the key"
        );
        assert!(
            composes(enter(229, false), false),
            "Safari: the composition has ended before the key"
        );
        assert!(
            composes(enter(13, false), true),
            "nothing but the events tells"
        );
        assert!(!composes(enter(13, false), false));
    }
}
