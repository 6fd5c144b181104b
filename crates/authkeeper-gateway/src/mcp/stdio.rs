//! Standard input and output without a thread in between.
//!
//! tokio's own have a thread read and write, which costs each message two wake-ups of it: more than all that the bridge does
//! itself. What clients connect to us can be waited for directly, but `O_NONBLOCK` belongs to all that share the open file (a
//! shell that started us would find its input changed). So a pipe is opened once more, which gives an open file of our own. That
//! can't be done with a socket (what Node.js makes of a child's "pipe"): its flags are put back at the end, and one that is
//! two of the three is let alone. Anything else (a terminal, a file, a pipe of another user's) keeps tokio's threads.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net,
    },
    pin::Pin,
    task::{Context, Poll},
};

use rustix::fs::{FileType, OFlags, Stat, fcntl_getfl, fcntl_setfl, fstat};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixStream, unix::pipe},
};

/// Bytes from the client.
pub type ClientInput = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes to the client.
pub type ClientOutput = Box<dyn AsyncWrite + Send + Unpin>;

/// This process's standard input.
pub fn input() -> ClientInput {
    readable(io::stdin().as_fd()).unwrap_or_else(|_| Box::new(tokio::io::stdin()))
}

/// This process's standard output.
pub fn output() -> ClientOutput {
    writable(io::stdout().as_fd()).unwrap_or_else(|_| Box::new(tokio::io::stdout()))
}

fn readable(fd: BorrowedFd<'_>) -> io::Result<ClientInput> {
    match kind(fd)? {
        FileType::Fifo => Ok(Box::new(
            pipe::OpenOptions::new().open_receiver(once_more(fd))?,
        )),
        FileType::Socket => Ok(Box::new(Socket::over(fd)?)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn writable(fd: BorrowedFd<'_>) -> io::Result<ClientOutput> {
    match kind(fd)? {
        FileType::Fifo => Ok(Box::new(
            pipe::OpenOptions::new().open_sender(once_more(fd))?,
        )),
        FileType::Socket => Ok(Box::new(Socket::over(fd)?)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn kind(fd: BorrowedFd<'_>) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn once_more(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Its flags are put back at the end.
struct Socket {
    stream: UnixStream,
    before: OFlags,
}

impl Socket {
    fn over(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let place = |stat: Stat| (stat.st_dev, stat.st_ino);
        let it = place(fstat(fd)?);
        let all = [
            fstat(io::stdin())?,
            fstat(io::stdout())?,
            fstat(io::stderr())?,
        ];
        if all.into_iter().filter(|one| place(*one) == it).count() > 1 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let before = fcntl_getfl(fd)?;
        let stream = net::UnixStream::from(fd.try_clone_to_owned()?);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { stream, before })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fcntl_setfl(&self.stream, self.before);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::PipeReader, os::unix::net::UnixStream};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// More than a pipe or a socket takes at once.
    const LONG: usize = 1024 * 1024;

    async fn crosses(mut output: ClientOutput, mut input: ClientInput) {
        let (sent, came) = tokio::join!(
            async move {
                output.write_all(&vec![b'x'; LONG]).await.unwrap();
                output.flush().await.unwrap();
                output
            },
            async move {
                let mut came = vec![0; LONG];
                input.read_exact(&mut came).await.unwrap();
                (came, input)
            }
        );
        assert!(came.0.iter().all(|byte| *byte == b'x'));
        drop(sent);
        drop(came);
    }

    fn blocks(fd: impl AsFd) -> bool {
        !fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    #[tokio::test]
    async fn a_pipe_carries_and_other_users_of_it_see_no_change() {
        let (read, write) = io::pipe().unwrap();
        let (input, output) = (
            readable(read.as_fd()).unwrap(),
            writable(write.as_fd()).unwrap(),
        );
        crosses(output, input).await;
        assert!(blocks(&read) && blocks(&write));
    }

    #[tokio::test]
    async fn a_socket_carries_and_is_left_as_it_was() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (input, output) = (
            readable(ours.as_fd()).unwrap(),
            writable(theirs.as_fd()).unwrap(),
        );
        crosses(output, input).await;
        assert!(blocks(&ours) && blocks(&theirs));
    }

    #[tokio::test]
    async fn the_end_of_a_pipe_and_of_a_socket_is_the_end_of_the_input() {
        let (read, write) = io::pipe().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut inputs = [
            readable(read.as_fd()).unwrap(),
            readable(ours.as_fd()).unwrap(),
        ];
        drop((write, theirs));
        for input in &mut inputs {
            assert_eq!(input.read(&mut [0; 8]).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn a_client_that_is_gone_is_an_error_and_no_signal() {
        let (read, write): (PipeReader, _) = io::pipe().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut outputs = [
            writable(write.as_fd()).unwrap(),
            writable(ours.as_fd()).unwrap(),
        ];
        drop((read, theirs));
        for output in &mut outputs {
            let gone = output.write(b"x").await.unwrap_err();
            assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn a_file_is_left_to_tokio() {
        let file = tempfile::tempfile().unwrap();
        assert!(readable(file.as_fd()).is_err() && writable(file.as_fd()).is_err());
    }
}
