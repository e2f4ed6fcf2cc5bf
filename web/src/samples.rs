//! The pictures to try, with their questions. Where each comes from stands in `web/samples/SOURCES.md`, too.

/// A picture to try.
pub struct Sample {
    /// Its file is `samples/{name}.jpg`, its small version `samples/thumb-{name}.jpg`.
    pub name: &'static str,
    /// What a person calls it.
    pub title: &'static str,
    /// Whose it is.
    pub source: &'static str,
    /// What one may want to know; the first is filled in.
    pub questions: &'static [&'static str],
}

const OURS: &str = "Drawn by this project";

/// All of them; the first is there when the page opens (`index.html` names it, too).
pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "receipt",
        title: "Receipt",
        source: OURS,
        questions: &[
            "What is the total?",
            "What is the date?",
            "What is the phone number?",
            "How much is the \"Draft Beer\"?",
        ],
    },
    Sample {
        name: "scan",
        title: "Scan",
        source: "ICDAR 2019 SROIE, CC BY 4.0",
        questions: &[
            "What is the total?",
            "What is the date?",
            "What is the address?",
            "Which company issued this receipt?",
        ],
    },
    Sample {
        name: "invoice",
        title: "Invoice",
        source: OURS,
        questions: &[
            "How much tax was paid?",
            "What is the date?",
            "How much is the bill?",
            "What is the name of the company?",
        ],
    },
    Sample {
        name: "sign",
        title: "Sign",
        source: OURS,
        questions: &[
            "How far is it to Glasgow?",
            "How far is it to \"Brooklyn\"?",
        ],
    },
    Sample {
        name: "plate",
        title: "Plate",
        source: OURS,
        questions: &["What is written on the number plate?"],
    },
    Sample {
        name: "table",
        title: "Table",
        source: OURS,
        questions: &[
            "What does the table show for \"Puzzle\" under \"Low\"?",
            "What is the title of the table?",
            "\"Low\" of \"Cheese\"?",
        ],
    },
];

/// What one may ask of a picture that is not ours.
pub const SUGGESTIONS: &[&str] = &[
    "What is the total?",
    "What is the date?",
    "What is the name of the company?",
    "What is the address?",
    "What does the sign say?",
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

    /// The sample at an address, if it is one.
    pub fn at(address: &str) -> Option<&'static Sample> {
        SAMPLES.iter().find(|sample| sample.file() == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(
                Sample::at(&sample.file()).map(|found| found.name),
                Some(sample.name)
            );
        }
        assert!(bytes < 600_000, "{bytes} bytes");
    }
}
