//! Tables in documents that a command writes: what stands between `<!-- NAME -->` and `<!-- /NAME -->` is the
//! command's, all else is a person's.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// Writes `text` between the markers of `name` in a file.
///
/// # Errors
/// A file that cannot be read or written; markers that are not there exactly once.
pub fn write(file: &Path, name: &str, text: &str) -> Result<()> {
    let about = || format!("{}", file.display());
    let old = std::fs::read_to_string(file).with_context(about)?;
    let new = replaced(&old, name, text).with_context(about)?;
    if new != old {
        std::fs::write(file, new).with_context(about)?;
    }
    Ok(())
}

fn replaced(document: &str, name: &str, text: &str) -> Result<String> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    for marker in [&open, &close] {
        match document.matches(marker.as_str()).count() {
            1 => {}
            n => bail!("expected one line {marker}, found {n}"),
        }
    }
    let parts = document.split_once(&open).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&close)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        bail!("{close} stands before {open}");
    };
    Ok(format!("{before}{open}\n{}\n{close}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let document = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n";
        let new = replaced(document, "t", "\nnew |\n\n").expect("markers");
        assert_eq!(new, "a\n<!-- t -->\nnew |\n<!-- /t -->\nb\n");
        assert_eq!(replaced(&new, "t", "new |").expect("markers"), new);
    }

    #[test]
    fn markers_have_to_be_there_once_and_in_order() {
        for wrong in [
            "",
            "<!-- t -->",
            "<!-- /t --> <!-- t -->",
            "<!-- t --> <!-- /t --> <!-- t -->",
        ] {
            assert!(replaced(wrong, "t", "x").is_err(), "{wrong}");
        }
    }
}
