//! The prompt that a provider is sent: a template that the person may change.
//!
//! `{question}` becomes the question, `{images}` a sentence that says what the pictures are to each other. A model that
//! gets two pictures and is not told takes the crop for a second scene.

use crate::compare::Pictures;

/// The template that the page opens with.
pub const TEMPLATE: &str = "{question}\n{images}\nGive a very brief answer.";

/// What becomes of `{images}`.
pub fn about(pictures: Pictures) -> &'static str {
    match pictures {
        Pictures::Full => "",
        Pictures::Both => "The second image is a part of the first, cut out of it.",
        Pictures::Second => "The image is a part that was cut out of a larger one.",
    }
}

/// The prompt as it is sent. An empty template is the usual one; a line that would be left empty is left out.
pub fn fill(template: &str, question: &str, pictures: Pictures) -> String {
    let (question, about) = (question.trim(), about(pictures));
    if question.is_empty() {
        return String::new();
    }
    let template = match template.trim() {
        "" => TEMPLATE,
        template => template,
    };
    let lines = template
        .lines()
        .filter(|line| !(line.trim() == "{images}" && about.is_empty()));
    // The question comes last: what looks like a place in it stays as it was typed.
    let lines = lines.map(|line| {
        line.replace("{images}", about)
            .replace("{question}", question)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether the question would be missing from what is sent.
pub fn lacks_question(template: &str) -> bool {
    !template.trim().is_empty() && !template.contains("{question}")
}

#[cfg(test)]
mod tests {
    use grounding::Case;
    use grounding::prompt::answer_prompt;

    use super::*;

    #[test]
    fn the_model_is_told_what_the_second_image_is() {
        let question = " What is the {images} total? ";
        assert_eq!(
            fill(TEMPLATE, question, Pictures::Both),
            "What is the {images} total?\nThe second image is a part of the first, cut out of it.\nGive a very brief answer."
        );
        assert!(
            fill(TEMPLATE, question, Pictures::Second)
                .contains("\nThe image is a part that was cut out")
        );
        // With one picture, the prompt is the paper's.
        let alone = fill("", question, Pictures::Full);
        assert_eq!(alone, answer_prompt(question.trim(), Case::Keep));
    }

    #[test]
    fn a_template_of_ones_own_is_taken_as_it_is() {
        let own = "Look: {images}\n\n{question}\nIn French.";
        assert_eq!(
            fill(own, "Who?", Pictures::Full),
            "Look: \n\nWho?\nIn French."
        );
        assert_eq!(fill("Read it.", "Who?", Pictures::Both), "Read it.");
        assert!(lacks_question("Read it.") && !lacks_question(own) && !lacks_question(" "));
        assert_eq!(fill(own, " ", Pictures::Both), "", "no question, no prompt");
    }
}
