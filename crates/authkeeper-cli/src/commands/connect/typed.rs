//! What a person types nearly right: it is understood where only one thing can be meant.

use authkeeper::{
    http::HttpUrl,
    model::{
        ExtraHeader, ExtraHeaders, InvalidHeader, Issuer, RequestSettings, Resource, Scope, SetBy,
    },
    oauth::discovery::issuer_of_place,
};

use crate::{args::RequestArgs, commands::secret_input, exit::Exit, failure::Failure};

/// Without what comes with a text that is copied: spaces around it, quotes, angle brackets.
pub(super) fn bare(text: &str) -> &str {
    let quotes = ['"', '\'', '`', '<', '>', '“', '”', '‘', '’'];
    text.trim().trim_matches(quotes).trim()
}

/// A URL.
pub(super) fn url(text: &str) -> Result<HttpUrl, Failure> {
    Ok(HttpUrl::parse(bare(text))?)
}

/// An issuer, which stays as it is spelled. The address of its metadata stands for it.
pub(super) fn issuer(text: &str) -> Result<Issuer, Failure> {
    let issuer = issuer_of_place(bare(text));
    let checked = HttpUrl::parse(&issuer).map_err(|error| {
        let meant = error.meant();
        let mut failure = Failure::from(error);
        if let Some(meant) = meant {
            failure.next = format!("run the same command with --issuer {}", meant.as_str());
        }
        failure
    })?;
    Ok(Issuer::new(checked.as_str()))
}

/// A resource, which stays as it is spelled.
pub(super) fn resource(text: &str) -> Resource {
    Resource::new(bare(text))
}

/// Scopes, with spaces between them. A comma before a space is no part of a scope.
pub(super) fn scope(text: &str) -> Option<Scope> {
    let spaced = bare(text).replace(", ", " ");
    Some(Scope::new(spaced)).filter(|scope| !scope.is_empty())
}

/// What is set of the requests.
pub(super) fn requests(args: &RequestArgs) -> Result<RequestSettings, Failure> {
    let mut settings = RequestSettings::default();
    settings.authorization = parameters("--param", &args.param)?;
    settings.token = parameters("--token-param", &args.token_param)?;
    settings.headers = headers(args)?;
    settings.without_resource = args.no_resource;
    settings.pkce_unadvertised = args.pkce_unadvertised;
    Ok(settings)
}

#[expect(clippy::disallowed_methods, reason = "it is read, and sealed later")]
fn headers(args: &RequestArgs) -> Result<ExtraHeaders, Failure> {
    let typed = args.header.iter().map(|text| header(text));
    let in_files = args.header_file.iter().map(|path| {
        let line = secret_input::one_line_of(path, "header")?;
        header(line.expose())
    });
    typed.chain(in_files).collect()
}

/// The text is not repeated: it may hold a key.
fn header(text: &str) -> Result<ExtraHeader, Failure> {
    ExtraHeader::parse(text).map_err(|invalid| {
        let next = match &invalid {
            InvalidHeader::Taken {
                name,
                by: SetBy::Credential,
            } if name == "authorization" => {
                "leave it out; --credential-header \"Authorization: WORD\" sets the word before the token or key"
            }
            InvalidHeader::Taken { .. } => "leave it out",
            _ => "run the same command with --header \"NAME: VALUE\", like --header \"X-Tenant: blue\"",
        };
        Failure::new(Exit::Usage, format!("--header: {invalid}"), next)
    })
}

fn parameters(flag: &str, typed: &[String]) -> Result<Vec<(String, String)>, Failure> {
    typed.iter().map(|text| parameter(flag, text)).collect()
}

fn parameter(flag: &str, typed: &str) -> Result<(String, String), Failure> {
    let usage = |what: String, next: String| Failure::new(Exit::Usage, what, next);
    let (key, value) = typed
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or_else(|| {
            let next =
                format!("write it as {flag} KEY=VALUE, like {flag} audience=https://api.example");
            usage(format!("{flag} {typed} has no value"), next)
        })?;
    let key = key.trim();
    if let Some(own) = RequestSettings::own_parameter(key) {
        let next = own.flag.map_or_else(
            || "leave it out: the sign-in sets it".to_owned(),
            |own| format!("run the same command with {own} in the place of {flag}"),
        );
        return Err(usage(format!("{key} is not set by {flag}"), next));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_with_its_surroundings_is_understood() {
        for typed in [
            "https://mcp.example/mcp",
            "  https://mcp.example/mcp\n",
            "<https://mcp.example/mcp>",
            "\"https://mcp.example/mcp\"",
            "“https://mcp.example/mcp”",
        ] {
            assert_eq!(
                url(typed).unwrap().as_str(),
                "https://mcp.example/mcp",
                "{typed}"
            );
        }
        let next = url("http://mcp.example/mcp#x").unwrap_err().next;
        assert!(next.contains("https://mcp.example/mcp?"), "{next}");
    }

    #[test]
    fn the_address_of_an_issuers_metadata_stands_for_it() {
        for (typed, meant) in [
            ("https://as.example", "https://as.example"),
            ("https://as.example/", "https://as.example/"),
            (
                "https://as.example/.well-known/openid-configuration",
                "https://as.example",
            ),
            (
                "https://as.example/t1/.well-known/openid-configuration",
                "https://as.example/t1",
            ),
            (
                "https://as.example/.well-known/oauth-authorization-server/t1",
                "https://as.example/t1",
            ),
        ] {
            assert_eq!(issuer(typed).unwrap().as_str(), meant, "{typed}");
        }
        let next = issuer("login.example").unwrap_err().next;
        assert_eq!(
            next,
            "run the same command with --issuer https://login.example"
        );
    }

    #[test]
    fn scopes_with_commas_between_them_are_understood() {
        let text = |typed: &str| scope(typed).map(|scope| scope.as_str().to_owned());
        assert_eq!(text("read, write").as_deref(), Some("read write"));
        assert_eq!(
            text("read,write").as_deref(),
            Some("read,write"),
            "it may be one"
        );
        assert_eq!(text(" "), None);
    }

    #[test]
    fn parameters_that_have_a_flag_are_set_by_it() {
        let all = |param: &[&str]| {
            let param = param.iter().map(|text| (*text).to_owned()).collect();
            requests(&RequestArgs {
                param,
                token_param: vec![],
                header: vec![],
                header_file: vec![],
                no_resource: true,
                pkce_unadvertised: false,
            })
        };
        let set = all(&["audience=https://api.example?a=b", "empty="]).unwrap();
        assert_eq!(set.authorization[0].1, "https://api.example?a=b");
        assert_eq!(set.authorization[1].1, "");
        assert!(set.without_resource);
        for (typed, next) in [
            ("audience", "--param KEY=VALUE"),
            ("=x", "--param KEY=VALUE"),
            ("scope=x", "--scope"),
            ("state=x", "leave it out"),
        ] {
            let failure = all(&[typed]).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.next.contains(next), "{}", failure.next);
        }
    }

    #[test]
    fn a_header_that_is_refused_says_why_and_nothing_of_its_value() {
        for (typed, words) in [
            ("Authorization: Bearer s3cret", "--credential-header"),
            ("Host: s3cret", "leave it out"),
            ("s3cret", "--header \"NAME: VALUE\""),
            ("X-Key: s3cret\r\nX-Evil: 1", "--header \"NAME: VALUE\""),
        ] {
            let failure = header(typed).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.next.contains(words), "{}", failure.next);
            assert!(!failure.what.contains("s3cret"), "{}", failure.what);
        }
    }
}
