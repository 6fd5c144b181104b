//! The cookies of one client's session: a load balancer keeps the session at one node by them. They stay in memory, go
//! back to the origin that set them and to no other, and the client never sees them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use authkeeper::secret::SecretString;
use cookie::Cookie;
use http::{HeaderMap, HeaderValue, Uri, header};
use jiff::{SignedDuration, Timestamp};

/// More than these serve no balancer; the oldest goes first.
const MOST: usize = 32;
/// Of all names and values together. Servers refuse longer heads.
const MOST_BYTES: usize = 8 << 10;

/// The cookies of one client's session with one server.
#[derive(Default)]
pub struct CookieJar(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Who set them.
    origin: String,
    /// The oldest first.
    cookies: Vec<KeptCookie>,
}

struct KeptCookie {
    name: String,
    value: SecretString,
    path: String,
    /// When it ends; none lasts as long as the session.
    until: Option<Timestamp>,
}

impl CookieJar {
    /// Keeps what an answer sets. `uri` is where the call went.
    pub(crate) fn hear(&self, uri: &Uri, answer: &HeaderMap, now: Timestamp) {
        let set = answer.get_all(header::SET_COOKIE).iter();
        for value in set.take(2 * MOST) {
            if let Some(cookie) = read(value, uri, now) {
                self.kept().put(origin(uri), cookie, now);
            }
        }
    }

    /// What a call to `uri` carries.
    #[expect(
        clippy::disallowed_methods,
        reason = "the cookies go to the server that set them"
    )]
    pub(super) fn show(&self, uri: &Uri, now: Timestamp) -> Option<HeaderValue> {
        let kept = self.kept();
        if kept.origin != origin(uri) {
            return None;
        }
        let fitting = kept.cookies.iter().filter(|cookie| {
            cookie.until.is_none_or(|until| now < until) && is_below(uri.path(), &cookie.path)
        });
        let pairs: Vec<String> = fitting
            .map(|cookie| format!("{}={}", cookie.name, cookie.value.expose()))
            .collect();
        let mut value = HeaderValue::try_from(pairs.join("; ")).ok()?;
        value.set_sensitive(true);
        (!pairs.is_empty()).then_some(value)
    }

    /// Whether no answer has set a cookie that is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept().cookies.is_empty()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, origin: String, cookie: KeptCookie, now: Timestamp) {
        if self.origin != origin {
            self.origin = origin;
            self.cookies.clear();
        }
        self.cookies
            .retain(|kept| kept.name != cookie.name || kept.path != cookie.path);
        if cookie.until.is_none_or(|until| now < until) {
            self.cookies.push(cookie);
        }
        while self.cookies.len() > MOST || self.bytes() > MOST_BYTES {
            self.cookies.remove(0);
        }
    }

    fn bytes(&self) -> usize {
        self.cookies.iter().map(KeptCookie::bytes).sum()
    }
}

impl KeptCookie {
    #[expect(clippy::disallowed_methods, reason = "only its length is looked at")]
    fn bytes(&self) -> usize {
        self.name.len() + self.value.expose().len()
    }
}

/// RFC 6265 §5.2 and §5.3. It goes back to the host that set it alone, whatever its `Domain` says; one for another domain
/// is none of this server's to set. `Secure` says nothing more: it goes back by the scheme that it came by.
fn read(value: &HeaderValue, uri: &Uri, now: Timestamp) -> Option<KeptCookie> {
    let cookie = Cookie::parse(value.to_str().ok()?).ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    if let Some(domain) = cookie.domain() {
        let domain = domain.to_ascii_lowercase();
        let within = host.strip_suffix(&domain)?;
        if !within.is_empty() && !within.ends_with('.') {
            return None;
        }
    }
    let path = cookie.path().filter(|path| path.starts_with('/'));
    Some(KeptCookie {
        path: path.unwrap_or_else(|| folder(uri.path())).to_owned(),
        until: ends(&cookie, now),
        name: cookie.name().to_owned(),
        value: cookie.value().to_owned().into(),
    })
}

/// `Max-Age` wins over `Expires` (RFC 6265 §5.3, step 3). What is too far away for a date does not end.
fn ends(cookie: &Cookie<'_>, now: Timestamp) -> Option<Timestamp> {
    match (cookie.max_age(), cookie.expires_datetime()) {
        (Some(age), _) => {
            let age = SignedDuration::from_secs(age.whole_seconds().max(0));
            now.checked_add(age).ok()
        }
        (None, Some(at)) => Timestamp::from_second(at.unix_timestamp()).ok(),
        (None, None) => None,
    }
}

