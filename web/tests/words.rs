//! `index.html` has the words already, so that the page reads before any script has run; `web/src/text.rs` stays the one
//! place to change them. After a change there: `UPDATE=1 cargo test -p cropvlm-web --test words`.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use cropvlm_web::text::label;

/// The page with every element's words replaced by those of `text.rs`.
fn filled(page: &str) -> String {
    let mut filled = String::new();
    let mut rest = page;
    while let Some(at) = rest.find("data-text=\"") {
        let name_at = at + "data-text=\"".len();
        let name = &rest[name_at..name_at + rest[name_at..].find('"').unwrap()];
        let words_at = name_at + rest[name_at..].find('>').unwrap() + 1;
        let end = words_at + rest[words_at..].find('<').unwrap();
        let words = label(name).unwrap_or_else(|| panic!("no words for {name} in web/src/text.rs"));
        filled.push_str(&rest[..words_at]);
        filled.push_str(&words.replace('&', "&amp;").replace('<', "&lt;"));
        rest = &rest[end..];
    }
    filled + rest
}

#[test]
fn the_page_has_its_words() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../index.html");
    let page = std::fs::read_to_string(path).unwrap();
    let wanted = filled(&page);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &wanted).unwrap();
    } else {
        assert!(
            page == wanted,
            "index.html and web/src/text.rs differ: UPDATE=1 cargo test -p cropvlm-web --test words"
        );
    }
}
