//! A form being filled from top to bottom: its pens, and the blocks that it is made of.

use crate::canvas::Color;
use crate::dice::Dice;
use crate::geometry::Rect;
use crate::marks;
use crate::page::Page;
use crate::text::{Pen, Printed};
use crate::words::{self, say};

/// A page being filled from top to bottom.
pub struct Sheet<'a> {
    pub page: Page,
    pub dice: &'a mut Dice,
    pub label: Pen,
    pub value: Pen,
    pub head: Pen,
    pub small: Pen,
    pub ink: Color,
    pub pen_ink: Color,
    pub y: f32,
    pub left: f32,
    pub right: f32,
    /// Distance of two rows.
    pub row: f32,
    pub upper: bool,
    /// Labels are underlined.
    pub under: bool,
    pub country: String,
    pub used: Vec<String>,
}

/// One field: what is printed and what was filled in.
pub struct Field {
    pub label: String,
    pub value: String,
}

impl Sheet<'_> {
    pub fn say(&mut self, key: &str) -> String {
        say(self.dice, &self.country, key)
    }

    /// A field whose label is not on the page yet.
    pub fn field(&mut self) -> Field {
        let fields = words::options("f.field");
        loop {
            // Labels that no list holds are read, not known.
            let made = self.dice.chance(0.45);
            let field = if made {
                format!("{}={}", self.say("f.label"), self.say("f.value"))
            } else {
                self.dice.pick(fields).to_string()
            };
            let (label, pattern) = field.split_once('=').unwrap_or((&field, "{Pseudo}"));
            let plain = label.trim().to_lowercase();
            if self.used.contains(&plain) && self.used.len() + 8 < fields.len() {
                continue;
            }
            self.used.push(plain);
            let label = if self.upper {
                label.trim().to_uppercase()
            } else {
                label.trim().to_string()
            };
            let mut value = words::expand(self.dice, &self.country, pattern);
            if self.dice.chance(0.06) {
                value.clear();
            }
            return Field { label, value };
        }
    }

    pub fn ask(&mut self, label: &str, value: &Printed) {
        self.ask_at(label, &value.text, value.rect);
    }

    /// Asks what `label` says; the answer `text` is printed at `rect`.
    pub fn ask_at(&mut self, label: &str, text: &str, rect: Rect) {
        let key = label.trim_end_matches([':', ' ', '.']).to_string();
        self.page.ask(
            self.dice,
            "form_value",
            "q.form_value",
            &key,
            text,
            vec![rect],
        );
        let plain = key.to_lowercase();
        if self.dice.chance(0.3)
            && plain.chars().all(|c| c.is_alphabetic() || c == ' ')
            && plain.len() > 4
        {
            self.page.ask(
                self.dice,
                "form_value",
                "q.form_plain",
                &plain,
                text,
                vec![rect],
            );
        }
        let list = match plain.as_str() {
            "to" | "ship to" => "q.form_to",
            "from" => "q.form_from",
            _ => return,
        };
        self.page
            .ask(self.dice, "form_value", list, "", text, vec![rect]);
    }

    /// Fills in `text` at (x, base); what does not fit into `room` is left out word by word.
    pub fn fill(&mut self, x: f32, base: f32, room: f32, text: &str) -> Option<Printed> {
        let mut text = self.value.spell(text);
        while self.value.width(&text) > room {
            let at = text.rfind(' ')?;
            text.truncate(at);
        }
        let size = self.value.size;
        let lift = self.dice.real(-0.12, 0.06) * size;
        let shift = self.dice.real(0.0, 0.5) * size;
        let shift = shift.min((room - self.value.width(&text)).max(0.0));
        self.page.print(
            self.dice,
            &mut self.value,
            (x + shift, base + lift),
            text.trim_end_matches([',', ' ']),
            self.pen_ink,
        )
    }

    pub fn rule(&mut self, x1: f32, x2: f32, y: f32) {
        let t = (self.label.size * 0.06).max(1.0);
        let dash = if self.dice.chance(0.15) { t * 3.0 } else { 0.0 };
        self.page.canvas.rule(x1, x2, y, t, dash, self.ink);
    }

    /// A row of boxes to tick.
    pub fn checks(&mut self) {
        self.y += self.row;
        let list = words::options("f.check");
        let (label, options) = self
            .dice
            .pick(list)
            .split_once('=')
            .unwrap_or(("Approved", "Yes,No"));
        if self.used.contains(&label.to_lowercase()) {
            return;
        }
        self.used.push(label.to_lowercase());
        let label = if self.upper {
            label.to_uppercase()
        } else {
            label.to_string()
        };
        let y = self.y;
        let Some(printed) = self.page.print(
            self.dice,
            &mut self.label,
            (self.left, y),
            &format!("{label}:"),
            self.ink,
        ) else {
            return;
        };
        let mut x = printed.rect.x2 + self.label.size;
        let options: Vec<&str> = options.split(',').collect();
        let ticked = self.dice.index(options.len());
        let side = self.label.size * 0.75;
        let t = (side * 0.1).max(1.0);
        for (i, option) in options.iter().enumerate() {
            let area = Rect::new(x, y - side, x + side, y);
            self.page.canvas.frame(area, t, self.ink);
            let (a, b) = (area.grown(side * 0.1), self.pen_ink);
            if i == ticked && self.dice.chance(0.6) {
                self.page
                    .canvas
                    .stroke((a.x1, a.y1), (a.x2, a.y2), t * 1.8, b, 1.0);
                self.page
                    .canvas
                    .stroke((a.x2, a.y1), (a.x1, a.y2), t * 1.8, b, 1.0);
            } else if i == ticked {
                self.page.canvas.path(
                    &[
                        (a.x1, a.center().1),
                        (a.center().0, a.y2),
                        (a.x2 + side * 0.4, a.y1 - side * 0.3),
                    ],
                    t * 1.8,
                    b,
                    1.0,
                );
            }
            let Some(text) = self.page.print(
                self.dice,
                &mut self.label,
                (x + side * 1.5, y),
                option,
                self.ink,
            ) else {
                continue;
            };
            if i == ticked {
                self.page.ask(
                    self.dice,
                    "form_check",
                    "q.form_check",
                    &label,
                    option,
                    vec![text.rect.union(area)],
                );
            }
            x = text.rect.x2 + self.label.size * 1.2;
        }
    }

    /// Letterhead, title and lines around them.
    pub fn heading(&mut self) {
        let align = [0.0, 0.5, 1.0][self.dice.weighted(&[2.0, 4.0, 0.6])];
        if self.dice.chance(0.55) {
            let org = self.say("f.org");
            let org = if self.upper { org.to_uppercase() } else { org };
            self.y += self.head.size;
            if self.dice.chance(0.35) {
                let size = self.head.size * self.dice.real(1.2, 2.5);
                let x = if align < 0.3 {
                    self.right - size
                } else {
                    self.left + size
                };
                marks::logo(
                    self.dice,
                    &mut self.page.canvas,
                    (x, self.y),
                    size,
                    self.ink,
                );
            }
            let y = self.y;
            let pen = if self.dice.chance(0.6) {
                &mut self.head
            } else {
                &mut self.label
            };
            if pen.width(&pen.spell(&org)) < self.right - self.left
                && let Some(p) = self.page.print_in(
                    self.dice,
                    pen,
                    (self.left, self.right, align),
                    y,
                    &org,
                    self.ink,
                )
            {
                self.page.ask(
                    self.dice,
                    "form_company",
                    "q.form_company",
                    "",
                    &p.text,
                    vec![p.rect],
                );
            }
            if self.dice.chance(0.5) {
                let address = self.say("address").replace(" / ", ", ");
                self.y += self.small.line_height() * 1.2;
                let y = self.y;
                self.page.print_in(
                    self.dice,
                    &mut self.small,
                    (self.left, self.right, align),
                    y,
                    &address,
                    self.ink,
                );
            }
        }
        self.y += self.head.size * self.dice.real(1.3, 2.2);
        let title = self.say("f.title");
        let title = if self.upper {
            title.to_uppercase()
        } else {
            title
        };
        let y = self.y;
        if let Some(p) = self.page.print_in(
            self.dice,
            &mut self.head,
            (self.left, self.right, align),
            y,
            &title,
            self.ink,
        ) {
            self.page.ask(
                self.dice,
                "form_title",
                "q.form_title",
                "",
                &p.text,
                vec![p.rect],
            );
        }
        self.y += self.head.size * 0.4;
        if self.dice.chance(0.4) {
            let y = self.y;
            self.rule(self.left, self.right, y);
            self.y += self.head.size * 0.3;
        }
    }
}
