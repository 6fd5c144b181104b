//! The scripted browser, and the loopback listener of a client that signs a person in with it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use crate::wait::wait_until;
use crate::{python, script};

/// A client's loopback listener.
#[derive(Debug)]
pub struct Callback(TcpListener);

impl Default for Callback {
    fn default() -> Self {
        Self::new()
    }
}

impl Callback {
    /// Listens on a port the system chooses.
    pub fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    /// The redirect URI.
    pub fn uri(&self) -> String {
        let address = self.0.local_addr().expect("it listens");
        format!("http://{address}/callback")
    }

    /// Lets the browser open the URL and `answer` (`approve` or `deny`); returns the first line of
    /// what it asked this listener for.
    pub fn browse(&self, url: &str, answer: &str) -> String {
        let mut browser = browser(url, answer).spawn().expect("python starts");
        let mut stream = self.accept(&mut browser, url);
        let mut head = [0; 4096];
        let length = stream.read(&mut head).expect("a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .expect("the browser reads on");
        let ended = browser.wait().expect("it is ours");
        assert!(ended.success(), "the browser failed at {url}");
        let head = String::from_utf8_lossy(head.get(..length).unwrap_or_default());
        head.lines().next().unwrap_or_default().to_owned()
    }

    /// A browser that gave up never comes.
    fn accept(&self, browser: &mut Child, url: &str) -> TcpStream {
        self.0.set_nonblocking(true).expect("it listens");
        let mut came = None;
        let ended = wait_until(Duration::from_secs(30), || {
            came = self.0.accept().ok().map(|(stream, _)| stream);
            came.is_some() || browser.try_wait().is_ok_and(|ended| ended.is_some())
        });
        let stream =
            came.unwrap_or_else(|| panic!("the browser, ended: {ended}, stopped at {url}"));
        stream.set_nonblocking(false).expect("it is connected");
        stream
    }
}

/// Lets the browser do a device's part that belongs to the person: open
/// `verification_uri_complete` and `answer`.
pub fn visit(url: &str, answer: &str) {
    let ended = browser(url, answer).status().expect("python starts");
    assert!(ended.success(), "the browser failed at {url}");
}

fn browser(url: &str, answer: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(script("browser.py")).arg(url);
    command.env("SCRIPTED_ANSWER", answer);
    command
}

/// A parameter of the query, as it is spelt there, of a request line or a URL.
pub fn parameter<'a>(address: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = address.split_once('?')?;
    let query = query.split([' ', '#']).next()?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
