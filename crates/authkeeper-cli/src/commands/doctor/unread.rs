//! Answers to refreshes that could not be read: kept, and read again on demand.

use authkeeper::{model::ConnectionName, runtime::inspect::UnreadAnswer};
use serde_json::json;

use super::finding::Finding;
use crate::{app::App, exit::Exit, failure::Failure, output};

/// One finding for each answer of a connection that could not be read.
pub(super) fn findings(name: &ConnectionName, unread: &[UnreadAnswer]) -> Vec<Finding> {
    let finding = |answer: &UnreadAnswer| {
        let UnreadAnswer {
            asked_at, shape, ..
        } = answer;
        let what = format!(
            "the provider answered the refresh of {asked_at} in a form that authkeeper can't read ({shape}); the answer is kept"
        );
        let next =
            format!("after an upgrade, or with tokens_in set: authkeeper doctor --reread {name}");
        Finding::warning("unread", what, next).of(name.as_str())
    };
    unread.iter().map(finding).collect()
}

/// `doctor --reread NAME`.
pub(super) async fn reread(app: &App, name: &str) -> Result<u8, Failure> {
    let name = ConnectionName::parse(name)?;
    let before = app.runtime.unread_answers(&name).await?;
    let adopted = app.runtime.reread(&name).await?;
    let left = app.runtime.unread_answers(&name).await?;
    if app.output.json {
        let shapes = left
            .iter()
            .map(|answer| json!({"asked_at": answer.asked_at.to_string(), "shape": answer.shape}));
        app.output.data_json(&json!({
            "connection": name.as_str(),
            "adopted": adopted,
            "unread": shapes.collect::<Vec<_>>(),
        }));
    }
    if adopted {
        let what =
            format!("Adopted: {name} goes on with the tokens of an answer that is read now.");
        app.output.say(&what);
        return Ok(0);
    }
    if before.is_empty() {
        let what = format!("Nothing to read again: every answer for {name} was understood.");
        app.output.say(&what);
        return Ok(0);
    }
    Err(still_unread(&name, &left))
}

fn still_unread(name: &ConnectionName, left: &[UnreadAnswer]) -> Failure {
    let shapes: Vec<&str> = left.iter().map(|answer| answer.shape.as_str()).collect();
    let what = format!(
        "{} of the provider of {name} can't be read yet: {}",
        output::count(left.len(), "answer"),
        shapes.join("; ")
    );
    let next = "set provider.\"ISSUER\".tokens_in to the field that holds the tokens, or report the shape (it holds no \
                secret), then run it again";
    Failure::new(Exit::Data, what, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_unread_is_told_with_its_next_step() {
        let name = ConnectionName::parse("notes").unwrap();
        assert!(findings(&name, &[]).is_empty());
        let failure = still_unread(&name, &[]);
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.next.contains("tokens_in"), "{}", failure.next);
    }
}