/// The default path of a cookie (RFC 6265 §5.1.4).
fn folder(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder,
        _ => "/",
    }
}

/// Whether a call to `path` carries a cookie of `of` (RFC 6265 §5.1.4).
fn is_below(path: &str, of: &str) -> bool {
    let rest = path.strip_prefix(of);
    rest.is_some_and(|rest| rest.is_empty() || of.ends_with('/') || rest.starts_with('/'))
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    format!(
        "{}://{}",
        uri.scheme_str().unwrap_or_default(),
        authority.unwrap_or_default().to_ascii_lowercase()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mcp.example/t/mcp";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + seconds).unwrap()
    }

    fn hear(jar: &CookieJar, uri: &str, set: &[&str]) {
        let mut headers = HeaderMap::new();
        for value in set {
            headers.append(header::SET_COOKIE, value.parse().unwrap());
        }
        jar.hear(&uri.parse().unwrap(), &headers, at(0));
    }

    fn shown(jar: &CookieJar, uri: &str, now: i64) -> String {
        let value = jar.show(&uri.parse().unwrap(), at(now));
        let value = value.inspect(|value| assert!(value.is_sensitive()));
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    fn after(set: &[&str]) -> String {
        let jar = CookieJar::default();
        hear(&jar, URL, set);
        shown(&jar, URL, 0)
    }

    #[test]
    fn a_balancers_cookie_goes_back() {
        let jar = CookieJar::default();
        assert_eq!(shown(&jar, URL, 0), "");
        hear(&jar, URL, &["SERVERID=n1; path=/; HttpOnly; Secure"]);
        hear(&jar, URL, &["AWSALB=\"x y\"; Path=/t"]);
        assert_eq!(shown(&jar, URL, 0), "SERVERID=n1; AWSALB=\"x y\"");
        hear(&jar, URL, &["SERVERID=n2; path=/"]);
        assert_eq!(shown(&jar, URL, 0), "AWSALB=\"x y\"; SERVERID=n2");
    }

    #[test]
    fn a_cookie_goes_to_no_other_origin() {
        let jar = CookieJar::default();
        hear(&jar, URL, &["s=1; Path=/; Domain=example"]);
        assert_eq!(shown(&jar, URL, 0), "s=1");
        for other in [
            "http://mcp.example/t/mcp",
            "https://mcp.example:8443/t/mcp",
            "https://www.mcp.example/t/mcp",
            "https://example/t/mcp",
        ] {
            assert_eq!(shown(&jar, other, 0), "", "{other}");
        }
        hear(&jar, "https://other.example/", &["s=2; Path=/"]);
        assert_eq!(shown(&jar, URL, 0), "", "one server a session");
        assert_eq!(after(&["s=1; Domain=other.example"]), "");
        assert_eq!(after(&["s=1; Domain=p.example"]), "", "half a label");
    }

    #[test]
    fn a_cookie_ends_when_it_says_so() {
        let jar = CookieJar::default();
        hear(&jar, URL, &["s=1; Max-Age=60"]);
        assert_eq!(shown(&jar, URL, 59), "s=1");
        assert_eq!(shown(&jar, URL, 60), "");
        assert_eq!(after(&["s=1", "s=; Max-Age=0"]), "");
        let past = "s=; Expires=Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(after(&["s=1", past]), "");
        assert_eq!(after(&["s=1; Max-Age=99999999999999"]), "s=1");
    }

    #[test]
    fn a_cookie_is_of_a_path() {
        assert_eq!(
            after(&["a=1", "b=2; Path=/t", "c=3; Path=/t/mcp"]).len(),
            13
        );
        assert_eq!(after(&["a=1; Path=/other", "b=2; Path=/t/m"]), "");
    }

    #[test]
    fn a_jar_is_bounded() {
        let many: Vec<String> = (0..50).map(|number| format!("c{number}=x")).collect();
        let jar = CookieJar::default();
        for cookie in &many {
            hear(&jar, URL, &[cookie]);
        }
        let shown = shown(&jar, URL, 0);
        assert_eq!(shown.split("; ").count(), MOST);
        assert!(shown.starts_with("c18=x") && shown.ends_with("c49=x"));
        assert_eq!(
            after(&["kept=1", &format!("l={}", "x".repeat(MOST_BYTES))]),
            ""
        );
        assert_eq!(after(&["", "=x", "no cookie"]), "");
    }
}
