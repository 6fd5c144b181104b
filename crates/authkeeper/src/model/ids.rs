//! Names and identifiers. Strings that come from specifications are kept byte for byte, never normalised.

use std::fmt;

/// A name or identifier that was typed or received and does not fit.
#[derive(Debug, thiserror::Error)]
#[error("{what} {value:?} {problem}")]
pub struct InvalidName {
    what: &'static str,
    value: String,
    problem: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone,
            Debug,
            PartialEq,
            Eq,
            Hash,
            PartialOrd,
            Ord,
            serde::Serialize,
            serde::Deserialize,
        )]
        pub struct $name(String);

        impl $name {
            /// Keeps the text exactly as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text, byte for byte.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An authorization server's issuer identifier (RFC 8414 §2), compared by simple string comparison.
    Issuer
);
text_id!(
    /// The `resource` a token is for (RFC 8707), exactly as the resource's metadata spells it.
    Resource
);
text_id!(
    /// Our `client_id` at one issuer.
    ClientId
);
text_id!(
    /// One grant: one refresh-token family.
    GrantId
);
text_id!(
    /// One attempt to spend one generation.
    AttemptId
);
text_id!(
    /// One running process, as the others see it: the name of its lock under `owners/`.
    OwnerId
);
text_id!(
    /// One unattended run.
    TaskId
);
text_id!(
    /// One incident.
    IncidentId
);
text_id!(
    /// On whose authority calls are made.
    PrincipalId
);
text_id!(
    /// Scopes as one space-separated string (RFC 6749 §3.3), in the order in which they came.
    Scope
);

impl PrincipalId {
    /// The default principal: the user who runs the program on this machine.
    pub fn local_user() -> Self {
        Self::new("local")
    }
}

impl Scope {
    /// The scopes one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether every scope of `other` is among these.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|wanted| self.iter().any(|have| have == wanted))
    }

    /// These, then those of `other` that are not among them. What stands here stays byte for byte.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.0.clone();
        for scope in other.iter() {
            if !Self::new(all.as_str()).iter().any(|have| have == scope) {
                let gap = if all.is_empty() || all.ends_with(' ') {
                    ""
                } else {
                    " "
                };
                all = format!("{all}{gap}{scope}");
            }
        }
        Self(all)
    }

    /// Whether there is no scope at all.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// What a person calls a connection: letters, digits, `.`, `-` and `_`, at most 64 characters, so that it can stand in
/// a URL, a file name and a shell word without quoting.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionName(String);

impl ConnectionName {
    /// Checks a name as it was typed.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let refuse = |problem| {
            Err(InvalidName {
                what: "connection name",
                value: text.to_owned(),
                problem,
            })
        };
        if text.is_empty() || text.len() > 64 {
            return refuse("must have 1 to 64 characters");
        }
        if !text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        {
            return refuse("may only contain letters, digits, '.', '-' and '_'");
        }
        if text.starts_with(['.', '-']) {
            return refuse("must not start with '.' or '-'");
        }
        Ok(Self(text.to_owned()))
    }

    /// A place of its own among the sign-ins under way, for a token that no connection holds yet.
    pub(crate) fn vouched(digest: &str) -> Self {
        Self(format!("vouched.{digest}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            Hash,
            PartialOrd,
            Ord,
            serde::Serialize,
            serde::Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The one that follows.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter!(
    /// Which refresh of a grant: 1, 2, 3 …, never restarted, not even by a new sign-in.
    Generation
);
counter!(
    /// Which sign-in a grant stems from. Changed by a sign-in and by nothing else.
    Lineage
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_need_quoting_are_refused() {
        for bad in ["", "a b", "../x", "-x", ".x", "a/b", "ü", &"x".repeat(65)] {
            assert!(ConnectionName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["notion", "jira-2", "a.b_c", "X"] {
            assert_eq!(ConnectionName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn scopes_are_compared_as_sets() {
        let granted = Scope::new("read write  offline_access");
        assert!(granted.covers(&Scope::new("offline_access read")));
        assert!(!granted.covers(&Scope::new("admin")));
        assert!(granted.covers(&Scope::new("")));
    }

    #[test]
    fn a_union_keeps_what_was_first_as_it_was() {
        let union = |one: &str, other: &str| Scope::new(one).union(&Scope::new(other)).0;
        for (one, other, both) in [
            ("read", "write", "read write"),
            ("read  write", "write admin read", "read  write admin"),
            ("", "write write", "write"),
            ("read ", "Read", "read Read"),
            ("b a", "", "b a"),
        ] {
            assert_eq!(union(one, other), both);
        }
    }

    #[test]
    fn a_name_may_have_64_characters() {
        assert!(ConnectionName::parse(&"x".repeat(64)).is_ok());
        let name = ConnectionName::parse("notion").unwrap();
        assert_eq!(name.to_string(), "notion");
    }

    #[test]
    fn spaces_are_no_scope() {
        assert!(Scope::new("  ").is_empty());
        assert!(!Scope::new("read").is_empty());
        let scopes = Scope::new("read write  offline_access");
        let each: Vec<&str> = scopes.iter().collect();
        assert_eq!(each, ["read", "write", "offline_access"]);
    }

    #[test]
    fn the_user_of_the_program_is_the_local_principal() {
        assert_eq!(PrincipalId::local_user().as_str(), "local");
    }
}
