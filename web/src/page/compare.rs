//! "Did the crop matter?": three answers beside each other, and where they differ.

use std::rc::Rc;

use cropvlm_web::compare::{marked, verdict};
use cropvlm_web::markdown::{Piece, plain, with_marks};
use cropvlm_web::text::asking;
use vlm_api::{ApiError, Money, usage};

use crate::app::App;
use crate::ask::{Asking, Failed, facts};
use crate::ui::say;

impl App {
    /// Empties the columns.
    pub fn clear_runs(&self) {
        say(&self.ask_panel.verdict, None);
        for column in &self.ask_panel.columns {
            column.answer.wait(asking::NOT_YET);
        }
    }

    /// Asks with each variant in turn. A run that fails leaves the others their chance, unless all would fail alike.
    pub async fn run_all(self: &Rc<Self>, asking: &Asking) {
        let mut answers: [Option<Vec<Piece>>; 3] = [const { None }; 3];
        let mut spent: Option<Money> = Some(Money::default());
        let mut failed = None;
        let mut weighed = Vec::new();
        for (column, answer) in self.ask_panel.columns.iter().zip(&mut answers) {
            let told = self
                .run(asking, column.variant, |text, thoughts| {
                    column.answer.stream(text, thoughts);
                })
                .await;
            if !self.is_asking(asking.job()) {
                return;
            }
            match told {
                Ok(told) => {
                    let pieces = column
                        .answer
                        .finish(&told.answer.text, &told.answer.thoughts);
                    let told_of = facts(asking, column.variant, &told);
                    column.answer.note(Some(&told_of));
                    let paid = told.answer.usage.as_ref();
                    let paid = paid.and_then(|usage| usage::cost(usage, asking.price.as_ref()));
                    spent = spent.zip(paid).map(|(sum, paid)| sum + paid);
                    *answer = Some(pieces);
                    weighed.extend(told.log_prob);
                }
                Err(_) if asking.stopped() => return,
                Err(error) => {
                    column.answer.fail(&error.to_string());
                    let all = concerns_all(&error);
                    failed = Some(error);
                    if all {
                        break;
                    }
                }
            }
        }
        if let [Some(full), Some(crop), Some(blank)] = &answers {
            self.mark(full, crop, blank);
            // By their words: bold print does not make another answer.
            let [full, crop, blank] = [full, crop, blank].map(|pieces| plain(pieces));
            let mut words = asking::verdict(verdict(&full, &crop, &blank)).to_owned();
            if let Some(spent) = spent {
                words = format!("{words} {}", asking::sum(spent));
            }
            if let ([full, crop, blank], Some(answer)) = (&weighed[..], &asking.weighed) {
                words = format!(
                    "{words} {}",
                    asking::weighed(answer, crop - full, blank - full)
                );
            }
            say(&self.ask_panel.verdict, Some(&words));
            self.ask_ended(asking.job(), None);
        } else if let Some(error) = failed {
            self.ask_ended(asking.job(), Some(&error.to_string()));
            self.explain_failed(&error, asking).await;
        }
    }

    /// Columns that never had an answer say so.
    pub fn leave_runs(&self) {
        for column in &self.ask_panel.columns {
            if column.answer.waits() {
                column.answer.plain(asking::NOT_ASKED);
            }
        }
    }

    /// Marks what the answers with a second picture have and the first does not, and the other way round.
    fn mark(&self, full: &[Piece], crop: &[Piece], blank: &[Piece]) {
        let pairs = [(full, crop), (crop, full), (blank, full)];
        for (column, (answer, other)) in self.ask_panel.columns.iter().zip(pairs) {
            let differs = marked(&plain(answer), &plain(other));
            column.answer.draw(&with_marks(answer.to_vec(), &differs));
        }
    }
}

/// Whether every further question would fail in the same way.
fn concerns_all(error: &Failed) -> bool {
    let Failed::Api(error) = error else {
        return true;
    };
    matches!(
        error,
        ApiError::Unreachable { .. }
            | ApiError::Redirected { .. }
            | ApiError::BaseUrl { .. }
            | ApiError::KeyRefused
            | ApiError::KeyInvalid { .. }
            | ApiError::UnknownModel { .. }
            | ApiError::NoCredit { .. }
            | ApiError::RateLimited { .. }
    )
}
