//! The grant types, a row each. What other code must know of a grant type is a property here, so that it names none.
//!
//! A new grant type is a row of this table, a flow in `oauth/grant/`, and the flow's row there
//! (`docs/architecture.md`, "Recipe: a grant type").

/// What is known of a grant type beside its wire format.
struct GrantProperties {
    /// The fixed word.
    word: &'static str,
    sign_in: SignInKind,
    renewal: Renewal,
    registration: GrantRegistration,
}

/// How a grant is obtained: which sign-in it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignInKind {
    /// A person signs in in a browser.
    Browser,
    /// A person signs in on another device.
    Device,
    /// Nobody signs in: our client asks the token endpoint, with what [`Renewal`] says.
    Unattended,
    /// A person made a key and gave it to us. There is no token endpoint.
    Key,
}

/// What brings new tokens when the access token has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Renewal {
    /// The refresh token is spent (RFC 6749 §6).
    RefreshToken,
    /// Our client asks for tokens of its own, and shows nothing but itself.
    ClientItself,
    /// Our client shows what a platform wrote into a file. The file is read at each renewal.
    AssertionFile,
    /// Our client shows an assertion that the identity provider gives for a person's token. If that token is a refresh token,
    /// it is the grant's, and each renewal spends it.
    IdentityProvider,
    /// A person replaces it.
    ByHand,
}

/// What a client is registered for, so that it may ask for grants of a type (RFC 7591 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrantRegistration {
    /// `grant_types`.
    pub grant_types: &'static [&'static str],
    /// `response_types`.
    pub response_types: &'static [&'static str],
    /// Whether the client must prove itself, so that it needs a secret.
    pub needs_secret: bool,
    /// The grant type under which the registration is kept. Grant types that share it share clients.
    pub kept_as: GrantType,
}

