//! Sign-in pages at the daemon's public URL: which requests are taken, and their forms.

use authkeeper::secret::SecretString;
use http::{Method, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::{access::AccessRules, error_response::Rejection};
use crate::{
    body::ResponseBody,
    signin_link::{PublicSignIn, PublicUrl, Submitted},
};

/// No form is larger: an address with a code and a state.
const FORM_LIMIT: usize = 16 * 1024;

/// A reverse proxy names the public host, or this server as it reaches it. A form comes from the page itself.
fn check(access: &AccessRules, url: &PublicUrl, head: &Parts) -> Result<(), Rejection> {
    if !url.is_host(&head.headers) && access.check_host(&head.headers, &head.uri).is_err() {
        return Err(Rejection::Host);
    }
    match head.method {
        Method::GET => Ok(()),
        Method::POST if url.is_origin(&head.headers) => Ok(()),
        Method::POST => Err(Rejection::Origin),
        _ => Err(Rejection::Route),
    }
}

/// The page at this path; none if there is none.
pub(super) async fn answer(
    access: &AccessRules,
    pages: &PublicSignIn,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Rejection> {
    let (head, body) = request.into_parts();
    check(access, pages.url(), &head)?;
    let Some(address) = pages.url().page_of(head.uri.path()) else {
        return Err(Rejection::Route);
    };
    let submitted = match head.method {
        Method::POST => Some(submitted(body).await?),
        _ => None,
    };
    let page = pages.page((&address.name, address.id), submitted).await;
    let response = page.response();
    Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
}

async fn submitted(body: Incoming) -> Result<Submitted, Rejection> {
    let body = Limited::new(body, FORM_LIMIT).collect().await;
    let body = body.map_err(|_broken| Rejection::Body)?.to_bytes();
    let mut fields = form_urlencoded::parse(&body);
    let address = fields.find(|(name, _)| name == "address");
    Ok(match address {
        Some((_, address)) => Submitted::Address(SecretString::new(address.into_owned())),
        None => Submitted::Begin,
    })
}
