//! Names with wildcards, as shells and the hub's own tools have them.

/// Whether `name` fits `pattern`: `*` is anything, `/` included, `?` one character, `[abc]` and
/// `[a-z]` one of several, `[!a]` none of them.
pub fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    fits_from(&pattern, &name)
}

/// Whether a text holds a wildcard at all.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn fits_from(pattern: &[char], name: &[char]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    match first {
        '*' => (0..=name.len()).any(|skip| fits_from(rest, &name[skip..])),
        '?' => name
            .split_first()
            .is_some_and(|(_, name)| fits_from(rest, name)),
        '[' => match set(rest) {
            Some((one_of, rest)) => name
                .split_first()
                .is_some_and(|(&c, name)| one_of(c) && fits_from(rest, name)),
            // Never closed: a plain bracket.
            None => name.first() == Some(&'[') && fits_from(rest, &name[1..]),
        },
        plain => name.first() == Some(&plain) && fits_from(rest, &name[1..]),
    }
}

/// What stands between brackets, and the pattern behind them.
fn set(pattern: &[char]) -> Option<(impl Fn(char) -> bool, &[char])> {
    let negated = pattern.first() == Some(&'!');
    let inner = &pattern[usize::from(negated)..];
    // A bracket that stands first is one of the set.
    let end = inner.iter().skip(1).position(|&c| c == ']')? + 1;
    let members = &inner[..end];
    let holds = move |c: char| {
        let mut i = 0;
        while i < members.len() {
            if let [from, '-', to, ..] = members[i..] {
                if (from..=to).contains(&c) {
                    return true;
                }
                i += 3;
            } else {
                if members[i] == c {
                    return true;
                }
                i += 1;
            }
        }
        false
    };
    Some((move |c| holds(c) != negated, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.json", "config.json", true),
            ("*.json", "config.jsonl", false),
            ("data/train-*", "data/train-00000-of-00004.parquet", true),
            ("*train*", "data/train-0.parquet", true),
            ("train-0000[0-3]*", "train-00002-of", true),
            ("train-0000[0-3]*", "train-00004-of", false),
            ("[!a]b", "cb", true),
            ("[!a]b", "ab", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[x", "[x", true),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
