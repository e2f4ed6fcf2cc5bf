//! Bars, columns, lines: numbers along an axis.

use super::base::{Chart, number, readable_on};
use crate::canvas::{mix, readable};
use crate::geometry::Rect;

impl Chart<'_> {
    /// Bars from left to right, one or several to a label, or one made of parts.
    pub fn bars(&mut self, stacked: bool) {
        let n = self.labels.len();
        let m = self.series.len().max(1);
        let widest = self
            .labels
            .iter()
            .map(|l| self.pen.width(l))
            .fold(0.0, f32::max);
        let room = self.area.width();
        let label_w = widest.min(room * 0.5) + self.pen.size * 0.6;
        let x0 = self.area.x1 + label_w;
        let value_w = self.pen.size * 3.4;
        let most = if stacked {
            self.values
                .iter()
                .map(|v| v.iter().sum::<f32>())
                .fold(1.0, f32::max)
        } else {
            self.values
                .iter()
                .flatten()
                .fold(1.0, |a: f32, b| a.max(*b))
        };
        let scale = (room - label_w - value_w).max(40.0) / most;
        let pitch = self.area.height() / n as f32;
        let thick = (pitch * self.dice.real(0.5, 0.85))
            .min(self.pen.size * 3.0 * m as f32)
            .max(if stacked {
                6.0
            } else {
                self.pen.size * 0.95 * m as f32
            });
        let flush = self.dice.chance(0.7);
        let inside = self.dice.chance(0.35) || stacked;
        let tick = self.dice.chance(0.3);
        for l in 0..n {
            let top = self.area.y1 + l as f32 * pitch + (pitch - thick) * 0.5;
            let base = top + thick * 0.5 + self.pen.size * 0.35;
            let name = self.labels[l].clone();
            let span = (
                self.area.x1,
                x0 - self.pen.size * 0.5,
                if flush { 1.0 } else { 0.0 },
            );
            self.page
                .print_in(self.dice, &mut self.pen, span, base, &name, self.ink);
            let mut x = x0;
            for s in 0..m {
                let value = self.values[l][s];
                let length = value * scale;
                let color = self.colors[s % 5];
                let part = thick / m as f32;
                let bar = if stacked {
                    Rect::new(x, top, x + length, top + thick)
                } else {
                    Rect::new(
                        x0,
                        top + s as f32 * part,
                        x0 + length,
                        top + (s as f32 + 0.92) * part,
                    )
                };
                self.page.canvas.fill(bar, color, 1.0);
                let text = number(value, self.unit, l == 0);
                let w = self.pen.width(&text);
                let base = bar.center().1 + self.pen.size * 0.35;
                let fits = w + 4.0 < length;
                let p = if inside && fits {
                    let at = if stacked {
                        bar.center().0 - w * 0.5
                    } else {
                        bar.x2 - w - 4.0
                    };
                    self.page.print(
                        self.dice,
                        &mut self.pen,
                        (at, base),
                        &text,
                        readable_on(color),
                    )
                } else if stacked {
                    None
                } else {
                    let at = bar.x2 + self.pen.size * 0.35;
                    self.page
                        .print(self.dice, &mut self.pen, (at, base), &text, self.ink)
                };
                if let Some(p) = p {
                    self.noted(l, s, &p.text, p.rect);
                }
                x += length;
            }
        }
        if tick {
            self.page.canvas.fill(
                Rect::new(x0 - 1.0, self.area.y1, x0, self.area.y2),
                mix(self.ink, self.page.paper, 0.4),
                1.0,
            );
        }
    }

    /// Columns side by side with their labels below.
    pub fn columns(&mut self) {
        let n = self.labels.len();
        let m = self.series.len().max(1);
        let pitch = self.area.width() / n as f32;
        let floor = self.area.y2 - self.pen.size * 1.6;
        let most = self
            .values
            .iter()
            .flatten()
            .fold(1.0, |a: f32, b| a.max(*b));
        let scale = (floor - self.area.y1 - self.pen.size * 1.3).max(30.0) / most;
        let share = self.dice.real(0.5, 0.88);
        let grey = mix(self.ink, self.page.paper, 0.6);
        if self.dice.chance(0.4) {
            for i in 0..=4 {
                let y = floor - most * scale * i as f32 / 4.0;
                self.page.canvas.rule(
                    self.area.x1,
                    self.area.x2,
                    y,
                    1.0,
                    0.0,
                    mix(grey, self.page.paper, 0.5),
                );
            }
        }
        self.page
            .canvas
            .rule(self.area.x1, self.area.x2, floor, 1.0, 0.0, grey);
        for l in 0..n {
            let x1 = self.area.x1 + (l as f32 + 0.5 - share * 0.5) * pitch;
            let w = pitch * share / m as f32;
            let name = self.labels[l].clone();
            let span = (x1, x1 + pitch * share, 0.5);
            let base = floor + self.pen.size * 1.15;
            self.page
                .print_in(self.dice, &mut self.pen, span, base, &name, self.ink);
            for s in 0..m {
                let value = self.values[l][s];
                let bar = Rect::new(
                    x1 + s as f32 * w,
                    floor - value * scale,
                    x1 + (s as f32 + 0.94) * w,
                    floor,
                );
                self.page.canvas.fill(bar, self.colors[s % 5], 1.0);
                let text = number(value, self.unit, l == 0);
                if self.pen.width(&text) > w * 1.1 {
                    continue;
                }
                let inside = self.dice.chance(0.1) && value * scale > self.pen.size * 1.6;
                let (base, color) = if inside {
                    (bar.y1 + self.pen.size, readable_on(self.colors[s % 5]))
                } else {
                    (bar.y1 - self.pen.size * 0.25, self.ink)
                };
                if let Some(p) = self.page.print_in(
                    self.dice,
                    &mut self.pen,
                    (bar.x1, bar.x2, 0.5),
                    base,
                    &text,
                    color,
                ) {
                    self.noted(l, s, &p.text, p.rect);
                }
            }
        }
    }

    /// A line through points with their numbers.
    pub fn line(&mut self) {
        let n = self.labels.len();
        let m = self.series.len().max(1);
        let pitch = self.area.width() / n as f32;
        let floor = self.area.y2 - self.pen.size * 1.6;
        let most = self
            .values
            .iter()
            .flatten()
            .fold(1.0, |a: f32, b| a.max(*b));
        let scale = (floor - self.area.y1 - self.pen.size * 1.6).max(30.0) / most;
        self.page.canvas.rule(
            self.area.x1,
            self.area.x2,
            floor,
            1.0,
            0.0,
            mix(self.ink, self.page.paper, 0.5),
        );
        for s in 0..m {
            let at =
                |l: usize, v: f32| (self.area.x1 + (l as f32 + 0.5) * pitch, floor - v * scale);
            let points: Vec<(f32, f32)> = (0..n).map(|l| at(l, self.values[l][s])).collect();
            let color = self.colors[s % 5];
            self.page
                .canvas
                .path(&points, (self.pen.size * 0.15).max(1.5), color, 1.0);
            for (l, &(x, y)) in points.iter().enumerate() {
                self.page
                    .canvas
                    .disc((x, y), self.pen.size * 0.22, 0.0, 1.0, color, 1.0);
                let text = number(self.values[l][s], self.unit, l == 0);
                let span = (x - pitch * 0.5, x + pitch * 0.5, 0.5);
                let clash = m > 1
                    && (0..m).any(|o| {
                        o != s
                            && (self.values[l][o] - self.values[l][s]).abs() * scale
                                < self.pen.size * 2.2
                    });
                let base = y - self.pen.size * 0.5;
                if !clash
                    && let Some(p) = self.page.print_in(
                        self.dice,
                        &mut self.pen,
                        span,
                        base,
                        &text,
                        readable(color, self.page.paper, 90.0),
                    )
                {
                    self.noted(l, s, &p.text, p.rect);
                }
            }
        }
        for l in 0..n {
            let name = self.labels[l].clone();
            let span = (
                self.area.x1 + l as f32 * pitch,
                self.area.x1 + (l as f32 + 1.0) * pitch,
                0.5,
            );
            let base = floor + self.pen.size * 1.2;
            self.page
                .print_in(self.dice, &mut self.pen, span, base, &name, self.ink);
        }
    }
}
