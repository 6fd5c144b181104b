//! Listeners on the loopback addresses of this machine.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    task::Poll,
};

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

/// How often a port is looked for that is free in both families.
const TRIES: usize = 16;

/// One port of the loopback.
pub(crate) struct Listeners {
    port: u16,
    all: Vec<TcpListener>,
}

impl Listeners {
    /// This port of 127.0.0.1 and of `::1`, where this machine has one; 0 is a port that is free in both. One that somebody
    /// else holds in either is not taken: `localhost` may lead clients, and their handle, to them.
    pub(crate) async fn loopback(port: u16) -> io::Result<Self> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let mut listeners = Self::ipv4(port).await?;
            match TcpListener::bind((Ipv6Addr::LOCALHOST, listeners.port)).await {
                Ok(second) => listeners.all.push(second),
                Err(error) if has_no_ipv6(&error) => {}
                Err(error) if port != 0 || tries == 0 => return Err(error),
                Err(_taken) => continue,
            }
            return Ok(listeners);
        }
    }

    /// This port of 127.0.0.1 alone; 0 is a free one.
    pub(crate) async fn ipv4(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Self {
            port: listener.local_addr()?.port(),
            all: vec![listener],
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn accept(&self) -> io::Result<TcpStream> {
        let next = |context: &mut std::task::Context<'_>| {
            let mut polled = self.all.iter().map(|one| one.poll_accept(context));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        };
        poll_fn(next).await.map(|(socket, _)| socket)
    }
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| missing.contains(&errno))
}

/// Whether another program holds the port.
pub fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    async fn meet(listeners: &Listeners, address: IpAddr) -> bool {
        let calling = TcpStream::connect((address, listeners.port()));
        let (called, calling) = tokio::join!(listeners.accept(), calling);
        called.is_ok() && calling.is_ok()
    }

    #[tokio::test]
    async fn both_families_are_one_port() {
        let listeners = Listeners::loopback(0).await.unwrap();
        assert!(meet(&listeners, Ipv4Addr::LOCALHOST.into()).await);
        if listeners.all.len() == 2 {
            assert!(meet(&listeners, Ipv6Addr::LOCALHOST.into()).await);
        }
    }

    #[tokio::test]
    async fn a_port_that_is_held_in_one_family_is_taken() {
        let Ok(held) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
            return;
        };
        let port = held.local_addr().unwrap().port();
        let refused = Listeners::loopback(port).await.err().unwrap();
        assert!(is_taken(&refused), "{refused}");
    }
}
