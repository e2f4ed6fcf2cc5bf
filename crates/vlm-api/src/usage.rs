//! What an answer cost: tokens as the provider counted them, money by prices that a person has typed.
//!
//! No price is built in: they change every few weeks, and a wrong one looks like a fact. Providers' pages of
//! prices are named in [`crate::Profile::prices_page`]; OpenRouter says the money itself in `usage.cost`.

use std::fmt;
use std::ops::{Add, Sub};

/// Tokens of one question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, images and whatever was read from a cache included.
    pub prompt_tokens: u64,
    /// Tokens of the answer, those of hidden reasoning included, since they are paid alike.
    pub completion_tokens: u64,
    /// Money, where the provider itself says it.
    pub cost: Option<Money>,
}

/// US dollars, in billionths: tokens cost millionths of a dollar and less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(i64);

impl Money {
    /// From dollars; `None` for what is no amount (negative, not a number, more than a billion).
    pub fn from_dollars(dollars: f64) -> Option<Money> {
        (0.0..=1e9)
            .contains(&dollars)
            .then(|| Money((dollars * 1e9).round() as i64))
    }

    /// In dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    /// Two significant digits at least, so that cents and thousandths of them both read well: `$1.20`, `$0.0013`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.dollars();
        let sign = if dollars < 0.0 { "-" } else { "" };
        let dollars = dollars.abs();
        let digits = if dollars >= 0.1 || dollars == 0.0 {
            2
        } else {
            (1 - dollars.log10().floor() as i32).clamp(2, 9) as usize
        };
        write!(f, "{sign}${dollars:.digits$}")
    }
}

/// What a model costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// US dollars for a million tokens of prompt.
    pub input: f64,
    /// US dollars for a million tokens of answer.
    pub output: f64,
}

impl Price {
    /// A price as typed in two fields. `None` if both are empty or one is no amount; one empty field is 0.
    pub fn parse(input: &str, output: &str) -> Option<Price> {
        let amount = |typed: &str| {
            let typed = typed.trim().trim_start_matches('$').trim_start();
            if typed.is_empty() {
                return Some(0.0);
            }
            // Half of the world writes a decimal comma.
            let amount: f64 = typed.replace(',', ".").parse().ok()?;
            (0.0..=1e6).contains(&amount).then_some(amount)
        };
        if input.trim().is_empty() && output.trim().is_empty() {
            return None;
        }
        Some(Price {
            input: amount(input)?,
            output: amount(output)?,
        })
    }

    /// Money for these tokens.
    pub fn of(&self, usage: &Usage) -> Option<Money> {
        let dollars =
            usage.prompt_tokens as f64 * self.input + usage.completion_tokens as f64 * self.output;
        Money::from_dollars(dollars / 1e6)
    }
}

/// Money of an answer: as the provider says, else by the typed price, else unknown.
pub fn cost(usage: &Usage, price: Option<&Price>) -> Option<Money> {
    usage.cost.or_else(|| price?.of(usage))
}