/// Declares the enum, the list of all, and the table of properties.
macro_rules! grant_types {
    ($($(#[$doc:meta])* $variant:ident = $properties:expr;)+) => {
        /// How a grant is given (RFC 6749 §1.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum GrantType {
            $($(#[$doc])* $variant,)+
        }

        impl GrantType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            const fn properties(self) -> &'static GrantProperties {
                match self {
                    $(Self::$variant => const { &$properties },)+
                }
            }
        }
    };
}

grant_types! {
    /// A person signed in, in a browser (RFC 6749 §4.1).
    AuthorizationCode = GrantProperties {
        word: "authorization_code",
        sign_in: SignInKind::Browser,
        renewal: Renewal::RefreshToken,
        registration: GrantRegistration {
            grant_types: &["authorization_code", "refresh_token"],
            response_types: &["code"],
            needs_secret: false,
            kept_as: GrantType::AuthorizationCode,
        },
    };
    /// Our client's own: issued again, never refreshed (RFC 6749 §4.4).
    ClientCredentials = GrantProperties {
        word: "client_credentials",
        sign_in: SignInKind::Unattended,
        renewal: Renewal::ClientItself,
        registration: CLIENT_CREDENTIALS,
    };
    /// A person signed in on another device (RFC 8628).
    DeviceCode = GrantProperties {
        word: "device_code",
        sign_in: SignInKind::Device,
        renewal: Renewal::RefreshToken,
        registration: GrantRegistration {
            grant_types: &["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
            response_types: &[],
            needs_secret: false,
            kept_as: GrantType::DeviceCode,
        },
    };
    /// A key that a person made in the provider's console. Not OAuth: it ends when a person ends it.
    ApiKey = GrantProperties {
        word: "api_key",
        sign_in: SignInKind::Key,
        renewal: Renewal::ByHand,
        registration: GrantRegistration {
            grant_types: &[],
            response_types: &[],
            needs_secret: false,
            kept_as: GrantType::ApiKey,
        },
    };
    /// For an assertion that the platform gives a workload (RFC 7523 §2.1).
    JwtBearer = GrantProperties {
        word: "jwt_bearer",
        sign_in: SignInKind::Unattended,
        renewal: Renewal::AssertionFile,
        registration: CLIENT_CREDENTIALS,
    };
    /// For an assertion that the company's identity provider gives for a person (ID-JAG).
    IdJag = GrantProperties {
        word: "id_jag",
        sign_in: SignInKind::Unattended,
        renewal: Renewal::IdentityProvider,
        registration: CLIENT_CREDENTIALS,
    };
    /// For a token that the platform gives a workload, exchanged for one of the server's (RFC 8693).
    TokenExchange = GrantProperties {
        word: "token_exchange",
        sign_in: SignInKind::Unattended,
        renewal: Renewal::AssertionFile,
        registration: GrantRegistration {
            grant_types: &["urn:ietf:params:oauth:grant-type:token-exchange"],
            response_types: &[],
            needs_secret: true,
            kept_as: GrantType::TokenExchange,
        },
    };
}

/// What the unattended grant types register a client for.
const CLIENT_CREDENTIALS: GrantRegistration = GrantRegistration {
    grant_types: &["client_credentials"],
    response_types: &[],
    needs_secret: true,
    kept_as: GrantType::ClientCredentials,
};

impl GrantType {
    /// The fixed word stored, shown and typed.
    pub const fn as_str(self) -> &'static str {
        self.properties().word
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| kind.as_str() == text)
    }

    /// How it is obtained.
    pub const fn sign_in(self) -> SignInKind {
        self.properties().sign_in
    }

    /// How it is renewed.
    pub const fn renewal(self) -> Renewal {
        self.properties().renewal
    }

    /// What a client is registered for that asks for it.
    pub const fn registration(self) -> &'static GrantRegistration {
        &self.properties().registration
    }

    /// Whether the authorization server gives no refresh token with it (RFC 6749 §4.4.3; the extensions for assertions
    /// say the same): one that comes all the same is not used.
    pub fn is_issued_again(self) -> bool {
        match self.renewal() {
            Renewal::ClientItself | Renewal::AssertionFile | Renewal::IdentityProvider => true,
            Renewal::RefreshToken | Renewal::ByHand => false,
        }
    }

    /// Whether a person signs in to get it, in a browser or with a device code.
    pub fn is_interactive(self) -> bool {
        match self.sign_in() {
            SignInKind::Browser | SignInKind::Device => true,
            SignInKind::Unattended | SignInKind::Key => false,
        }
    }

    /// Whether it is a key: a person made it, a person replaces it, and it does not end by itself.
    pub fn is_key(self) -> bool {
        self.renewal() == Renewal::ByHand
    }

    /// Whether our client acts for itself. Such a grant asks for more scope without a person; what others vouch for is theirs
    /// to widen.
    pub fn acts_for_itself(self) -> bool {
        self.renewal() == Renewal::ClientItself
    }

    /// Whether its tokens are those of an account that stays the same. Our client's own tokens, or a workload's, are nobody's
    /// account.
    pub fn has_account(self) -> bool {
        match self.renewal() {
            Renewal::ClientItself | Renewal::AssertionFile => false,
            Renewal::RefreshToken | Renewal::IdentityProvider | Renewal::ByHand => true,
        }
    }

    /// Whether the refresh token beside it is the authorization server's own. An identity provider's is nothing for that
    /// server to see.
    pub fn has_own_refresh_token(self) -> bool {
        self.renewal() != Renewal::IdentityProvider
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_words_of_the_grant_types_are_fixed() {
        let words = [
            "authorization_code",
            "client_credentials",
            "device_code",
            "api_key",
            "jwt_bearer",
            "id_jag",
            "token_exchange",
        ];
        let all: Vec<&str> = GrantType::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(all, words);
        for (word, kind) in words.into_iter().zip(GrantType::ALL) {
            assert_eq!(GrantType::parse(word), Some(*kind));
        }
        assert_eq!(GrantType::parse("password"), None);
        assert_eq!(GrantType::parse(""), None);
    }

    #[test]
    fn no_two_grant_types_have_one_word() {
        let words: BTreeSet<&str> = GrantType::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), GrantType::ALL.len());
    }

    #[test]
    fn what_a_person_signs_in_to_is_renewed_by_a_refresh_token() {
        for kind in GrantType::ALL {
            let by_token = kind.renewal() == Renewal::RefreshToken;
            assert_eq!(kind.is_interactive(), by_token, "{kind:?}");
            let unattended = kind.sign_in() == SignInKind::Unattended;
            assert_eq!(kind.is_issued_again(), unattended, "{kind:?}");
            assert_eq!(kind.is_key(), kind.sign_in() == SignInKind::Key, "{kind:?}");
        }
    }

    #[test]
    fn each_property_of_each_grant_type() {
        use GrantType as G;
        // Issued again, interactive, a key, for itself, an account, the server's own refresh token.
        let table = [
            (
                G::AuthorizationCode,
                [false, true, false, false, true, true],
            ),
            (
                G::ClientCredentials,
                [true, false, false, true, false, true],
            ),
            (G::DeviceCode, [false, true, false, false, true, true]),
            (G::ApiKey, [false, false, true, false, true, true]),
            (G::JwtBearer, [true, false, false, false, false, true]),
            (G::IdJag, [true, false, false, false, true, false]),
            (G::TokenExchange, [true, false, false, false, false, true]),
        ];
        for (kind, expected) in table {
            let found = [
                kind.is_issued_again(),
                kind.is_interactive(),
                kind.is_key(),
                kind.acts_for_itself(),
                kind.has_account(),
                kind.has_own_refresh_token(),
            ];
            assert_eq!(found, expected, "{kind:?}");
        }
    }

    /// Clients that are stored already are found again.
    #[test]
    fn unattended_grant_types_share_the_client_that_is_registered_for_them() {
        for kind in [GrantType::JwtBearer, GrantType::IdJag] {
            let kept_as = kind.registration().kept_as;
            assert_eq!(kept_as, GrantType::ClientCredentials, "{kind:?}");
        }
        for kind in GrantType::ALL {
            let kept_as = kind.registration().kept_as;
            assert_eq!(kept_as.registration().kept_as, kept_as, "{kind:?}");
        }
    }
}
