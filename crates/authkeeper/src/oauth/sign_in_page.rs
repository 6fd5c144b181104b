//! The pages that a sign-in shows in a browser. Nothing in them comes from elsewhere, and what others wrote is text.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::{http::HttpUrl, secret::SecretString};

/// A page for the person who signs in: what became of it, for which connection, and what to do next.
#[derive(Clone, Debug)]
pub struct SignInPage {
    status: StatusCode,
    title: String,
    text: String,
    facts: Vec<(&'static str, String)>,
    link: Option<(String, SecretString)>,
    form: Option<SignInForm>,
    /// A page that waits is loaded again after so many seconds.
    reload: Option<u32>,
    next: Option<String>,
}

/// What a page asks a person for. It is sent to the page's own address.
#[derive(Clone, Debug)]
pub struct SignInForm {
    /// The label of a field named `address`; none: there is a button alone.
    pub field: Option<&'static str>,
    /// What the button says.
    pub button: &'static str,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b2733;--dim:#4a5b6c;--paper:#f7f9fb;--card:#fff;--line:#d9e0e7;--good:#1a7f4b;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9fb0c0;--paper:#12181f;--card:#1a222b;--line:#2d3946;--good:#5fd39a;--bad:#ff8f87}}\
*{box-sizing:border-box}body{margin:0;padding:1rem;font:17px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);\
overflow-wrap:anywhere}main{max-width:36rem;margin:12vh auto 0;padding:1.5rem;background:var(--card);border:1px solid var(--line);\
border-radius:12px}h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}.good h1{color:var(--good)}.bad h1{color:var(--bad)}p{margin:.5rem 0}\
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.25rem 1rem;margin:1rem 0 0}dt{color:var(--dim)}dd{margin:0}\
a,button{display:inline-block;margin:.75rem 0 0;padding:.6rem 1rem;font:inherit;color:var(--card);background:var(--ink);border:0;\
border-radius:8px;text-decoration:none;cursor:pointer}label{display:block;margin-top:1rem}input{width:100%;margin-top:.25rem;padding:.6rem;\
font:inherit;color:inherit;background:var(--paper);border:1px solid var(--dim);border-radius:8px}\
.next{margin-top:1rem;padding-top:.75rem;border-top:1px solid var(--line)}\
@media(max-width:30rem){main{margin-top:.5rem;padding:1rem}dl{grid-template-columns:1fr;gap:0}dt{margin-top:.5rem}}";

impl SignInPage {
    /// A page with a title and a sentence.
    pub fn new(status: StatusCode, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            text: text.into(),
            facts: vec![],
            link: None,
            form: None,
            reload: None,
            next: None,
        }
    }

    /// Adds a line: what it is about, and which.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((label, value.into()));
        self
    }

    /// Adds a link that opens in a tab of its own. A URL that is neither `https` nor on this machine is left out.
    #[must_use]
    pub fn link(mut self, label: impl Into<String>, to: SecretString) -> Self {
        self.link = Some((label.into(), to));
        self
    }

    /// Asks for something.
    #[must_use]
    pub fn form(mut self, form: SignInForm) -> Self {
        self.form = Some(form);
        self
    }

    /// Loads the page again after so many seconds.
    #[must_use]
    pub fn reloaded_after(mut self, seconds: u32) -> Self {
        self.reload = Some(seconds);
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// The page as it is sent.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.html().into()));
        *response.status_mut() = self.status;
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            // With `no-referrer` a browser would send our own form with `Origin: null`.
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn html(&self) -> String {
        let tone = match self.status.as_u16() {
            // There is something to do yet.
            200 if self.form.is_some() || self.reload.is_some() => "",
            200 => "good",
            400.. => "bad",
            _ => "",
        };
        let (title, text) = (escaped(&self.title), escaped(&self.text));
        let fact = |(label, value): &(&str, String)| {
            format!("<dt>{label}</dt><dd>{}</dd>", escaped(value))
        };
        let facts: String = self.facts.iter().map(fact).collect();
        let facts = if facts.is_empty() {
            facts
        } else {
            format!("<dl>{facts}</dl>")
        };
        let (link, form) = (self.link_html(), self.form.as_ref().map(form_html));
        let reload = self.reload;
        let reload = reload.map(|seconds| format!("<meta http-equiv=refresh content={seconds}>"));
        let next = self.next.as_ref();
        let next = next.map(|next| format!("<p class=next><b>Next:</b> {}</p>", escaped(next)));
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>\
             {}<title>{title} · authkeeper</title><style>{STYLE}</style><main class='{tone}'><h1>{title}</h1><p>{text}</p>{facts}{}{}{}\
             </main></html>",
            reload.unwrap_or_default(),
            link.unwrap_or_default(),
            form.unwrap_or_default(),
            next.unwrap_or_default()
        )
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the provider's address is for the person who signs in"
    )]
    fn link_html(&self) -> Option<String> {
        let (label, to) = self.link.as_ref()?;
        let to = to.expose().as_str();
        HttpUrl::parse(to).ok()?;
        let (label, to) = (escaped(label), escaped(to));
        Some(format!(
            "<p><a href=\"{to}\" target=_blank rel='noopener noreferrer'>{label}</a></p>"
        ))
    }
}

fn form_html(form: &SignInForm) -> String {
    let field = form.field.map(|label| {
        format!("<label>{label}<input name=address required autocomplete=off></label>")
    });
    format!(
        "<form method=post>{}<button>{}</button></form>",
        field.unwrap_or_default(),
        form.button
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_no_page() {
        let page = SignInPage::new(StatusCode::BAD_REQUEST, "Not signed in", "it said: <b>&")
            .with("Server", "https://mcp.example/<script>")
            .next("authkeeper connect <x>");
        let html = page.html();
        assert!(
            html.contains("it said: &lt;b&gt;&amp;") && html.contains("connect &lt;x&gt;"),
            "{html}"
        );
        assert!(
            !html.contains("<script>") && html.contains("class='bad'"),
            "{html}"
        );
    }

    #[test]
    fn a_page_links_to_web_pages_alone_and_asks_at_its_own_address() {
        let page = |to: &str| {
            let page = SignInPage::new(StatusCode::OK, "Sign in", "Paste it.");
            let page = page.link("Open it", to.to_owned().into());
            page.form(SignInForm {
                field: Some("The address"),
                button: "Go on",
            })
            .html()
        };
        let html = page("https://as.example/authorize?a=1&b=2");
        assert!(
            html.contains("href=\"https://as.example/authorize?a=1&amp;b=2\""),
            "{html}"
        );
        let broken = page("https://as.example/authorize?a=\"><script>");
        assert!(!broken.contains("<script>"), "{broken}");
        assert!(page("https://as.example/x").contains("<a href=\"https://as.example/x\""));
        assert!(!page("javascript:alert(1)").contains("<a "));
        assert!(html.contains("<form method=post><label>The address<input name=address"));
    }

    #[test]
    fn a_page_has_both_themes_fits_a_phone_and_loads_nothing() {
        let page = SignInPage::new(StatusCode::OK, "Signed in", "You can close this page.");
        let html = page.html();
        for part in [
            "prefers-color-scheme:dark",
            "color-scheme:light dark",
            "width=device-width",
            "class='good'",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(
            !html.contains("<dl>") && !html.contains("Next:") && !html.contains("http"),
            "{html}"
        );
        let policy = page.response().headers()[header::CONTENT_SECURITY_POLICY].clone();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'"));
    }
}
