//! The files beside the store. A kill leaves them as they are; a power cut leaves what was synced, and of the rest what
//! chance leaves.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use authkeeper::platform::files::{Files, Lock, Opened};

use crate::{
    fault::Checkpoint,
    random::Dice,
    world::{ProcessId, Sim},
};

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    /// What a power cut leaves, if it leaves the file.
    synced: Option<Vec<u8>>,
    locked_by: Option<ProcessId>,
    /// The longest write since the last sync.
    longest: usize,
}

/// All files of the machine.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, File>,
    /// Removed, and a power cut may bring them back.
    removed: BTreeMap<PathBuf, Vec<u8>>,
    /// Counted up with each change.
    pub version: u64,
}

impl Disk {
    /// Its locks go with a process.
    pub fn unlock(&mut self, process: ProcessId) {
        for file in self.files.values_mut() {
            file.locked_by.take_if(|by| *by == process);
        }
    }

    pub fn power_cut(&mut self, dice: &mut Dice) {
        self.version += 1;
        let removed = std::mem::take(&mut self.removed);
        for (path, bytes) in removed {
            if dice.percent(50) {
                self.files
                    .entry(path)
                    .or_insert_with(|| File::synced(bytes));
            }
        }
        self.files.retain(|_, file| {
            let survives = file.synced.is_some() || dice.percent(50);
            if file.synced.as_ref() != Some(&file.now) {
                let written = std::mem::take(&mut file.now);
                let kept = match dice.below(3) {
                    0 => written,
                    // Its name is there and its content is not.
                    1 if file.synced.is_none() => vec![],
                    _ => file.synced.take().unwrap_or_default(),
                };
                *file = File::synced(kept);
            }
            file.locked_by = None;
            survives
        });
    }

    /// The whole folder as it was; nobody holds a lock in it.
    pub fn put_back(&mut self, copy: Self) {
        let version = self.version + 1;
        *self = Self { version, ..copy };
        for file in self.files.values_mut() {
            file.locked_by = None;
        }
    }

    /// A control: everything in a folder is lost.
    pub fn lose(&mut self, folder: &Path) {
        self.version += 1;
        self.files.retain(|path, _| !path.starts_with(folder));
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let inside = self
            .files
            .keys()
            .filter(|path| path.parent() == Some(folder));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        names.map(str::to_owned).collect()
    }

