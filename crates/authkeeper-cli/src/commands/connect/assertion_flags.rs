//! What stands in the place of a sign-in: a workload's JWT, or a person's token at the company's identity provider.

use std::path::{Path, PathBuf};

use authkeeper::{
    http::HttpUrl,
    model::{AssertionSource, ClientId, GrantType, IdentityProvider, Renewal, SubjectFile},
    signin::{SignInMethod, UnattendedSignIn},
};

use crate::{
    args::{AssertionArgs, ConnectArgs},
    commands::secret_input,
    exit::Exit,
    failure::Failure,
};

/// A grant of this type, with what it shows.
pub(super) fn unattended(args: &ConnectArgs, kind: GrantType) -> Result<SignInMethod, Failure> {
    let source = match kind.renewal() {
        Renewal::AssertionFile => Some(workload(&args.assertion)?),
        Renewal::IdentityProvider => Some(person(args)?),
        Renewal::ClientItself | Renewal::RefreshToken | Renewal::ByHand => None,
    };
    let unattended = UnattendedSignIn::new(kind, source).ok_or_else(|| {
        let said = format!("{} needs a person", kind.as_str());
        Failure::new(Exit::Usage, said, "choose another --grant")
    })?;
    Ok(SignInMethod::Unattended(unattended))
}

/// By the platform's word for a workload.
fn workload(args: &AssertionArgs) -> Result<AssertionSource, Failure> {
    let file = args.assertion_file.as_deref();
    let file = file.ok_or_else(|| {
        missing(
            "the file that holds the workload's JWT",
            "--assertion-file FILE",
        )
    })?;
    Ok(AssertionSource::File(whole(file)?))
}

/// By the identity provider's word for a person.
fn person(args: &ConnectArgs) -> Result<AssertionSource, Failure> {
    let given = &args.assertion;
    if args.client.client_id.is_none() {
        return Err(missing(
            "the client that the identity provider vouches to",
            "--client-id ID",
        ));
    }
    let (Some(token_url), Some(client_id)) = (&given.idp_token_url, &given.idp_client_id) else {
        return Err(missing(
            "the identity provider",
            "--idp-token-url URL --idp-client-id ID",
        ));
    };
    let subject = match (&given.id_token_file, &given.idp_refresh_token_file) {
        (Some(file), _) => SubjectFile::IdToken(whole(file)?),
        (None, Some(file)) => SubjectFile::RefreshToken(whole(file)?),
        (None, None) => {
            let flags = "--id-token-file FILE or --idp-refresh-token-file FILE";
            return Err(missing(
                "the person's token at the identity provider",
                flags,
            ));
        }
    };
    let secret = given.idp_client_secret_file.as_deref();
    let secret = secret.map(|path| secret_input::one_line_of(path, "client secret"));
    Ok(AssertionSource::IdentityProvider(IdentityProvider {
        token_url: HttpUrl::parse(token_url)?.as_str().to_owned(),
        client_id: ClientId::new(client_id),
        client_secret: secret.transpose()?,
        subject,
    }))
}

fn missing(what: &str, flags: &str) -> Failure {
    let said = format!("nobody said which is {what}");
    Failure::new(Exit::Usage, said, format!("add {flags}"))
}

/// It is read again by processes that run elsewhere. A link stays a link: platforms turn it when they write a new file.
pub(super) fn whole(path: &Path) -> Result<PathBuf, Failure> {
    let whole = std::path::absolute(path).map_err(|error| {
        let said = format!("{} is no path: {error}", path.display());
        Failure::new(Exit::Usage, said, "name the file by its whole path")
    })?;
    if whole.to_str().is_none() {
        let said = format!(
            "the path {} is not UTF-8 and can't be kept",
            whole.display()
        );
        let advice = "move the file to a place whose name is";
        return Err(Failure::new(Exit::Usage, said, advice));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use super::*;

    #[test]
    fn a_path_that_can_not_be_kept_is_refused_as_it_is_read() {
        assert_eq!(whole(Path::new("/run/jwt")).unwrap(), Path::new("/run/jwt"));
        assert!(whole(Path::new("jwt")).unwrap().is_absolute());
        let odd = Path::new(OsStr::from_bytes(b"/run/\xff"));
        assert!(whole(odd).is_err());
    }
}
