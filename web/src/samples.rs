//! The pictures to try, with their questions. Where each comes from stands in `web/samples/SOURCES.md`, too.

/// A picture to try.
#[derive(Debug)]
pub struct Sample {
    /// Its file is `samples/{name}.jpg`, its small version `samples/thumb-{name}.jpg`.
    pub name: &'static str,
    /// What a person calls it.
    pub title: &'static str,
    /// Whose it is.
    pub source: &'static str,
    /// What one may want to know, and the answer as it is printed, on one line; the first is filled in.
    pub questions: &'static [(&'static str, &'static str)],
    /// Which of them a lesson has something to learn from: boxes for it earn different rewards.
    pub lesson: usize,
}

const OURS: &str = "Drawn by this project";

/// All of them; the first is there when the page opens (`index.html` names it, too).
pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "receipt",
        title: "Receipt",
        source: OURS,
        questions: &[
            ("What is the total?", "1.535,68"),
            ("What is the date?", "2012/10/05"),
            ("What is the phone number?", "382 608 4933"),
            ("How much is the \"Draft Beer\"?", "186,98"),
        ],
        lesson: 2,
    },
    Sample {
        name: "scan",
        title: "Scan",
        source: "ICDAR 2019 SROIE, CC BY 4.0",
        questions: &[
            ("What is the total?", "30.70"),
            ("What is the date?", "17/05/2018"),
            (
                "What is the address?",
                "Jalan Danga, Taman Nusa Bestari, 81300",
            ),
            (
                "Which company issued this receipt?",
                "De Maximum Thai Express Sdn Bhd",
            ),
        ],
        lesson: 0,
    },
    Sample {
        name: "invoice",
        title: "Invoice",
        source: OURS,
        questions: &[
            ("How much tax was paid?", "8,726.14"),
            ("What is the date?", "12/01/2007"),
            ("How much is the bill?", "50,279.22"),
            (
                "What is the name of the company?",
                "W & U Enterprise (M) Sdn Bhd",
            ),
        ],
        lesson: 0,
    },
    Sample {
        name: "sign",
        title: "Sign",
        source: OURS,
        questions: &[
            ("How far is it to Glasgow?", "193"),
            ("How far is it to \"Brooklyn\"?", "77"),
        ],
        lesson: 0,
    },
    Sample {
        name: "plate",
        title: "Plate",
        source: OURS,
        questions: &[("What is written on the number plate?", "DY-367-KB")],
        lesson: 0,
    },
    Sample {
        name: "table",
        title: "Table",
        source: OURS,
        questions: &[
            (
                "What does the table show for \"Puzzle\" under \"Low\"?",
                "26",
            ),
            (
                "What is the title of the table?",
                "Housing prices by region",
            ),
            ("\"Low\" of \"Cheese\"?", "14"),
        ],
        lesson: 0,
    },
];

/// What one may ask of a picture that is not ours: nobody knows what it shows, so that none of them names a kind of
/// picture.
pub const SUGGESTIONS: &[&str] = &[
    "What is the title?",
    "What is the date?",
    "What is the name?",
    "What is the number?",
    "What is the largest print?",
];

impl Sample {
    /// Address beside the page.
    pub fn file(&self) -> String {
        format!("samples/{}.jpg", self.name)
    }

    /// Address of the small version.
    pub fn thumb(&self) -> String {
        format!("samples/thumb-{}.jpg", self.name)
    }

    /// What one may ask of it.
    pub fn asked(&self) -> Vec<&'static str> {
        self.questions
            .iter()
            .map(|(question, _)| *question)
            .collect()
    }

    /// The answer to a question about the picture at an address, where both are ours.
    pub fn answer(address: &str, question: &str) -> Option<&'static str> {
        let mut known = Sample::at(address)?.questions.iter();
        known
            .find(|(asked, _)| *asked == question)
            .map(|(_, answer)| *answer)
    }

    /// The question that a lesson begins with.
    pub fn lesson(&self) -> &'static str {
        self.questions[self.lesson].0
    }

    /// The sample at an address, if it is one.
    pub fn at(address: &str) -> Option<&'static Sample> {
        SAMPLES.iter().find(|sample| sample.file() == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_for_a_picture_of_ones_own_fit_any_kind() {
        let kinds = [
            "sign", "total", "company", "receipt", "invoice", "bill", "plate", "table", "tax",
        ];
        for asked in SUGGESTIONS {
            let lower = asked.to_lowercase();
            let named = kinds.iter().find(|kind| lower.contains(*kind));
            assert!(named.is_none(), "{asked} fits a {named:?} only");
        }
    }

    #[test]
    fn every_sample_is_there_small_and_named_with_its_source() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let sources = std::fs::read_to_string(folder.join("samples/SOURCES.md")).unwrap();
        let mut bytes = 0;
        for sample in SAMPLES {
            for file in [sample.file(), sample.thumb()] {
                bytes += std::fs::metadata(folder.join(&file))
                    .unwrap_or_else(|_| panic!("{file} is missing"))
                    .len();
            }
            assert!(
                sources.contains(&format!("`{}.jpg`", sample.name)),
                "{} has no source",
                sample.name
            );
            assert!(!sample.questions.is_empty());
            for (question, answer) in sample.questions {
                assert_eq!(Sample::answer(&sample.file(), question), Some(*answer));
                assert!(!answer.is_empty());
            }
            assert_eq!(
                Sample::at(&sample.file()).map(|found| found.name),
                Some(sample.name)
            );
        }
        assert!(bytes < 600_000, "{bytes} bytes");
    }
}
