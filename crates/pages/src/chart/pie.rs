//! Pies and rings.

use super::base::{Chart, number, readable_on};
use crate::canvas::mix;
use crate::geometry::Rect;

impl Chart<'_> {
    /// A pie or a ring; label and number beside or in each part.
    pub fn pie(&mut self) {
        let total: f32 = self.values.iter().map(|v| v[0]).sum();
        let r = (self.area.width().min(self.area.height()) * 0.3).max(30.0);
        let (cx, cy) = self.area.center();
        let hole = if self.dice.chance(0.4) { r * 0.55 } else { 0.0 };
        let mut a = self.dice.real(0.0, std::f32::consts::TAU);
        let joined = self.dice.chance(0.4);
        let mut taken: Vec<Rect> = Vec::new();
        for l in 0..self.labels.len() {
            let share = self.values[l][0] / total;
            let end = a + share * std::f32::consts::TAU;
            let color = if l < 5 {
                self.colors[l]
            } else {
                mix(self.colors[l % 5], [255, 255, 255], 0.4)
            };
            let steps = (share * 60.0).ceil().max(2.0) as usize;
            let arc = |r: f32, k: usize| {
                let t = a + (end - a) * k as f32 / steps as f32;
                (cx + r * t.cos(), cy + r * t.sin())
            };
            let mut points: Vec<(f32, f32)> = (0..=steps).map(|k| arc(r, k)).collect();
            if hole > 0.0 {
                points.extend((0..=steps).rev().map(|k| arc(hole, k)));
            } else {
                points.push((cx, cy));
            }
            self.page.canvas.polygon(&points, color, 1.0);
            let middle = (a + end) * 0.5;
            a = end;
            let text = number(self.values[l][0], self.unit, l == 0);
            let name = self.labels[l].clone();
            let (w, size) = (
                self.pen.width(&name).max(self.pen.width(&text)),
                self.pen.size,
            );
            let gap = size * 0.8;
            let (px, py) = (cx + (r + gap) * middle.cos(), cy + (r + gap) * middle.sin());
            let x = if middle.cos() >= 0.0 { px } else { px - w };
            let place = Rect::new(x, py - size, x + w, py + size * 1.3);
            let free = taken
                .iter()
                .all(|t| t.overlap_x(place) <= 0.0 || t.overlap_y(place) <= 0.0);
            if !free || x < 1.0 || x + w > self.page.canvas.w as f32 {
                continue;
            }
            taken.push(place);
            if joined {
                let line = format!("{name} {text}");
                if x + self.pen.width(&line) < self.page.canvas.w as f32
                    && let Some(p) = self.page.print(
                        self.dice,
                        &mut self.pen,
                        (x, py + size * 0.35),
                        &line,
                        self.ink,
                    )
                {
                    let rect = p.bytes(p.text.len() - text.len().min(p.text.len()), p.text.len());
                    taken.push(p.rect);
                    self.noted(l, 0, &text, rect);
                }
                continue;
            }
            self.page
                .print(self.dice, &mut self.pen, (x, py), &name, self.ink);
            let inner = (r + hole) * 0.5 + if hole > 0.0 { 0.0 } else { r * 0.15 };
            let p = if share > 0.09 && self.dice.chance(0.7) {
                let at = (
                    cx + inner * middle.cos() - self.bold.width(&text) * 0.5,
                    cy + inner * middle.sin() + size * 0.35,
                );
                self.page
                    .print(self.dice, &mut self.bold, at, &text, readable_on(color))
            } else {
                self.page.print(
                    self.dice,
                    &mut self.bold,
                    (x, py + size * 1.15),
                    &text,
                    self.ink,
                )
            };
            if let Some(p) = p {
                self.noted(l, 0, &p.text, p.rect);
            }
        }
    }
}