    fn get(&mut self, path: &Path) -> io::Result<&mut File> {
        self.files
            .get_mut(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl File {
    fn synced(bytes: Vec<u8>) -> Self {
        Self {
            synced: Some(bytes.clone()),
            now: bytes,
            ..Self::default()
        }
    }
}

/// The files as they are, for somebody who only reads.
#[derive(Debug)]
pub struct Frozen(pub Disk);

impl Files for Frozen {
    fn make(&self, _path: &Path, _room: u64, _with: (&[u8], u64)) -> io::Result<Box<dyn Opened>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        Ok(Box::new(FrozenFile(self.read(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.0.files.get(path);
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(file.now.clone())
    }

    fn replace(&self, _path: &Path, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        self.0.names(folder)
    }

    fn lock(&self, _path: &Path) -> io::Result<Lock> {
        Ok(Box::new(()))
    }

    fn is_locked(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

#[derive(Debug)]
struct FrozenFile(Vec<u8>);

impl Opened for FrozenFile {
    fn write_at(&self, _bytes: &[u8], _at: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        copy_out(&self.0, buffer, at)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Beyond what was written is room: zeros.
fn copy_out(from: &[u8], buffer: &mut [u8], at: u64) -> io::Result<()> {
    let at = usize::try_from(at).map_err(io::Error::other)?;
    let mut bytes = from.iter().skip(at);
    for byte in buffer {
        *byte = bytes.next().copied().unwrap_or_default();
    }
    Ok(())
}

/// The files as one process sees them. What a process does after its death does nothing.
#[derive(Clone)]
pub struct ProcessFiles {
    sim: Sim,
    process: ProcessId,
}

impl std::fmt::Debug for ProcessFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the files of p{}", self.process)
    }
}

impl ProcessFiles {
    pub fn new(sim: Sim, process: ProcessId) -> Self {
        Self { sim, process }
    }

    /// Does it, unless the process is dead or the write is to fail.
    fn write<T: Default>(&self, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.sim.lock();
        let Some(process) = world.processes.get_mut(self.process).filter(|p| p.alive) else {
            return Ok(T::default());
        };
        if std::mem::take(&mut process.file_fault) {
            world.tell(|| "     a write to a file fails".to_owned());
            return Err(io::Error::other("input/output error"));
        }
        world.disk.version += 1;
        work(&mut world.disk)
    }

    fn pass(&self, step: Checkpoint) {
        self.sim.pass(self.process, step);
    }

    fn opened(&self, path: &Path) -> Box<dyn Opened> {
        Box::new(OpenFile {
            files: self.clone(),
            path: path.to_owned(),
        })
    }
}

fn is_in(path: &Path, folder: &str) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with(folder))
}

impl Files for ProcessFiles {
    fn make(&self, path: &Path, _room: u64, with: (&[u8], u64)) -> io::Result<Box<dyn Opened>> {
        let mut start = vec![0; usize::try_from(with.1).map_err(io::Error::other)?];
        start.extend_from_slice(with.0);
        self.write(|disk| {
            if disk.files.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.files.insert(path.to_owned(), File::synced(start));
            Ok(())
        })?;
        self.pass(Checkpoint::Prepared);
        Ok(self.opened(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        self.sim.lock().disk.get(path)?;
        Ok(self.opened(path))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.sim.lock().disk.get(path)?.now.clone())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write(|disk| {
            let file = disk.files.entry(path.to_owned()).or_default();
            file.now = bytes.to_vec();
            Ok(())
        })?;
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("kept.")) {
            self.pass(Checkpoint::Kept);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.write(|disk| {
            disk.get(path)?;
            if let Some(file) = disk.files.remove(path)
                && let Some(bytes) = file.synced
            {
                disk.removed.insert(path.to_owned(), bytes);
            }
            Ok(())
        })?;
        if is_in(path, "spill") {
            self.pass(Checkpoint::Removed);
        }
        Ok(())
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        self.sim.lock().disk.names(folder)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let process = self.process;
        self.write(|disk| {
            let file = disk.files.entry(path.to_owned()).or_default();
            file.locked_by = Some(process);
            Ok(())
        })?;
        Ok(Box::new(()))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let mut world = self.sim.lock();
        let locks_hold = !world.controls.locks_do_not_hold;
        let file = world.disk.get(path)?;
        Ok(file.locked_by.is_some() && locks_hold)
    }
}

#[derive(Debug)]
struct OpenFile {
    files: ProcessFiles,
    path: PathBuf,
}

impl Opened for OpenFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        self.files.write(|disk| {
            // What was removed meanwhile can be written to, and nobody finds it.
            let Ok(file) = disk.get(&self.path) else {
                return Ok(());
            };
            let end = at + bytes.len();
            if file.now.len() < end {
                file.now.resize(end, 0);
            }
            file.now.splice(at..end, bytes.iter().copied());
            file.longest = file.longest.max(bytes.len());
            Ok(())
        })
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut world = self.files.sim.lock();
        let file = world.disk.get(&self.path)?;
        copy_out(&file.now, buffer, at)
    }

    fn sync(&self) -> io::Result<()> {
        let longest = self.files.write(|disk| {
            let Ok(file) = disk.get(&self.path) else {
                return Ok(0);
            };
            file.synced = Some(file.now.clone());
            Ok(std::mem::take(&mut file.longest))
        })?;
        match longest {
            1 => self.files.pass(Checkpoint::Marked),
            // Nothing, or a mark that is not synced by itself.
            0..64 => {}
            _ => {
                self.files.sim.lock().note_durable(self.files.process);
                self.files.pass(Checkpoint::Durable);
            }
        }
        Ok(())
    }
}
