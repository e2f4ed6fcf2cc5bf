//! What an answer says in Markdown, as pieces that the page makes elements of.
//!
//! pulldown-cmark reads it. The pieces know paragraphs, bold, emphasis, code, lists, quotes and rules; whatever else an
//! answer holds stays text: HTML is shown as it was written, a link as its words and its address, a picture as its
//! description. So nothing that a model writes becomes an element, an address or a script of its own choosing.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// An element that an answer may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Paragraph,
    /// A heading, shown as a bold paragraph: the page has headings of its own.
    Heading,
    /// Important words.
    Strong,
    /// Stressed words.
    Emphasis,
    /// Code within a line.
    Code,
    /// Lines of code.
    CodeBlock,
    /// A list without numbers.
    Bullets,
    /// A list with numbers, from this one on.
    Numbers(u64),
    /// An item of a list.
    Item,
    /// A quotation.
    Quote,
}

/// A piece of an answer, in the order of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An element begins.
    Open(Block),
    /// The innermost element ends.
    Close,
    /// Words.
    Text(String),
    /// Words that another answer does not have.
    Marked(String),
    /// A line across.
    Rule,
    /// Between two blocks: a line feed in plain text, nothing on the page.
    Break,
    /// Number or dash of an item: a part of the plain text; the page's lists have their own.
    Marker(String),
}

/// Reads an answer.
pub fn parse(answer: &str) -> Vec<Piece> {
    let mut reading = Reading::default();
    for (event, range) in Parser::new_ext(answer, Options::empty()).into_offset_iter() {
        let inside_word = |range: &std::ops::Range<usize>| {
            let before = answer[..range.start].chars().next_back();
            let after = answer[range.end..].chars().next();
            [before, after]
                .into_iter()
                .flatten()
                .any(char::is_alphanumeric)
        };
        match event {
            // 5*3*2 is no emphasis here: asterisks that touch letters or digits outside stay.
            Event::Start(Tag::Emphasis | Tag::Strong)
            | Event::End(TagEnd::Emphasis | TagEnd::Strong)
                if inside_word(&range) =>
            {
                let strong = matches!(
                    event,
                    Event::Start(Tag::Strong) | Event::End(TagEnd::Strong)
                );
                let from = &answer[range];
                reading.text(&from[..if strong { 2 } else { 1 }]);
            }
            Event::Start(tag) => reading.start(tag),
            Event::End(end) => reading.end(end),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => reading.text(&text),
            Event::Code(code) => {
                reading.pieces.push(Piece::Open(Block::Code));
                reading.text(&code);
                reading.pieces.push(Piece::Close);
            }
            Event::SoftBreak | Event::HardBreak => reading.text("\n"),
            Event::Rule => {
                reading.new_block();
                reading.pieces.push(Piece::Rule);
            }
            // Extensions that are not switched on.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                reading.text(&text);
            }
            Event::TaskListMarker(_) => {}
        }
    }
    reading.pieces
}

#[derive(Default)]
struct Reading {
    pieces: Vec<Piece>,
    /// Something stands in the block that is being read, or before it.
    begun: bool,
    /// The number of the next item of each open list, where it has numbers.
    lists: Vec<Option<u64>>,
    /// Addresses of open links.
    links: Vec<String>,
}

impl Reading {
    fn text(&mut self, text: &str) {
        self.begun |= !text.is_empty();
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn new_block(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.pieces.push(Piece::Break);
        }
    }

