//! An answer as elements of the page, each made by name from a short list; every word is a text node.

use cropvlm_web::markdown::{Block, Piece};
use web_sys::{Document, Element};

/// Puts an answer in the place of what stands in an element.
pub fn draw(document: &Document, place: &Element, pieces: &[Piece]) {
    place.set_text_content(None);
    // The element that is open now, with those around it.
    let mut open = vec![place.clone()];
    for piece in pieces {
        let Some(inner) = open.last().cloned() else {
            return;
        };
        match piece {
            Piece::Open(block) => {
                let Some(child) = add(document, &inner, tag(*block), None) else {
                    return;
                };
                match block {
                    Block::Numbers(first) => {
                        child.set_attribute("start", &first.to_string()).ok();
                    }
                    Block::Heading => child.set_class_name("heading"),
                    _ => {}
                }
                open.push(child);
            }
            Piece::Close => {
                open.pop();
            }
            Piece::Text(words) => {
                inner.append_child(&document.create_text_node(words)).ok();
            }
            Piece::Marked(words) => {
                add(document, &inner, "mark", Some(words));
            }
            Piece::Rule => {
                add(document, &inner, "hr", None);
            }
            Piece::Break | Piece::Marker(_) => {}
        }
    }
}

fn add(document: &Document, inside: &Element, tag: &str, words: Option<&str>) -> Option<Element> {
    let child = document.create_element(tag).ok()?;
    child.set_text_content(words);
    inside.append_child(&child).ok()?;
    Some(child)
}

fn tag(block: Block) -> &'static str {
    match block {
        Block::Paragraph | Block::Heading => "p",
        Block::Strong => "strong",
        Block::Emphasis => "em",
        Block::Code => "code",
        Block::CodeBlock => "pre",
        Block::Bullets => "ul",
        Block::Numbers(_) => "ol",
        Block::Item => "li",
        Block::Quote => "blockquote",
    }
}
