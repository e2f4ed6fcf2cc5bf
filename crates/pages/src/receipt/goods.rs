//! What was bought: names, quantities, prices, in five layouts.

use super::till::{Font, Till};

pub struct Item {
    pub name: String,
    pub qty: i64,
    pub price: i64,
}

/// The goods; returns the sum of their prices in hundredths.
pub fn goods(till: &mut Till<'_>, rule: usize) -> i64 {
    let layout = till.dice.weighted(&[3.0, 2.0, 2.0, 1.5, 1.0]);
    let n = [
        till.dice.int(1, 4),
        till.dice.int(3, 9),
        till.dice.int(8, 20),
    ][till.dice.weighted(&[3.0, 4.0, 1.5])];
    let food = till.dice.chance(0.35);
    let dear = [3000, 10_000, 100_000][till.dice.weighted(&[4.0, 3.0, 1.0])];
    let items: Vec<Item> = (0..n)
        .map(|_| {
            let key = if food && till.dice.chance(0.8) {
                "thing.food"
            } else {
                "item"
            };
            let qty = if till.dice.chance(0.7) {
                1
            } else {
                till.dice.int(2, 12)
            };
            let step = if till.dice.chance(0.5) { 5 } else { 1 };
            Item {
                name: till.say(key),
                qty,
                price: till.dice.int(20, dear) / step * step,
            }
        })
        .collect();
    let (left, right) = (till.left, till.right);
    let room = right - left;
    let mark = if till.dice.chance(0.15) {
        [" T", " SR", " A", "*"][till.dice.index(4)]
    } else {
        ""
    };
    let c_qty = left + room * till.dice.real(0.45, 0.58);
    let c_price = left + room * till.dice.real(0.70, 0.8);
    if layout == 2 || till.dice.chance(0.3) {
        till.feed(Font::Normal);
        let heads: &[(&str, (f32, f32, f32))] = if layout == 2 {
            &[
                ("h.item", (left, c_qty - 30.0, 0.0)),
                ("h.qty", (left, c_qty, 1.0)),
                ("h.price", (c_qty, c_price, 1.0)),
                ("h.amount", (c_price, right, 1.0)),
            ]
        } else {
            &[
                ("h.item", (left, c_qty, 0.0)),
                ("h.amount", (c_qty, right, 1.0)),
            ]
        };
        for (key, span) in heads {
            let text = till.say(key);
            till.put(Font::Normal, *span, &text);
        }
        till.rule(rule);
    }
    let mut sum = 0;
    for item in items {
        let cost = item.qty * item.price;
        sum += cost;
        let amount = if till.sums.signed && till.dice.chance(0.5) {
            till.money.signed(cost)
        } else {
            till.money.bare(cost)
        } + mark;
        let unit = till.money.bare(item.price);
        till.feed(Font::Normal);
        let cut = right - till.normal.width(&amount) - till.normal.size;
        let (name, price, qty) = match layout {
            // Name, and below it quantity, price and amount.
            1 => {
                let name = till.put(Font::Normal, (left, right, 0.0), &item.name);
                till.feed(Font::Normal);
                let count = [
                    format!("{} X {unit}", item.qty),
                    format!("{} @ {unit}", item.qty),
                    format!("{} x {unit}", item.qty),
                ][till.dice.index(3)]
                .clone();
                let indent = left + room * [0.05, 0.2, 0.4][till.dice.index(3)];
                till.put(Font::Normal, (indent, cut, 0.0), &count);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    None,
                )
            }
            // A table.
            2 => {
                let name = till.put(
                    Font::Normal,
                    (left, c_qty - till.normal.size * 2.2, 0.0),
                    &item.name,
                );
                let qty = till.put(Font::Normal, (left, c_qty, 1.0), &item.qty.to_string());
                till.put(Font::Normal, (c_qty + 4.0, c_price, 1.0), &unit);
                (
                    name,
                    till.put(Font::Normal, (c_price + 4.0, right, 1.0), &amount),
                    qty,
                )
            }
            // Quantity first.
            3 => {
                let qty = till.put(
                    Font::Normal,
                    (left, left + room * 0.1, 0.0),
                    &item.qty.to_string(),
                );
                let name = till.put(Font::Normal, (left + room * 0.12, cut, 0.0), &item.name);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    qty,
                )
            }
            // Code above the name.
            4 => {
                let code = till.say("CODE");
                till.put(Font::Normal, (left, cut, 0.0), &code);
                till.feed(Font::Normal);
                let name = till.put(Font::Normal, (left, cut, 0.0), &item.name);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    None,
                )
            }
            _ => {
                let name = till.put(Font::Normal, (left, cut, 0.0), &item.name);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    None,
                )
            }
        };
        if let (Some(name), Some(price)) = (name, price) {
            let key = name.text.clone();
            let number = price.text.trim_end_matches(mark).to_string();
            let rect = price.part(&number);
            till.page.ask(
                till.dice,
                "item_price",
                "q.item_price",
                &key,
                &number,
                vec![rect],
            );
            if let Some(qty) = qty {
                till.page.ask(
                    till.dice,
                    "item_qty",
                    "q.item_qty",
                    &key,
                    &qty.text,
                    vec![qty.rect],
                );
            }
        }
    }
    sum
}
