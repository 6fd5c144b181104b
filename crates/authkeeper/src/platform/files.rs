//! The small files beside the store: journals, kept answers, owners' locks. What must be durable is synced where it is
//! written, and the simulation drops the rest at a power cut.

use std::{
    any::Any,
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A lock that ends with its process at the latest.
pub type Lock = Box<dyn Any + Send>;

/// Where the small files are.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// A new file with room for this many bytes, and these at their place in it. Durable, and so is its name.
    fn make(&self, path: &Path, room: u64, with: (&[u8], u64)) -> io::Result<Box<dyn Opened>>;
    /// A file that is there, to be read and written.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Opened>>;
    /// The whole of a small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// A small file in the place of the one of this name: others see either. Nothing says that it is durable.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Removes a file. Nothing says that this is durable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a folder, in no order.
    fn names(&self, folder: &Path) -> Vec<String>;
    /// A new file, locked as long as what is returned lives.
    fn lock(&self, path: &Path) -> io::Result<Lock>;
    /// Whether somebody holds the lock of a file that is there.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
}

/// A folder of small files.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    files: Arc<dyn Files>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf, files: Arc<dyn Files>) -> Self {
        Self { path, files }
    }

    /// One of the operating system's.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn on_disk(path: PathBuf) -> Self {
        Self::new(path, Arc::new(DiskFiles))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn files(&self) -> &dyn Files {
        &*self.files
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files.names(&self.path)
    }
}

/// An open file.
pub trait Opened: fmt::Debug + Send + Sync {
    /// Writes at a place, whole.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Fills the buffer from a place, whole.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
    /// What was written is durable.
    fn sync(&self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskFiles;

impl Files for DiskFiles {
    fn make(&self, path: &Path, room: u64, with: (&[u8], u64)) -> io::Result<Box<dyn Opened>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path)?;
        let whole = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&file, whole, 0, room) {
            // A file system that can't set room aside is filled by hand.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => fill(&file, room)?,
            done => done?,
        }
        file.write_all_at(with.0, with.1)?;
        file.sync_all()?;
        sync_folder_of(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        fs::rename(&new, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string());
        names.filter_map(Result::ok).collect()
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let file = options.open(path)?;
        file.lock()?;
        Ok(Box::new(file))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        match File::open(path)?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Makes the names in a file's folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// An operation on a file or folder failed.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be opened: {source}")]
pub struct FileError {
    /// The file or folder.
    pub path: String,
    /// The operating system's error.
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.display().to_string(),
            source,
        }
    }
}

fn fill(file: &File, room: u64) -> io::Result<()> {
    let zeros = vec![0; 64 * 1024];
    let mut steps = (0..room).step_by(zeros.len());
    steps.try_for_each(|at| file.write_all_at(&zeros, at))
}

impl Opened for File {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
