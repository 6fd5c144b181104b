//! The refusal of a server, in its own words.

use crate::oauth::error_codes::is_in;

/// What a refusal said. Both texts come from the provider and hold no secret of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error code, as the provider wrote it.
    pub code: String,
    /// The provider's words for a person, cut to a line.
    pub description: Option<String>,
}

impl Refused {
    /// Whether it says that something is wrong with the request and not what.
    pub(crate) fn names_nothing(&self) -> bool {
        self.description.is_none() && is_in(&self.code, &["invalid_request"])
    }

    /// Our client was refused a moment ago, by a version that did not keep the provider's words.
    pub(crate) fn without_words() -> Self {
        Self {
            code: NO_CODE_GIVEN.to_owned(),
            description: Some(
                "our client was refused less than a minute ago, and the provider's words were not kept"
                    .to_owned(),
            ),
        }
    }

    /// The key that tokens are bound to is missing, or is another one: the provider was not even asked.
    pub(crate) fn without_its_key() -> Self {
        Self {
            code: "proof_key_unusable".to_owned(),
            description: Some(
                "the stored key is not the one that the tokens are bound to".to_owned(),
            ),
        }
    }

    /// Our own client can't be proven, so the provider was not even asked.
    pub(crate) fn of_ours(error: &super::assertion::AssertionError) -> Self {
        Self {
            code: "private_key_unusable".to_owned(),
            description: Some(error.to_string()),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.description {
            Some(description) if self.code == NO_CODE_GIVEN => f.write_str(description),
            Some(description) => write!(f, "{}: {description}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

/// Stands in the place of a code where a refusal has none.
pub(super) const NO_CODE_GIVEN: &str = "no_error_code";
