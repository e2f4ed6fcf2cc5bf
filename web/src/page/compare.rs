//! "Did the crop matter?": three answers beside each other, and where they differ.

use cropvlm_web::compare::{marked, verdict};
use cropvlm_web::text::asking;
use vlm_api::{ApiError, Money, usage};

use crate::app::App;
use crate::ask::{Asking, facts};
use crate::desk::Column;
use crate::ui::{say, show};

impl App {
    /// Empties the columns.
    pub fn clear_runs(&self) {
        show(&self.desk.runs, false);
        say(&self.desk.verdict, None);
        for column in &self.desk.columns {
            column.answer.set_text_content(Some(asking::NOT_YET));
            column.answer.class_list().add_1("waiting").ok();
            column.answer.class_list().remove_1("bad").ok();
            say(&column.facts, None);
        }
    }

    /// Asks with each variant in turn. A run that fails leaves the others their chance, unless all would fail alike.
    pub async fn run_all(&self, asking: &Asking) {
        let mut answers: [Option<String>; 3] = [const { None }; 3];
        let mut spent: Option<Money> = Some(Money::default());
        let mut failed = None;
        for (column, answer) in self.desk.columns.iter().zip(&mut answers) {
            let told = self
                .run(asking, column.variant, |text| begin(column, text))
                .await;
            if !self.is_asking(asking.job()) {
                return;
            }
            match told {
                Ok(told) => {
                    let text = told.answer.text.trim().to_owned();
                    begin(column, &text);
                    say(&column.facts, Some(&facts(asking, column.variant, &told)));
                    let paid = told.answer.usage.as_ref();
                    let paid = paid.and_then(|usage| usage::cost(usage, asking.price.as_ref()));
                    spent = spent.zip(paid).map(|(sum, paid)| sum + paid);
                    *answer = Some(text);
                }
                Err(_) if asking.stopped() => return,
                Err(error) => {
                    begin(column, &error.to_string());
                    column.answer.class_list().add_1("bad").ok();
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
            let mut words = asking::verdict(verdict(full, crop, blank)).to_owned();
            if let Some(spent) = spent {
                words = format!("{words} {}", asking::sum(spent));
            }
            say(&self.desk.verdict, Some(&words));
            self.ask_ended(None);
        } else if let Some(error) = failed {
            self.ask_ended(Some(&error.to_string()));
            let base_url = &asking.endpoint.base_url;
            let below = &self.ui.ask_message;
            self.explain(&error, asking.provider, base_url, below).await;
        }
    }

    /// Columns that never had an answer say so.
    pub fn leave_runs(&self) {
        for column in &self.desk.columns {
            if column.answer.class_list().contains("waiting") {
                begin(column, asking::NOT_ASKED);
            }
        }
    }

    /// Marks what the answers with a second picture have and the first does not, and the other way round.
    fn mark(&self, full: &str, crop: &str, blank: &str) {
        let pairs = [(full, crop), (crop, full), (blank, full)];
        for (column, (answer, other)) in self.desk.columns.iter().zip(pairs) {
            column.answer.set_text_content(None);
            for (piece, differs) in marked(answer, other) {
                let tag = if differs { "mark" } else { "span" };
                self.child(&column.answer, tag, &piece);
            }
        }
    }
}

fn begin(column: &Column, text: &str) {
    column.answer.class_list().remove_1("waiting").ok();
    column.answer.set_text_content(Some(text));
}

/// Whether every further question would fail in the same way.
fn concerns_all(error: &ApiError) -> bool {
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
