//! Server-sent events, read incrementally from bytes that are split anywhere.
//!
//! After the standard (WHATWG HTML, section 9.2): UTF-8 with an optional byte order mark; lines end in
//! LF, CR or CRLF; `field: value`; `:` opens a comment (keep-alives); a blank line ends the event.
//! Written here rather than taken from a crate: those at hand work on async streams and bring a parser
//! library along, where this is a page of code without any dependency. Departure: an event that the
//! end of the stream cuts off is given out by [`EventParser::finish`], since some servers end without
//! the last blank line.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its name (`event:`), empty where it has none.
    pub name: String,
    /// Its `data:` lines, joined by line feeds.
    pub data: String,
}

/// Bytes in, events out.
#[derive(Debug, Default)]
pub struct EventParser {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The last byte was a CR: a LF right behind it ends no second line.
    after_cr: bool,
    /// No line has ended yet: a byte order mark may stand here.
    started: bool,
    event: Event,
    has_data: bool,
}

impl EventParser {
    /// Takes the next bytes and returns the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    /// The end of the stream: what was not ended by a blank line, if it holds data.
    pub fn finish(mut self) -> Option<Event> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.end_event()
    }

    /// Bytes held back for an event that has not ended.
    pub fn pending(&self) -> usize {
        self.line.len() + self.event.data.len()
    }

    fn end_line(&mut self) -> Option<Event> {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let mut line = line.as_ref();
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            // A comment has an empty field; `id` and `retry` serve reconnecting, which a POST cannot.
            _ => {}
        }
        None
    }

    /// Without data there is no event, whatever its name.
    fn end_event(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}
