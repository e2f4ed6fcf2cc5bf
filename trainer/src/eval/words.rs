//! Measurements in sentences, for a person; `--json` and `metrics.jsonl` have the same as numbers.

use serde_json::Value;

/// What was measured of a policy's boxes ([`super::report`]), or of a reader's answers (`sft` with `task = "answer"`).
pub fn sentences(found: &Value) -> String {
    if found["crop"].is_object() {
        return of_reader(found);
    }
    let mut text = format!(
        "Of {} questions, {} % get a box that holds the evidence wholly",
        found["n"],
        percent(&found["full_recall"])
    );
    if let Some(fixed) = found["baseline"]["full_recall"].as_f64() {
        text.push_str(&format!(
            "; the best fixed boxes of that size hold it for {:.1} %",
            100.0 * fixed
        ));
    }
    text.push_str(&format!(
        ". A box covers {} % of the picture and {} % of the evidence in the mean (IoU {} %).",
        percent(&found["size"]),
        percent(&found["recall"]),
        percent(&found["iou"])
    ));
    if let Some(valid) = found["valid"].as_f64().filter(|valid| *valid < 1.0) {
        text.push_str(&format!(
            " {:.1} % get no valid box.",
            100.0 * (1.0 - valid)
        ));
    }
    if let Some(lines) = found["lines_found"].as_f64() {
        text.push_str(&format!(
            " {:.1} % of the printed lines are found by their text.",
            100.0 * lines
        ));
    }
    if let Some(ms) = found["ms_per_item"].as_f64().filter(|ms| *ms > 0.0) {
        text.push_str(&format!(" A question takes {ms:.0} ms."));
    }
    text
}

fn of_reader(found: &Value) -> String {
    let part = |name: &str| {
        let log = found[name]["likelihood"].as_f64().unwrap_or(f64::NAN);
        (percent(&found[name]["exact"]), format!("{log:.2}"))
    };
    let ((crop, crop_log), (whole, whole_log)) = (part("crop"), part("whole"));
    format!(
        "Of {} questions, {crop} % are answered exactly with the crop beside the picture, {whole} % with the whole picture \
         in its place; log p of the answer is {crop_log} and {whole_log} in the mean.",
        found["n"]
    )
}

/// A share as percent with one digit.
pub fn percent(share: &Value) -> String {
    let share = share.as_f64().unwrap_or(f64::NAN);
    format!("{:.1}", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_become_sentences_and_what_was_not_measured_is_left_out() {
        let mut found = json!({
            "n": 349, "valid": 1.0, "iou": 0.228, "recall": 0.98, "full_recall": 0.951, "size": 0.046,
            "baseline": {"full_recall": 0.332}, "ms_per_item": 80.4,
        });
        assert_eq!(
            sentences(&found),
            "Of 349 questions, 95.1 % get a box that holds the evidence wholly; the best fixed boxes of that size hold it \
             for 33.2 %. A box covers 4.6 % of the picture and 98.0 % of the evidence in the mean (IoU 22.8 %). A question \
             takes 80 ms."
        );
        found["valid"] = json!(0.75);
        found["lines_found"] = json!(0.5);
        found["ms_per_item"] = Value::Null;
        let text = sentences(&found);
        assert!(text.contains(" 25.0 % get no valid box."), "{text}");
        assert!(
            text.ends_with("50.0 % of the printed lines are found by their text."),
            "{text}"
        );
        let reader = json!({
            "n": 9, "crop": {"likelihood": -0.5, "exact": 0.8}, "whole": {"likelihood": -3.25, "exact": 0.1},
        });
        assert_eq!(
            sentences(&reader),
            "Of 9 questions, 80.0 % are answered exactly with the crop beside the picture, 10.0 % with the whole picture in \
             its place; log p of the answer is -0.50 and -3.25 in the mean."
        );
    }
}