    fn open(&mut self, block: Block) {
        self.pieces.push(Piece::Open(block));
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => {
                self.new_block();
                self.open(Block::Paragraph);
            }
            Tag::Heading { level, .. } => {
                self.new_block();
                self.open(Block::Heading);
                // "# 12" may be what was read off a label: the sign of a first-level heading stays.
                if level == HeadingLevel::H1 {
                    self.text("# ");
                }
            }
            Tag::BlockQuote(_) => self.open(Block::Quote),
            Tag::CodeBlock(_) => {
                self.new_block();
                self.open(Block::CodeBlock);
            }
            Tag::List(first) => {
                self.lists.push(first);
                self.open(first.map_or(Block::Bullets, Block::Numbers));
            }
            Tag::Item => {
                self.new_block();
                let marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.open(Block::Item);
                self.pieces.push(Piece::Marker(marker));
            }
            Tag::Emphasis => self.open(Block::Emphasis),
            Tag::Strong => self.open(Block::Strong),
            Tag::Link { dest_url, .. } => self.links.push(dest_url.into_string()),
            Tag::HtmlBlock => {
                self.new_block();
                self.open(Block::Paragraph);
            }
            // A picture's description follows as text; the rest are extensions that are not switched on.
            _ => {}
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::BlockQuote(_)
            | TagEnd::Item
            | TagEnd::Emphasis
            | TagEnd::Strong => self.pieces.push(Piece::Close),
            TagEnd::CodeBlock | TagEnd::HtmlBlock => {
                // The line feed before the closing fence is none of the code's.
                if let Some(Piece::Text(code)) = self.pieces.last_mut() {
                    code.truncate(code.trim_end_matches('\n').len());
                }
                self.pieces.push(Piece::Close);
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.pieces.push(Piece::Close);
            }
            TagEnd::Link => {
                let address = self.links.pop().unwrap_or_default();
                let said = matches!(self.pieces.last(), Some(Piece::Text(text)) if text.ends_with(&address));
                if !said && !address.is_empty() {
                    self.text(&format!(" ({address})"));
                }
            }
            _ => {}
        }
    }
}

/// The words of an answer alone: what answers are compared by.
pub fn plain(pieces: &[Piece]) -> String {
    pieces.iter().map(words_of).collect()
}

fn words_of(piece: &Piece) -> &str {
    match piece {
        Piece::Text(text) | Piece::Marked(text) | Piece::Marker(text) => text,
        Piece::Break => "\n",
        Piece::Open(_) | Piece::Close | Piece::Rule => "",
    }
}

