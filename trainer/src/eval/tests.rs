//! Evaluation with a target.
