//! Sign-in pages at the daemon's public URL: which requests are taken, and their forms.

use std::sync::Arc;

use authkeeper::secret::SecretString;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    routing::any,
};
use bytes::Bytes;
use http::{Method, Response, request::Parts};
use http_body_util::{BodyExt as _, Full, Limited};

use super::{
    access::AccessRules,
    error_response::{Audience, Rejection},
};
use crate::signin_link::{PublicSignIn, PublicUrl, Submitted};

/// No form is larger: an address with a code and a state.
const FORM_LIMIT: usize = 16 * 1024;

type Served = Arc<(Arc<AccessRules>, PublicSignIn)>;

/// The pages have an access control of their own: they are the daemon's only answers to another `Host`.
pub(super) fn router(access: Arc<AccessRules>, pages: PublicSignIn) -> Router {
    let routes = pages.url().routes();
    // The path of the URL is somebody's choice: one segment may begin as parameters did in axum 0.7.
    let router = Router::new().without_v07_checks();
    let router = routes
        .iter()
        .fold(router, |router, path| router.route(path, any(page)));
    router.with_state(Served::new((access, pages)))
}

/// A reverse proxy names the public host, or this server as it reaches it. A form comes from the page itself.
fn check(access: &AccessRules, url: &PublicUrl, head: &Parts) -> Result<(), Rejection> {
    if !url.is_host(&head.headers) {
        access.check_host(&head.headers, &head.uri)?;
    }
    match head.method {
        Method::GET => Ok(()),
        Method::POST if url.is_origin(&head.headers) => Ok(()),
        Method::POST => Err(Rejection::Origin),
        _ => Err(Rejection::Route(Audience::Daemon)),
    }
}

/// The page at this path; none if there is none.
async fn page(
    State(served): State<Served>,
    request: Request,
) -> Result<Response<Full<Bytes>>, Rejection> {
    let (access, pages) = &*served;
    let (head, body) = request.into_parts();
    check(access, pages.url(), &head)?;
    let Some(address) = pages.url().page_of(head.uri.path()) else {
        return Err(Rejection::Route(Audience::Daemon));
    };
    let submitted = match head.method {
        Method::POST => Some(submitted(body).await?),
        _ => None,
    };
    let page = pages.page((&address.name, address.id), submitted).await;
    Ok(page.response())
}

async fn submitted(body: Body) -> Result<Submitted, Rejection> {
    let body = Limited::new(body, FORM_LIMIT).collect().await;
    let body = body.map_err(|_broken| Rejection::Body)?.to_bytes();
    let mut fields = form_urlencoded::parse(&body);
    let address = fields.find(|(name, _)| name == "address");
    Ok(match address {
        Some((_, address)) => Submitted::Address(SecretString::new(address.into_owned())),
        None => Submitted::Begin,
    })
}