/// The pieces with the words marked that [`crate::compare::marked`] found in their plain text.
pub fn with_marks(pieces: Vec<Piece>, marked: &[(String, bool)]) -> Vec<Piece> {
    let mut left = marked.iter().map(|(text, mark)| (text.as_str(), *mark));
    let mut now = left.next();
    let mut result = Vec::new();
    for piece in pieces {
        let mut rest = words_of(&piece).len();
        let shown = matches!(piece, Piece::Text(_));
        while rest > 0 {
            let Some((text, mark)) = now else { break };
            let (taken, after) = text.split_at(rest.min(text.len()));
            rest -= taken.len();
            if shown {
                let taken = taken.to_owned();
                result.push(if mark {
                    Piece::Marked(taken)
                } else {
                    Piece::Text(taken)
                });
            }
            now = if after.is_empty() {
                left.next()
            } else {
                Some((after, mark))
            };
        }
        if !shown {
            result.push(piece);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Verdict, marked, verdict};

    /// A short form of the pieces, as HTML would write them, with everything escaped that is text.
    fn form(answer: &str) -> String {
        form_of(&parse(answer))
    }

    fn form_of(pieces: &[Piece]) -> String {
        let mut open = Vec::new();
        let mut form = String::new();
        for piece in pieces {
            match piece {
                Piece::Open(block) => {
                    let name = match block {
                        Block::Paragraph => "p",
                        Block::Heading => "h",
                        Block::Strong => "b",
                        Block::Emphasis => "i",
                        Block::Code => "code",
                        Block::CodeBlock => "pre",
                        Block::Bullets => "ul",
                        Block::Numbers(_) => "ol",
                        Block::Item => "li",
                        Block::Quote => "quote",
                    };
                    open.push(name);
                    form += &format!("<{name}>");
                }
                Piece::Close => form += &format!("</{}>", open.pop().unwrap_or("?")),
                Piece::Text(text) => form += &text.replace('<', "&lt;"),
                Piece::Marked(text) => form += &format!("[{text}]"),
                Piece::Rule => form += "<hr>",
                Piece::Break | Piece::Marker(_) => {}
            }
        }
        assert!(open.is_empty(), "{form}: {open:?} stay open");
        form
    }

    #[test]
    fn bold_lists_and_code_are_told_apart() {
        for (answer, read) in [
            (
                "The total is **9.00** €.",
                "<p>The total is <b>9.00</b> €.</p>",
            ),
            ("*so* `a < b`", "<p><i>so</i> <code>a &lt; b</code></p>"),
            ("- a\n- **b**", "<ul><li>a</li><li><b>b</b></li></ul>"),
            ("3. a\n4. b", "<ol><li>a</li><li>b</li></ol>"),
            (
                "It is\n```py\nx = 1\ny\n```",
                "<p>It is</p><pre>x = 1\ny</pre>",
            ),
            (
                "## So\n> this\n\n---",
                "<h>So</h><quote><p>this</p></quote><hr>",
            ),
            ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
            // What could do harm stays text.
            ("<script>x()</script>", "<p>&lt;script>x()&lt;/script></p>"),
            (
                "a <img src=x onerror=y> b",
                "<p>a &lt;img src=x onerror=y> b</p>",
            ),
            ("[here](javascript:x)", "<p>here (javascript:x)</p>"),
            ("![a cat](https://e.org/c.png)", "<p>a cat</p>"),
            ("<https://e.org>", "<p>https://e.org</p>"),
        ] {
            assert_eq!(form(answer), read);
        }
        assert_eq!(parse("3. a")[0], Piece::Open(Block::Numbers(3)));
    }

    #[test]
    fn numbers_and_codes_keep_their_signs() {
        for answer in [
            "5*3*2",
            "A**B**C",
            "snake_case_name",
            "-5",
            "9.00",
            "# 12",
            "#12",
            "a < b & c",
            "2 * 3",
            "x_1",
            "",
        ] {
            assert_eq!(plain(&parse(answer)), answer);
        }
        assert_eq!(plain(&parse("1. FC Köln")), "1. FC Köln");
        assert_eq!(plain(&parse("- 5\n- 6")), "- 5\n- 6");
    }

    #[test]
    fn bold_does_not_make_another_answer_and_marks_fall_on_words() {
        let (bold, plain_one) = (
            parse("The total is **9.00** €."),
            parse("The total is 9.00 €."),
        );
        assert_eq!(plain(&bold), plain(&plain_one));
        let same = verdict(&plain(&bold), &plain(&plain_one), "the total is 9.00 €");
        assert_eq!(same, Verdict::Same);
        let other = marked(&plain(&bold), "The total is 8.00 €.");
        let drawn = with_marks(bold, &other);
        assert_eq!(form_of(&drawn), "<p>The total is <b>[9.00]</b> €.</p>");
        let list = parse("- 8.00\n- two **more** words");
        let drawn = with_marks(list.clone(), &marked(&plain(&list), "- 8.00\n- two words"));
        assert_eq!(plain(&drawn), plain(&list));
        assert!(
            form_of(&drawn).contains("<b>[more]</b>"),
            "{}",
            form_of(&drawn)
        );
        assert!(
            form_of(&drawn).starts_with("<ul><li>8.00</li>"),
            "{}",
            form_of(&drawn)
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_model_writes_is_balanced_and_marks_lose_nothing(
            answer in "([a-c<>*_`#&\\[\\]()!.|~ 0-9\n-]|\\*\\*|```|<b>|- |1\\. |é){0,60}",
            other in "[a-c* \n]{0,20}",
        ) {
            let pieces = parse(&answer);
            form_of(&pieces);
            let words = plain(&pieces);
            let drawn = with_marks(pieces, &marked(&words, &other));
            form_of(&drawn);
            proptest::prop_assert_eq!(plain(&drawn), words);
        }
    }
}
