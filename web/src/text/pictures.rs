//! Words about pictures on their way in: what was taken, what was left out, who read it, what is wrong with it.

/// The browser does not hand out a file's bytes.
pub const UNREADABLE: &str = "The file could not be read: it may have been moved or changed, or it is a folder. Choose it again.";
/// A folder was dropped.
pub const FOLDER: &str =
    "That is a folder: open it and drop the picture itself, or choose it with Image.";
/// A `data:` address is broken.
pub const BROKEN_DATA: &str = "The address of that picture should hold the picture itself, but it is broken off. Save the picture and choose the file.";
/// The browser has read the picture.
pub const BY_BROWSER: &str = "Read by this browser's own decoder.";
/// The reader of PDF documents did not come.
pub const NO_PDF_READER: &str = "The part of this page that reads PDF documents could not be loaded. Check the connection and choose the file again, or save the page as PNG.";
/// A PDF asks for a password.
pub const PDF_LOCKED: &str = "This PDF document asks for a password: open it in its own program, save the page as PNG and choose that file.";
/// A PDF is broken.
pub const PDF_DAMAGED: &str =
    "This PDF document is damaged and cannot be read: save its page as PNG and choose that file.";

/// Files that were left out beside the one that was taken.
pub fn left_out(others: &[String]) -> String {
    const MOST: usize = 3;
    let named = others.iter().take(MOST).map(|name| short_name(name));
    let mut named: Vec<String> = named.collect();
    if others.len() > MOST {
        named.push(format!("{} more", others.len() - MOST));
    }
    let last = named.pop().unwrap_or_default();
    let list = if named.is_empty() {
        last
    } else {
        format!("{} and {last}", named.join(", "))
    };
    format!("One picture at a time: {list} left out.")
}

/// Which page of a document is looked at.
pub fn pdf_page(page: u32, pages: u32) -> String {
    format!("Page {page} of {pages} of the document.")
}

/// How many pages there are, behind the field with the page's number.
pub fn of_pages(pages: u32) -> String {
    format!("of {pages}")
}

/// A name that fits a line.
fn short_name(name: &str) -> String {
    match name.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_left_out_are_named() {
        let names = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            left_out(&names(&["b.png"])),
            "One picture at a time: b.png left out."
        );
        assert_eq!(
            left_out(&names(&["b.png", "c.txt"])),
            "One picture at a time: b.png and c.txt left out."
        );
        let many = names(&["1", "2", "3", "4", &"5".repeat(60)]);
        assert_eq!(
            left_out(&many),
            "One picture at a time: 1, 2, 3 and 2 more left out."
        );
        assert!(left_out(&many[4..]).contains('…'));
    }
}
